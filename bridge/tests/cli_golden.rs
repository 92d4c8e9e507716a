//! Sessions of an operator, word for word: `sessions/*.txt` are scripts and their expected output in one. Each has a
//! server and robots of its own.
//!
//! A line that begins with `$ ` is a command, one with `> ` is what robots do meanwhile or what is waited for
//! (`golden_support/stage.rs`), one with `| ` is a line of a file, and `#` comments. Everything else is what commands
//! print. `ROLLCALL_BLESS=1 cargo test -p rollcall --test cli_golden` writes that anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod golden_support;
mod process;

use golden_support::play;

#[test]
fn a_careful_canary_goes_through_its_phases() {
    play("canary");
}

#[test]
fn a_bad_image_is_ended_by_a_threshold() {
    play("bad_image");
}

#[test]
fn an_operator_stops_resumes_and_cancels() {
    play("stop_and_cancel");
}

#[test]
fn an_operator_chooses_robots_by_selectors_and_groups() {
    play("selectors");
}

#[test]
fn an_operator_asks_why_robots_wait() {
    play("why");
}

#[test]
fn an_operator_updates_one_robot_by_hand() {
    play("by_hand");
}

#[test]
fn an_operator_approves_a_phase_that_was_missed() {
    play("missed");
}

#[test]
fn a_preview_says_who_gets_nothing_and_when_the_others_are_told() {
    play("preview");
}

#[test]
fn an_operator_releases_stops_resumes_raises_and_overwrites() {
    play("release");
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    play("mistakes");
}

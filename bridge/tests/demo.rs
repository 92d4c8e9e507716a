//! The main job on one command, small: it must end with server and robots in agreement.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::Value;
use std::process::{Command, Output};

fn demo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("demo")
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn the_demonstration_ends_completed_with_every_outcome_accounted_for() {
    let output = demo(&[
        "--robots", "50", "--ecus", "3", "--fail", "10", "--seed", "7", "--json",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(text.lines().count(), 1, "one line of JSON and nothing else");
    let summary: Value = serde_json::from_str(&text).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(summary["rollout_status"], "Completed");
    assert_eq!(summary["robots_agree"], true);
    assert_eq!(
        (number(&summary["robots"]), number(&summary["ecus"])),
        (50, 150)
    );
    // Every 25th robot has boards that no image runs on.
    assert_eq!(
        (
            number(&summary["affected_robots"]),
            number(&summary["skipped_robots"])
        ),
        (48, 2)
    );
    let operations: u64 = summary["operations"]
        .as_object()
        .unwrap()
        .values()
        .map(number)
        .sum();
    assert_eq!(operations, 48 * 3);
    assert!(
        number(&summary["operations"]["failed"]) > 0,
        "a tenth of the updates fail"
    );
    assert!(number(&summary["events_committed"]) > 48 * 3);
    assert!(number(&summary["elapsed_ms"]) > 0);
}

#[test]
fn people_see_a_preview_with_reasons_and_an_outcome_table() {
    let output = demo(&["--robots", "30", "--ecus", "2", "--fail", "0"]);
    let (text, shown) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{text}{shown}");
    assert!(
        shown.contains("29 robots get 58 updates, 1 are skipped"),
        "{shown}"
    );
    assert!(
        shown.contains("none of its ECUs has a hardware id of the map"),
        "{shown}"
    );
    assert!(
        text.contains("Completed, outcome success: 30 robots, 60 ECUs"),
        "{text}"
    );
    assert!(
        text.contains("The 58 outcomes are what the robots really did."),
        "{text}"
    );
}

#[test]
fn more_robots_than_open_files_is_refused_before_anything_starts() {
    let rollcall = env!("CARGO_BIN_EXE_rollcall");
    let limited = format!("ulimit -n 1000 && exec {rollcall} demo --robots 5000");
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        shown.contains("the system allows 1000") && shown.contains("at most 400 robots"),
        "{shown}"
    );
}

#[test]
fn impossible_wishes_are_usage_errors() {
    for args in [
        ["--fail", "101"],
        ["--robots", "0"],
        ["--ecus", "33"],
        ["--fail", "some"],
    ] {
        assert_eq!(demo(&args).status.code(), Some(2), "{args:?}");
    }
}

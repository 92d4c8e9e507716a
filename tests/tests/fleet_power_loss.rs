//! The whole server loses its power again and again, while a fleet is being updated: the fleet simulation with the real
//! store on a disk that forgets what was not synced.
//!
//! `ROLLCALL_LONG=1` loses power more than 5,000 times. `ROLLCALL_SEED=N` plays one world and shows its last steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and what they print is shown when they fail"
)]

use rollcall_tests::sim::{self, Tally, Trace};

/// Losses of power of each kind of worlds, at least.
const LOSSES: u64 = 120;
const LONG: u64 = 1_700;

/// Plays a world; one that fails is played again with its trace.
fn must_hold(seed: u64) -> Tally {
    sim::play_losses_of_power(seed, true, &Trace::off()).unwrap_or_else(|broken| {
        let trace = Trace::on();
        let again = sim::play_losses_of_power(seed, true, &trace).err();
        let steps = trace.text();
        panic!(
            "seed {seed}: {broken}\n\nlast steps:\n{steps}\nseed {seed}: {broken}\nthe second time: {again:?}\n\
             replay: ROLLCALL_SEED={seed} cargo test -p rollcall-tests --test fleet_power_loss one_world"
        );
    })
}

fn worlds_from(first: u64) {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let wanted = if long { LONG } else { LOSSES };
    let mut tally = Tally::default();
    let mut worlds = 0;
    while tally.power_losses < wanted {
        tally.add(&must_hold(first + worlds));
        worlds += 1;
        assert!(worlds < wanted, "the power hardly ever goes: {tally:#?}");
    }
    println!("{worlds} worlds: {tally:#?}");
    // Otherwise they would not fall where it hurts.
    let (kept, lost) = (tally.in_flight_kept, tally.in_flight_lost);
    assert!(kept > wanted / 50, "{kept} batches in flight were kept");
    assert!(lost > wanted / 10, "{lost} batches in flight were lost");
    assert!(
        tally.acknowledged > wanted,
        "{} events were acknowledged",
        tally.acknowledged
    );
    for moment in [
        "in a commit",
        "after a commit, before anything left",
        "before a commit",
        "idle",
        "while a rollout runs",
        "while a request is unanswered",
        "while a robot installs",
    ] {
        assert!(
            tally.deaths.contains_key(moment),
            "the power never went {moment}"
        );
    }
}

#[test]
fn no_acknowledged_event_is_lost_and_every_standing_rule_holds_when_the_power_goes() {
    worlds_from(8_000_000);
}

/// People use the whole of a mechanism and every command.
#[test]
fn campaigns_go_on_as_they_should_after_losses_of_power() {
    worlds_from(5_500_000);
}

/// People plan by the clock, let robots join later and update single ones by hand.
#[test]
fn plans_by_the_clock_are_kept_through_losses_of_power() {
    worlds_from(6_500_000);
}

#[test]
fn a_disk_that_does_not_sync_is_caught() {
    let mut caught = 0;
    for seed in 8_000_000..8_000_012 {
        match sim::play_losses_of_power(seed, false, &Trace::off()) {
            Err(broken) => {
                println!("seed {seed}: {broken}");
                caught += 1;
            }
            // Everything may survive once or twice.
            Ok(tally) => assert!(
                tally.power_losses < 4,
                "seed {seed}: commits without a sync went unnoticed: {tally:#?}"
            ),
        }
    }
    assert!(caught >= 3, "only {caught} worlds noticed");
}

#[test]
fn one_world_named_by_its_seed_keeps_every_standing_rule() {
    let seed = std::env::var("ROLLCALL_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok());
    println!("{:#?}", must_hold(seed.unwrap_or(8_000_000)));
}

//! The engine and the robot model together, in virtual time, over many seeds.
//!
//! `ROLLCALL_LONG=1` plays thousands of worlds. `ROLLCALL_SEED=N` plays one and shows its last steps.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and what they print is shown when they fail"
)]

use rollcall_tests::sim::{self, Broken, Tally, Trace};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Worlds that once broke a rule, with the rule.
const REGRESSIONS: [(u64, &str); 17] = [
    (
        1_000_001,
        "A28: launches kept their order of creation, not of launch, across a restart",
    ),
    (
        4_000_000,
        "design 4: an acknowledgement of counter 0, which no robot can decode",
    ),
    (
        3_000_026,
        "5.1: a resend decided before the final event of the same batch left after its acknowledgement",
    ),
    (
        2_000_110,
        "simulation: commands that died with the server were remembered by the second opinion",
    ),
    (
        3_000_194,
        "5.1: the same, where the robot's next ECU had the same attempt number",
    ),
    (
        3_000_286,
        "simulation: a repetition crossed an Edgehog device's final event, so it ran again",
    ),
    (
        2_000_027,
        "5.1: a removed robot was owed a Cancel again after a restart",
    ),
    (
        2_000_162,
        "simulation: an accepted board ended what was planned for the former one",
    ),
    (
        4_000_478,
        "simulation: an accepted model ended what was planned for the former one",
    ),
    (
        1_001_252,
        "simulation: what a removed device had still under way was held against the introspection that went with it",
    ),
    (
        1_000_053,
        "replay: a retry came due while all slots were taken, and its timer was not recorded",
    ),
    (
        5_000_016,
        "replay: an edit that left the rate was read back as one that removes it",
    ),
    (
        3_000_005,
        "simulation: an attempt that was given up was done after all, while the target waited for another",
    ),
    (
        6_000_050,
        "X12: other words about an offline robot took the beginning of its window from its grace",
    ),
    (
        6_000_029,
        "why: a robot that had restarted was said to fail as too slow when its restart was judged",
    ),
    (
        6_000_217,
        "simulation: who was recalled, and has a newer rollout meanwhile, was asked before that",
    ),
    (
        6_000_181,
        "simulation: a deadline that an operator says later counts from the launch by the clock",
    ),
];

/// Worlds per shard; the shards run in parallel.
const WORLDS: u64 = 60;
const LONG: u64 = 2_500;

fn play(seed: u64, trace: &Trace) -> Result<Tally, Broken> {
    catch_unwind(AssertUnwindSafe(|| sim::play(seed, trace))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Broken(format!("panic: {}", text.unwrap_or_default())))
    })
}

/// Plays a world; one that fails is played again with its trace.
fn must_hold(seed: u64) -> Tally {
    play(seed, &Trace::off()).unwrap_or_else(|broken| {
        let trace = Trace::on();
        let again = play(seed, &trace).err();
        let steps = trace.text();
        let sure = if again.as_ref() == Some(&broken) { "" } else { "\nIT FAILS ANOTHER WAY THE SECOND TIME" };
        panic!(
            "seed {seed}: {broken}{sure}\n\nlast steps:\n{steps}\nseed {seed}: {broken}\n\
             replay: ROLLCALL_SEED={seed} cargo test -p rollcall-tests --test fleet_simulation one_world"
        );
    })
}

fn shard(number: u64) {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let worlds = if long { LONG } else { WORLDS };
    let mut tally = Tally::default();
    for seed in number * 1_000_000..number * 1_000_000 + worlds {
        tally.add(&must_hold(seed));
    }
    println!("{tally:#?}");
    meets_what_it_is_for(&tally);
}

/// A simulation that never meets trouble proves nothing.
fn meets_what_it_is_for(tally: &Tally) {
    for (what, count) in [
        ("requests", tally.requests),
        ("starts after a death", tally.starts),
        ("installations", tally.installed),
        ("cancels", tally.cancels),
        ("properties told to devices", tally.properties),
        ("excess", tally.excess),
    ] {
        assert!(count > 0, "no {what} in a whole shard");
    }
    for state in [
        "Superseded",
        "RolledBack",
        "Expired",
        "Succeeded Installed",
        "Succeeded AlreadyCurrent",
        "Cancelled EarlierEcuFailed",
        "Cancelled RobotRemoved",
        "Failed NotConfirmed",
        "Failed RequestTimeout",
        "Failed OtherImageReported",
        "Failed UpdateAlreadyInProgress",
    ] {
        assert!(
            tally.states.contains_key(state),
            "no target became {state} in a whole shard"
        );
    }
    for moment in DEATHS {
        assert!(
            tally.deaths.contains_key(moment),
            "no server died {moment} in a whole shard"
        );
    }
}

/// Moments at which the server dies in every shard.
const DEATHS: [&str; 9] = [
    "idle",
    "before a commit",
    "after a commit, before anything left",
    "in a property window",
    "while a rollout runs",
    "while a request is unanswered",
    "while a robot installs",
    "while a robot restarts",
    "owing a Cancel",
];

#[test]
fn worlds_of_shard_1_keep_every_standing_rule() {
    shard(1);
}

#[test]
fn worlds_of_shard_2_keep_every_standing_rule() {
    shard(2);
}

#[test]
fn worlds_of_shard_3_keep_every_standing_rule() {
    shard(3);
}

#[test]
fn worlds_of_shard_4_keep_every_standing_rule() {
    shard(4);
}

/// People use the whole of a mechanism and every command in all worlds of this shard.
#[test]
fn worlds_of_campaigns_keep_every_standing_rule() {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let worlds = if long { LONG } else { WORLDS };
    let mut tally = Tally::default();
    for seed in 5_000_000..5_000_000 + worlds {
        tally.add(&must_hold(seed));
    }
    println!("{tally:#?}");
    for what in CAMPAIGNS {
        assert!(tally.seen.contains_key(what), "nothing was {what}");
    }
}

/// People plan by the clock, let robots join later and update single ones by hand in all worlds of this shard.
#[test]
fn worlds_of_planners_keep_every_standing_rule() {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let worlds = if long { LONG } else { WORLDS };
    let mut tally = Tally::default();
    for seed in 6_000_000..6_000_000 + worlds {
        tally.add(&must_hold(seed));
    }
    println!("{tally:#?}");
    for what in PLANNERS {
        assert!(tally.seen.contains_key(what), "nothing was {what}");
    }
    let gone = tally.states.get("Failed Offline").copied();
    assert!(gone > Some(10), "hardly anybody failed because it was gone");
}

/// What happens in every shard of planners.
const PLANNERS: [&str; 3] = ["joined", "launched by the clock", "by hand"];

/// What rollouts do in every shard of campaigns.
const CAMPAIGNS: [&str; 11] = [
    "running",
    "stopped",
    "recall",
    "retry",
    "paused Operator",
    "paused Approval",
    "paused Failures",
    "paused PhaseMissed",
    "paused PhaseErrors",
    "ending Operator",
    "ending MaxFailures",
];

/// The greatest fleet is 100,000 ECUs.
#[test]
fn a_large_world_keeps_every_standing_rule() {
    let long = std::env::var_os("ROLLCALL_LONG").is_some();
    let robots = if long { 25_000 } else { 1_000 };
    let start = std::time::Instant::now();
    let tally = sim::play_large(7_000_000, robots, &Trace::off()).unwrap();
    println!("{robots} robots in {:?}: {tally:#?}", start.elapsed());
    assert!(tally.installed > 3 * robots, "hardly anybody was updated");
    assert!(tally.starts > 0, "the server never died");
}

#[test]
fn worlds_that_once_broke_a_rule_keep_it_now() {
    for (seed, rule) in REGRESSIONS {
        println!("{seed}: {rule}");
        must_hold(seed);
    }
}

#[test]
fn one_world_named_by_its_seed_keeps_every_standing_rule() {
    let seed = std::env::var("ROLLCALL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0);
    println!("{:#?}", must_hold(seed));
}

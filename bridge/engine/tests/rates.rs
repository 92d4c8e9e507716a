//! The rate of new starts (issue 4, Mechanism): never more in any minute than it says, whatever else happens.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::pace::*;
use fleet::*;
use proptest::prelude::*;
use rollcall_engine::*;
use std::collections::BTreeSet;

fn rate(per_minute: u32) -> Rate {
    Rate {
        per_minute,
        growth: None,
    }
}

fn at(per_minute: u32) -> Mechanism {
    Mechanism {
        rate: Some(rate(per_minute)),
        max_in_progress: 10_000,
        request_timeout: 10 * DAY,
        ..Mechanism::default()
    }
}

/// When each robot was told for the first time, until `span` has passed.
fn starts(fleet: &mut Fleet, span: u64) -> Vec<u64> {
    let end = fleet.now + span;
    let mut starts = vec![fleet.now; fleet.told().len()];
    loop {
        let more = fleet.step(end);
        starts.extend(vec![fleet.now; fleet.told().len()]);
        if !more {
            return starts;
        }
    }
}

/// Most starts in any span of 60 seconds.
fn busiest_minute(starts: &[u64]) -> usize {
    let from = |at: &u64| {
        starts
            .iter()
            .filter(|s| (*at..at + MINUTE).contains(s))
            .count()
    };
    starts.iter().map(from).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sixty_seconds_see_more_starts_than_the_rate(
        per_minute in 1_u32..150,
        robots in 1_usize..200,
        stops in prop::collection::vec((1_u64..90_000, 0_u64..200_000), 0..4),
    ) {
        let (mut fleet, keys) = connected(robots);
        fleet.launched(at(per_minute));
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        // Requests that got no answer are repeated to robots that return: no starts.
        let mut look = |fleet: &mut Fleet| {
            let told = fleet.told().into_iter().filter(|robot| seen.insert(*robot));
            found.extend(told.map(|_| fleet.now));
        };
        for (span, down) in stops {
            look(&mut fleet);
            let end = fleet.now + span;
            while fleet.step(end) {
                look(&mut fleet);
            }
            fleet.restart(down);
            for key in &keys {
                fleet.online_with(*key, fleet.now, "1");
                look(&mut fleet);
            }
        }
        look(&mut fleet);
        let end = fleet.now + MINUTE * (robots as u64 + 2);
        while fleet.step(end) {
            look(&mut fleet);
        }
        prop_assert_eq!(found.len(), robots);
        prop_assert!(busiest_minute(&found) <= per_minute as usize);
    }

    #[test]
    fn a_rate_that_grows_is_never_above_its_formula(
        per_minute in 1_u32..30, tenths in 11_u8..50, every in 1_u32..40, more in 0_u32..300,
    ) {
        let (mut fleet, _) = connected(120);
        let max_per_minute = per_minute + more;
        let growth = Growth { factor: Factor::tenths(tenths), every, counting: Counting::Told, max_per_minute };
        let rate = Rate { per_minute, growth: Some(growth) };
        fleet.launched(Mechanism { rate: Some(rate.clone()), ..at(1) });
        let starts = starts(&mut fleet, 2 * HOUR);
        prop_assert_eq!(starts.len(), 120);
        prop_assert!(busiest_minute(&starts) <= max_per_minute as usize);
        for (told, pair) in (0_u32..).zip(starts.windows(2)) {
            // The gap after a start is that of the rate after the robots before it.
            let gap = 60_000_000 / u64::from(rate.after(told));
            prop_assert!((pair[1] - pair[0] + 1) * 1_000 > gap, "{told}: {pair:?}");
        }
    }
}

#[test]
fn starts_are_spread_evenly_over_the_minute() {
    let (mut fleet, _) = connected(7);
    fleet.launched(at(6));
    let found = starts(&mut fleet, MINUTE);
    let expected: Vec<_> = (0..7).map(|n| NOON + n * 10 * SECOND).collect();
    assert_eq!(found, expected);
}

#[test]
fn one_a_minute_and_a_million_a_minute() {
    let (mut fleet, _) = connected(3);
    fleet.launched(at(1));
    assert_eq!(
        starts(&mut fleet, HOUR),
        [NOON, NOON + MINUTE, NOON + 2 * MINUTE]
    );
    let (mut fleet, _) = connected(100);
    fleet.launched(at(1_000_000));
    let found = starts(&mut fleet, SECOND);
    assert_eq!(found.len(), 100);
    assert!(
        found.iter().all(|at| at - NOON <= 6),
        "60 microseconds apart: {found:?}"
    );
    assert!(found.iter().filter(|at| **at == NOON).count() <= 17);
}

#[test]
fn nothing_is_made_up_for_after_a_time_in_which_nobody_was_there() {
    let mut fleet = at_noon();
    let robots = fleet.robots(10);
    fleet.launched(at(6));
    fleet.pass(HOUR);
    robots.iter().for_each(|robot| fleet.online(*robot));
    assert_eq!(fleet.told().len(), 1);
    assert_eq!(starts(&mut fleet, MINUTE).len(), 6);
}

#[test]
fn why_names_the_instant_at_which_the_next_robot_is_told() {
    let (mut fleet, robots) = connected(3);
    let id = fleet.launched(at(2));
    let told = fleet.told();
    let waits = robots
        .into_iter()
        .find(|robot| !told.contains(robot))
        .unwrap();
    let next = Timestamp(NOON + 30 * SECOND);
    let per_minute = 2;
    assert_eq!(
        fleet.waits_for(id, waits),
        Some(WaitReason::Rate { per_minute, next })
    );
    fleet.pass(30 * SECOND - 1);
    assert_eq!(fleet.told(), []);
    fleet.pass(1);
    assert_eq!(fleet.told().len(), 1);
}

#[test]
fn retries_and_other_ecus_are_not_charged() {
    let mut fleet = at_noon();
    let two = fleet.robot("two", &[ecu("a", "hw", false), ecu("b", "hw", true)]);
    fleet.online(two);
    let id = fleet.launched(Mechanism {
        retries: vec![Retry {
            class: FailureClass::Network,
            times: 1,
            backoff: 0,
            max_backoff: 0,
        }],
        ..at(1)
    });
    let (_, first, operation) = fleet.requests().remove(0);
    let charged = fleet.state.rollout(id).unwrap().course.next_start_us;
    fleet
        .fail(two, &first, operation, EventCode::NetworkError)
        .unwrap();
    let (_, again, operation) = fleet.requests().remove(0);
    assert_eq!(again, first, "the retry waits for no rate");
    fleet.install(two, &again, operation);
    let (_, second, _) = fleet.requests().remove(0);
    assert_ne!(second, first, "nor does the other ECU");
    assert_eq!(
        fleet.state.rollout(id).unwrap().course.next_start_us,
        charged
    );
}

#[test]
fn another_rate_counts_from_the_newest_start() {
    let (mut fleet, _) = connected(10);
    let id = fleet.launched(at(1));
    assert_eq!(starts(&mut fleet, 10 * SECOND), [NOON]);
    let faster = RolloutEdit {
        rate: Some(Some(rate(4))),
        ..RolloutEdit::default()
    };
    fleet.edit(id, faster).unwrap();
    assert_eq!(fleet.told(), []);
    assert_eq!(starts(&mut fleet, 5 * SECOND), [NOON + 15 * SECOND]);
    let none = RolloutEdit {
        rate: Some(None),
        ..RolloutEdit::default()
    };
    fleet.edit(id, none).unwrap();
    assert_eq!(
        fleet.told().len(),
        8,
        "without a rate there is only the cap"
    );
}

#[test]
fn rate_cap_phases_and_windows_hold_together() {
    let (mut fleet, robots) = connected(20);
    for robot in &robots[10..] {
        fleet.label(*robot, "timezone", "Asia/Tokyo");
    }
    let phase = |size| Phase {
        size,
        success_threshold: Percent::ALL,
        soak: 0,
        approval: false,
        error_threshold: None,
        on_error: ThresholdAction::Pause,
    };
    let windows =
        r#"{"windows": [{"opens": "0 0 * * *", "minutes": 240}], "zone": "Europe/Berlin"}"#;
    let id = fleet.launched(Mechanism {
        max_in_progress: 2,
        windows: Some(serde_json::from_str(windows).unwrap()),
        phases: vec![phase(PhaseSize::Robots(8)), phase(PhaseSize::Rest)],
        ..at(6)
    });
    let (mut starts, end) = (Vec::new(), NOON + 3 * DAY);
    while fleet.outcome(id).is_none() && fleet.now < end {
        fleet.step(end);
        for (robot, ecu, operation) in fleet.requests() {
            starts.push(fleet.now);
            let tokyo = robots[10..].contains(&robot);
            let local = (fleet.now + if tokyo { 9 } else { 1 } * HOUR) % DAY;
            assert!(local < 4 * HOUR, "{robot:?} at {local}");
            let rollout = fleet.state.rollout(id).unwrap();
            assert!(rollout.counts.in_progress <= 2);
            if rollout.members[&robot].phase == 1 {
                let first = rollout.members.values().filter(|m| m.phase == 0);
                let done = first.filter(|m| m.progress() == RobotProgress::Successful);
                assert_eq!(done.count(), 8);
            }
            fleet.install(robot, &ecu, operation);
        }
    }
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
    assert_eq!(starts.len(), 20);
    assert!(busiest_minute(&starts) <= 6);
}

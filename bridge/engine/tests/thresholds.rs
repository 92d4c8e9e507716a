//! When so many robots have failed that a rollout ends or pauses (device-contract 4.3 and 4.6).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;

/// `count` robots that are there, and a rollout with one slot.
fn one_by_one(count: usize, change: impl FnOnce(&mut Mechanism)) -> (Fleet, RolloutId) {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(count);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        mechanism.max_in_progress = 1;
        change(mechanism);
    });
    (fleet, id)
}

/// Fails the robot that is under way; says whether another was told in the same moment.
fn fail_one(fleet: &mut Fleet, code: EventCode) -> bool {
    let (robot, name, operation) = fleet.requests()[0].clone();
    fleet.fail(robot, &name, operation, code).unwrap();
    fleet
        .effects
        .iter()
        .any(|e| matches!(e, Effect::Request(_)))
}

fn succeed_one(fleet: &mut Fleet) {
    let (robot, name, operation) = fleet.requests()[0].clone();
    fleet.install(robot, &name, operation);
}

fn percent(text: &str) -> Percent {
    text.parse().unwrap()
}

fn rule(kind: FailureKind, percentage: &str, min_tried: u32, action: ThresholdAction) -> AbortRule {
    AbortRule {
        kind,
        percentage: percent(percentage),
        min_tried,
        action,
    }
}

#[test]
fn contract_4_3_the_threshold_is_strictly_greater_and_of_the_snapshot() {
    let (mut fleet, id) = one_by_one(4, |mechanism| {
        mechanism.max_failure_percentage = Some(percent("25"));
    });
    assert!(fail_one(&mut fleet, EventCode::Refused), "25 % is allowed");
    assert!(!fail_one(&mut fleet, EventCode::Refused), "nobody after it");
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
    let counts = fleet.state.rollout(id).unwrap().counts;
    assert_eq!((counts.failed, counts.cancelled), (2, 2));
    fleet.pass(10_000);
    assert_eq!(fleet.state.next_timer(), None);
}

#[test]
fn a_threshold_of_nothing_ends_at_the_first_failure_and_one_of_all_never() {
    for (most, told) in [("0", 1), ("100", 3)] {
        let (mut fleet, id) = one_by_one(3, |mechanism| {
            mechanism.max_failure_percentage = Some(percent(most));
        });
        let mut failed = 1;
        while fail_one(&mut fleet, EventCode::Refused) {
            failed += 1;
        }
        assert_eq!(failed, told);
        // Contract 4.6: Edgehog calls it a success when all failed; it is none.
        assert_eq!(fleet.outcome(id), Some(Completion::Failure));
    }
}

#[test]
fn robots_that_get_nothing_are_not_counted() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    robots.iter().for_each(|robot| fleet.online(*robot));
    for n in 0..6 {
        fleet.robot(&format!("other{n}"), &[ecu("main", "else", true)]);
    }
    let id = fleet.launch_with(|mechanism| {
        mechanism.max_in_progress = 1;
        mechanism.max_failure_percentage = Some(percent("49"));
    });
    // One of two, not of eight.
    assert!(!fail_one(&mut fleet, EventCode::Refused));
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
}

#[test]
fn a_robot_counts_once_however_many_of_its_ecus_fail() {
    let mut fleet = Fleet::default();
    let ecus = [ecu("main", "hw", true), ecu("b", "hw", false)];
    let robots = ["one", "two", "three"].map(|name| fleet.robot(name, &ecus));
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        mechanism.max_in_progress = 1;
        mechanism.max_failure_percentage = Some(percent("34"));
    });
    assert!(fail_one(&mut fleet, EventCode::Refused));
    assert!(fail_one(&mut fleet, EventCode::Refused), "the same robot");
    assert_eq!(fleet.state.rollout(id).unwrap().tally.failed, 1);
    assert!(!fail_one(&mut fleet, EventCode::Refused), "another robot");
    let reason = CancelReason::RolloutAborted;
    let counts = fleet.state.rollout(id).unwrap().counts;
    assert_eq!(counts.cancelled, 3, "{reason:?}");
}

#[test]
fn an_end_by_threshold_calls_off_who_has_not_begun_to_write_and_waits_for_who_has() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(3);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        mechanism.max_failure_percentage = Some(percent("0"));
    });
    let requests = fleet.requests();
    let [first, writing, failing] = [0, 1, 2].map(|n| requests[n].clone());
    fleet
        .event(writing.0, "main", writing.2, EventStatus::Deploying)
        .unwrap();
    fleet
        .fail(failing.0, "main", failing.2, EventCode::IoError)
        .unwrap();
    assert_eq!(fleet.sent(), [(first.0, RequestKind::Cancel, first.2)]);
    assert!(matches!(
        fleet.run(id),
        Some(Run::Ending {
            why: EndReason::MaxFailures,
            ..
        })
    ));
    fleet
        .fail(first.0, "main", first.2, EventCode::Cancelled)
        .unwrap();
    let reason = CancelReason::RolloutAborted;
    assert_eq!(
        fleet.target_state(id, first.0),
        TargetState::Cancelled { reason }
    );
    fleet.install(writing.0, "main", writing.2);
    assert!(matches!(
        fleet.target_state(id, writing.0),
        TargetState::Succeeded { .. }
    ));
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
}

#[test]
fn aws_an_abort_rule_acts_on_its_kind_when_enough_have_tried() {
    let abort = |mechanism: &mut Mechanism| {
        mechanism.abort = vec![rule(FailureKind::Rejected, "50", 4, ThresholdAction::Abort)];
    };
    let (mut fleet, id) = one_by_one(6, abort);
    assert!(fail_one(&mut fleet, EventCode::Refused));
    assert!(fail_one(&mut fleet, EventCode::IoError), "another kind");
    assert!(fail_one(&mut fleet, EventCode::Busy), "three have tried");
    succeed_one(&mut fleet);
    // Two of four: reached is enough, as AWS has it; that a success completes the four changes nothing.
    assert_eq!(fleet.requests(), []);
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
    let (mut fleet, id) = one_by_one(4, abort);
    for _ in 0..4 {
        fail_one(&mut fleet, EventCode::IoError);
    }
    let counts = fleet.state.rollout(id).unwrap().counts;
    assert_eq!((counts.failed, counts.cancelled), (4, 0), "no rejection");
}

#[test]
fn all_kinds_are_of_the_kind_all_and_a_rollback_is_its_own() {
    for (kind, acts) in [
        (FailureKind::All, true),
        (FailureKind::RolledBack, true),
        (FailureKind::Failed, false),
        (FailureKind::Rejected, false),
        (FailureKind::TimedOut, false),
    ] {
        let (mut fleet, id) = one_by_one(2, |mechanism| {
            mechanism.abort = vec![rule(kind, "100", 1, ThresholdAction::Abort)];
        });
        let told = fail_one(&mut fleet, EventCode::SystemRollback);
        assert_eq!(told, !acts, "{kind:?}");
        assert_eq!(fleet.outcome(id).is_some(), acts);
    }
}

#[test]
fn a_rule_that_pauses_acts_again_after_the_resume_with_the_next_failure_only() {
    let (mut fleet, id) = one_by_one(5, |mechanism| {
        mechanism.abort = vec![rule(FailureKind::All, "50", 2, ThresholdAction::Pause)];
    });
    succeed_one(&mut fleet);
    assert!(!fail_one(&mut fleet, EventCode::IoError));
    let paused = |fleet: &Fleet| match fleet.run(id) {
        Some(Run::Paused { why, .. }) => Some(why),
        _ => None,
    };
    let why = PauseReason::Failures { rule: 0 };
    assert_eq!(paused(&fleet), Some(why));
    // A restart does not make it forget what the operator has seen.
    fleet.resume(id).unwrap();
    assert_eq!(paused(&fleet), None);
    assert_eq!(fleet.effects.len(), 1, "somebody is told");
    assert!(!fail_one(&mut fleet, EventCode::IoError));
    assert_eq!(paused(&fleet), Some(why));
}

#[test]
fn what_was_excused_stays_so_over_a_restart() {
    let (mut fleet, id) = one_by_one(3, |mechanism| {
        mechanism.abort = vec![rule(FailureKind::All, "1", 1, ThresholdAction::Pause)];
    });
    assert!(!fail_one(&mut fleet, EventCode::IoError));
    fleet.resume(id).unwrap();
    fleet.restart(1_000);
    let members = &fleet.state.rollout(id).unwrap().members;
    let robots: Vec<_> = members.keys().collect();
    for robot in robots {
        fleet.online_with(robot, 2, "1");
    }
    assert_eq!(fleet.run(id), Some(Run::Running));
}

#[test]
fn a_rule_that_aborts_is_stronger_than_one_that_pauses() {
    let (mut fleet, id) = one_by_one(3, |mechanism| {
        mechanism.abort = vec![
            rule(FailureKind::All, "1", 1, ThresholdAction::Pause),
            rule(FailureKind::All, "1", 1, ThresholdAction::Abort),
        ];
    });
    fail_one(&mut fleet, EventCode::IoError);
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
}

#[test]
fn a_threshold_ends_a_paused_and_a_stopped_rollout_too() {
    for stop in [false, true] {
        let (mut fleet, id) = one_by_one(3, |mechanism| {
            mechanism.max_failure_percentage = Some(percent("0"));
        });
        let (robot, _, operation) = fleet.requests()[0].clone();
        fleet
            .event(robot, "main", operation, EventStatus::Deploying)
            .unwrap();
        let done = if stop {
            fleet.stop(id)
        } else {
            fleet.pause(id)
        };
        done.unwrap();
        fleet
            .fail(robot, "main", operation, EventCode::IoError)
            .unwrap();
        assert_eq!(fleet.outcome(id), Some(Completion::Failure));
    }
}

#[test]
fn the_error_threshold_of_a_phase_is_of_its_own_robots_and_strictly_greater() {
    for action in [ThresholdAction::Pause, ThresholdAction::Abort] {
        let (mut fleet, id) = one_by_one(8, |mechanism| {
            let first = Phase {
                size: PhaseSize::Robots(4),
                success_threshold: percent("100"),
                soak: 0,
                approval: false,
                error_threshold: Some(percent("25")),
                on_error: action,
            };
            let rest = Phase {
                size: PhaseSize::Rest,
                ..first.clone()
            };
            mechanism.phases = vec![first, rest];
        });
        assert!(fail_one(&mut fleet, EventCode::IoError), "one of four");
        assert!(!fail_one(&mut fleet, EventCode::IoError), "two of four");
        match action {
            ThresholdAction::Pause => {
                let why = PauseReason::PhaseErrors { phase: 0 };
                let since = Timestamp(0);
                assert_eq!(fleet.run(id), Some(Run::Paused { since, why }));
            }
            ThresholdAction::Abort => {
                assert_eq!(fleet.outcome(id), Some(Completion::Failure));
            }
        }
    }
}

#[test]
fn a_resume_excuses_only_what_would_pause_it_at_once() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(6);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        mechanism.abort = vec![AbortRule {
            kind: FailureKind::All,
            percentage: Percent::hundredths(2_000).unwrap(),
            min_tried: 5,
            action: ThresholdAction::Pause,
        }];
    });
    let told = fleet.requests();
    let (robot, _, operation) = told[0].clone();
    fleet
        .fail(robot, "main", operation, EventCode::Refused)
        .unwrap();
    // The rule does not hold yet, so this resume says nothing of it.
    fleet.pause(id).unwrap();
    fleet.resume(id).unwrap();
    for (robot, _, operation) in &told[1..5] {
        assert_eq!(fleet.run(id), Some(Run::Running));
        fleet.install(*robot, "main", *operation);
    }
    let why = PauseReason::Failures { rule: 0 };
    assert!(matches!(fleet.run(id), Some(Run::Paused { why: found, .. }) if found == why));
}

//! Trying again by class of failure (requirements 6.2).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;
use std::collections::BTreeSet;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const PENDING: TargetState = TargetState::Pending;

const fn retry(class: FailureClass, times: u8) -> Retry {
    Retry {
        class,
        times,
        backoff: MINUTE,
        max_backoff: 3 * MINUTE,
    }
}

/// One robot that was told, in a rollout with these retries.
fn told(retries: &[Retry]) -> (Fleet, RobotKey, RolloutId, uuid::Uuid) {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    let id = fleet.launch_with(|mechanism| mechanism.retries = retries.to_vec());
    let operation = fleet.requests()[0].2;
    (fleet, robot, id, operation)
}

const fn failed(reason: FailureReason) -> TargetState {
    TargetState::Failed { reason }
}

#[test]
fn nothing_is_tried_again_by_default() {
    let (mut fleet, robot, id, operation) = told(&[]);
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    let end = failed(FailureReason::NetworkError);
    assert_eq!(fleet.target_state(id, robot), end);
}

#[test]
fn each_class_tries_its_own_failures_again_and_no_others() {
    let classes = [
        (EventCode::NetworkError, Some(FailureClass::Network)),
        (EventCode::IoError, Some(FailureClass::Storage)),
        (EventCode::StorageFull, Some(FailureClass::Storage)),
        (EventCode::Busy, Some(FailureClass::Busy)),
        (EventCode::UpdateAlreadyInProgress, Some(FailureClass::Busy)),
        (EventCode::DigestMismatch, Some(FailureClass::Verify)),
        (EventCode::InvalidBaseImage, Some(FailureClass::Verify)),
        (EventCode::InvalidRequest, None),
        (EventCode::InternalError, None),
        (EventCode::IncompatibleHardware, None),
        (EventCode::UnexpectedVersion, None),
        (EventCode::Refused, None),
    ];
    for rule in [
        FailureClass::Network,
        FailureClass::Storage,
        FailureClass::Busy,
        FailureClass::Verify,
        FailureClass::Timeout,
    ] {
        for (code, class) in classes {
            let (mut fleet, robot, id, operation) = told(&[retry(rule, 1)]);
            fleet.fail(robot, "main", operation, code).unwrap();
            let again = fleet.target_state(id, robot) == PENDING;
            assert_eq!(again, class == Some(rule), "{rule:?} {code:?}");
        }
    }
}

#[test]
fn the_wait_doubles_up_to_its_cap_and_each_attempt_is_a_new_operation_until_none_is_left() {
    let (mut fleet, robot, id, mut operation) = told(&[retry(FailureClass::Network, 4)]);
    let mut operations = BTreeSet::from([operation]);
    for wait in [MINUTE, 2 * MINUTE, 3 * MINUTE, 3 * MINUTE] {
        fleet
            .fail(robot, "main", operation, EventCode::NetworkError)
            .unwrap();
        assert_eq!(fleet.target_state(id, robot), PENDING);
        let why = fleet.state.why(id, robot).unwrap();
        let at = Timestamp(fleet.now + wait);
        let failure = FailureReason::NetworkError;
        assert_eq!(why[0].waits_for, Some(WaitReason::Retry { failure, at }));
        assert_eq!(why[0].until, Some(at));
        fleet.pass(wait - 1);
        assert_eq!(fleet.requests(), []);
        fleet.pass(1);
        operation = fleet.requests()[0].2;
        assert!(operations.insert(operation), "a new uuid");
    }
    assert_eq!(fleet.target(id, robot, 0).attempt, 5);
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    let end = failed(FailureReason::NetworkError);
    assert_eq!(fleet.target_state(id, robot), end);
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
    fleet.pass(HOUR);
    assert_eq!(fleet.state.next_timer(), None);
}

#[test]
fn classes_are_counted_each_for_itself() {
    let rules = [
        retry(FailureClass::Network, 1),
        retry(FailureClass::Busy, 1),
    ];
    let (mut fleet, robot, id, operation) = told(&rules);
    let mut operation = operation;
    for code in [EventCode::NetworkError, EventCode::Busy] {
        fleet.fail(robot, "main", operation, code).unwrap();
        assert_eq!(fleet.target_state(id, robot), PENDING);
        // The first of its class waits the shortest time.
        fleet.pass(MINUTE);
        operation = fleet.requests()[0].2;
    }
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    let end = failed(FailureReason::NetworkError);
    assert_eq!(fleet.target_state(id, robot), end);
}

#[test]
fn a_slot_is_free_while_its_robot_waits() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        mechanism.max_in_progress = 1;
        mechanism.retries = vec![retry(FailureClass::Network, 1)];
    });
    let (first, _, operation) = fleet.requests()[0].clone();
    fleet
        .fail(first, "main", operation, EventCode::NetworkError)
        .unwrap();
    let (second, _, operation) = fleet.requests()[0].clone();
    assert_ne!(first, second);
    // The retry comes due, and waits for the slot.
    fleet.pass(MINUTE);
    assert_eq!(fleet.requests(), []);
    let why = fleet.state.why(id, first).unwrap();
    assert!(matches!(why[0].waits_for, Some(WaitReason::Slot { .. })));
    fleet.install(second, "main", operation);
    assert_eq!(fleet.requests()[0].0, first);
}

#[test]
fn the_order_on_a_robot_stays_and_a_failure_with_a_retry_left_stops_nothing() {
    for on_failure in [OnFailure::Continue, OnFailure::Stop] {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("b", "hw", false)]);
        fleet.online(robot);
        let id = fleet.launch_with(|mechanism| {
            mechanism.retries = vec![retry(FailureClass::Network, 1)];
            mechanism.on_failure = on_failure;
        });
        let operation = fleet.requests()[0].2;
        fleet
            .fail(robot, "b", operation, EventCode::NetworkError)
            .unwrap();
        assert_eq!(fleet.requests(), [], "main comes after b");
        let why = fleet.state.why(id, robot).unwrap();
        assert!(matches!(why[1].waits_for, Some(WaitReason::Order { .. })));
        fleet.pass(MINUTE);
        let (_, name, operation) = fleet.requests()[0].clone();
        assert_eq!(name, "b");
        fleet
            .fail(robot, "b", operation, EventCode::NetworkError)
            .unwrap();
        let next = fleet.requests();
        let main = fleet.target(id, robot, 1).state;
        let reason = CancelReason::EarlierEcuFailed;
        match on_failure {
            OnFailure::Continue => assert_eq!(next[0].1, "main"),
            OnFailure::Stop => assert_eq!(main, TargetState::Cancelled { reason }),
        }
    }
}

#[test]
fn a_failure_counts_against_thresholds_when_no_retry_is_left() {
    let (mut fleet, robot, id, operation) = told(&[retry(FailureClass::Network, 1)]);
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    let tally = |fleet: &Fleet| {
        let tally = &fleet.state.rollout(id).unwrap().tally;
        (tally.told, tally.tried, tally.failed)
    };
    assert_eq!(tally(&fleet), (1, 0, 0));
    fleet.pass(MINUTE);
    let operation = fleet.requests()[0].2;
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    assert_eq!(tally(&fleet), (1, 1, 1));
}

#[test]
fn a_retry_outlives_a_restart_of_the_server() {
    let (mut fleet, robot, id, operation) = told(&[retry(FailureClass::Network, 1)]);
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    fleet.restart(10 * SECOND);
    fleet.online_with(robot, 2, "1");
    assert_eq!(fleet.requests(), [], "its time has not come");
    fleet.pass(50 * SECOND - 1);
    assert_eq!(fleet.requests(), []);
    fleet.pass(1);
    let again = fleet.requests()[0].2;
    assert_ne!(again, operation);
    // The first operation is remembered as one of its own.
    let late = fleet.event(robot, "main", operation, EventStatus::Deploying);
    assert_eq!(late, Ok(Reply::Late));
    fleet
        .fail(robot, "main", again, EventCode::NetworkError)
        .unwrap();
    let end = failed(FailureReason::NetworkError);
    assert_eq!(fleet.target_state(id, robot), end, "it was used up before");
}

#[test]
fn an_operation_that_was_given_up_is_cancelled_before_the_next_attempt_is_sent() {
    for restart in [false, true] {
        let (mut fleet, robot, id, first) = told(&[retry(FailureClass::Timeout, 1)]);
        fleet.disconnect(robot);
        fleet.pass(4 * Mechanism::default().request_timeout + HOUR);
        let target = fleet.target(id, robot, 0);
        assert_eq!((target.state, target.owes_cancel), (PENDING, true));
        if restart {
            fleet.restart(HOUR);
        }
        fleet.sent();
        fleet.online_with(robot, 1 + u64::from(restart), "1");
        let sent = fleet.sent();
        let second = sent.last().unwrap().2;
        assert_ne!(first, second);
        let expected = [
            (robot, RequestKind::Cancel, first),
            (robot, RequestKind::Update, second),
        ];
        assert_eq!(sent, expected);
        assert!(!fleet.target(id, robot, 0).owes_cancel);
    }
}

#[test]
fn a_silent_robot_that_is_there_gets_its_cancel_at_once_and_what_it_did_all_the_same_counts() {
    let (mut fleet, robot, id, first) = told(&[retry(FailureClass::Timeout, 1)]);
    let timeout = Mechanism::default().request_timeout;
    fleet.pass(4 * timeout);
    let cancelled = (robot, RequestKind::Cancel, first);
    assert_eq!(fleet.sent().last(), Some(&cancelled));
    assert_eq!(fleet.target_state(id, robot), PENDING);
    // What the first brought after all needs no second.
    let brought = ReportedImage {
        operation: Some(first),
        ..reported("2")
    };
    fleet.base_image(robot, "main", brought).unwrap();
    fleet.pass(MINUTE);
    assert_eq!(fleet.sent(), []);
    let how = SuccessKind::AlreadyCurrent;
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Succeeded { how }
    );
}

#[test]
fn a_rollout_that_ends_tries_nothing_again() {
    let (mut fleet, robot, id, operation) = told(&[retry(FailureClass::Network, 1)]);
    fleet
        .event(robot, "main", operation, EventStatus::Deploying)
        .unwrap();
    fleet.cancel(id).unwrap();
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    let end = failed(FailureReason::NetworkError);
    assert_eq!(fleet.target_state(id, robot), end);
    assert_eq!(fleet.outcome(id), Some(Completion::Cancelled));
}

#[test]
fn an_operators_cancel_of_the_robot_is_the_end_of_its_retries() {
    let (mut fleet, robot, id, operation) = told(&[retry(FailureClass::Network, 1)]);
    fleet
        .command(Command::CancelOperation {
            robot: RobotId::new("r1").unwrap(),
            all: false,
        })
        .unwrap();
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    let end = failed(FailureReason::NetworkError);
    assert_eq!(fleet.target_state(id, robot), end);
}

#[test]
fn x20_what_a_newer_rollout_waits_for_is_not_tried_again() {
    let (mut fleet, robot, older, operation) = told(&[retry(FailureClass::Network, 1)]);
    fleet.image("os@3", &["hw"]);
    let newer = fleet
        .create(fleet.spec(fleet.all(), &[("hw", "os@3")]))
        .unwrap();
    fleet.launch(newer).unwrap();
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    let end = failed(FailureReason::NetworkError);
    assert_eq!(fleet.target_state(older, robot), end);
    assert!(fleet.target_state(newer, robot).is_active());
}

#[test]
fn retries_out_of_range_are_refused() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    fleet.image("os@2", &["hw"]);
    let mut refused = |retries: &[Retry]| {
        let mut spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
        spec.mechanism.retries = retries.to_vec();
        fleet.create(spec).map_err(|refusal| refusal.code())
    };
    let network = |times| retry(FailureClass::Network, times);
    assert_eq!(refused(&[network(0)]), Err("out_of_range"));
    assert_eq!(refused(&[network(11)]), Err("out_of_range"));
    assert_eq!(refused(&[network(1), network(1)]), Err("retried_twice"));
    let backwards = Retry {
        max_backoff: MINUTE - 1,
        ..network(1)
    };
    assert_eq!(refused(&[backwards]), Err("out_of_range"));
    assert!(refused(&[network(10), retry(FailureClass::Timeout, 10)]).is_ok());
}

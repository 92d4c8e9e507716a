//! Outcomes are judged from what robots report, whatever they claim.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

#[test]
fn a_success_event_alone_is_not_success() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Success)
        .unwrap();
    assert_eq!(fleet.target_state(id, robot), TargetState::Verifying);
    fleet.pass(15 * MINUTE);
    let failed = TargetState::Failed {
        reason: FailureReason::NotConfirmed,
    };
    assert_eq!(
        fleet.target_state(id, robot),
        failed,
        "a liar is found out by what it reports"
    );
}

#[test]
fn a_lost_final_event_does_not_matter() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Acknowledged)
        .unwrap();
    fleet.disconnect(robot);
    fleet.connect(robot);
    fleet.manifest(robot, 2).unwrap();
    fleet
        .base_image(
            robot,
            "main",
            ReportedImage {
                operation: Some(operation),
                ..reported("2")
            },
        )
        .unwrap();
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
    assert_eq!(
        fleet.event(robot, "main", operation, EventStatus::Success),
        Ok(Reply::Late)
    );
}

#[test]
fn naming_the_operation_with_another_image_is_a_failure() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .base_image(
            robot,
            "main",
            ReportedImage {
                operation: Some(operation),
                ..reported("3")
            },
        )
        .unwrap();
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed {
            reason: FailureReason::OtherImageReported
        }
    );
}

#[test]
fn a_version_without_digest_or_operation_proves_nothing_of_a_native_robot() {
    let (mut fleet, robot, id, operation) = requested();
    fleet.base_image(robot, "main", reported("2")).unwrap();
    assert_eq!(fleet.target_state(id, robot), TargetState::Requested);
    let digest = ReportedImage {
        digest: Some([9; 32]),
        ..reported("2")
    };
    fleet.base_image(robot, "main", digest).unwrap();
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
    let _ = operation;
}

#[test]
fn a_rollback_needs_a_new_process_the_old_image_and_the_grace_period() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Deployed)
        .unwrap();
    fleet.disconnect(robot);
    fleet.online_with(robot, 1, "1");
    fleet.pass(2 * MINUTE);
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Applied,
        "a mere reconnect proves nothing"
    );
    fleet.disconnect(robot);
    fleet.online_with(robot, 2, "1");
    fleet.pass(59 * SECOND);
    assert_eq!(fleet.target_state(id, robot), TargetState::Applied);
    fleet.pass(SECOND);
    assert_eq!(fleet.target_state(id, robot), TargetState::RolledBack);
}

#[test]
fn a_robot_that_goes_on_after_a_restart_is_not_judged() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Downloading)
        .unwrap();
    fleet.disconnect(robot);
    fleet.online_with(robot, 2, "1");
    fleet
        .event(robot, "main", operation, EventStatus::Downloading)
        .unwrap();
    fleet.pass(10 * MINUTE);
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Downloading { progress: 0 }
    );
    fleet.install(robot, "main", operation);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
}

#[test]
fn a_robot_that_forgot_its_operation_is_interrupted() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Downloading)
        .unwrap();
    fleet.disconnect(robot);
    fleet.online_with(robot, 2, "1");
    fleet.pass(MINUTE);
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed {
            reason: FailureReason::Interrupted
        }
    );
}

#[test]
fn an_unanswered_request_is_sent_again_with_the_same_uuid_and_fails_at_last() {
    let (mut fleet, robot, id, operation) = requested();
    for _ in 0..3 {
        fleet.pass(5 * MINUTE);
        let again = fleet.requests();
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].2, operation);
    }
    fleet.pass(5 * MINUTE);
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed {
            reason: FailureReason::RequestTimeout
        }
    );
    let cancelled = fleet.effects.iter().any(|effect| {
        matches!(effect, Effect::Request(r) if r.kind == RequestKind::Cancel && r.operation == operation)
    });
    assert!(
        cancelled,
        "the robot shall not begin what the server has given up"
    );
}

#[test]
fn an_answered_request_is_never_sent_again() {
    let (mut fleet, robot, _, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Error)
        .unwrap();
    fleet.pass(20 * MINUTE);
    fleet.disconnect(robot);
    fleet.online(robot);
    assert_eq!(fleet.requests(), []);
}

#[test]
fn a_robot_that_returns_without_having_answered_gets_its_request_again() {
    let (mut fleet, robot, _, operation) = requested();
    fleet.disconnect(robot);
    fleet.connect(robot);
    assert_eq!(fleet.requests(), [], "not before it has said what it runs");
    fleet.manifest(robot, 1).unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    assert_eq!(fleet.requests()[0].2, operation);
}

#[test]
fn acknowledged_but_never_finished_ends_with_the_in_progress_timeout() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Acknowledged)
        .unwrap();
    fleet.pass(59 * MINUTE);
    fleet
        .event(robot, "main", operation, EventStatus::Downloading)
        .unwrap();
    fleet.pass(MINUTE);
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed {
            reason: FailureReason::InProgressTimeout
        }
    );
}

#[test]
fn a_downtime_of_the_server_extends_running_deadlines() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Acknowledged)
        .unwrap();
    fleet.pass(30 * MINUTE);
    fleet.base_image(robot, "main", reported("1")).unwrap();
    let down_since = Timestamp(fleet.now);
    fleet.now += 3 * 60 * MINUTE;
    fleet
        .apply(Input::Started {
            down_since,
            base: None,
        })
        .unwrap();
    assert!(
        !fleet.state.robot(robot).unwrap().online(),
        "at start everybody is offline"
    );
    fleet.pass(29 * MINUTE);
    assert_eq!(fleet.target_state(id, robot), TargetState::Acknowledged);
    fleet.pass(MINUTE);
    assert!(fleet.target_state(id, robot).is_final());
}

#[test]
fn events_count_once_whatever_their_order() {
    let (mut fleet, robot, id, operation) = requested();
    let first = fleet.event_of(robot, "main", operation, EventStatus::Downloading);
    let second = fleet.event_of(robot, "main", operation, EventStatus::Deployed);
    assert_eq!(
        fleet.report(robot, Report::Event(second.clone())),
        Ok(Reply::Done)
    );
    assert_eq!(
        fleet.report(robot, Report::Event(first)),
        Ok(Reply::Late),
        "targets only move forward"
    );
    assert_eq!(
        fleet.report(robot, Report::Event(second)),
        Ok(Reply::Duplicate)
    );
    assert_eq!(fleet.target_state(id, robot), TargetState::Applied);
}

#[test]
fn events_that_cannot_be_true_are_refused_and_change_nothing() {
    let (mut fleet, robot, id, operation) = requested();
    let before = format!("{:?}", fleet.state);
    let unknown = uuid::Uuid::from_u128(1);
    let refused = fleet
        .event(robot, "main", unknown, EventStatus::Success)
        .unwrap_err();
    assert_eq!(refused.code(), "unknown_operation");
    let refused = fleet
        .event(robot, "ghost", operation, EventStatus::Success)
        .unwrap_err();
    assert_eq!(refused.code(), "unknown_ecu");
    let mut event = fleet.event_of(robot, "main", operation, EventStatus::Downloading);
    event.progress = 101;
    assert_eq!(
        fleet.report(robot, Report::Event(event.clone())),
        Err(Refusal::ProgressOutOfRange { found: 101 })
    );
    event.progress = 1;
    event.stamp = Some(Stamp {
        boot: 0,
        counter: 9,
    });
    assert_eq!(
        fleet
            .report(robot, Report::Event(event.clone()))
            .unwrap_err()
            .code(),
        "older_boot"
    );
    event.stamp = Some(Stamp {
        boot: 2,
        counter: 1,
    });
    assert_eq!(
        fleet
            .report(robot, Report::Event(event.clone()))
            .unwrap_err()
            .code(),
        "boot_without_manifest"
    );
    event.stamp = Some(Stamp {
        boot: 1,
        counter: 0,
    });
    assert_eq!(
        fleet
            .report(robot, Report::Event(event))
            .unwrap_err()
            .code(),
        "old_counter"
    );
    assert_eq!(format!("{:?}", fleet.state), before);
    assert_eq!(fleet.target_state(id, robot), TargetState::Requested);
}

#[test]
fn an_event_of_a_finished_operation_is_recorded_and_changes_nothing() {
    let (mut fleet, robot, id, operation) = requested();
    fleet.install(robot, "main", operation);
    let done = fleet.target(id, robot, 0).clone();
    assert_eq!(
        fleet.event(robot, "main", operation, EventStatus::Failure),
        Ok(Reply::Late)
    );
    assert_eq!(*fleet.target(id, robot, 0), done);
}

#[test]
fn an_ecu_that_never_reported_is_refused_at_dispatch() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.rollout(1);
    fleet.connect(robot);
    fleet.manifest(robot, 1).unwrap();
    fleet.pass(9 * SECOND);
    assert_eq!(fleet.target_state(id, robot), TargetState::Pending);
    fleet.pass(SECOND);
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed {
            reason: FailureReason::MissingVersion
        }
    );
    assert_eq!(fleet.requests(), []);
}

#[test]
fn an_ecu_that_is_not_what_registration_says_is_held() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.rollout(1);
    fleet.connect(robot);
    let other = vec![ecu("main", "other-board", true)];
    fleet
        .report(
            robot,
            Report::Manifest {
                boot: 1,
                wants_ack: false,
                ecus: other,
            },
        )
        .unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    assert_eq!(fleet.requests(), [], "an image never reaches another board");
    assert!(matches!(
        fleet.state.why(id, robot).unwrap()[0].waits_for,
        Some(WaitReason::Hold(_))
    ));
    fleet.disconnect(robot);
    fleet.online_with(robot, 2, "1");
    assert_eq!(
        fleet.requests().len(),
        1,
        "the hold ends when the robot is right again"
    );
}

#[test]
fn a_held_ecu_waits_while_the_others_of_its_robot_are_updated() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
    let id = fleet.rollout(1);
    fleet.connect(robot);
    let ecus = vec![ecu("main", "hw", true), ecu("arm", "other-board", false)];
    fleet
        .report(
            robot,
            Report::Manifest {
                boot: 1,
                wants_ack: false,
                ecus,
            },
        )
        .unwrap();
    for name in ["arm", "main"] {
        fleet.base_image(robot, name, reported("1")).unwrap();
    }
    let told = fleet.requests();
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].1, "main",
        "the arm is not the board that the image is for"
    );
    fleet.install(robot, "main", told[0].2);
    assert_eq!(fleet.requests(), []);
    let why = fleet.state.why(id, robot).unwrap();
    assert!(
        matches!(why[0].waits_for, Some(WaitReason::Hold(_))),
        "{why:?}"
    );
}

#[test]
fn an_older_boot_is_refused() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online_with(robot, 5, "1");
    fleet.connect(robot);
    assert_eq!(
        fleet.manifest(robot, 4),
        Err(Refusal::OlderBoot {
            found: 4,
            current: 5
        })
    );
}

#[test]
fn a_connection_that_was_taken_over_does_not_end_its_successor() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let old = fleet.connect(robot);
    fleet.connect(robot);
    let event = LinkEvent::Disconnected { connection: old };
    assert_eq!(fleet.apply(Input::Link { robot, event }), Ok(Reply::Stale));
    assert!(fleet.state.robot(robot).unwrap().online());
}

#[test]
fn acknowledgements_are_sent_to_those_that_want_them_and_are_cumulative() {
    let (mut fleet, robot, _, operation) = requested();
    let ecus = vec![ecu("main", "hw", true)];
    fleet
        .report(
            robot,
            Report::Manifest {
                boot: 1,
                wants_ack: true,
                ecus,
            },
        )
        .unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    fleet.effects.clear();
    let first = fleet.event_of(robot, "main", operation, EventStatus::Acknowledged);
    let second = fleet.event_of(robot, "main", operation, EventStatus::Downloading);
    fleet.report(robot, Report::Event(second)).unwrap();
    fleet.report(robot, Report::Event(first)).unwrap();
    let acked: Vec<_> = fleet
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Acknowledge { boot, counter, .. } => Some((*boot, *counter)),
            _ => None,
        })
        .collect();
    assert_eq!(acked, [(1, 2)], "nothing while the first is missing");
}

#[test]
fn an_edgehog_device_is_judged_after_its_property_window_only() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.rollout(1);
    let property = |version: &str| base_image_property(BaseImageProperty::Version, version);
    fleet.connect(robot);
    fleet.report(robot, introspection()).unwrap();
    fleet.report(robot, no_properties()).unwrap();
    fleet.report(robot, property("1")).unwrap();
    assert_eq!(fleet.requests(), [], "its properties may not be complete");
    fleet.pass(10 * SECOND);
    let operation = fleet.requests()[0].2;
    let event = |status| {
        Report::Event(Event {
            ecu: EcuName::new("main").unwrap(),
            stamp: None,
            operation,
            status,
            progress: 0,
            code: None,
            message: String::new(),
        })
    };
    fleet.report(robot, event(EventStatus::Rebooting)).unwrap();
    fleet.disconnect(robot);
    fleet.connect(robot);
    fleet.report(robot, introspection()).unwrap();
    fleet.report(robot, no_properties()).unwrap();
    assert_eq!(fleet.target_state(id, robot), TargetState::Verifying);
    fleet.report(robot, property("2")).unwrap();
    assert_eq!(fleet.target_state(id, robot), TargetState::Verifying);
    fleet.pass(10 * SECOND);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
}

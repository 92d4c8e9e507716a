//! What a verdict rests on: a whole report, of a new process, with the old version (design 5.1).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::device::*;
use fleet::{Fleet, introspection, no_properties, part_number, reported};
use rollcall_engine::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

const WRITING: [EventStatus; 3] = [
    EventStatus::Acknowledged,
    EventStatus::Deploying,
    EventStatus::Rebooting,
];

const NOT_CONFIRMED: TargetState = TargetState::Failed {
    reason: FailureReason::NotConfirmed,
};

/// Design 5.1: what differs later holds the ECU until an operator accepts the change.
#[test]
fn a_part_number_that_is_none_holds_the_ecu_through_an_introspection() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r1", &[]);
    start(&mut fleet, robot, vec![version("1"), part_number("hw")]);
    fleet.report(robot, part_number("no/hardware/id")).unwrap();
    // An interface is added while the runtime runs.
    fleet.report(robot, introspection()).unwrap();
    fleet.pass(10 * SECOND);
    fleet.rollout(1);
    assert_eq!(fleet.requests(), [], "another product");
    fleet.report(robot, part_number("hw")).unwrap();
    fleet.pass(10 * SECOND);
    assert_eq!(fleet.requests().len(), 1, "the right one ends the hold");
}

/// Design 5.1: the outcome is the version reported *after* the property window.
mod windows {
    use super::*;

    #[test]
    fn a_deadline_within_a_window_waits_for_its_end() {
        let (mut fleet, robot, id, _) = asked_and(&WRITING);
        fleet.disconnect(robot);
        fleet.pass(15 * MINUTE - 2 * SECOND);
        start(&mut fleet, robot, vec![]);
        fleet.pass(3 * SECOND);
        fleet.report(robot, version("2")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn a_suspicion_within_a_window_waits_for_its_end() {
        let (mut fleet, robot, id, _) = asked_and(&WRITING);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(10 * SECOND + MINUTE - 2 * SECOND);
        // The same process: it says that its version is another one now.
        come_back(&mut fleet, robot);
        fleet.pass(3 * SECOND);
        fleet.report(robot, version("2")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn a_new_process_is_judged_anew() {
        let (mut fleet, robot, id, _) = asked_and(&WRITING);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(10 * SECOND + MINUTE - SECOND);
        start(&mut fleet, robot, vec![version("1")]);
        // Its own grace begins when its window ends.
        fleet.pass(10 * SECOND + MINUTE - SECOND);
        assert_eq!(fleet.target_state(id, robot), TargetState::Verifying);
        fleet.pass(SECOND);
        assert_eq!(fleet.target_state(id, robot), TargetState::RolledBack);
    }

    #[test]
    fn a_window_ends_however_often_a_property_is_said_again() {
        let (mut fleet, robot, _, operation) = asked();
        start(&mut fleet, robot, vec![]);
        for _ in 0..12 {
            fleet.report(robot, version("1")).unwrap();
            fleet.pass(5 * SECOND);
        }
        assert_eq!(fleet.requests().last().unwrap().2, operation, "told again");
    }

    #[test]
    fn a_deadline_does_not_wait_for_a_robot_that_returns_again_and_again() {
        let (mut fleet, robot, id, _) = asked_and(&WRITING);
        for _ in 0..(16 * 60 / 5) {
            come_back(&mut fleet, robot);
            fleet.pass(5 * SECOND);
        }
        assert_eq!(fleet.target_state(id, robot), NOT_CONFIRMED);
    }

    #[test]
    fn a_request_is_repeated_although_a_window_is_open() {
        let (mut fleet, robot, id, _) = asked();
        fleet.disconnect(robot);
        fleet.pass(5 * MINUTE - SECOND);
        come_back(&mut fleet, robot);
        fleet.pass(2 * SECOND);
        assert_eq!(fleet.target(id, robot, 0).resends, 1);
    }
}

/// Design 5.1: a mere reconnect proves nothing.
mod processes {
    use super::*;

    #[test]
    fn a_request_that_a_later_process_took_is_not_interrupted_by_its_reconnect() {
        let (mut fleet, robot, id, operation) = asked();
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.requests().last().unwrap().2, operation, "told again");
        says(&mut fleet, robot, operation, EventStatus::Downloading);
        come_back(&mut fleet, robot);
        fleet.pass(5 * MINUTE);
        assert!(fleet.target_state(id, robot).is_active());
        assert_eq!(fleet.target(id, robot, 0).boot, 2);
    }

    #[test]
    fn a_native_robot_that_goes_on_after_its_reboot_may_reconnect() {
        let (mut fleet, robot, id, operation) = fleet::requested();
        for status in [EventStatus::Acknowledged, EventStatus::Deploying] {
            fleet.event(robot, "main", operation, status).unwrap();
        }
        fleet.online_with(robot, 2, "1");
        let goes_on = EventStatus::Deploying;
        fleet.event(robot, "main", operation, goes_on).unwrap();
        fleet.connect(robot);
        let declared = fleet::ecu("main", "hw", true);
        let manifest = Report::Manifest {
            boot: 2,
            wants_ack: false,
            ecus: vec![declared],
        };
        fleet.report(robot, manifest).unwrap();
        fleet.base_image(robot, "main", reported("1")).unwrap();
        fleet.pass(5 * MINUTE);
        assert!(fleet.target_state(id, robot).is_active());
        // The next process is one.
        fleet.online_with(robot, 3, "1");
        fleet.pass(MINUTE);
        assert_eq!(fleet.target_state(id, robot), TargetState::RolledBack);
    }

    #[test]
    fn what_a_device_was_in_the_other_protocol_holds_nothing() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        fleet.connect(robot);
        // A runtime without OTA, then a native client on the same board.
        let without = Report::Introspection(Interfaces::default());
        fleet.report(robot, without).unwrap();
        fleet.report(robot, no_properties()).unwrap();
        fleet.rollout(1);
        fleet.online(robot);
        assert_eq!(fleet.requests().len(), 1);
    }
}

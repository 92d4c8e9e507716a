//! What a verdict rests on: a whole report, of a new process, with the old version (design 5.1).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::device::*;
use fleet::{Fleet, base_image_property, introspection, no_properties, part_number, reported};
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
        start_with_another(&mut fleet, robot, vec![version("1")]);
        fleet.pass(MINUTE - 2 * SECOND);
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
        start_with_another(&mut fleet, robot, vec![version("1")]);
        fleet.pass(MINUTE - SECOND);
        start_with_another(&mut fleet, robot, vec![version("1")]);
        // Its own grace begins when its window ends.
        fleet.pass(MINUTE - SECOND);
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

    #[test]
    fn what_is_given_up_at_the_end_of_a_window_is_not_repeated_there() {
        let (mut fleet, robot, id, _) = asked();
        fleet.disconnect(robot);
        // The first time and three repetitions, all unheard.
        fleet.pass(20 * MINUTE - SECOND);
        fleet.effects.clear();
        come_back(&mut fleet, robot);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.requests(), [], "no Update");
        let reason = FailureReason::RequestTimeout;
        assert_eq!(
            fleet.target_state(id, robot),
            TargetState::Failed { reason }
        );
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

/// Design 5.1: rolled back needs a new process *and* the old version.
mod old_images {
    use super::*;

    const OTHER_IMAGE: TargetState = TargetState::Failed {
        reason: FailureReason::OtherImageReported,
    };

    fn build(id: &str) -> Report {
        base_image_property(BaseImageProperty::BuildId, id)
    }

    fn name(name: &str) -> Report {
        base_image_property(BaseImageProperty::Name, name)
    }

    /// A device that said `before` is written with the image `image`, restarts, and then says `after`.
    fn restarted(
        before: Vec<Report>,
        image: &str,
        after: Vec<Report>,
    ) -> (Fleet, RobotKey, RolloutId) {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        start(&mut fleet, robot, before);
        fleet.pass(10 * SECOND);
        fleet.image(image, &["hw"]);
        let spec = fleet.spec(fleet.all(), &[("hw", image)]);
        let id = fleet.create(spec).unwrap();
        fleet.launch(id).unwrap();
        let operation = fleet.requests()[0].2;
        for status in WRITING {
            says(&mut fleet, robot, operation, status);
        }
        fleet.disconnect(robot);
        start(&mut fleet, robot, after.clone());
        fleet.pass(10 * SECOND);
        if !fleet.state.robot(robot).unwrap().online() {
            // It was asked to say it once more.
            come_back(&mut fleet, robot);
            for property in after {
                fleet.report(robot, property).unwrap();
            }
            fleet.pass(10 * SECOND);
        }
        fleet.pass(MINUTE);
        (fleet, robot, id)
    }

    #[test]
    fn an_empty_version_proves_nothing() {
        let (mut fleet, robot, id) = restarted(vec![version("1")], "os@2", vec![version("")]);
        assert!(fleet.target_state(id, robot).is_active());
        fleet.pass(15 * MINUTE);
        assert_eq!(fleet.target_state(id, robot), NOT_CONFIRMED);
    }

    #[test]
    fn a_third_version_is_another_image_and_both_are_named() {
        let (fleet, robot, id) = restarted(vec![version("1")], "os@2", vec![version("3")]);
        assert_eq!(fleet.target_state(id, robot), OTHER_IMAGE);
        let detail = fleet.target(id, robot, 0).detail.clone().unwrap();
        assert_eq!(&*detail, "runs version 3; wanted was os@2");
        assert!(fleet.target(id, robot, 0).ran.is_none(), "of no use now");
    }

    #[test]
    fn a_build_id_that_comes_late_is_waited_for() {
        let before = vec![version("1"), build("b6")];
        let (mut fleet, robot, id) = restarted(before, "os@2+b7", vec![version("2")]);
        assert!(fleet.target_state(id, robot).is_active());
        fleet.pass(2 * MINUTE);
        fleet.report(robot, build("b7")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn a_build_id_that_never_comes_or_is_another_one_ends_with_the_confirm_deadline() {
        let before = || vec![version("1"), build("b6")];
        let (mut fleet, robot, id) = restarted(before(), "os@2+b7", vec![version("2")]);
        fleet.pass(15 * MINUTE);
        assert_eq!(fleet.target_state(id, robot), NOT_CONFIRMED);
        let after = vec![version("2"), build("b6")];
        let (mut fleet, robot, id) = restarted(before(), "os@2+b7", after);
        assert!(fleet.target_state(id, robot).is_active());
        fleet.pass(15 * MINUTE);
        assert_eq!(fleet.target_state(id, robot), OTHER_IMAGE);
        let detail = fleet.target(id, robot, 0).detail.clone().unwrap();
        let both = "runs version 2, build b6; wanted was os@2+b7, build b7";
        assert_eq!(&*detail, both);
    }

    #[test]
    fn where_only_the_build_differs_the_build_decides() {
        let before = || vec![version("2"), build("b6")];
        let (fleet, robot, id) = restarted(before(), "os@2+b7", before());
        assert_eq!(fleet.target_state(id, robot), TargetState::RolledBack);
        // Without its build id a version that both have says nothing.
        let (fleet, robot, id) = restarted(before(), "os@2+b7", vec![version("2")]);
        assert!(fleet.target_state(id, robot).is_active());
    }

    #[test]
    fn a_suspicion_ends_when_the_device_no_longer_says_what_made_it_suspect() {
        let before = || vec![version("1"), build("b6")];
        let (mut fleet, robot, id) = restarted(before(), "os@2+b7", vec![]);
        start_with_another(&mut fleet, robot, before());
        fleet.pass(30 * SECOND);
        let why = &fleet.state.why(id, robot).unwrap()[0];
        assert_eq!(why.until, fleet.target(id, robot, 0).suspect_until);
        assert!(why.then.starts_with("it restarted and runs the old image"));
        fleet.report(robot, version("2")).unwrap();
        fleet.pass(2 * MINUTE);
        assert!(fleet.target_state(id, robot).is_active());
        let why = &fleet.state.why(id, robot).unwrap()[0];
        assert_eq!(why.then, "fails as not confirmed");
        fleet.report(robot, build("b7")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn an_older_database_does_not_know_what_ran_and_any_other_image_is_the_old_one() {
        let before = vec![version("1")];
        let (fleet, robot, id) = restarted(before, "os@2", vec![]);
        let mut member = fleet.state.rollout(id).unwrap().members[&robot].clone();
        assert_eq!(&*member.targets[0].ran.as_ref().unwrap().version, "1");
        member.targets[0].ran = None;
        let mut rollout = fleet.state.rollout(id).unwrap().clone();
        rollout.members.insert(robot, member);
        let mut older = Fleet::default();
        older.state = State::rebuild(
            fleet.state.now(),
            fleet.state.counters(),
            [fleet.state.robot(robot).unwrap().clone()],
            [],
            fleet.state.images().cloned(),
            [rollout],
        );
        older.now = fleet.now;
        start_with_another(&mut older, robot, vec![version("3")]);
        older.pass(MINUTE);
        assert_eq!(older.target_state(id, robot), TargetState::RolledBack);
    }

    /// Design 5.1: version, and build id when the image has one.
    #[test]
    fn the_name_of_what_an_edgehog_device_runs_does_not_matter() {
        let before = vec![name("yocto-image"), version("1")];
        let after = vec![name("yocto-image"), version("2")];
        let (fleet, robot, id) = restarted(before, "os@2", after);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
        assert!(fleet.target_state(id, robot).is_final());
    }

    #[test]
    fn the_name_of_what_a_native_robot_runs_matters() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        fleet.connect(robot);
        fleet.manifest(robot, 1).unwrap();
        let other = ReportedImage {
            name: "app".into(),
            ..reported("2")
        };
        fleet.base_image(robot, "main", other).unwrap();
        fleet.rollout(1);
        assert_eq!(fleet.requests().len(), 1, "app@2 is not os@2");
    }
}

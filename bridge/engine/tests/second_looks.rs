//! What a second look at the rules found: each of these was once wrong.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

#[test]
fn a_request_is_not_repeated_to_an_ecu_whose_board_has_changed() {
    let (mut fleet, robot, id, _) = requested();
    fleet.disconnect(robot);
    fleet.connect(robot);
    let ecus = vec![ecu("main", "other-board", true)];
    let manifest = Report::Manifest {
        boot: 1,
        wants_ack: false,
        ecus,
    };
    fleet.report(robot, manifest).unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    fleet.pass(20 * MINUTE);
    assert_eq!(fleet.requests(), []);
    let timeout = TargetState::Failed {
        reason: FailureReason::RequestTimeout,
    };
    assert_eq!(fleet.target_state(id, robot), timeout);
}

#[test]
fn an_ecu_that_has_not_spoken_since_the_restart_is_not_judged_by_what_it_said_before() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("slow", "other", false)]);
    fleet.online(robot);
    let id = fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    fleet
        .event(robot, "main", operation, EventStatus::Deployed)
        .unwrap();
    fleet.disconnect(robot);
    fleet.connect(robot);
    fleet.manifest(robot, 2).unwrap();
    fleet.base_image(robot, "slow", reported("1")).unwrap();
    fleet.pass(2 * MINUTE);
    assert_eq!(fleet.target_state(id, robot), TargetState::Applied);
    let image = ReportedImage {
        operation: Some(operation),
        ..reported("2")
    };
    fleet.base_image(robot, "main", image).unwrap();
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
}

#[test]
fn a_robot_that_restarts_again_and_again_does_not_keep_its_slot_for_ever() {
    let (mut fleet, robot, id, operation) = requested();
    fleet
        .event(robot, "main", operation, EventStatus::Acknowledged)
        .unwrap();
    for boot in 2..=8 {
        fleet.disconnect(robot);
        fleet.online_with(robot, boot, "1");
        fleet
            .event(robot, "main", operation, EventStatus::Downloading)
            .ok();
        fleet.pass(10 * MINUTE);
    }
    let timeout = TargetState::Failed {
        reason: FailureReason::InProgressTimeout,
    };
    assert_eq!(
        fleet.target_state(id, robot),
        timeout,
        "an hour from its first word"
    );
}

#[test]
fn the_next_ecu_is_asked_once_when_the_last_report_ends_an_operation() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
    fleet.online(robot);
    fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    fleet
        .event(robot, "arm", operation, EventStatus::Deployed)
        .unwrap();
    fleet.disconnect(robot);
    fleet.connect(robot);
    fleet.manifest(robot, 1).unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    let image = ReportedImage {
        operation: Some(operation),
        ..reported("2")
    };
    fleet.base_image(robot, "arm", image).unwrap();
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn each_subscription_can_be_the_one_that_a_request_needs() {
    let (mut fleet, robot, _, operation) = requested();
    let connection = fleet.state.robot(robot).unwrap().link.connection.unwrap();
    fleet
        .apply(Input::Link {
            robot,
            event: LinkEvent::Subscribed { connection },
        })
        .unwrap();
    assert_eq!(fleet.requests()[0].2, operation);
}

/// An Edgehog device that has connected and said that it is a new process with `version`.
fn edgehog(fleet: &mut Fleet, robot: RobotKey, version: &str) {
    fleet.connect(robot);
    fleet.report(robot, introspection()).unwrap();
    let properties = no_properties();
    fleet.report(robot, properties).unwrap();
    let property = BaseImageProperty::Version;
    let value = version.to_owned();
    fleet
        .report(robot, base_image_property(property, &value))
        .unwrap();
}

#[test]
fn telemetry_does_not_keep_a_device_from_being_told() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.rollout(1);
    edgehog(&mut fleet, robot, "1");
    for _ in 0..20 {
        fleet.pass(5 * SECOND);
        fleet
            .report(robot, property("OSInfo/osName", "Linux"))
            .unwrap();
    }
    assert_eq!(
        fleet.requests().len(),
        1,
        "told once, and not asked again by each reading"
    );
    assert_eq!(
        fleet.report(robot, property("OSInfo/osName", "Linux")),
        Ok(Reply::Stale),
        "nothing to record"
    );
}

#[test]
fn a_device_that_comes_back_as_another_product_is_held() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let part = |model: &str| part_number(model);
    edgehog(&mut fleet, robot, "1");
    fleet.report(robot, part("a")).unwrap();
    fleet.pass(MINUTE);
    fleet.disconnect(robot);
    let id = fleet.rollout(1);
    edgehog(&mut fleet, robot, "1");
    fleet.report(robot, part("b")).unwrap();
    fleet.pass(MINUTE);
    assert_eq!(fleet.requests(), []);
    let why = fleet.state.why(id, robot).unwrap();
    assert!(
        matches!(why[0].waits_for, Some(WaitReason::Hold(_))),
        "{why:?}"
    );
    fleet.report(robot, part("a")).unwrap();
    assert_eq!(fleet.requests().len(), 1, "it is what is registered again");
}

#[test]
fn an_edgehog_device_that_is_registered_with_several_ecus_is_held() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
    let id = fleet.rollout(1);
    edgehog(&mut fleet, robot, "1");
    fleet.pass(MINUTE);
    assert_eq!(fleet.requests(), []);
    let why = fleet.state.why(id, robot).unwrap();
    assert!(
        why.iter()
            .all(|why| matches!(why.waits_for, Some(WaitReason::Hold(_)))),
        "{why:?}"
    );
}

#[test]
fn a_robot_without_a_model_is_skipped_by_an_image_that_is_for_one() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    let spec = ImageSpec {
        reference: "os@2".parse().unwrap(),
        hardware_ids: vec![hw("hw")],
        model: Some(Model::new("a").unwrap()),
        build_id: None,
        from_version: None,
        url: "http://127.0.0.1/a".into(),
        hosted: false,
        size: 1,
        sha256: [9; 32],
    };
    fleet.command(Command::AddImage(spec)).unwrap();
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    assert_eq!(
        fleet.create(spec.clone()),
        Err(Refusal::AffectsNobody { skipped: 1 }),
        "the robot has no model"
    );
    let (plan, _) = fleet.state.preview(&spec).unwrap();
    assert_eq!(plan.robots[0].skipped, Some(SkipReason::OtherModel));
}

#[test]
fn the_highest_boot_number_is_no_trap() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.connect(robot);
    fleet.manifest(robot, u64::MAX).unwrap();
    let properties = no_properties();
    fleet.report(robot, properties).unwrap();
    assert_eq!(fleet.state.robot(robot).unwrap().cursor.boot, u64::MAX);
}

#[test]
fn a_completed_rollout_costs_its_robots_nothing_any_more() {
    let (mut fleet, robot, id, operation) = requested();
    assert_eq!(fleet.state.robot(robot).unwrap().open, [id]);
    fleet.install(robot, "main", operation);
    let robot = fleet.state.robot(robot).unwrap();
    assert_eq!(
        (robot.open.as_slice(), robot.memberships.as_slice()),
        (&[][..], &[id][..])
    );
}

//! Manual updates of one robot (requirements E19 to E21, X8, X12, X20).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::device::{says, start, start_with_another, version};
use fleet::{Fleet, ecu, hw, part_number, reported};
use rollcall_engine::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

fn wish(robot: &str, image: &str) -> ManualUpdate {
    ManualUpdate {
        robot: RobotId::new(robot).unwrap(),
        ecu: None,
        image: image.parse().unwrap(),
        confirm: robot.into(),
        offline: None,
        deadline: None,
    }
}

fn update(fleet: &mut Fleet, wish: ManualUpdate) -> Result<RolloutId, Refusal> {
    match fleet.command(Command::ManualUpdate(wish))? {
        Reply::Rollout(id) => Ok(id),
        other => panic!("{other:?}"),
    }
}

fn model(name: &str) -> Model {
    Model::new(name).unwrap()
}

/// A robot of a model, and an image for another one.
fn another_model() -> (Fleet, RobotKey) {
    let mut fleet = Fleet::default();
    let robot = add(&mut fleet, "r1", "rover", &[ecu("main", "hw", true)]);
    image_for(&mut fleet, "os@2", "walker", &["hw"]);
    (fleet, robot)
}

fn add(fleet: &mut Fleet, id: &str, of_model: &str, ecus: &[EcuSpec]) -> RobotKey {
    let spec = RobotSpec {
        id: RobotId::new(id).unwrap(),
        name: None,
        model: Some(model(of_model)),
        labels: [].into(),
        tags: [].into(),
        ecus: ecus.to_vec(),
        secret: [0; 32],
    };
    match fleet.command(Command::AddRobot(spec)).unwrap() {
        Reply::Robot(key) => key,
        other => panic!("{other:?}"),
    }
}

fn image_for(fleet: &mut Fleet, reference: &str, of_model: &str, hardware: &[&str]) {
    let spec = ImageSpec {
        reference: reference.parse().unwrap(),
        hardware_ids: hardware.iter().map(|id| hw(id)).collect(),
        model: Some(model(of_model)),
        build_id: None,
        from_version: Some("> 100.0.0".parse().unwrap()),
        url: "http://127.0.0.1/a".into(),
        hosted: false,
        size: 1,
        sha256: [9; 32],
    };
    fleet.command(Command::AddImage(spec)).unwrap();
}

#[test]
fn e20_it_passes_the_model_and_the_rules_for_versions_and_starts_at_once() {
    let (mut fleet, robot) = another_model();
    fleet.online_with(robot, 1, "3.0.0");
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    assert_eq!(
        fleet.create(spec),
        Err(Refusal::AffectsNobody { skipped: 1 }),
        "E8: no rollout reaches another model"
    );
    let id = update(&mut fleet, wish("r1", "os@2")).unwrap();
    let rollout = fleet.state.rollout(id).unwrap();
    assert!(rollout.manual);
    assert_eq!(rollout.created_by, "op");
    let [(told, on, operation)] = <[_; 1]>::try_from(fleet.requests()).unwrap();
    assert_eq!((told, on.as_str()), (robot, "main"));
    fleet.install(robot, "main", operation);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
    let now = fleet.state.robot(robot).unwrap().model.clone();
    assert_eq!(now, Some(model("walker")), "E20: it changed the model");
}

#[test]
fn x8_nothing_passes_the_hardware_id_at_creation() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    fleet.image("os@2", &["other"]);
    let refused = update(&mut fleet, wish("r1", "os@2")).unwrap_err();
    assert_eq!(refused.code(), "incompatible_image");
    assert_eq!(fleet.state.rollouts().count(), 0);
}

/// A10: the board was changed between the wish and the moment of sending.
#[test]
fn x8_nothing_passes_the_hardware_id_at_dispatch() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.image("os@2", &["hw"]);
    fleet.connect(robot);
    let declared = Report::Manifest {
        boot: 1,
        wants_ack: false,
        ecus: vec![ecu("main", "hw2", true)],
    };
    fleet.report(robot, declared).unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    let id = update(&mut fleet, wish("r1", "os@2")).unwrap();
    assert_eq!(fleet.requests(), [], "held");
    let why = &fleet.state.why(id, robot).unwrap()[0];
    assert!(
        matches!(why.waits_for, Some(WaitReason::Hold(_))),
        "{why:?}"
    );
    let accept = Command::AcceptDeclared {
        robot: RobotId::new("r1").unwrap(),
    };
    fleet.command(accept).unwrap();
    assert_eq!(fleet.requests(), []);
    let reason = FailureReason::IncompatibleHardware;
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed { reason }
    );
}

#[test]
fn a_missing_version_is_passed_by_nobody() {
    let (mut fleet, robot) = another_model();
    fleet.online_with(robot, 1, "");
    let id = update(&mut fleet, wish("r1", "os@2")).unwrap();
    let reason = FailureReason::MissingVersion;
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed { reason }
    );
}

#[test]
fn e21_without_the_robots_id_typed_nothing_happens_and_the_answer_says_what_to_type() {
    let (mut fleet, robot) = another_model();
    fleet.online(robot);
    for typed in ["", "yes", "R1", "r1 ", "r2"] {
        let confirm = typed.to_owned();
        let refused = update(
            &mut fleet,
            ManualUpdate {
                confirm,
                ..wish("r1", "os@2")
            },
        );
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), "not_typed", "{typed:?}");
        assert!(refused.to_string().contains("type its id: r1"), "{refused}");
    }
    assert_eq!(fleet.state.rollouts().count(), 0);
    assert_eq!(fleet.requests(), []);
}

#[test]
fn what_cannot_be_updated_is_refused_with_the_way_out() {
    let mut fleet = Fleet::default();
    fleet.robot("two", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
    fleet.robot("new", &[]);
    fleet.robot("gone", &[ecu("main", "hw", true)]);
    fleet.image("os@2", &["hw"]);
    fleet.image("os@3", &["hw"]);
    let robot = RobotId::new("gone").unwrap();
    fleet.command(Command::RemoveRobot { robot }).unwrap();
    let image = "os@3".parse().unwrap();
    fleet.command(Command::RemoveImage { image }).unwrap();
    let mut refused = |wish| update(&mut fleet, wish).unwrap_err();
    assert_eq!(refused(wish("gone", "os@2")).code(), "unknown_robot");
    assert_eq!(refused(wish("never", "os@2")).code(), "unknown_robot");
    let several = refused(wish("two", "os@2"));
    assert_eq!(several.code(), "several_ecus");
    assert!(several.to_string().contains("arm, main"), "{several}");
    let named = |name| ManualUpdate {
        ecu: Some(EcuName::new(name).unwrap()),
        ..wish("two", "os@2")
    };
    assert_eq!(refused(named("leg")).code(), "no_such_ecu");
    assert_eq!(refused(wish("new", "os@2")).code(), "no_ecu_yet");
    assert_eq!(
        refused(ManualUpdate {
            image: "os@3".parse().unwrap(),
            ..named("arm")
        })
        .code(),
        "unknown_image"
    );
    let deadline = Some(0);
    assert_eq!(
        refused(ManualUpdate {
            deadline,
            ..named("arm")
        })
        .code(),
        "out_of_range"
    );
}

#[test]
fn only_the_ecu_that_was_named_is_updated_though_another_has_its_hardware_id() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r1", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
    fleet.image("os@2", &["hw"]);
    fleet.online(robot);
    let ecu = Some(EcuName::new("arm").unwrap());
    let id = update(
        &mut fleet,
        ManualUpdate {
            ecu,
            ..wish("r1", "os@2")
        },
    )
    .unwrap();
    let requests = fleet.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].1, "arm");
    fleet.install(robot, "arm", requests[0].2);
    assert_eq!(fleet.requests(), []);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
    assert_eq!(
        fleet.state.robot(robot).unwrap().model,
        None,
        "no product of the arm's"
    );
}

/// Nothing is interrupted; X20: what was not sent yet is superseded.
#[test]
fn it_waits_for_the_operation_under_way_and_supersedes_what_was_not_sent() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.image("os@3", &["hw"]);
    fleet.online(robot);
    let older = fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    let waiting = fleet.rollout(1);
    let id = update(&mut fleet, wish("r1", "os@3")).unwrap();
    assert_eq!(
        fleet.target_state(waiting, robot),
        TargetState::Superseded { by: id }
    );
    let why = &fleet.state.why(id, robot).unwrap()[0];
    assert_eq!(why.waits_for, Some(WaitReason::Busy { rollout: older }));
    assert_eq!(fleet.requests(), []);
    fleet.install(robot, "main", operation);
    let [(told, _, third)] = <[_; 1]>::try_from(fleet.requests()).unwrap();
    assert_eq!(
        (told, third),
        (
            robot,
            operation_id(id, robot, &EcuName::new("main").unwrap(), 1)
        )
    );
}

#[test]
fn x12_it_fails_offline_after_a_grace_unless_told_to_wait() {
    let mut fleet = Fleet::default();
    fleet.robots(2);
    fleet.image("os@2", &["hw"]);
    let fails = update(&mut fleet, wish("r1", "os@2")).unwrap();
    let offline = Some(OfflinePolicy::Wait);
    let waits = update(
        &mut fleet,
        ManualUpdate {
            offline,
            ..wish("r2", "os@2")
        },
    )
    .unwrap();
    let policy = |id| fleet.state.rollout(id).unwrap().mechanism.offline;
    let grace = MANUAL_OFFLINE_GRACE;
    assert_eq!(policy(fails), OfflinePolicy::Fail { grace });
    assert_eq!(policy(waits), OfflinePolicy::Wait);
}

mod edgehog {
    use super::*;

    /// Registered with a hardware id: the board stays what it is, and the product may become another.
    fn device() -> (Fleet, RobotKey, RolloutId, uuid::Uuid) {
        let (mut fleet, robot) = another_model();
        start(&mut fleet, robot, vec![version("1"), part_number("rover")]);
        fleet.pass(10 * SECOND);
        let id = update(&mut fleet, wish("r1", "os@2")).unwrap();
        let operation = fleet.requests()[0].2;
        (fleet, robot, id, operation)
    }

    fn hold(fleet: &Fleet, robot: RobotKey) -> Option<Hold> {
        fleet.state.robot(robot).unwrap().ecus[0].hold.clone()
    }

    #[test]
    fn e20_the_part_number_that_it_brought_holds_nothing() {
        let (mut fleet, robot, id, operation) = device();
        for status in [
            EventStatus::Acknowledged,
            EventStatus::Deploying,
            EventStatus::Rebooting,
        ] {
            says(&mut fleet, robot, operation, status);
        }
        start(&mut fleet, robot, vec![part_number("walker"), version("2")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
        assert_eq!(hold(&fleet, robot), None);
        let device = fleet.state.robot(robot).unwrap();
        assert_eq!(device.model, Some(model("walker")));
        assert_eq!(device.ecus[0].hardware_id, hw("hw"), "registration's");
        // Campaigns for its new model reach it, and any other product is a surprise still.
        start(&mut fleet, robot, vec![part_number("tank"), version("2")]);
        assert!(hold(&fleet, robot).is_some());
    }

    /// Its events were lost: that it was the update that did it is known only by the version.
    #[test]
    fn a_part_number_that_came_before_the_proof_is_taken_with_it() {
        let (mut fleet, robot, id, _) = device();
        start(&mut fleet, robot, vec![part_number("walker"), version("2")]);
        assert!(
            hold(&fleet, robot).is_some(),
            "nothing is known to be written"
        );
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
        assert_eq!(hold(&fleet, robot), None);
        let device = fleet.state.robot(robot).unwrap();
        assert_eq!(device.model, Some(model("walker")));
    }

    #[test]
    fn another_part_number_than_the_images_model_holds() {
        let (mut fleet, robot, _, operation) = device();
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        start(&mut fleet, robot, vec![part_number("tank"), version("2")]);
        fleet.pass(10 * SECOND);
        assert!(hold(&fleet, robot).is_some());
    }

    #[test]
    fn an_update_that_did_not_work_makes_nothing_another_product() {
        let (mut fleet, robot, id, operation) = device();
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        start_with_another(&mut fleet, robot, vec![version("1"), part_number("rover")]);
        fleet.pass(2 * MINUTE);
        assert_eq!(fleet.outcome(id), Some(Completion::Failure));
        start(&mut fleet, robot, vec![part_number("walker"), version("1")]);
        assert!(hold(&fleet, robot).is_some());
    }

    /// Without a registered board the part number is the hardware id: nobody but an operator changes that.
    #[test]
    fn a_device_known_by_its_part_number_alone_is_held_until_accepted() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        image_for(&mut fleet, "os@2", "walker", &["hw"]);
        start(&mut fleet, robot, vec![version("1"), part_number("hw")]);
        fleet.pass(10 * SECOND);
        let id = update(&mut fleet, wish("r1", "os@2")).unwrap();
        let operation = fleet.requests()[0].2;
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        start(&mut fleet, robot, vec![part_number("walker"), version("2")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
        assert!(hold(&fleet, robot).is_some());
        let accept = Command::AcceptDeclared {
            robot: RobotId::new("r1").unwrap(),
        };
        fleet.command(accept).unwrap();
        let device = fleet.state.robot(robot).unwrap();
        assert_eq!(device.ecus[0].hardware_id, hw("walker"));
    }
}

/// The command is what the history keeps.
#[test]
fn the_command_has_a_json_form_and_takes_no_field_that_it_does_not_know() {
    let json = serde_json::json!({
        "command": "manual_update", "robot": "r1", "image": "os@2", "confirm": "r1"
    });
    let command: Command = serde_json::from_value(json).unwrap();
    assert_eq!(command, Command::ManualUpdate(wish("r1", "os@2")));
    let json = serde_json::json!({
        "command": "manual_update", "robot": "r1", "image": "os@2", "confirm": "r1", "force": true
    });
    assert!(serde_json::from_value::<Command>(json).is_err());
}

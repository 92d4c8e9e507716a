//! Edgehog devices: registration by part number, and outcomes judged from facts (device-contract 0, 1, 3; design 5.1).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::{Fleet, ecu, hw};
use rollcall_engine::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

fn property(property: BaseImageProperty, value: &str) -> Report {
    Report::BaseImageProperty {
        property,
        value: value.to_owned(),
    }
}

fn version(value: &str) -> Report {
    property(BaseImageProperty::Version, value)
}

fn part_number(value: &str) -> Report {
    Report::PartNumber(value.to_owned())
}

/// Connects as a process that has just started: everything is sent anew, the list of properties is empty.
fn start(fleet: &mut Fleet, robot: RobotKey, properties: Vec<Report>) {
    fleet.connect(robot);
    fleet.report(robot, Report::Introspection).unwrap();
    let empty = Report::ProducerProperties {
        has_base_image: false,
        empty: true,
    };
    fleet.report(robot, empty).unwrap();
    for property in properties {
        fleet.report(robot, property).unwrap();
    }
}

fn accept(fleet: &mut Fleet, id: &str) -> Result<Reply, Refusal> {
    fleet.command(Command::AcceptDeclared {
        robot: RobotId::new(id).unwrap(),
    })
}

fn ecus(fleet: &Fleet, robot: RobotKey) -> &[Ecu] {
    &fleet.state.robot(robot).unwrap().ecus
}

/// Design 5.1: an Edgehog robot registered without a hardware id takes its first part number as that.
mod registration {
    use super::*;

    #[test]
    fn the_first_part_number_is_hardware_id_and_model() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        start(&mut fleet, robot, vec![version("1"), part_number("hw")]);
        let [main] = ecus(&fleet, robot) else {
            panic!("one ECU")
        };
        assert_eq!((main.name.as_str(), &main.hardware_id), ("main", &hw("hw")));
        let early = main.reported.as_ref().map(|r| r.version.as_str());
        assert_eq!(early, Some("1"), "what came before is not lost");
        let model = fleet.state.robot(robot).unwrap().model.clone();
        assert_eq!(model, Some(Model::new("hw").unwrap()));
        fleet.pass(10 * SECOND);
        fleet.rollout(1);
        assert_eq!(fleet.requests().len(), 1);
    }

    #[test]
    fn what_ran_before_an_empty_list_is_not_taken_for_what_runs_now() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        start(&mut fleet, robot, vec![version("1")]);
        start(&mut fleet, robot, vec![part_number("hw")]);
        assert_eq!(ecus(&fleet, robot)[0].reported, None);
    }

    #[test]
    fn before_the_part_number_a_rollout_skips_the_robot_and_says_what_to_do() {
        let mut fleet = Fleet::default();
        let waiting = fleet.robot("r1", &[]);
        fleet.robot("r2", &[ecu("main", "hw", true)]);
        let id = fleet.rollout(1);
        let member = &fleet.state.rollout(id).unwrap().members[&waiting];
        assert_eq!(member.skipped, Some(SkipReason::NoPartNumber));
        let why = fleet.state.why(id, waiting).unwrap();
        assert!(why[0].remedy.contains("part number"), "{why:?}");
        // The ECU that appears later belongs to the next rollout, not to this one.
        start(&mut fleet, waiting, vec![version("1"), part_number("hw")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.requests(), []);
        assert!(fleet.state.why(id, waiting).unwrap()[0].ecu.is_none());
    }

    #[test]
    fn an_ecu_that_appears_between_preview_and_launch_is_drift() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        fleet.robot("r2", &[ecu("main", "hw", true)]);
        fleet.image("os@2", &["hw"]);
        let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
        let id = fleet.create(spec).unwrap();
        start(&mut fleet, robot, vec![version("1"), part_number("hw")]);
        assert!(matches!(
            fleet.launch(id),
            Err(Refusal::Drifted { changed: 1, .. })
        ));
    }

    #[test]
    fn such_a_robot_does_not_become_a_native_one() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        fleet.connect(robot);
        let refused = fleet.manifest(robot, 1);
        assert_eq!(refused, Err(Refusal::RegisteredAsEdgehog));
        start(&mut fleet, robot, vec![part_number("hw")]);
        assert_eq!(fleet.manifest(robot, 1), Err(Refusal::RegisteredAsEdgehog));
    }

    #[test]
    fn a_part_number_that_is_no_hardware_id_is_refused_and_holds_what_was_known() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        start(&mut fleet, robot, vec![version("1")]);
        let bad = "rev/2 ".repeat(40);
        let refused = fleet.report(robot, part_number(&bad));
        assert!(matches!(refused, Err(Refusal::BadPartNumber { found }) if found.len() == 80));
        assert!(ecus(&fleet, robot).is_empty());
        fleet.report(robot, part_number("hw")).unwrap();
        fleet.report(robot, part_number(&bad)).unwrap();
        fleet.pass(10 * SECOND);
        let id = fleet.rollout(1);
        assert_eq!(fleet.requests(), [], "another product gets nothing");
        let why = fleet.state.why(id, robot).unwrap();
        assert!(matches!(
            why[0].waits_for,
            Some(WaitReason::Hold(Hold::PartNumber { .. }))
        ));
        assert!(matches!(
            accept(&mut fleet, "r1"),
            Err(Refusal::NotAcceptable { .. })
        ));
        fleet.report(robot, part_number("hw")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(
            fleet.requests().len(),
            1,
            "the hold ends with the right one"
        );
    }
}

/// Design 5.1: what differs later holds the ECU until an operator accepts the change.
mod acceptance {
    use super::*;

    #[test]
    fn an_accepted_part_number_becomes_hardware_id_and_model() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        start(&mut fleet, robot, vec![version("1"), part_number("hw")]);
        assert_eq!(
            accept(&mut fleet, "r1"),
            Err(Refusal::NothingDeclared {
                id: RobotId::new("r1").unwrap()
            })
        );
        start(&mut fleet, robot, vec![version("1"), part_number("hw2")]);
        fleet.pass(10 * SECOND);
        let id = fleet.rollout(1);
        assert_eq!(fleet.requests(), [], "held");
        accept(&mut fleet, "r1").unwrap();
        assert_eq!(ecus(&fleet, robot)[0].hardware_id, hw("hw2"));
        let model = fleet.state.robot(robot).unwrap().model.clone();
        assert_eq!(model, Some(Model::new("hw2").unwrap()));
        // What was planned for the former board never reaches the new one (A10).
        assert_eq!(fleet.requests(), []);
        assert_eq!(
            fleet.target_state(id, robot),
            TargetState::Failed {
                reason: FailureReason::IncompatibleHardware
            }
        );
        // The same device, once more: nothing is held any longer.
        start(&mut fleet, robot, vec![version("1"), part_number("hw2")]);
        assert_eq!(ecus(&fleet, robot)[0].hold, None);
    }

    #[test]
    fn a_native_board_that_was_replaced_is_accepted_by_its_new_hardware_id() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
        fleet.connect(robot);
        let declared = vec![ecu("main", "hw", true), ecu("arm", "hw2", false)];
        let manifest = |ecus| Report::Manifest {
            boot: 1,
            wants_ack: false,
            ecus,
        };
        fleet.report(robot, manifest(declared)).unwrap();
        accept(&mut fleet, "r1").unwrap();
        assert_eq!(ecus(&fleet, robot)[0].hardware_id, hw("hw2"));
        assert!(ecus(&fleet, robot).iter().all(|ecu| ecu.hold.is_none()));
        // An ECU that is not declared cannot be taken over by its hardware id.
        fleet
            .report(robot, manifest(vec![ecu("main", "hw", true)]))
            .unwrap();
        assert!(matches!(
            accept(&mut fleet, "r1"),
            Err(Refusal::NotAcceptable { .. })
        ));
    }

    #[test]
    fn nothing_is_accepted_while_an_operation_is_under_way() {
        let (mut fleet, robot, rollout, _) = fleet::requested();
        let declared = vec![ecu("main", "hw2", true)];
        let manifest = Report::Manifest {
            boot: 1,
            wants_ack: false,
            ecus: declared,
        };
        fleet.report(robot, manifest).unwrap();
        let id = RobotId::new("r1").unwrap();
        assert_eq!(
            accept(&mut fleet, "r1"),
            Err(Refusal::OperationUnderWay { id, rollout })
        );
        assert_eq!(ecus(&fleet, robot)[0].hardware_id, hw("hw"));
        fleet.pass(MINUTE);
    }
}

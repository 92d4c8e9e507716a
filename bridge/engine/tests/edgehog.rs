//! Edgehog devices: registration by part number, and outcomes judged from facts (device-contract 0, 1, 3; design 5.1).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::device::*;
use fleet::{Fleet, base_image_property, ecu, hw, introspection, part_number, property};
use rollcall_engine::*;
use uuid::Uuid;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn accept(fleet: &mut Fleet, id: &str) -> Result<Reply, Refusal> {
    fleet.command(Command::AcceptDeclared {
        robot: RobotId::new(id).unwrap(),
    })
}

fn ecus(fleet: &Fleet, robot: RobotKey) -> &[Ecu] {
    &fleet.state.robot(robot).unwrap().ecus
}

fn cancel(fleet: &mut Fleet) -> Result<Reply, Refusal> {
    cancel_with(fleet, false)
}

fn cancel_with(fleet: &mut Fleet, all: bool) -> Result<Reply, Refusal> {
    fleet.command(Command::CancelOperation {
        robot: RobotId::new("r1").unwrap(),
        all,
    })
}

/// What was sent since the last look.
fn sent(fleet: &mut Fleet) -> Vec<(RequestKind, Uuid)> {
    let effects = std::mem::take(&mut fleet.effects);
    let request = |effect| match effect {
        Effect::Request(request) => Some((request.kind, request.operation)),
        _ => None,
    };
    effects.into_iter().filter_map(request).collect()
}

const CANCELLED: TargetState = TargetState::Cancelled {
    reason: CancelReason::ByOperator,
};

const DOWNLOADING: [EventStatus; 2] = [EventStatus::Acknowledged, EventStatus::Downloading];
const DEPLOYING: [EventStatus; 2] = [EventStatus::Acknowledged, EventStatus::Deploying];

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

/// Device-contract 0, row by row, as far as the engine decides it.
mod traps {
    use super::*;

    #[test]
    fn trap_1_a_success_whose_event_is_lost_is_seen_in_the_version_after_the_reboot() {
        let (mut fleet, robot, id, operation) = asked_and(&DEPLOYING);
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("2")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn trap_1_a_rollback_whose_event_is_lost_is_seen_in_the_old_version_of_a_new_process() {
        let (mut fleet, robot, id, operation) = asked_and(&DEPLOYING);
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        fleet.disconnect(robot);
        start_with_another(&mut fleet, robot, vec![version("1")]);
        assert_eq!(fleet.target_state(id, robot), TargetState::Verifying);
        fleet.pass(MINUTE);
        assert_eq!(fleet.target_state(id, robot), TargetState::RolledBack);
    }

    /// Seen with runtime 0.13.1 on a busy machine: the SDK sends the stored version while the new process sets its own,
    /// which then waits for the next connection.
    #[test]
    fn a_first_connection_that_reports_the_image_of_the_process_before_condemns_nobody() {
        let (mut fleet, robot, id, operation) = asked_and(&DEPLOYING);
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("1")]);
        fleet.effects.clear();
        fleet.pass(10 * SECOND);
        let hung_up = |effect: &Effect| matches!(effect, Effect::Disconnect { .. });
        assert!(fleet.effects.iter().any(hung_up));
        come_back(&mut fleet, robot);
        fleet.report(robot, version("2")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn a_process_that_does_not_say_what_it_is_is_asked_once_more_and_only_once() {
        let mut fleet = Fleet::default();
        let robot = fleet.robot("r1", &[]);
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(10 * SECOND);
        assert!(!fleet.state.robot(robot).unwrap().online());
        come_back(&mut fleet, robot);
        fleet.pass(HOUR);
        assert!(fleet.state.robot(robot).unwrap().online());
        fleet.report(robot, part_number("hw")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(ecus(&fleet, robot)[0].hardware_id, hw("hw"));
    }

    #[test]
    fn a_device_without_properties_is_left_in_peace() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        start(&mut fleet, robot, vec![]);
        fleet.pass(HOUR);
        assert!(fleet.state.robot(robot).unwrap().online());
    }

    #[test]
    fn trap_1_a_final_event_that_comes_all_the_same_agrees_or_decides_nothing() {
        let (mut fleet, robot, id, operation) = asked_and(&DEPLOYING);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![]);
        says(&mut fleet, robot, operation, EventStatus::Success);
        assert_eq!(fleet.target_state(id, robot), TargetState::Verifying);
        fleet.report(robot, version("2")).unwrap();
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
        let twice = fleet.report(robot, event(operation, EventStatus::Success, None));
        assert_eq!(twice, Ok(Reply::Late));
        let late = fails(&mut fleet, robot, operation, EventCode::SystemRollback);
        assert_eq!(late, Reply::Late);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn trap_2_what_was_said_while_the_link_was_down_is_not_missed() {
        let (mut fleet, robot, id, _) = asked_and(&DOWNLOADING);
        fleet.disconnect(robot);
        // It deployed and rebooted meanwhile; only the properties come again.
        start(&mut fleet, robot, vec![version("2")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn trap_4_a_cancel_that_came_too_late_does_not_end_an_update_that_succeeds() {
        let (mut fleet, robot, id, operation) = asked_and(&DEPLOYING);
        cancel(&mut fleet).unwrap();
        fails(&mut fleet, robot, operation, EventCode::InternalError);
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("2")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn trap_5_a_request_is_repeated_with_the_same_uuid_and_the_same_url() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let at = |base: &str| Input::Started {
            down_since: Timestamp(0),
            base: Some(base.to_owned()),
        };
        fleet.apply(at("http://one")).unwrap();
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(10 * SECOND);
        let hosted = ImageSpec {
            reference: "os@2".parse().unwrap(),
            hardware_ids: vec![hw("hw")],
            model: None,
            build_id: None,
            from_version: None,
            url: "token".to_owned(),
            hosted: true,
            size: 1,
            sha256: [9; 32],
        };
        fleet.command(Command::AddImage(hosted)).unwrap();
        fleet.rollout(1);
        // The server comes back under another name before the device has answered.
        fleet.apply(at("http://two")).unwrap();
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(10 * SECOND);
        let requests = std::mem::take(&mut fleet.effects).into_iter();
        let asked: Vec<_> = requests
            .filter_map(|effect| match effect {
                Effect::Request(request) => Some((request.operation, request.base)),
                _ => None,
            })
            .collect();
        assert_eq!(asked.len(), 2);
        assert_eq!(asked[0], asked[1]);
        assert_eq!(asked[0].1.as_deref(), Some("http://one"));
    }

    #[test]
    fn trap_5_an_echo_of_a_second_request_does_not_fail_the_running_one() {
        let (mut fleet, robot, id, operation) = asked_and(&DOWNLOADING);
        let echo = fails(
            &mut fleet,
            robot,
            operation,
            EventCode::UpdateAlreadyInProgress,
        );
        assert_eq!(echo, Reply::Late);
        assert!(fleet.target_state(id, robot).is_active());
    }

    #[test]
    fn trap_6_nothing_is_repeated_after_any_event() {
        let (mut fleet, robot, id, _) = asked_and(&[EventStatus::Acknowledged]);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(10 * SECOND);
        assert_eq!(sent(&mut fleet), []);
        assert!(fleet.target_state(id, robot).is_active());
    }

    #[test]
    fn nothing_is_judged_within_the_property_window() {
        // Device-contract 1.6: an empty list, then the properties, one by one, the version perhaps last.
        let (mut fleet, robot, id, operation) = asked_and(&DEPLOYING);
        says(&mut fleet, robot, operation, EventStatus::Rebooting);
        fleet.disconnect(robot);
        start(&mut fleet, robot, vec![version("1")]);
        fleet.pass(9 * SECOND);
        fleet.report(robot, version("2")).unwrap();
        assert_eq!(fleet.target_state(id, robot), TargetState::Verifying);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn a_mere_reconnect_with_the_old_version_proves_nothing() {
        let (mut fleet, robot, id, _) = asked_and(&DEPLOYING);
        fleet.disconnect(robot);
        come_back(&mut fleet, robot);
        fleet.pass(5 * MINUTE);
        assert!(fleet.target_state(id, robot).is_active());
    }

    #[test]
    fn the_build_id_decides_when_the_image_has_one() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let build = |id: &str| base_image_property(BaseImageProperty::BuildId, id);
        start(&mut fleet, robot, vec![version("2"), build("b6")]);
        fleet.pass(10 * SECOND);
        fleet.image("os@2+b7", &["hw"]);
        let spec = fleet.spec(fleet.all(), &[("hw", "os@2+b7")]);
        let id = fleet.create(spec).unwrap();
        fleet.launch(id).unwrap();
        let operation = fleet.requests()[0].2;
        says(&mut fleet, robot, operation, EventStatus::Deploying);
        start(&mut fleet, robot, vec![version("2"), build("b6")]);
        fleet.pass(10 * SECOND);
        assert!(fleet.target_state(id, robot).is_active(), "the old build");
        start(&mut fleet, robot, vec![version("2"), build("b7")]);
        fleet.pass(10 * SECOND);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn an_event_of_an_older_operation_changes_nothing() {
        let (mut fleet, robot, _, first) = asked();
        fails(&mut fleet, robot, first, EventCode::IoError);
        let second = fleet.rollout(1);
        says(&mut fleet, robot, first, EventStatus::Deploying);
        assert_eq!(fleet.target_state(second, robot), TargetState::Requested);
        let late = fails(&mut fleet, robot, first, EventCode::InternalError);
        assert_eq!(late, Reply::Late);
        assert_eq!(fleet.target_state(second, robot), TargetState::Requested);
    }

    #[test]
    fn a_runtime_without_ota_or_with_another_version_of_it_gets_nothing() {
        let version_of = |major| InterfaceVersion { major, minor: 0 };
        let base = "io.edgehog.devicemanager.BaseImage";
        let request = "io.edgehog.devicemanager.OTARequest";
        for (interfaces, hold) in [
            (vec![(base, version_of(0))], "OTA disabled"),
            (
                vec![(base, version_of(0)), (request, version_of(2))],
                "OTARequest 2.0",
            ),
            (
                vec![(base, version_of(1)), (request, version_of(1))],
                "BaseImage 1.0",
            ),
        ] {
            let mut fleet = Fleet::default();
            let robot = fleet.robots(1)[0];
            let id = fleet.rollout(1);
            fleet.connect(robot);
            let interfaces = interfaces.into_iter().map(|(name, v)| (name.into(), v));
            fleet
                .report(robot, Report::Introspection(interfaces.collect()))
                .unwrap();
            fleet.report(robot, version("1")).unwrap();
            fleet.pass(MINUTE);
            assert_eq!(fleet.requests(), []);
            let why = fleet.state.why(id, robot).unwrap();
            let reason = why[0].waits_for.as_ref().unwrap().to_string();
            assert!(reason.contains(hold), "{reason}");
            // Its runtime is configured anew.
            fleet.report(robot, introspection()).unwrap();
            fleet.pass(10 * SECOND);
            assert_eq!(fleet.requests().len(), 1);
        }
    }
}

/// The cancel matrix (device-contract 3.2), and an operator's Cancel around it.
mod cancels {
    use super::*;

    #[test]
    fn acknowledged_or_downloading_it_ends_with_canceled() {
        for statuses in [&DOWNLOADING[..1], &DOWNLOADING] {
            let (mut fleet, robot, id, operation) = asked_and(statuses);
            cancel(&mut fleet).unwrap();
            assert_eq!(sent(&mut fleet), [(RequestKind::Cancel, operation)]);
            let why = fleet.state.why(id, robot).unwrap().remove(0);
            assert_eq!(&*why.cancelling.unwrap().by, "op");
            assert!(why.until.is_some() && why.then.contains("what the robot does decides"));
            assert!(
                fleet.target_state(id, robot).is_active(),
                "a wish is no fact"
            );
            fails(&mut fleet, robot, operation, EventCode::Cancelled);
            assert_eq!(fleet.target_state(id, robot), CANCELLED);
        }
    }

    #[test]
    fn deploying_deployed_or_rebooting_the_update_goes_on_in_silence() {
        for status in [
            EventStatus::Deploying,
            EventStatus::Deployed,
            EventStatus::Rebooting,
        ] {
            let (mut fleet, robot, id, _) = asked_and(&[EventStatus::Acknowledged, status]);
            cancel(&mut fleet).unwrap();
            start(&mut fleet, robot, vec![version("2")]);
            fleet.pass(10 * SECOND);
            assert_eq!(fleet.outcome(id), Some(Completion::Success));
        }
    }

    #[test]
    fn idle_it_says_that_it_never_began_and_that_is_believed() {
        let (mut fleet, robot, id, operation) = asked();
        cancel(&mut fleet).unwrap();
        fails(&mut fleet, robot, operation, EventCode::InternalError);
        assert_eq!(fleet.target_state(id, robot), CANCELLED);
    }

    #[test]
    fn the_same_words_to_a_second_cancel_mean_nothing() {
        // The first may have met an update in Deploying whose events were lost (device-contract 0.4).
        let (mut fleet, robot, id, operation) = asked();
        cancel(&mut fleet).unwrap();
        fleet.disconnect(robot);
        come_back(&mut fleet, robot);
        fleet.pass(10 * SECOND);
        let cancelled = (RequestKind::Cancel, operation);
        assert_eq!(sent(&mut fleet), [cancelled, cancelled], "and no Update");
        let reply = fails(&mut fleet, robot, operation, EventCode::InternalError);
        assert_eq!(reply, Reply::Late);
        assert!(fleet.target_state(id, robot).is_active());
    }

    #[test]
    fn after_an_event_the_same_words_mean_nothing() {
        let (mut fleet, robot, id, operation) = asked_and(&DOWNLOADING);
        cancel(&mut fleet).unwrap();
        fails(&mut fleet, robot, operation, EventCode::InternalError);
        assert!(fleet.target_state(id, robot).is_active());
        // Without a Cancel they are an ordinary failure: too many attempts to download.
        let (mut fleet, robot, id, operation) = asked_and(&DOWNLOADING);
        fails(&mut fleet, robot, operation, EventCode::InternalError);
        let reason = FailureReason::InternalError;
        assert_eq!(
            fleet.target_state(id, robot),
            TargetState::Failed { reason }
        );
    }

    #[test]
    fn an_offline_device_is_told_once_it_is_back_and_has_said_what_it_runs() {
        let (mut fleet, robot, _, operation) = asked_and(&DOWNLOADING);
        fleet.disconnect(robot);
        cancel(&mut fleet).unwrap();
        assert_eq!(sent(&mut fleet), []);
        come_back(&mut fleet, robot);
        assert_eq!(sent(&mut fleet), [], "not within its property window");
        fleet.pass(10 * SECOND);
        assert_eq!(sent(&mut fleet), [(RequestKind::Cancel, operation)]);
        // Subscribing again is no reason to say it twice.
        let connection = fleet.state.robot(robot).unwrap().link.connection.unwrap();
        let subscribed = LinkEvent::Subscribed { connection };
        fleet
            .apply(Input::Link {
                robot,
                event: subscribed,
            })
            .unwrap();
        assert_eq!(sent(&mut fleet), []);
    }

    #[test]
    fn an_offline_device_that_has_installed_meanwhile_has_succeeded() {
        let (mut fleet, robot, id, _) = asked_and(&DOWNLOADING);
        fleet.disconnect(robot);
        cancel(&mut fleet).unwrap();
        start(&mut fleet, robot, vec![version("2")]);
        fleet.pass(10 * SECOND);
        assert_eq!(sent(&mut fleet), []);
        assert_eq!(fleet.outcome(id), Some(Completion::Success));
    }

    #[test]
    fn an_update_is_not_repeated_when_its_cancel_is_wanted() {
        let (mut fleet, robot, id, operation) = asked();
        fleet.disconnect(robot);
        cancel(&mut fleet).unwrap();
        come_back(&mut fleet, robot);
        fleet.pass(10 * SECOND);
        assert_eq!(sent(&mut fleet), [(RequestKind::Cancel, operation)]);
        // It says nothing at all: it counts as cancelled in the end, and is told so once more.
        fleet.pass(5 * MINUTE);
        assert_eq!(fleet.target_state(id, robot), CANCELLED);
    }

    #[test]
    fn a_new_process_with_the_old_version_was_cancelled_if_nothing_was_written() {
        let (mut fleet, robot, id, _) = asked_and(&DOWNLOADING);
        cancel(&mut fleet).unwrap();
        fleet.disconnect(robot);
        start_with_another(&mut fleet, robot, vec![version("1")]);
        fleet.pass(MINUTE);
        assert_eq!(fleet.target_state(id, robot), CANCELLED);
    }

    #[test]
    fn nothing_and_the_same_twice_cannot_be_cancelled() {
        let mut fleet = Fleet::default();
        fleet.robots(1);
        assert!(matches!(
            cancel(&mut fleet),
            Err(Refusal::NothingToCancel { .. })
        ));
        let (mut fleet, ..) = asked();
        cancel(&mut fleet).unwrap();
        let twice = cancel(&mut fleet);
        assert!(matches!(twice, Err(Refusal::AlreadyCancelling { by, .. }) if by == "op"));
    }

    #[test]
    fn what_waits_stays_unless_all_is_said() {
        let mut fleet = Fleet::default();
        let ecus = [ecu("main", "hw", true), ecu("arm", "hw", false)];
        let robot = fleet.robot("r1", &ecus);
        fleet.online(robot);
        let id = fleet.rollout(1);
        cancel(&mut fleet).unwrap();
        assert_eq!(fleet.target(id, robot, 1).state, TargetState::Pending);
        cancel_with(&mut fleet, true).unwrap();
        assert_eq!(fleet.target(id, robot, 1).state, CANCELLED);
        assert!(fleet.target(id, robot, 0).state.is_active());
        assert!(matches!(
            cancel_with(&mut fleet, true),
            Err(Refusal::NothingToCancel { .. })
        ));
    }

    #[test]
    fn a_native_robot_is_cancelled_the_same_way() {
        let (mut fleet, robot, id, operation) = fleet::requested();
        cancel(&mut fleet).unwrap();
        assert_eq!(sent(&mut fleet), [(RequestKind::Cancel, operation)]);
        fleet
            .fail(robot, "main", operation, EventCode::Cancelled)
            .unwrap();
        assert_eq!(fleet.target_state(id, robot), CANCELLED);
    }

    #[test]
    fn what_was_given_up_while_a_robot_was_away_is_cancelled_when_it_returns() {
        let (mut fleet, robot, id, operation) = asked_and(&DOWNLOADING);
        fleet.disconnect(robot);
        fleet.pass(61 * MINUTE);
        let reason = FailureReason::InProgressTimeout;
        assert_eq!(
            fleet.target_state(id, robot),
            TargetState::Failed { reason }
        );
        assert_eq!(sent(&mut fleet), []);
        let next = fleet.rollout(1);
        come_back(&mut fleet, robot);
        fleet.pass(10 * SECOND);
        let told = sent(&mut fleet);
        assert_eq!(
            told[0],
            (RequestKind::Cancel, operation),
            "before anything new"
        );
        assert_eq!((told.len(), told[1].0), (2, RequestKind::Update));
        // Its answer is about something that is over.
        assert_eq!(
            fails(&mut fleet, robot, operation, EventCode::InternalError),
            Reply::Late
        );
        assert_eq!(fleet.target_state(next, robot), TargetState::Requested);
        fleet.disconnect(robot);
        come_back(&mut fleet, robot);
        fleet.pass(10 * SECOND);
        assert_eq!(
            sent(&mut fleet).len(),
            1,
            "the Update only: the debt is paid"
        );
    }
}

/// Device-contract 1.3, 1.6 and 6: what a device says of itself.
mod values {
    use super::*;

    fn paths(fleet: &Fleet, robot: RobotKey) -> Vec<String> {
        let device = fleet.state.robot(robot).unwrap().device.as_ref();
        let properties = device.map(|device| device.properties.as_slice());
        properties
            .unwrap_or_default()
            .iter()
            .map(|p| {
                p.path
                    .strip_prefix("io.edgehog.devicemanager.")
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn a_list_deletes_what_it_does_not_name() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let os = |key: &str| property(&format!("OSInfo/{key}"), "x");
        start(
            &mut fleet,
            robot,
            vec![version("1"), os("osName"), os("osVersion")],
        );
        assert_eq!(
            paths(&fleet, robot),
            ["BaseImage/version", "OSInfo/osName", "OSInfo/osVersion"]
        );
        let listed = ["BaseImage/version", "OSInfo/osName"];
        let listed = listed.map(|path| format!("io.edgehog.devicemanager.{path}"));
        fleet
            .report(robot, Report::ProducerProperties(listed.into()))
            .unwrap();
        assert_eq!(paths(&fleet, robot), ["BaseImage/version", "OSInfo/osName"]);
    }

    #[test]
    fn a_new_process_keeps_what_it_says_again_and_loses_the_rest_at_the_end_of_its_window() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let os = |value: &str| property("OSInfo/osName", value);
        start(&mut fleet, robot, vec![version("1"), os("Linux")]);
        fleet.pass(MINUTE);
        start(&mut fleet, robot, vec![version("1")]);
        assert_eq!(
            paths(&fleet, robot).len(),
            2,
            "nothing is judged in the window"
        );
        fleet.pass(10 * SECOND);
        assert_eq!(paths(&fleet, robot), ["BaseImage/version"]);
        let device = fleet.state.robot(robot).unwrap().device.as_ref().unwrap();
        assert_eq!(device.properties[0].since, Timestamp(0), "it never changed");
    }

    #[test]
    fn what_is_said_again_unchanged_is_not_written_again() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let os = || property("OSInfo/osName", "Linux");
        start(&mut fleet, robot, vec![version("1"), os()]);
        fleet.pass(MINUTE);
        let again = fleet.state.apply(
            Timestamp(fleet.now),
            Input::Report {
                robot,
                report: os(),
            },
        );
        assert_eq!((again.reply, again.touched), (Ok(Reply::Stale), vec![]));
    }

    #[test]
    fn what_is_kept_of_a_device_is_bounded() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        start(&mut fleet, robot, vec![]);
        let own = |n: usize, bytes: usize| property(&format!("Own/{n}"), &"x".repeat(bytes));
        for n in 0..MAX_DEVICE_PATHS {
            fleet.report(robot, own(n, 1)).unwrap();
        }
        assert_eq!(
            fleet.report(robot, own(MAX_DEVICE_PATHS, 1)),
            Err(Refusal::DeviceFull)
        );
        fleet.report(robot, own(0, 2)).unwrap();
        assert_eq!(
            fleet.report(robot, own(0, MAX_DEVICE_BYTES)),
            Err(Refusal::DeviceFull)
        );
        // An update is never kept from being judged by it.
        fleet.report(robot, version("1")).unwrap();
        assert!(ecus(&fleet, robot)[0].reported.is_some());
    }

    #[test]
    fn a_new_introspection_takes_the_values_of_gone_interfaces_with_it() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        start(
            &mut fleet,
            robot,
            vec![version("1"), property("OSInfo/osName", "Linux")],
        );
        let base = (
            "io.edgehog.devicemanager.BaseImage".into(),
            InterfaceVersion { major: 0, minor: 1 },
        );
        fleet
            .report(robot, Report::Introspection([base].into()))
            .unwrap();
        assert_eq!(paths(&fleet, robot), ["BaseImage/version"]);
    }
}

/// Device-contract 1.7: properties that the server owns.
mod settings {
    use super::*;

    const TELEMETRY: &str = "io.edgehog.devicemanager.config.Telemetry";

    fn set(fleet: &mut Fleet, path: &str, value: Option<&str>) -> Result<Reply, Refusal> {
        fleet.command(Command::SetProperty {
            robot: RobotId::new("r1").unwrap(),
            change: PropertyChange {
                interface: TELEMETRY.to_owned(),
                path: path.to_owned(),
                value: value.map(str::to_owned),
            },
        })
    }

    #[test]
    fn they_are_kept_and_told_to_a_device_that_has_the_interface() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let refused = set(&mut fleet, "request/x/enable", Some("true"));
        assert!(matches!(
            refused,
            Err(Refusal::InterfaceNotInstalled { .. })
        ));
        start(&mut fleet, robot, vec![]);
        fleet.effects.clear();
        set(&mut fleet, "request/x/enable", Some("true")).unwrap();
        let told = std::mem::take(&mut fleet.effects);
        assert!(
            matches!(&told[..], [Effect::Property { path, .. }] if path.ends_with("/request/x/enable"))
        );
        fleet.disconnect(robot);
        set(&mut fleet, "request/x/enable", None).unwrap();
        assert_eq!(fleet.effects, [], "it asks when it returns");
        let refused = set(&mut fleet, "request/x/enable", None);
        assert!(matches!(refused, Err(Refusal::PropertyNotSet { .. })));
    }

    #[test]
    fn their_list_always_fits_into_a_message() {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        start(&mut fleet, robot, vec![]);
        let long = |n: usize| format!("request/{n}{}/enable", "x".repeat(400));
        let fitting = (0..).take_while(|n| set(&mut fleet, &long(*n), Some("true")).is_ok());
        assert_eq!(fitting.count(), 17);
        let bytes: usize = fleet
            .state
            .robot(robot)
            .unwrap()
            .device
            .as_ref()
            .unwrap()
            .settings
            .iter()
            .map(|setting| setting.path.len() + 1)
            .sum();
        assert!(bytes <= MAX_SETTING_PATHS);
        for n in 0.. {
            if set(&mut fleet, &format!("request/{n}/enable"), Some("true")).is_err() {
                break;
            }
        }
        let device = fleet.state.robot(robot).unwrap().device.as_ref().unwrap();
        assert!(device.settings.len() <= MAX_SETTINGS);
    }
}

/// Design 5.1: registration decides; a part number is a product, not a board.
#[test]
fn an_accepted_part_number_leaves_a_registered_hardware_id_alone() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    start(&mut fleet, robot, vec![version("1"), part_number("rover")]);
    start(
        &mut fleet,
        robot,
        vec![version("1"), part_number("rover-2")],
    );
    accept(&mut fleet, "r1").unwrap();
    assert_eq!(ecus(&fleet, robot)[0].hardware_id, hw("hw"));
    let model = fleet.state.robot(robot).unwrap().model.clone();
    assert_eq!(model, Some(Model::new("rover-2").unwrap()));
    start(
        &mut fleet,
        robot,
        vec![version("1"), part_number("rover-2")],
    );
    assert_eq!(ecus(&fleet, robot)[0].hold, None);
}

/// Device-contract 1.5: what a datastream says is of a moment, what a property says stays.
#[test]
fn streams_make_room_oldest_first_and_never_crowd_out_a_property() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    start(&mut fleet, robot, vec![]);
    let stream = |n: usize| {
        Report::Value(DeviceValue {
            path: format!("own.Stream/{n}"),
            content: Some(Value::Integer(1).into()),
            property: false,
            meaning: None,
        })
    };
    for n in 0..=MAX_DEVICE_PATHS {
        fleet.report(robot, stream(n)).unwrap();
        fleet.now += 1;
    }
    fleet.report(robot, property("Own/a", "1")).unwrap();
    let device = fleet.state.robot(robot).unwrap().device.as_ref().unwrap();
    assert_eq!(device.streams.len(), MAX_DEVICE_PATHS - 1);
    let kept = |n: usize| {
        let path = format!("own.Stream/{n}");
        device.streams.iter().any(|value| *value.path == *path)
    };
    assert!(!kept(0) && !kept(1) && kept(2), "the oldest are gone");
    assert_eq!(device.properties.len(), 1);
}

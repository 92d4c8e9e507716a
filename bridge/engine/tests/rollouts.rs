//! Rollouts from preview to completion. Names carry the requirement that they hold.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;

const MINUTE: u64 = 60_000;

#[test]
fn a15_a16_a18_nothing_is_sent_before_the_launch() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    robots.iter().for_each(|robot| fleet.online(*robot));
    fleet.image("os@2", &["hw"]);
    let id = fleet
        .create(fleet.spec(fleet.all(), &[("hw", "os@2")]))
        .unwrap();
    assert_eq!(fleet.status(id), RolloutStatus::Prepared);
    fleet.pass(MINUTE);
    assert_eq!(fleet.requests(), []);
    fleet.launch(id).unwrap();
    assert_eq!(fleet.requests().len(), 2);
}

#[test]
fn a24_a_rollout_completes_when_every_ecu_has_tried_successfully_or_not() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.rollout(10);
    let requests = fleet.requests();
    let (robot, ecu, operation) = &requests[0];
    fleet.install(*robot, ecu, *operation);
    assert_eq!(fleet.outcome(id), None);
    let (robot, ecu, operation) = &requests[1];
    fleet
        .fail(*robot, ecu, *operation, EventCode::NetworkError)
        .unwrap();
    assert_eq!(fleet.outcome(id), Some(Completion::Partial));
    let counts = fleet.state.rollout(id).unwrap().counts;
    assert_eq!(
        (counts.installed, counts.failed, counts.in_progress),
        (1, 1, 0)
    );
}

#[test]
fn a8_defect_1_two_ecus_of_one_hardware_id_both_get_the_image_one_after_the_other() {
    let mut fleet = Fleet::default();
    let ecus = [
        ecu("main", "computer", true),
        ecu("motor-2", "hw", false),
        ecu("motor-1", "hw", false),
    ];
    let robot = fleet.robot("r", &ecus);
    fleet.online(robot);
    let id = fleet.rollout(10);
    let first = fleet.requests();
    assert_eq!(first.len(), 1, "one operation at a time");
    assert_eq!(first[0].1, "motor-1", "secondaries by name");
    fleet.install(robot, "motor-1", first[0].2);
    let second = fleet.requests();
    assert_eq!(second[0].1, "motor-2");
    fleet.install(robot, "motor-2", second[0].2);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
}

#[test]
fn the_primary_comes_last_and_a_failure_does_not_stop_the_others() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("a-main", "hw", true), ecu("b", "hw", false)]);
    fleet.online(robot);
    let id = fleet.rollout(10);
    let first = fleet.requests();
    assert_eq!(first[0].1, "b");
    fleet
        .fail(robot, "b", first[0].2, EventCode::IoError)
        .unwrap();
    let second = fleet.requests();
    assert_eq!(second[0].1, "a-main");
    fleet.install(robot, "a-main", second[0].2);
    assert_eq!(
        fleet.outcome(id),
        Some(Completion::Failure),
        "the robot failed, and it was the only one"
    );
}

#[test]
fn on_failure_stop_cancels_the_robots_other_ecus() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("b", "hw", false)]);
    fleet.online(robot);
    fleet.image("os@2", &["hw"]);
    let mut spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    spec.mechanism.on_failure = OnFailure::Stop;
    let id = fleet.create(spec).unwrap();
    fleet.launch(id).unwrap();
    let operation = fleet.requests()[0].2;
    fleet
        .fail(robot, "b", operation, EventCode::IoError)
        .unwrap();
    assert_eq!(fleet.requests(), []);
    let cancelled = TargetState::Cancelled {
        reason: CancelReason::EarlierEcuFailed,
    };
    assert_eq!(fleet.target(id, robot, 1).state, cancelled);
    assert!(fleet.outcome(id).is_some());
}

#[test]
fn a9_a13_a_robot_without_a_compatible_ecu_is_skipped_with_the_reason_and_gets_nothing() {
    let mut fleet = Fleet::default();
    let one = fleet.robot("one", &[ecu("main", "hw", true)]);
    let other = fleet.robot("other", &[ecu("main", "else", true)]);
    fleet.online(one);
    fleet.online(other);
    fleet.image("os@2", &["hw"]);
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    let (plan, _) = fleet.state.preview(&spec).unwrap();
    assert_eq!(plan.robots[1].skipped, Some(SkipReason::NoCompatibleEcu));
    let id = fleet.create(spec).unwrap();
    fleet.launch(id).unwrap();
    assert!(fleet.requests().iter().all(|(robot, ..)| *robot == one));
    assert_eq!(
        fleet.state.rollout(id).unwrap().members[&other].progress(),
        RobotProgress::Skipped
    );
    let why = fleet.state.why(id, other).unwrap();
    assert_eq!(
        why[0].state,
        TargetState::Skipped {
            reason: SkipReason::NoCompatibleEcu
        }
    );
}

#[test]
fn a10_an_image_for_another_board_is_refused_at_creation() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    fleet.image("os@2", &["else"]);
    let refused = fleet
        .create(fleet.spec(fleet.all(), &[("hw", "os@2")]))
        .unwrap_err();
    assert!(
        matches!(refused, Refusal::IncompatibleImage { .. }),
        "{refused}"
    );
}

#[test]
fn a7_a2_a5_bad_definitions_are_refused_by_name() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    fleet.image("os@2", &["hw"]);
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2"), ("hw", "os@2")]);
    assert!(matches!(
        fleet.create(spec),
        Err(Refusal::HardwareMappedTwice { .. })
    ));
    assert_eq!(
        fleet.create(fleet.spec(fleet.all(), &[])),
        Err(Refusal::NoImages)
    );
    let unknown = TargetSelection::Robots(vec![
        RobotId::new("r1").unwrap(),
        RobotId::new("ghost").unwrap(),
    ]);
    let refused = fleet
        .create(fleet.spec(unknown, &[("hw", "os@2")]))
        .unwrap_err();
    assert!(refused.to_string().contains("ghost"));
    let nobody = TargetSelection::Robots(Vec::new());
    assert_eq!(
        fleet.create(fleet.spec(nobody, &[("hw", "os@2")])),
        Err(Refusal::NoRobots)
    );
    let mut spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    spec.mechanism.max_in_progress = 0;
    assert!(matches!(
        fleet.create(spec),
        Err(Refusal::OutOfRange { .. })
    ));
    let group = TargetSelection::Group(GroupName::new("none").unwrap());
    assert!(matches!(
        fleet.create(fleet.spec(group, &[("hw", "os@2")])),
        Err(Refusal::UnknownGroup { .. })
    ));
}

#[test]
fn a_rollout_that_affects_nobody_is_refused() {
    let mut fleet = Fleet::default();
    fleet.robot("other", &[ecu("main", "else", true)]);
    fleet.image("os@2", &["hw"]);
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    assert!(fleet.state.preview(&spec).is_ok(), "the preview shows why");
    assert_eq!(
        fleet.create(spec),
        Err(Refusal::AffectsNobody { skipped: 1 })
    );
}

#[test]
fn x1_a19_a_launched_rollout_is_neither_edited_nor_deleted_nor_launched_again() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    let id = fleet.rollout(1);
    let edit = Box::new(RolloutEdit {
        target: Some(TargetSelection::Hardware(HardwareId::new("hw").unwrap())),
        ..RolloutEdit::default()
    });
    assert_eq!(
        fleet.command(Command::EditRollout { rollout: id, edit }),
        Err(Refusal::FixedAtLaunch { id, what: "target" })
    );
    for command in [
        Command::DeleteRollout { rollout: id },
        Command::LaunchRollout {
            rollout: id,
            accept_drift: true,
        },
    ] {
        assert!(matches!(
            fleet.command(command),
            Err(Refusal::NotPrepared { .. })
        ));
    }
}

#[test]
fn x1_a17_a_prepared_rollout_can_be_edited_unless_it_is_immutable() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    fleet.image("os@2", &["hw"]);
    let mut spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    let id = fleet.create(spec.clone()).unwrap();
    let edit = |revision| Command::EditRollout {
        rollout: id,
        edit: Box::new(RolloutEdit {
            revision: Some(revision),
            max_in_progress: Some(7),
            ..RolloutEdit::default()
        }),
    };
    fleet.command(edit(1)).unwrap();
    let rollout = fleet.state.rollout(id).unwrap();
    assert_eq!(
        (rollout.revision, rollout.mechanism.max_in_progress),
        (2, 7)
    );
    assert!(matches!(
        fleet.command(edit(1)),
        Err(Refusal::OtherRevision {
            current: 2,
            found: 1,
            ..
        })
    ));
    spec.mechanism.immutable_on_create = true;
    let id = fleet.create(spec).unwrap();
    assert_eq!(
        fleet.command(Command::DeleteRollout { rollout: id }),
        Err(Refusal::Immutable { id })
    );
}

#[test]
fn x4_launch_shows_the_drift_since_the_preview_and_asks() {
    let mut fleet = Fleet::default();
    fleet.robots(2);
    fleet.image("os@2", &["hw"]);
    let id = fleet
        .create(fleet.spec(
            TargetSelection::Hardware(HardwareId::new("hw").unwrap()),
            &[("hw", "os@2")],
        ))
        .unwrap();
    fleet.robot("late", &[ecu("main", "hw", true)]);
    fleet
        .command(Command::RemoveRobot {
            robot: RobotId::new("r1").unwrap(),
        })
        .unwrap();
    let changed = fleet.state.robot_key("r2").unwrap();
    fleet.online(changed);
    assert_eq!(
        fleet.launch(id),
        Err(Refusal::Drifted {
            id,
            joined: 1,
            left: 1,
            changed: 1
        })
    );
    fleet
        .command(Command::LaunchRollout {
            rollout: id,
            accept_drift: true,
        })
        .unwrap();
    assert_eq!(fleet.state.rollout(id).unwrap().counts.robots, 2);
}

#[test]
fn x6_e16_an_ecu_that_runs_the_image_already_counts_as_success_and_gets_nothing() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online_with(robot, 1, "2");
    let id = fleet.rollout(1);
    assert_eq!(fleet.requests(), []);
    let current = TargetState::Succeeded {
        how: SuccessKind::AlreadyCurrent,
    };
    assert_eq!(fleet.target_state(id, robot), current);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
}

#[test]
fn x20_the_newest_launch_takes_over_what_was_not_told_yet() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let older = fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    fleet.image("os@3", &["hw"]);
    let spec = fleet.spec(fleet.all(), &[("hw", "os@3")]);
    let conflicts = fleet.state.preview(&spec).unwrap().1.conflicts;
    assert_eq!(
        conflicts,
        [Conflict {
            rollout: older,
            superseded: 1,
            in_progress: 1
        }]
    );
    let newer = fleet.create(spec).unwrap();
    fleet.launch(newer).unwrap();
    assert_eq!(
        fleet.target_state(older, robots[1]),
        TargetState::Superseded { by: newer }
    );
    let told = fleet.requests();
    assert_eq!(
        told.len(),
        1,
        "the robot that is busy with the older rollout waits"
    );
    assert_eq!(told[0].0, robots[1]);
    let why = fleet.state.why(newer, robots[0]).unwrap();
    assert_eq!(why[0].waits_for, Some(WaitReason::Busy { rollout: older }));
    fleet.install(robots[0], "main", operation);
    assert!(fleet.outcome(older).is_some());
    assert_eq!(fleet.requests().len(), 1, "then it is told");
}

#[test]
fn the_cap_holds_and_a_free_slot_goes_to_the_next_robot() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(5);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.rollout(2);
    let first = fleet.requests();
    assert_eq!(first.len(), 2);
    assert_eq!(fleet.state.rollout(id).unwrap().counts.in_progress, 2);
    fleet.install(first[0].0, "main", first[0].2);
    assert_eq!(fleet.requests().len(), 1);
    assert_eq!(fleet.state.rollout(id).unwrap().counts.in_progress, 2);
    fleet
        .fail(first[1].0, "main", first[1].2, EventCode::Refused)
        .unwrap();
    assert_eq!(fleet.requests().len(), 1, "a failure frees its slot too");
}

#[test]
fn e13_an_offline_robot_waits_and_is_told_when_it_comes() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.rollout(1);
    fleet.pass(60 * MINUTE);
    assert_eq!(fleet.target_state(id, robot), TargetState::Pending);
    assert_eq!(
        fleet.state.why(id, robot).unwrap()[0].waits_for,
        Some(WaitReason::Offline { fails: None })
    );
    fleet.online(robot);
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn x3_the_deadline_expires_what_was_never_tried_and_completes_the_rollout() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    fleet.online(robots[0]);
    let id = fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    fleet.install(robots[0], "main", operation);
    fleet.pass(31 * 24 * 60 * MINUTE);
    assert_eq!(fleet.target_state(id, robots[1]), TargetState::Expired);
    assert_eq!(fleet.outcome(id), Some(Completion::Expired));
    fleet.online(robots[1]);
    assert_eq!(fleet.requests(), [], "a completed rollout tells nobody");
}

#[test]
fn a_removed_robot_is_cancelled_and_its_slot_is_freed() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.rollout(1);
    assert_eq!(fleet.requests()[0].0, robots[0]);
    fleet
        .command(Command::RemoveRobot {
            robot: RobotId::new("r1").unwrap(),
        })
        .unwrap();
    assert_eq!(
        fleet.target_state(id, robots[0]),
        TargetState::Cancelled {
            reason: CancelReason::RobotRemoved
        }
    );
    assert!(
        fleet
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Disconnect { .. }))
    );
    assert_eq!(fleet.requests()[0].0, robots[1]);
    let again = fleet.robots(1)[0];
    assert_ne!(
        again, robots[0],
        "a robot of the same name is another robot"
    );
}

#[test]
fn a3_robots_that_leave_the_group_or_lose_it_stay_in_the_rollout() {
    let mut fleet = Fleet::default();
    fleet.robots(2);
    let group = GroupName::new("g").unwrap();
    let robots = vec![RobotId::new("r1").unwrap()];
    fleet
        .command(Command::AddGroup {
            name: group.clone(),
            robots,
        })
        .unwrap();
    fleet.image("os@2", &["hw"]);
    let id = fleet
        .create(fleet.spec(TargetSelection::Group(group.clone()), &[("hw", "os@2")]))
        .unwrap();
    fleet.launch(id).unwrap();
    fleet.command(Command::RemoveGroup { name: group }).unwrap();
    assert_eq!(fleet.state.rollout(id).unwrap().counts.open_robots, 1);
}

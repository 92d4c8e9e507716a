//! Dynamic rollouts: late joiners (requirements X4, X20, A5).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::device::{start, version};
use fleet::{Fleet, ecu, part_number, reported};
use rollcall_engine::*;

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn add_to(fleet: &mut Fleet, name: &str, robots: &[&str]) {
    let robots = robots.iter().map(|id| RobotId::new(id).unwrap()).collect();
    let name = group(name);
    fleet.command(Command::AddGroup { name, robots }).unwrap();
}

fn selected(text: &str) -> TargetSelection {
    TargetSelection::Selector(text.parse().unwrap())
}

fn tag(fleet: &mut Fleet, robot: &str, word: &str) {
    let edit = RobotEdit {
        add_tags: [Tag::new(word).unwrap()].into(),
        ..RobotEdit::default()
    };
    let robot = RobotId::new(robot).unwrap();
    fleet.command(Command::EditRobot { robot, edit }).unwrap();
}

fn launch(
    fleet: &mut Fleet,
    target: TargetSelection,
    change: impl Fn(&mut Mechanism),
) -> RolloutId {
    if fleet.state.image_key(&"os@2".parse().unwrap()).is_none() {
        fleet.image("os@2", &["hw"]);
    }
    let mut spec = fleet.spec(target, &[("hw", "os@2")]);
    spec.mechanism.dynamic = true;
    change(&mut spec.mechanism);
    let id = fleet.create(spec).unwrap();
    fleet.launch(id).unwrap();
    id
}

fn is_in(fleet: &Fleet, id: RolloutId, robot: RobotKey) -> bool {
    let rollout = fleet.state.rollout(id).unwrap();
    rollout
        .members
        .get(&robot)
        .is_some_and(|member| member.skipped.is_none())
}

/// `r1` is in the group `g`, `r2` is not.
fn of_group(change: impl Fn(&mut Mechanism)) -> (Fleet, RolloutId, [RobotKey; 2]) {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    add_to(&mut fleet, "g", &["r1"]);
    let id = launch(&mut fleet, TargetSelection::Group(group("g")), change);
    (fleet, id, [robots[0], robots[1]])
}

#[test]
fn who_is_put_into_the_group_joins_and_is_told() {
    let (mut fleet, id, [_, late]) = of_group(|_| {});
    fleet.online(late);
    assert_eq!(fleet.requests(), []);
    add_to(&mut fleet, "g", &["r2"]);
    let requests = fleet.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].0, late);
    let rollout = fleet.state.rollout(id).unwrap();
    assert_eq!(
        (
            rollout.counts.robots,
            rollout.affected(),
            rollout.counts.targets
        ),
        (2, 2, 2)
    );
    assert_eq!(fleet.state.robot(late).unwrap().open, [id]);
    add_to(&mut fleet, "g", &["r2", "r1"]);
    assert_eq!(
        fleet.state.rollout(id).unwrap().counts.robots,
        2,
        "nobody joins twice"
    );
    assert_eq!(fleet.requests(), []);
}

#[test]
fn a_rollout_that_is_not_dynamic_keeps_its_snapshot() {
    let (mut fleet, id, [_, late]) = of_group(|mechanism| mechanism.dynamic = false);
    add_to(&mut fleet, "g", &["r2"]);
    assert!(!is_in(&fleet, id, late));
}

#[test]
fn who_leaves_the_group_stays_in_the_rollout() {
    let (mut fleet, id, [first, _]) = of_group(|_| {});
    let name = group("g");
    fleet.command(Command::RemoveGroup { name }).unwrap();
    fleet.online(first);
    assert_eq!(fleet.requests().len(), 1);
    // And a group of that name is the target again.
    add_to(&mut fleet, "g", &["r2"]);
    assert_eq!(fleet.state.rollout(id).unwrap().counts.robots, 2);
}

#[test]
fn a_new_robot_of_the_hardware_id_joins_at_its_registration() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    let target = TargetSelection::Hardware(fleet::hw("hw"));
    let id = launch(&mut fleet, target, |_| {});
    let other = fleet.robot("other", &[ecu("main", "hw2", true)]);
    let late = fleet.robot("late", &[ecu("main", "hw", true)]);
    assert!(is_in(&fleet, id, late));
    assert!(!is_in(&fleet, id, other));
}

/// A5: a list names exactly its robots; one that is registered anew under the same id is another robot.
#[test]
fn nobody_joins_a_list() {
    let mut fleet = Fleet::default();
    fleet.robots(2);
    let target = fleet.all();
    let id = launch(&mut fleet, target, |_| {});
    let robot = RobotId::new("r2").unwrap();
    fleet.command(Command::RemoveRobot { robot }).unwrap();
    let anew = fleet.robot("r2", &[ecu("main", "hw", true)]);
    assert!(!is_in(&fleet, id, anew));
}

#[test]
fn a_tag_or_a_label_brings_a_robot_in() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(3);
    tag(&mut fleet, "r1", "canary");
    let id = launch(
        &mut fleet,
        selected(r#""canary" in tags or label["site"] == "kiel""#),
        |_| {},
    );
    tag(&mut fleet, "r2", "canary");
    assert!(is_in(&fleet, id, robots[1]));
    let edit = RobotEdit {
        set_labels: [("site".to_owned(), "kiel".to_owned())].into(),
        ..RobotEdit::default()
    };
    let robot = RobotId::new("r3").unwrap();
    fleet.command(Command::EditRobot { robot, edit }).unwrap();
    assert!(is_in(&fleet, id, robots[2]));
}

#[test]
fn another_selector_of_the_group_brings_in_whom_it_means() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    tag(&mut fleet, "r1", "a");
    tag(&mut fleet, "r2", "b");
    let name = group("s");
    let selector = r#""a" in tags"#.parse().unwrap();
    fleet
        .command(Command::AddSelectorGroup { name, selector })
        .unwrap();
    let id = launch(&mut fleet, TargetSelection::Group(group("s")), |_| {});
    let name = group("s");
    let selector = r#""b" in tags"#.parse().unwrap();
    fleet
        .command(Command::EditGroup { name, selector })
        .unwrap();
    assert!(is_in(&fleet, id, robots[1]));
    assert!(is_in(&fleet, id, robots[0]), "nobody leaves");
}

/// A half report is no report: the robot is judged when all of its ECUs have spoken, and then at once.
#[test]
fn what_a_robot_reports_counts_when_its_reports_are_complete() {
    let mut fleet = Fleet::default();
    let first = fleet.robots(1)[0];
    fleet.online_with(first, 1, "1");
    let late = fleet.robot("late", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
    let id = launch(&mut fleet, selected(r#"version == "1""#), |_| {});
    fleet.requests();
    fleet.connect(late);
    fleet.manifest(late, 1).unwrap();
    fleet.base_image(late, "main", reported("1")).unwrap();
    assert!(!is_in(&fleet, id, late), "its arm has yet to speak");
    fleet.base_image(late, "arm", reported("1")).unwrap();
    assert!(is_in(&fleet, id, late));
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn who_was_skipped_joins_when_there_is_something_to_do_at_last() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    let device = fleet.robot("device", &[]);
    add_to(&mut fleet, "g", &["r1", "device"]);
    let id = launch(&mut fleet, TargetSelection::Group(group("g")), |_| {});
    let counts = |fleet: &Fleet| {
        let counts = fleet.state.rollout(id).unwrap().counts;
        (counts.robots, counts.skipped_robots, counts.open_robots)
    };
    assert_eq!(counts(&fleet), (2, 1, 1));
    start(&mut fleet, device, vec![version("1"), part_number("hw")]);
    assert!(!is_in(&fleet, id, device), "its window is open");
    fleet.pass(10 * SECOND);
    assert!(is_in(&fleet, id, device));
    assert_eq!(counts(&fleet), (2, 0, 2));
    assert_eq!(fleet.state.robot(device).unwrap().open, [id]);
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn who_is_accepted_joins_with_the_new_board() {
    let mut fleet = Fleet::default();
    fleet.robots(1);
    let late = fleet.robot("late", &[ecu("main", "old", true)]);
    let id = launch(
        &mut fleet,
        TargetSelection::Hardware(fleet::hw("hw")),
        |_| {},
    );
    fleet.connect(late);
    let ecus = vec![ecu("main", "hw", true)];
    let manifest = Report::Manifest {
        boot: 1,
        wants_ack: false,
        ecus,
    };
    fleet.report(late, manifest).unwrap();
    assert!(!is_in(&fleet, id, late));
    fleet.base_image(late, "main", reported("1")).unwrap();
    let robot = RobotId::new("late").unwrap();
    fleet.command(Command::AcceptDeclared { robot }).unwrap();
    assert!(is_in(&fleet, id, late));
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn who_comes_while_it_is_paused_joins_and_waits() {
    let (mut fleet, id, [_, late]) = of_group(|_| {});
    fleet.online(late);
    fleet
        .command(Command::PauseRollout { rollout: id })
        .unwrap();
    add_to(&mut fleet, "g", &["r2"]);
    let why = &fleet.state.why(id, late).unwrap()[0];
    assert_eq!(
        why.waits_for,
        Some(WaitReason::Paused(PauseReason::Operator))
    );
    assert_eq!(fleet.requests(), []);
    fleet
        .command(Command::ResumeRollout { rollout: id })
        .unwrap();
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn who_comes_while_it_is_stopped_joins_at_the_resume() {
    let (mut fleet, id, [_, late]) = of_group(|_| {});
    fleet.command(Command::StopRollout { rollout: id }).unwrap();
    add_to(&mut fleet, "g", &["r2"]);
    assert!(!is_in(&fleet, id, late));
    fleet
        .command(Command::ResumeRollout { rollout: id })
        .unwrap();
    assert!(is_in(&fleet, id, late));
}

#[test]
fn nobody_joins_a_rollout_that_ends() {
    let (mut fleet, id, [first, late]) = of_group(|_| {});
    fleet.online(first);
    let operation = fleet.requests()[0].2;
    fleet
        .event(first, "main", operation, EventStatus::Deploying)
        .unwrap();
    fleet
        .command(Command::CancelRollout { rollout: id })
        .unwrap();
    assert_eq!(fleet.outcome(id), None, "one robot writes");
    add_to(&mut fleet, "g", &["r2"]);
    assert!(!is_in(&fleet, id, late));
    fleet.install(first, "main", operation);
    assert_eq!(fleet.outcome(id), Some(Completion::Cancelled));
}

/// When all are done it waits for more; at its deadline it succeeds if all that joined did.
#[test]
fn it_stays_launched_until_its_deadline_and_succeeds_then() {
    let (mut fleet, id, [first, late]) = of_group(|mechanism| mechanism.deadline = DAY);
    fleet.online(first);
    let operation = fleet.requests()[0].2;
    fleet.install(first, "main", operation);
    assert_eq!(fleet.outcome(id), None);
    fleet.pass(DAY / 2);
    fleet.online(late);
    add_to(&mut fleet, "g", &["r2"]);
    let operation = fleet.requests()[0].2;
    fleet.install(late, "main", operation);
    assert_eq!(fleet.outcome(id), None);
    fleet.pass(DAY / 2);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
    let robots = fleet.robot("r3", &[ecu("main", "hw", true)]);
    add_to(&mut fleet, "g", &["r3"]);
    assert!(!is_in(&fleet, id, robots), "nobody joins what is completed");
}

#[test]
fn a_threshold_still_ends_it() {
    let (mut fleet, id, [first, _]) = of_group(|mechanism| {
        mechanism.max_failure_percentage = Some(Percent::hundredths(0).unwrap());
    });
    fleet.online(first);
    let operation = fleet.requests()[0].2;
    fleet
        .fail(first, "main", operation, EventCode::InternalError)
        .unwrap();
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
}

/// The denominator grows: the same failures may be few later.
#[test]
fn joiners_count_in_percentages() {
    let (mut fleet, id, [first, late]) = of_group(|mechanism| {
        mechanism.max_failure_percentage = Some(Percent::hundredths(5_000).unwrap());
    });
    add_to(&mut fleet, "g", &["r2"]);
    fleet.online(first);
    let operation = fleet.requests()[0].2;
    fleet
        .fail(first, "main", operation, EventCode::InternalError)
        .unwrap();
    assert_eq!(
        fleet.outcome(id),
        None,
        "half of two is not exceeded by one"
    );
    fleet.online(late);
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn joiners_are_in_the_last_phase() {
    let phase = |size| Phase {
        size,
        success_threshold: Percent::ALL,
        soak: 0,
        approval: false,
        error_threshold: None,
        on_error: ThresholdAction::Pause,
    };
    let (mut fleet, id, [first, late]) = of_group(|mechanism| {
        mechanism.phases = vec![phase(PhaseSize::Robots(1)), phase(PhaseSize::Rest)];
    });
    fleet.online(late);
    add_to(&mut fleet, "g", &["r2"]);
    assert_eq!(fleet.state.rollout(id).unwrap().members[&late].phase, 1);
    assert_eq!(fleet.requests(), [], "the first phase is not done");
    fleet.online(first);
    let operation = fleet.requests()[0].2;
    fleet.install(first, "main", operation);
    assert_eq!(fleet.requests()[0].0, late);
    let tally = &fleet.state.rollout(id).unwrap().tally;
    assert_eq!(tally.phases[1].robots, 1);
}

/// X20: by the order of the launches, not of the joining.
mod supersedes {
    use super::*;

    #[test]
    fn a_rollout_launched_before_it() {
        let mut fleet = Fleet::default();
        let robots = fleet.robots(2);
        let older = fleet.rollout(1);
        add_to(&mut fleet, "g", &["r1"]);
        let id = launch(&mut fleet, TargetSelection::Group(group("g")), |_| {});
        assert_eq!(fleet.target_state(older, robots[1]), TargetState::Pending);
        add_to(&mut fleet, "g", &["r2"]);
        let by = id;
        assert_eq!(
            fleet.target_state(older, robots[1]),
            TargetState::Superseded { by }
        );
        assert_eq!(fleet.target_state(id, robots[1]), TargetState::Pending);
    }

    #[test]
    fn nothing_of_a_rollout_launched_after_it_even_when_that_is_done() {
        for done in [false, true] {
            let (mut fleet, id, [_, late]) = of_group(|_| {});
            fleet.pass(1);
            let target = TargetSelection::Robots(vec![RobotId::new("r2").unwrap()]);
            fleet.image("os@3", &["hw"]);
            let spec = fleet.spec(target, &[("hw", "os@3")]);
            let newer = fleet.create(spec).unwrap();
            fleet.launch(newer).unwrap();
            if done {
                fleet.online_with(late, 1, "3");
                assert_eq!(fleet.outcome(newer), Some(Completion::Success));
            }
            add_to(&mut fleet, "g", &["r2"]);
            let by = newer;
            assert_eq!(fleet.target_state(id, late), TargetState::Superseded { by });
            assert_eq!(fleet.requests(), []);
            let rollout = fleet.state.rollout(id).unwrap();
            assert_eq!(
                (rollout.counts.superseded, rollout.counts.open_robots),
                (1, 1)
            );
        }
    }

    #[test]
    fn the_older_of_two_dynamic_rollouts_that_a_robot_joins_at_once() {
        let (mut fleet, older, [_, late]) = of_group(|_| {});
        fleet.pass(1);
        let newer = launch(&mut fleet, TargetSelection::Group(group("g")), |_| {});
        fleet.online(late);
        add_to(&mut fleet, "g", &["r2"]);
        let by = newer;
        assert_eq!(
            fleet.target_state(older, late),
            TargetState::Superseded { by }
        );
        assert_eq!(fleet.requests().len(), 1);
        assert_eq!(fleet.target_state(newer, late), TargetState::Requested);
    }
}

/// History replays inputs, so an input that lets somebody join must not say that there is nothing to record.
#[test]
fn an_input_that_brings_somebody_in_is_recorded() {
    let (mut fleet, id, [_, late]) = of_group(|_| {});
    // The robot's window is open when it gets into the group; the timer that ends it has nothing else to do.
    fleet.connect(late);
    fleet.manifest(late, 1).unwrap();
    add_to(&mut fleet, "g", &["r2"]);
    assert!(!is_in(&fleet, id, late));
    let (at, timer) = fleet.state.next_timer().unwrap();
    fleet.now = at.0;
    let reply = fleet.apply(Input::Due(timer)).unwrap();
    assert!(is_in(&fleet, id, late));
    assert_eq!(reply, Reply::Done);
}

//! Corners that the fleet simulation has found.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;

fn rebuilt(state: &State) -> State {
    let stored = |robot: &Robot| Robot {
        memberships: Vec::new(),
        active: None,
        timer: None,
        ..robot.clone()
    };
    State::rebuild(
        state.now(),
        state.counters(),
        state.robots(None).map(stored),
        state.groups().cloned(),
        state.images().cloned(),
        state.rollouts().cloned(),
    )
}

#[test]
fn a28_a_restart_does_not_change_which_rollout_is_the_newest() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    fleet.image("os@2", &["hw"]);
    let spec = fleet.spec(fleet.all(), &[("hw", "os@2")]);
    let launched_last = fleet.create(spec.clone()).unwrap();
    let launched_first = fleet.create(spec).unwrap();
    fleet.launch(launched_first).unwrap();
    let operation = fleet.requests()[0].2;
    fleet
        .fail(robot, "main", operation, EventCode::IoError)
        .unwrap();
    fleet.pass(1);
    fleet.launch(launched_last).unwrap();
    let operation = fleet.requests()[0].2;
    fleet.install(robot, "main", operation);
    let after = rebuilt(&fleet.state);
    for state in [&fleet.state, &after] {
        let robot = state.robot(robot).unwrap();
        assert_eq!(robot.memberships, [launched_first, launched_last]);
        assert_eq!(state.robot_status(robot), RobotStatus::Updated);
    }
}

#[test]
fn nothing_is_acknowledged_while_the_first_event_is_missing() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    fleet
        .report(
            robot,
            Report::Manifest {
                boot: 2,
                wants_ack: true,
                ecus: vec![ecu("main", "hw", true)],
            },
        )
        .unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    let mut event = fleet.event_of(robot, "main", operation, EventStatus::Downloading);
    event.stamp = Some(Stamp {
        boot: 2,
        counter: 2,
    });
    fleet.report(robot, Report::Event(event.clone())).unwrap();
    assert_eq!(
        fleet.effects,
        [],
        "an acknowledgement of counter 0 says nothing and cannot be encoded"
    );
    event.stamp = Some(Stamp {
        boot: 2,
        counter: 1,
    });
    fleet.report(robot, Report::Event(event)).unwrap();
    assert!(matches!(
        fleet.effects[..],
        [Effect::Acknowledge {
            boot: 2,
            counter: 2,
            ..
        }]
    ));
}

#[test]
fn a_resend_that_was_answered_within_its_batch_is_no_longer_wanted() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("arm", "hw", false)]);
    fleet.online(robot);
    fleet.rollout(1);
    let operation = fleet.requests()[0].2;
    fleet.disconnect(robot);
    // The robot returns: its image makes the server send again, and its next words are the answer.
    fleet.online(robot);
    let resend = fleet.effects.pop().unwrap();
    let Effect::Request(resend) = resend else {
        panic!("{resend:?}")
    };
    assert_eq!(resend.operation, operation);
    assert!(fleet.state.is_wanted(&resend));
    fleet
        .fail(robot, "arm", operation, EventCode::Busy)
        .unwrap();
    assert_eq!(
        fleet.target(RolloutId(1), robot, 1).attempt,
        1,
        "main's turn"
    );
    assert!(!fleet.state.is_wanted(&resend), "arm's turn is over");
}

#[test]
fn a10_an_ecu_that_is_no_longer_compatible_gets_nothing() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.rollout(1);
    // No command changes a registration; a database that another release has written may still say so.
    let mut other = fleet.state.robot(robot).unwrap().clone();
    (other.memberships, other.timer) = (Vec::new(), None);
    other.ecus[0].hardware_id = hw("other");
    fleet.state = State::rebuild(
        fleet.state.now(),
        fleet.state.counters(),
        [other],
        [],
        fleet.state.images().cloned().collect::<Vec<_>>(),
        fleet.state.rollouts().cloned().collect::<Vec<_>>(),
    );
    fleet.online(robot);
    assert_eq!(fleet.requests(), []);
    let reason = FailureReason::IncompatibleHardware;
    assert_eq!(
        fleet.target_state(id, robot),
        TargetState::Failed { reason }
    );
}

#[test]
fn an_edit_is_read_back_as_it_was_written() {
    // The history keeps commands as JSON: an edit that leaves the rate must not be replayed as one that removes it.
    for rate in [None, Some(None)] {
        let edit = RolloutEdit {
            rate,
            ..RolloutEdit::default()
        };
        let written = serde_json::to_string(&edit).unwrap();
        let read: RolloutEdit = serde_json::from_str(&written).unwrap();
        assert_eq!(read, edit, "{written}");
    }
}

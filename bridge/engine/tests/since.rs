//! `why` says since when the gate holds that it names, and until when (issue 4, `why`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::pace::*;
use fleet::*;
use rollcall_engine::*;

/// Since when the robot's first ECU waits for what it waits for.
fn since(fleet: &Fleet, id: RolloutId, robot: RobotKey) -> u64 {
    let why = &fleet.state.why(id, robot).unwrap()[0];
    assert!(why.waits_for.is_some(), "{why:?}");
    why.waits_since.unwrap().0
}

fn patient() -> Mechanism {
    Mechanism {
        max_in_progress: 10,
        request_timeout: 10 * DAY,
        ..Mechanism::default()
    }
}

#[test]
fn a_pause_and_a_stop_hold_since_they_began_and_offline_since_the_robot_left() {
    let mut fleet = at_noon();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    fleet.disconnect(robot);
    fleet.pass(HOUR);
    let id = fleet.prepared(patient()).unwrap();
    let created = fleet.now;
    fleet.pass(MINUTE);
    assert_eq!(since(&fleet, id, robot), created, "launch");
    fleet.launch(id).unwrap();
    let launched = fleet.now;
    assert_eq!(since(&fleet, id, robot), launched, "it did not wait before");
    fleet.pass(MINUTE);
    fleet.pause(id).unwrap();
    let paused = fleet.now;
    fleet.pass(MINUTE);
    assert_eq!(since(&fleet, id, robot), paused);
    fleet.stop(id).unwrap();
    let stopped = fleet.now;
    fleet.pass(MINUTE);
    assert_eq!(since(&fleet, id, robot), stopped);
    fleet.resume(id).unwrap();
    assert_eq!(since(&fleet, id, robot), launched, "offline since before");
    fleet.pass(MINUTE);
    let connection = fleet.connect(robot);
    let came = fleet.now;
    fleet.pass(SECOND);
    assert_eq!(since(&fleet, id, robot), came, "introduction");
    fleet.manifest(robot, 2).unwrap();
    let introduced = fleet.now;
    fleet.pass(SECOND);
    assert_eq!(since(&fleet, id, robot), introduced);
    fleet
        .apply(Input::Link {
            robot,
            event: LinkEvent::Unsubscribed { connection },
        })
        .unwrap();
    assert_eq!(since(&fleet, id, robot), came, "not subscribed");
    fleet.disconnect(robot);
    let left = fleet.now;
    fleet.pass(MINUTE);
    assert_eq!(since(&fleet, id, robot), left);
}

#[test]
fn a_phase_is_waited_for_since_the_one_before_opened_then_since_it_soaks() {
    let (mut fleet, robots) = connected(2);
    let mut first = Phase::new(PhaseSize::Robots(1));
    first.soak = HOUR;
    let mut mechanism = patient();
    mechanism.phases = vec![first, Phase::new(PhaseSize::Rest)];
    let id = fleet.launched(mechanism);
    let launched = fleet.now;
    let (told, _, operation) = fleet.requests().remove(0);
    let other = robots.into_iter().find(|robot| *robot != told).unwrap();
    fleet.pass(MINUTE);
    assert_eq!(since(&fleet, id, other), launched);
    fleet.install(told, "main", operation);
    let passed = fleet.now;
    fleet.pass(MINUTE);
    assert_eq!(since(&fleet, id, other), passed);
}

#[test]
fn a_rate_is_waited_for_since_the_newest_start_however_the_rate_grows() {
    let (mut fleet, _) = connected(4);
    let mut mechanism = patient();
    mechanism.rate = Some(Rate {
        per_minute: 1,
        growth: Some(Growth {
            factor: Factor::tenths(20),
            every: 1,
            counting: Counting::Told,
            max_per_minute: 4,
        }),
    });
    let id = fleet.launched(mechanism);
    let told = fleet.told();
    let last = |fleet: &Fleet| {
        let robots = fleet.state.robots(None);
        let waits = |robot: &&Robot| fleet.target_state(id, robot.key) == TargetState::Pending;
        robots.filter(waits).last().unwrap().key
    };
    assert_eq!(told.len(), 1);
    assert_eq!(since(&fleet, id, last(&fleet)), NOON);
    fleet.pass(MINUTE);
    assert_eq!(fleet.told().len(), 1);
    let second = fleet.now;
    fleet.pass(SECOND);
    assert_eq!(since(&fleet, id, last(&fleet)), second);
    let course = &fleet.state.rollout(id).unwrap().course;
    assert_eq!(course.newest_start, Some(Timestamp(second)));
}

#[test]
fn a_window_is_waited_for_since_the_last_one_closed_after_a_restart_too() {
    let mut fleet = at_noon();
    let robot = fleet.robots(1)[0];
    let mut mechanism = patient();
    let hourly = r#"{"windows": [{"opens": "0 * * * *", "minutes": 10}]}"#;
    mechanism.windows = Some(serde_json::from_str(hourly).unwrap());
    fleet.pass(30 * MINUTE);
    let id = fleet.launched(mechanism);
    let launched = fleet.now;
    fleet.pass(MINUTE);
    fleet.online(robot);
    assert_eq!(since(&fleet, id, robot), launched, "no window was missed");
    fleet.disconnect(robot);
    fleet.pass(2 * HOUR);
    fleet.online(robot);
    let closed = NOON + 2 * HOUR + 10 * MINUTE;
    assert_eq!(since(&fleet, id, robot), closed);
    fleet.restart(MINUTE);
    fleet.online_with(robot, 2, "1");
    assert_eq!(since(&fleet, id, robot), closed);
}

#[test]
fn a_slot_is_waited_for_since_nothing_else_was_and_a_retry_since_the_failure() {
    let mut fleet = at_noon();
    let robots = fleet.robots(2);
    fleet.online(robots[0]);
    let mut mechanism = patient();
    mechanism.max_in_progress = 1;
    mechanism.retries = vec![Retry::new(FailureClass::Network, 1)];
    let id = fleet.launched(mechanism);
    let (_, _, operation) = fleet.requests().remove(0);
    fleet.pass(MINUTE);
    fleet.online(robots[1]);
    let came = fleet.now;
    fleet.pass(SECOND);
    assert_eq!(since(&fleet, id, robots[1]), came, "slot");
    let code = EventCode::NetworkError;
    fleet.fail(robots[0], "main", operation, code).unwrap();
    let failed = fleet.now;
    fleet.pass(SECOND);
    assert_eq!(since(&fleet, id, robots[0]), failed);
}

#[test]
fn a_busy_robot_is_waited_for_since_its_operation_began() {
    let (mut fleet, robots) = connected(1);
    let old = fleet.launched(patient());
    let began = fleet.now;
    let (robot, _, operation) = fleet.requests().remove(0);
    fleet.image("os@3", &["hw"]);
    let spec = fleet.spec(fleet.all(), &[("hw", "os@3")]);
    fleet.pass(MINUTE);
    let id = fleet.create(spec).unwrap();
    fleet.launch(id).unwrap();
    let launched = fleet.now;
    fleet.pass(MINUTE);
    let event = EventStatus::Acknowledged;
    fleet.event(robot, "main", operation, event).unwrap();
    assert_eq!(
        fleet.waits_for(id, robots[0]),
        Some(WaitReason::Busy { rollout: old })
    );
    assert_eq!(since(&fleet, id, robots[0]), launched);
    let active = fleet.state.robot(robot).unwrap().active_since;
    assert_eq!(active.0, began, "a step of the operation is no beginning");
}

#[test]
fn from_its_deadline_on_a_rollout_is_what_is_waited_for_though_its_timer_comes_late() {
    let mut fleet = at_noon();
    let robot = fleet.robots(1)[0];
    let mut mechanism = patient();
    mechanism.deadline = HOUR;
    let id = fleet.launched(mechanism);
    fleet.now += HOUR;
    fleet.online(robot);
    assert_eq!(fleet.told(), []);
    assert_eq!(fleet.waits_for(id, robot), Some(WaitReason::Deadline));
    assert_eq!(since(&fleet, id, robot), NOON + HOUR);
    let why = &fleet.state.why(id, robot).unwrap()[0];
    assert_eq!(why.until, Some(Timestamp(NOON + HOUR)));
    assert_eq!(why.then, "expires at once");
    fleet.pass(0);
    assert_eq!(fleet.target_state(id, robot), TargetState::Expired);
}

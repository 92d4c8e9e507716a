//! Bursts: one input tells [`BURST`] robots at most, and the rollout's timer goes on at once. Whoever waits for something
//! else waits for one burst, not for a launch to the whole fleet.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::pace::*;
use fleet::*;
use rollcall_engine::*;

const ROBOTS: usize = 3 * BURST + 7;

fn wide(max_in_progress: usize) -> Mechanism {
    Mechanism {
        max_in_progress: u32::try_from(max_in_progress).unwrap(),
        ..Mechanism::default()
    }
}

/// Lets the next timer fire that is due now; whom it told, `None` if none is due.
fn burst(fleet: &mut Fleet) -> Option<Vec<RobotKey>> {
    let (_, timer) = fleet
        .state
        .next_timer()
        .filter(|(at, _)| at.0 <= fleet.now)?;
    fleet.apply(Input::Due(timer)).unwrap();
    Some(fleet.told())
}

#[test]
fn a_launch_goes_out_in_bursts_that_follow_at_once_and_leave_nobody_out() {
    let (mut fleet, robots) = connected(ROBOTS);
    fleet.launched(wide(ROBOTS));
    let mut told = fleet.told();
    assert_eq!(told.len(), BURST);
    while let Some(more) = burst(&mut fleet) {
        assert!((1..=BURST).contains(&more.len()), "{}", more.len());
        told.extend(more);
    }
    assert_eq!(told, robots, "everybody, in the order of registration");
}

#[test]
fn the_cap_holds_across_bursts_and_a_free_slot_starts_no_second_round() {
    let cap = BURST + 10;
    let (mut fleet, robots) = connected(ROBOTS);
    let id = fleet.launched(wide(cap));
    assert_eq!(fleet.told().len(), BURST);
    assert_eq!(burst(&mut fleet).unwrap().len(), 10);
    assert_eq!(burst(&mut fleet), None, "no timer fires for nothing");
    let slot = fleet.waits_for(id, robots[cap]);
    assert!(matches!(slot, Some(WaitReason::Slot { .. })), "{slot:?}");
}

#[test]
fn a_pause_between_two_bursts_holds_and_a_resume_goes_on() {
    let (mut fleet, _) = connected(ROBOTS);
    let id = fleet.launched(wide(ROBOTS));
    assert_eq!(fleet.told().len(), BURST);
    fleet.pause(id).unwrap();
    while let Some(more) = burst(&mut fleet) {
        assert_eq!(more, []);
    }
    assert_eq!(fleet.told(), []);
    fleet.resume(id).unwrap();
    let mut told = fleet.told().len();
    assert_eq!(told, BURST);
    while let Some(more) = burst(&mut fleet) {
        told += more.len();
    }
    assert_eq!(told, ROBOTS - BURST);
}

#[test]
fn after_a_restart_between_two_bursts_nobody_is_told_twice_or_forgotten() {
    let (mut fleet, robots) = connected(ROBOTS);
    let id = fleet.launched(wide(ROBOTS));
    let first = fleet.told();
    fleet.restart(1_000);
    while let Some(more) = burst(&mut fleet) {
        assert_eq!(more, [], "nobody is connected");
    }
    for robot in &robots {
        fleet.online(*robot);
    }
    while burst(&mut fleet).is_some() {}
    let requested = |robot: &RobotKey| fleet.target(id, *robot, 0).attempt;
    assert!(robots.iter().all(|robot| requested(robot) == 1));
    assert_eq!(first.len(), BURST);
}

#[test]
fn who_waits_for_the_next_burst_is_said_to_be_next() {
    let (mut fleet, robots) = connected(BURST + 1);
    let id = fleet.launched(wide(ROBOTS));
    let why = fleet.state.why(id, robots[BURST]).unwrap().remove(0);
    assert_eq!(why.state, TargetState::Pending);
    assert_eq!(why.waits_for, Some(WaitReason::Turn));
    assert!(
        why.until.is_some(),
        "every wait has an end (standing rule 4)"
    );
    burst(&mut fleet).unwrap();
    assert_eq!(
        fleet.target_state(id, robots[BURST]),
        TargetState::Requested
    );
}

//! Scheduled start and end (issue 4, Time; X3, X4).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::pace::*;
use fleet::*;
use rollcall_engine::*;

fn scheduled(start: Option<u64>, end: Option<u64>) -> Mechanism {
    Mechanism {
        schedule: Schedule {
            start: start.map(Timestamp),
            end: end.map(Timestamp),
        },
        request_timeout: 10 * DAY,
        ..Mechanism::default()
    }
}

fn deadline(fleet: &Fleet, id: RolloutId) -> u64 {
    fleet.state.rollout(id).unwrap().deadline().unwrap().0
}

#[test]
fn a_rollout_launches_by_itself_at_its_start_and_not_before() {
    let (mut fleet, robots) = connected(1);
    let id = fleet.prepared(scheduled(Some(NOON + HOUR), None)).unwrap();
    let start = Some(Timestamp(NOON + HOUR));
    assert_eq!(
        fleet.waits_for(id, robots[0]),
        Some(WaitReason::Launch { start })
    );
    fleet.pass(HOUR - 1);
    assert_eq!(fleet.told(), []);
    fleet.pass(1);
    assert_eq!(fleet.told(), robots);
    assert_eq!(
        deadline(&fleet, id),
        NOON + HOUR + 30 * DAY,
        "from the launch on"
    );
}

#[test]
fn x4_a_start_takes_the_fleet_as_it_is_then() {
    let (mut fleet, robots) = connected(1);
    let mut spec = fleet.spec_with(scheduled(Some(NOON + HOUR), None));
    spec.target = TargetSelection::Hardware(hw("hw"));
    let id = fleet.create(spec).unwrap();
    let late = fleet.robot("late", &[ecu("main", "hw", true)]);
    fleet.online(late);
    fleet.pass(HOUR);
    assert_eq!(fleet.told(), [robots[0], late]);
    assert!(fleet.state.rollout(id).unwrap().preview.is_empty());
}

#[test]
fn a_start_that_could_not_be_kept_says_why_and_can_be_set_again() {
    let (mut fleet, robots) = connected(1);
    let id = fleet.prepared(scheduled(Some(NOON + HOUR), None)).unwrap();
    let gone = fleet.state.robot(robots[0]).unwrap().id.clone();
    fleet.command(Command::RemoveRobot { robot: gone }).unwrap();
    fleet.pass(2 * HOUR);
    let rollout = fleet.state.rollout(id).unwrap();
    assert_eq!(rollout.status, RolloutStatus::Prepared);
    assert_eq!(rollout.mechanism.schedule.start, None);
    assert!(rollout.missed_start.is_some());
    let robot = fleet.robot("r2", &[ecu("main", "hw", true)]);
    fleet.online(robot);
    let again = RolloutEdit {
        target: Some(TargetSelection::Hardware(hw("hw"))),
        mechanism: Some(scheduled(Some(NOON + 3 * HOUR), None)),
        ..RolloutEdit::default()
    };
    fleet.edit(id, again).unwrap();
    assert_eq!(fleet.state.rollout(id).unwrap().missed_start, None);
    fleet.pass(HOUR);
    assert_eq!(fleet.told(), [robot]);
}

#[test]
fn a_server_that_was_down_at_the_start_launches_when_it_is_back() {
    let (mut fleet, robots) = connected(1);
    let id = fleet.prepared(scheduled(Some(NOON + HOUR), None)).unwrap();
    fleet.restart(2 * HOUR);
    fleet.pass(0);
    assert!(matches!(fleet.status(id), RolloutStatus::Launched { .. }));
    fleet.online(robots[0]);
    assert_eq!(fleet.told(), robots);
    assert_eq!(deadline(&fleet, id), NOON + 2 * HOUR + 30 * DAY);
}

#[test]
fn a_server_that_was_down_from_the_start_to_the_end_launches_nothing() {
    let (mut fleet, _) = connected(1);
    let id = fleet
        .prepared(scheduled(Some(NOON + HOUR), Some(NOON + 2 * HOUR)))
        .unwrap();
    fleet.restart(3 * HOUR);
    fleet.pass(0);
    assert_eq!(fleet.status(id), RolloutStatus::Prepared);
    let missed = fleet
        .state
        .rollout(id)
        .unwrap()
        .missed_start
        .clone()
        .unwrap();
    assert_eq!(missed, "the end is in the past; give a later one");
}

#[test]
fn a_launch_after_the_end_is_refused() {
    let (mut fleet, _) = connected(1);
    let id = fleet.prepared(scheduled(None, Some(NOON + HOUR))).unwrap();
    fleet.pass(HOUR);
    assert_eq!(
        fleet.launch(id).unwrap_err(),
        Refusal::InThePast { what: "end" }
    );
}

#[test]
fn a_start_that_is_moved_or_taken_away_holds_no_more() {
    let (mut fleet, _) = connected(1);
    let id = fleet.prepared(scheduled(Some(NOON + HOUR), None)).unwrap();
    let to = |start| RolloutEdit {
        mechanism: Some(scheduled(start, None)),
        ..RolloutEdit::default()
    };
    fleet.edit(id, to(Some(NOON + 3 * HOUR))).unwrap();
    fleet.pass(2 * HOUR);
    assert_eq!(fleet.status(id), RolloutStatus::Prepared);
    fleet.edit(id, to(None)).unwrap();
    fleet.pass(2 * DAY);
    assert_eq!(fleet.status(id), RolloutStatus::Prepared);
    fleet.edit(id, to(Some(fleet.now + 1))).unwrap();
    fleet.pass(1);
    assert_eq!(fleet.told().len(), 1);
}

#[test]
fn times_in_the_past_and_too_far_ahead_are_refused() {
    let (mut fleet, _) = connected(1);
    for (start, end, code) in [
        (Some(NOON - 1), None, "in_the_past"),
        (None, Some(NOON), "in_the_past"),
        (Some(NOON + HOUR), Some(NOON + HOUR), "in_the_past"),
        (Some(NOON + 800 * DAY), None, "too_far_ahead"),
        (None, Some(u64::MAX), "too_far_ahead"),
    ] {
        let refusal = fleet.prepared(scheduled(start, end)).unwrap_err();
        assert_eq!(refusal.code(), code, "{start:?} {end:?}");
    }
}

#[test]
fn x3_at_the_end_what_is_open_expires_and_robots_that_may_stop_are_told_to() {
    let (mut fleet, robots) = connected(2);
    let offline = fleet.robot("off", &[ecu("main", "hw", true)]);
    let id = fleet.launched(scheduled(None, Some(NOON + HOUR)));
    assert_eq!(deadline(&fleet, id), NOON + HOUR);
    assert_eq!(fleet.told(), robots);
    fleet.pass(HOUR - 1);
    assert_eq!(fleet.outcome(id), None);
    fleet.pass(1);
    assert_eq!(fleet.outcome(id), Some(Completion::Expired));
    assert_eq!(fleet.target_state(id, offline), TargetState::Expired);
    let cancels = fleet.effects.iter().filter(
        |effect| matches!(effect, Effect::Request(request) if request.kind == RequestKind::Cancel),
    );
    assert_eq!(cancels.count(), 2);
}

#[test]
fn the_earlier_of_end_and_deadline_holds_after_edits_too() {
    let (mut fleet, _) = connected(1);
    let id = fleet.launched(scheduled(None, Some(NOON + DAY)));
    let to = |deadline| RolloutEdit {
        deadline: Some(deadline),
        ..RolloutEdit::default()
    };
    for (span, expected) in [(2 * DAY, DAY), (HOUR, HOUR), (90 * DAY, DAY)] {
        fleet.edit(id, to(span)).unwrap();
        assert_eq!(deadline(&fleet, id), NOON + expected);
    }
}

#[test]
fn downtime_prolongs_a_deadline_but_an_end_is_a_time_on_the_clock() {
    let both = Mechanism {
        deadline: DAY - HOUR,
        ..scheduled(None, Some(NOON + DAY))
    };
    for (mechanism, expected) in [
        (scheduled(None, Some(NOON + DAY)), NOON + DAY),
        (scheduled(None, None), NOON + 30 * DAY + 3 * HOUR),
        // Prolonged up to its end.
        (both, NOON + DAY),
    ] {
        let (mut fleet, _) = connected(1);
        let id = fleet.launched(mechanism);
        fleet.restart(3 * HOUR);
        assert_eq!(deadline(&fleet, id), expected);
    }
}

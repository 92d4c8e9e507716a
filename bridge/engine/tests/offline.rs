//! X12: offline robots are waited for, or fail with DEP_E151. Names carry the requirement that they hold.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::pace::*;
use fleet::*;
use rollcall_engine::*;

const GRACE: u64 = 10 * MINUTE;

const OFFLINE: TargetState = TargetState::Failed {
    reason: FailureReason::Offline,
};
const PENDING: TargetState = TargetState::Pending;

fn impatient(mechanism: &mut Mechanism) {
    mechanism.offline = OfflinePolicy::Fail { grace: GRACE };
}

/// The robot is pending just before `span` has passed from now on, and has failed as offline then.
#[track_caller]
fn fails_after(fleet: &mut Fleet, id: RolloutId, robot: RobotKey, span: u64) {
    let why = fleet.state.why(id, robot).unwrap();
    let until = Timestamp(fleet.now + span);
    assert_eq!(
        why[0].waits_for,
        Some(WaitReason::Offline { fails: Some(until) })
    );
    assert_eq!(why[0].until, Some(until));
    assert_eq!(why[0].then, "fails as offline (DEP_E151)");
    fleet.pass(span - 1);
    assert_eq!(fleet.target_state(id, robot), PENDING);
    fleet.pass(1);
    assert_eq!(fleet.target_state(id, robot), OFFLINE);
}

#[test]
fn x12_by_default_an_offline_robot_is_waited_for_until_the_deadline() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.rollout(1);
    let deadline = Mechanism::default().deadline;
    fleet.pass(deadline - 1);
    assert_eq!(fleet.target_state(id, robot), PENDING);
    let why = fleet.state.why(id, robot).unwrap();
    assert_eq!(why[0].waits_for, Some(WaitReason::Offline { fails: None }));
    assert_eq!(why[0].until, Some(Timestamp(deadline)));
    fleet.pass(1);
    assert_eq!(fleet.target_state(id, robot), TargetState::Expired);
}

#[test]
fn x12_a_robot_that_has_long_been_gone_has_its_grace_from_the_launch() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.pass(HOUR);
    let id = fleet.launch_with(impatient);
    fails_after(&mut fleet, id, robot, GRACE);
    assert_eq!(fleet.outcome(id), Some(Completion::Failure));
    assert_eq!(
        fleet.state.next_timer(),
        None,
        "nothing is left to wait for"
    );
}

#[test]
fn x12_a_robot_that_goes_away_later_has_its_grace_from_then() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        impatient(mechanism);
        mechanism.max_in_progress = 1;
    });
    let told = fleet.requests()[0].0;
    let other = robots[usize::from(told == robots[0])];
    // An online robot waits for its slot as long as it takes.
    fleet.pass(3 * MINUTE);
    assert_eq!(fleet.target_state(id, other), PENDING);
    fleet.disconnect(other);
    fails_after(&mut fleet, id, other, GRACE);
    assert!(fleet.target_state(id, told).is_active(), "it is there");
}

#[test]
fn x12_a_robot_that_returns_in_time_is_told_and_going_away_again_is_a_new_grace() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.launch_with(impatient);
    fleet.pass(GRACE - 1);
    // Connected is not offline, whatever it does not say.
    let connection = fleet.connect(robot);
    fleet.pass(HOUR);
    assert_eq!(fleet.target_state(id, robot), PENDING);
    assert_eq!(
        fleet.state.robot(robot).unwrap().link.connection,
        Some(connection)
    );
    fleet.disconnect(robot);
    fleet.pass(GRACE - 1);
    fleet.online(robot);
    assert_eq!(fleet.target_state(id, robot), TargetState::Requested);
}

#[test]
fn x12_all_pending_ecus_of_the_robot_fail_and_thresholds_see_one_robot() {
    let mut fleet = Fleet::default();
    let ecus = [ecu("main", "hw", true), ecu("b", "hw", false)];
    let gone = fleet.robot("gone", &ecus);
    let here = fleet.robot("here", &ecus);
    fleet.online(here);
    let id = fleet.launch_with(|mechanism| {
        impatient(mechanism);
        mechanism.max_failure_percentage = "50".parse().ok();
    });
    fleet.pass(GRACE);
    let state = |index| fleet.target(id, gone, index).state;
    assert_eq!([state(0), state(1)], [OFFLINE; 2]);
    let rollout = fleet.state.rollout(id).unwrap();
    assert_eq!((rollout.tally.failed, rollout.counts.failed), (1, 2));
    assert_eq!(rollout.run(), Some(Run::Running), "50 % is not exceeded");
}

#[test]
fn x12_an_offline_robot_passes_a_threshold_and_the_next_one_does_not_fail_any_more() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(3);
    fleet.online(robots[2]);
    let id = fleet.launch_with(|mechanism| {
        impatient(mechanism);
        mechanism.max_failure_percentage = "33".parse().ok();
    });
    let operation = fleet.requests()[0].2;
    fleet
        .event(robots[2], "main", operation, EventStatus::Acknowledged)
        .unwrap();
    fleet.pass(GRACE);
    let ending = Run::Ending {
        since: Timestamp(GRACE),
        why: EndReason::MaxFailures,
    };
    assert_eq!(fleet.run(id), Some(ending));
    assert_eq!(fleet.target_state(id, robots[0]), OFFLINE);
    let reason = CancelReason::RolloutAborted;
    let aborted = TargetState::Cancelled { reason };
    assert_eq!(fleet.target_state(id, robots[1]), aborted);
    let told = fleet.target(id, robots[2], 0);
    assert_eq!(told.state, TargetState::Acknowledged);
    let goal = told.cancelling.as_ref().unwrap().goal;
    assert_eq!(goal, CancelGoal::RolloutAborted);
}

#[test]
fn x12_nobody_fails_while_the_rollout_is_paused_or_stopped_and_a_resume_is_a_new_grace() {
    for stop in [false, true] {
        let mut fleet = Fleet::default();
        let robot = fleet.robots(1)[0];
        let id = fleet.launch_with(impatient);
        fleet.pass(GRACE - 1);
        let done = if stop {
            fleet.stop(id)
        } else {
            fleet.pause(id)
        };
        done.unwrap();
        fleet.pass(HOUR);
        assert_eq!(fleet.target_state(id, robot), PENDING);
        let why = fleet.state.why(id, robot).unwrap();
        let gate = if stop {
            WaitReason::Stopped
        } else {
            WaitReason::Paused(PauseReason::Operator)
        };
        assert_eq!(why[0].waits_for, Some(gate));
        fleet.resume(id).unwrap();
        fails_after(&mut fleet, id, robot, GRACE);
    }
}

#[test]
fn x12_a_begun_robot_does_not_lose_patience_in_a_pause_either() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("b", "hw", false)]);
    fleet.online(robot);
    let id = fleet.launch_with(impatient);
    let operation = fleet.requests()[0].2;
    fleet.pause(id).unwrap();
    fleet.disconnect(robot);
    fleet.online_with(robot, 2, "1");
    fleet.disconnect(robot);
    let timeouts = 4 * Mechanism::default().request_timeout;
    fleet.pass(timeouts + HOUR);
    let timeout = TargetState::Failed {
        reason: FailureReason::RequestTimeout,
    };
    assert_eq!(fleet.target(id, robot, 0).state, timeout, "{operation}");
    assert_eq!(fleet.target(id, robot, 1).state, PENDING);
    fleet.resume(id).unwrap();
    fleet.pass(GRACE);
    assert_eq!(fleet.target(id, robot, 1).state, OFFLINE);
}

#[test]
fn x12_a_robot_that_restarts_within_its_update_is_not_offline_and_then_has_its_grace() {
    let mut fleet = Fleet::default();
    let robot = fleet.robot("r", &[ecu("main", "hw", true), ecu("b", "hw", false)]);
    fleet.online(robot);
    let id = fleet.launch_with(impatient);
    let operation = fleet.requests()[0].2;
    fleet
        .event(robot, "b", operation, EventStatus::Deploying)
        .unwrap();
    fleet.disconnect(robot);
    let in_progress = Mechanism::default().in_progress_timeout;
    fleet.pass(in_progress);
    assert_eq!(
        fleet.target(id, robot, 0).state,
        TargetState::Failed {
            reason: FailureReason::InProgressTimeout
        }
    );
    fleet.pass(GRACE - 1);
    assert_eq!(fleet.target(id, robot, 1).state, PENDING);
    fleet.pass(1);
    assert_eq!(fleet.target(id, robot, 1).state, OFFLINE);
}

#[test]
fn x12_the_grace_of_a_phase_begins_when_it_opens_and_stays_when_a_later_one_opens() {
    let phase = |size| Phase {
        size,
        success_threshold: "0".parse().unwrap(),
        soak: 4 * MINUTE,
        approval: false,
        error_threshold: None,
        on_error: ThresholdAction::Pause,
    };
    let mut fleet = Fleet::default();
    fleet.robots(3);
    let id = fleet.launch_with(|mechanism| {
        impatient(mechanism);
        mechanism.phases = vec![
            phase(PhaseSize::Robots(1)),
            phase(PhaseSize::Robots(1)),
            Phase::new(PhaseSize::Rest),
        ];
    });
    let of_phase = |fleet: &Fleet, phase| {
        let members = &fleet.state.rollout(id).unwrap().members;
        members.iter().find(|(_, m)| m.phase == phase).unwrap().0
    };
    let robots = [0, 1, 2].map(|phase| of_phase(&fleet, phase));
    let states = |fleet: &Fleet| robots.map(|robot| fleet.target_state(id, robot));
    // They open at 0, 4 and 8 minutes.
    fleet.pass(GRACE - 1);
    assert_eq!(states(&fleet), [PENDING; 3]);
    fleet.pass(1);
    assert_eq!(states(&fleet), [OFFLINE, PENDING, PENDING]);
    fleet.pass(4 * MINUTE - 1);
    assert_eq!(states(&fleet), [OFFLINE, PENDING, PENDING]);
    fleet.pass(1);
    assert_eq!(states(&fleet), [OFFLINE, OFFLINE, PENDING]);
    fleet.pass(4 * MINUTE);
    assert_eq!(states(&fleet), [OFFLINE; 3]);
}

#[test]
fn x12_after_a_restart_of_the_server_patience_begins_anew() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    let id = fleet.launch_with(impatient);
    fleet.pass(GRACE - 1);
    fleet.restart(HOUR);
    fails_after(&mut fleet, id, robot, GRACE);
}

#[test]
fn x12_a_replay_of_the_start_gives_what_the_rebuilt_state_gives() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    fleet.online(robots[1]);
    let id = fleet.launch_with(impatient);
    let operation = fleet.requests()[0].2;
    fleet.install(robots[1], "main", operation);
    fleet.pass(GRACE - 1);
    // A history is replayed on the state that was before, without its rows.
    let mut replayed = fleet.state.clone();
    let down_since = fleet.now;
    fleet.restart(HOUR);
    let started = Input::Started {
        down_since: Timestamp(down_since),
        base: None,
    };
    replayed.apply(Timestamp(fleet.now), started).reply.unwrap();
    let why = |state: &State| state.why(id, robots[0]).unwrap();
    assert_eq!(why(&replayed), why(&fleet.state));
    assert_eq!(
        why(&replayed)[0].until,
        Some(Timestamp(down_since + HOUR + GRACE))
    );
}

#[test]
fn x12_a_grace_of_nothing_fails_at_once_and_no_retry_is_made() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(2);
    fleet.online(robots[1]);
    let id = fleet.launch_with(|mechanism| {
        mechanism.offline = OfflinePolicy::Fail { grace: 0 };
        mechanism.retries = [
            FailureClass::Network,
            FailureClass::Storage,
            FailureClass::Busy,
            FailureClass::Verify,
            FailureClass::Timeout,
        ]
        .map(|class| Retry {
            class,
            times: 10,
            backoff: 0,
            max_backoff: 0,
        })
        .into();
    });
    fleet.pass(0);
    assert_eq!(fleet.target_state(id, robots[0]), OFFLINE);
    assert!(fleet.target_state(id, robots[1]).is_active());
}

#[test]
fn x12_the_wait_for_a_retry_is_no_absence() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    let id = fleet.launch_with(|mechanism| {
        impatient(mechanism);
        mechanism.retries = vec![Retry {
            class: FailureClass::Network,
            times: 1,
            backoff: HOUR,
            max_backoff: HOUR,
        }];
    });
    let operation = fleet.requests()[0].2;
    fleet
        .fail(robot, "main", operation, EventCode::NetworkError)
        .unwrap();
    fleet.disconnect(robot);
    fails_after(&mut fleet, id, robot, HOUR + GRACE);
}

#[test]
fn x12_nobody_loses_patience_outside_the_window_and_each_window_is_a_new_grace() {
    let mut fleet = at_noon();
    let robot = fleet.robots(1)[0];
    let nightly =
        r#"{"windows": [{"opens": "0 0 * * *", "minutes": 240}], "zone": "Europe/Berlin"}"#;
    let id = fleet.launch_with(|mechanism| {
        impatient(mechanism);
        mechanism.windows = serde_json::from_str(nightly).unwrap();
    });
    // It is noon in UTC: the window opens in eleven hours.
    fleet.pass(11 * HOUR + GRACE - 1);
    assert_eq!(fleet.target_state(id, robot), PENDING);
    let why = fleet.state.why(id, robot).unwrap();
    let fails = Some(Timestamp(NOON + 11 * HOUR + GRACE));
    assert_eq!(why[0].waits_for, Some(WaitReason::Offline { fails }));
    fleet.online(robot);
    assert!(fleet.target_state(id, robot).is_active());
    fleet.pass(MINUTE);
    let other = fleet.launch_with(|mechanism| {
        mechanism.offline = OfflinePolicy::Fail { grace: 5 * HOUR };
        mechanism.windows = serde_json::from_str(nightly).unwrap();
    });
    fleet.pass(9 * 24 * HOUR);
    let state = fleet.target_state(other, robot);
    assert_ne!(state, OFFLINE, "no window is as long as the grace");
}

#[test]
fn x12_a_label_that_moves_nobody_changes_no_grace_and_another_zone_is_a_new_one() {
    let mut fleet = at_noon();
    let robot = fleet.robots(1)[0];
    let id = fleet.launch_with(|mechanism| {
        impatient(mechanism);
        mechanism.windows = serde_json::from_str(
            r#"{"windows": [{"opens": "0 0 * * *", "minutes": 240}], "zone": "Europe/Berlin"}"#,
        )
        .unwrap();
    });
    fleet.pass(11 * HOUR + MINUTE);
    fleet.label(robot, "site", "kiel");
    let until = |fleet: &Fleet| fleet.state.why(id, robot).unwrap()[0].until.unwrap();
    assert_eq!(until(&fleet), Timestamp(NOON + 11 * HOUR + GRACE));
    fleet.pass(MINUTE);
    // The window opened there when it did in Berlin.
    fleet.label(robot, "timezone", "Africa/Lagos");
    fails_after(&mut fleet, id, robot, GRACE);
}

#[test]
fn x12_what_is_under_way_for_another_rollout_is_no_absence() {
    let mut fleet = Fleet::default();
    let robot = fleet.robots(1)[0];
    fleet.online(robot);
    fleet.launch_with(|mechanism| {
        mechanism.request_timeout = HOUR;
        mechanism.request_resends = 0;
    });
    fleet.disconnect(robot);
    let id = fleet.launch_with(impatient);
    fleet.pass(HOUR);
    fails_after(&mut fleet, id, robot, GRACE);
}

#[test]
fn x12_neither_a_tag_nor_another_time_zone_takes_patience_away() {
    let mut fleet = at_noon();
    let robots = fleet.robots(2);
    fleet.label(robots[1], "timezone", "Asia/Tokyo");
    let mut mechanism = Mechanism::default();
    impatient(&mut mechanism);
    // Open from one to six in UTC; in Tokyo it is nine in the evening then.
    let windows = r#"{"windows": [{"opens": "0 13 * * *", "minutes": 300}]}"#;
    mechanism.windows = Some(serde_json::from_str(windows).unwrap());
    let id = fleet.launched(mechanism);
    fleet.pass(HOUR + MINUTE);
    // It is the only one of its zone, which is not opened anew by that.
    fleet.label(robots[0], "color", "red");
    fails_after(&mut fleet, id, robots[0], GRACE - MINUTE);
    fleet.pass(HOUR);
    fleet.label(robots[1], "timezone", "UTC");
    fails_after(&mut fleet, id, robots[1], GRACE);
}

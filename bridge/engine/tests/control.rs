//! Pause, resume, stop and cancel (requirements 6.1, X18), and edits of launched rollouts.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod fleet;

use fleet::*;
use rollcall_engine::*;
use uuid::Uuid;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const PENDING: TargetState = TargetState::Pending;

const fn cancelled(reason: CancelReason) -> TargetState {
    TargetState::Cancelled { reason }
}

/// Robots that are there, and a rollout that has told `cap` of them.
fn running(count: usize, cap: u32) -> (Fleet, RolloutId, Vec<(RobotKey, String, Uuid)>) {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(count);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.rollout(cap);
    let requests = fleet.requests();
    (fleet, id, requests)
}

fn code(reply: Result<Reply, Refusal>) -> &'static str {
    reply.map_or_else(|refusal| refusal.code(), |_| "done")
}

#[test]
fn a_pause_tells_nobody_new_and_robots_that_have_begun_go_on() {
    let mut fleet = Fleet::default();
    let ecus = [ecu("main", "hw", true), ecu("b", "hw", false)];
    let robots = ["one", "two"].map(|name| fleet.robot(name, &ecus));
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        mechanism.max_in_progress = 1;
        mechanism.retries = vec![Retry {
            class: FailureClass::Network,
            times: 1,
            backoff: MINUTE,
            max_backoff: MINUTE,
        }];
    });
    let (robot, _, operation) = fleet.requests()[0].clone();
    fleet.pause(id).unwrap();
    fleet
        .fail(robot, "b", operation, EventCode::NetworkError)
        .unwrap();
    assert_eq!(fleet.requests(), [], "the slot is free, but for nobody new");
    fleet.pass(MINUTE);
    let (again, name, operation) = fleet.requests()[0].clone();
    assert_eq!((again, name.as_str()), (robot, "b"), "its retry");
    fleet.install(robot, "b", operation);
    let (next, name, operation) = fleet.requests()[0].clone();
    assert_eq!((next, name.as_str()), (robot, "main"), "its next ECU");
    fleet.install(robot, "main", operation);
    assert_eq!(fleet.requests(), []);
    fleet.resume(id).unwrap();
    assert_eq!(fleet.requests().len(), 1);
}

#[test]
fn a_paused_rollout_completes_when_its_last_robot_is_done() {
    let (mut fleet, id, requests) = running(1, 1);
    fleet.pause(id).unwrap();
    fleet.install(requests[0].0, "main", requests[0].2);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
}

#[test]
fn x18_a_stop_calls_off_who_has_not_begun_to_write_and_resume_tells_them_anew() {
    let (mut fleet, id, requests) = running(4, 3);
    let [asked, loading, writing] = [0, 1, 2].map(|n| requests[n].clone());
    for status in [EventStatus::Acknowledged, EventStatus::Downloading] {
        fleet.event(loading.0, "main", loading.2, status).unwrap();
    }
    fleet
        .event(writing.0, "main", writing.2, EventStatus::Deploying)
        .unwrap();
    fleet.stop(id).unwrap();
    let called_off = [asked.clone(), loading.clone()];
    let cancels: Vec<_> = called_off
        .iter()
        .map(|(robot, _, operation)| (*robot, RequestKind::Cancel, *operation))
        .collect();
    assert_eq!(fleet.sent(), cancels);
    for (robot, _, operation) in &called_off {
        fleet
            .fail(*robot, "main", *operation, EventCode::Cancelled)
            .unwrap();
        assert_eq!(fleet.target_state(id, *robot), PENDING);
        let why = fleet.state.why(id, *robot).unwrap();
        assert_eq!(why[0].waits_for, Some(WaitReason::Stopped));
    }
    fleet.install(writing.0, "main", writing.2);
    let counts = fleet.state.rollout(id).unwrap().counts;
    assert_eq!((counts.installed, counts.in_progress), (1, 0));
    fleet.pass(HOUR);
    assert_eq!(fleet.sent(), [], "stopped is stopped");
    fleet.resume(id).unwrap();
    let told = fleet.requests();
    assert_eq!(told.len(), 3, "two again, one for the first time");
    for (robot, _, before) in &called_off {
        let again = told.iter().find(|(told, ..)| told == robot).unwrap();
        assert_ne!(again.2, *before, "a new uuid");
        assert!(fleet.target(id, *robot, 0).cancelling.is_none());
    }
}

#[test]
fn x18_a_robot_that_goes_on_in_spite_of_the_stop_is_judged_as_ever() {
    let (mut fleet, id, requests) = running(2, 2);
    fleet.stop(id).unwrap();
    let (robot, _, operation) = &requests[0];
    fleet.install(*robot, "main", *operation);
    let how = SuccessKind::Installed;
    assert_eq!(
        fleet.target_state(id, *robot),
        TargetState::Succeeded { how }
    );
    let (robot, _, operation) = &requests[1];
    fleet
        .fail(*robot, "main", *operation, EventCode::IoError)
        .unwrap();
    let reason = FailureReason::IoError;
    assert_eq!(
        fleet.target_state(id, *robot),
        TargetState::Failed { reason }
    );
    assert_eq!(fleet.outcome(id), Some(Completion::Partial));
}

#[test]
fn x18_an_offline_robot_hears_of_the_stop_when_it_returns_unless_it_writes_by_then() {
    let (mut fleet, id, requests) = running(2, 2);
    for (robot, _, operation) in &requests {
        fleet
            .event(*robot, "main", *operation, EventStatus::Downloading)
            .unwrap();
        fleet.disconnect(*robot);
    }
    fleet.stop(id).unwrap();
    assert_eq!(fleet.sent(), []);
    let (robot, _, operation) = requests[0].clone();
    fleet.online(robot);
    assert_eq!(fleet.sent(), [(robot, RequestKind::Cancel, operation)]);
    let (robot, _, operation) = requests[1].clone();
    fleet.connect(robot);
    fleet.manifest(robot, 1).unwrap();
    let mut event = fleet.event_of(robot, "main", operation, EventStatus::Deploying);
    event.stamp = Some(Stamp {
        boot: 1,
        counter: 9,
    });
    fleet.report(robot, Report::Event(event)).unwrap();
    fleet.base_image(robot, "main", reported("1")).unwrap();
    assert_eq!(fleet.sent(), [], "it writes: it is not disturbed");
}

#[test]
fn x18_a_silent_robot_waits_again_when_its_time_is_over_and_hears_the_cancel_it_is_owed() {
    let (mut fleet, id, requests) = running(1, 1);
    let (robot, _, first) = requests[0].clone();
    fleet.disconnect(robot);
    fleet.stop(id).unwrap();
    fleet.pass(Mechanism::default().request_timeout);
    let target = fleet.target(id, robot, 0);
    assert_eq!((target.state, target.owes_cancel), (PENDING, true));
    fleet.resume(id).unwrap();
    fleet.online(robot);
    let sent = fleet.sent();
    let kinds: Vec<_> = sent.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [RequestKind::Cancel, RequestKind::Update]);
    assert_eq!(sent[0].2, first);
    assert_ne!(sent[1].2, first);
}

#[test]
fn contract_3_2_an_edgehog_device_that_never_began_says_so_oddly_and_waits_again() {
    let (mut fleet, robot, id, first) = device::asked();
    fleet.stop(id).unwrap();
    assert_eq!(fleet.sent(), [(robot, RequestKind::Cancel, first)]);
    let reply = device::fails(&mut fleet, robot, first, EventCode::InternalError);
    assert_eq!(reply, Reply::Done);
    assert_eq!(fleet.target_state(id, robot), PENDING);
    fleet.resume(id).unwrap();
    assert_ne!(fleet.requests()[0].2, first);
}

#[test]
fn contract_3_2_an_edgehog_device_that_writes_answers_a_recall_oddly_and_goes_on() {
    let statuses = [EventStatus::Acknowledged, EventStatus::Downloading];
    let (mut fleet, robot, id, first) = device::asked_and(&statuses);
    fleet.stop(id).unwrap();
    assert_eq!(fleet.sent().len(), 1);
    device::says(&mut fleet, robot, first, EventStatus::Deploying);
    let reply = device::fails(&mut fleet, robot, first, EventCode::InternalError);
    assert_eq!(reply, Reply::Late, "it is too late for the Cancel");
    fleet.resume(id).unwrap();
    assert_eq!(fleet.sent(), [], "it is under way");
    for status in [EventStatus::Deployed, EventStatus::Rebooting] {
        device::says(&mut fleet, robot, first, status);
    }
    fleet.disconnect(robot);
    device::start(&mut fleet, robot, vec![device::version("2")]);
    fleet.pass(10 * SECOND);
    assert_eq!(fleet.outcome(id), Some(Completion::Success));
}

#[test]
fn an_operators_cancel_of_one_robot_is_stronger_than_the_recall() {
    let (mut fleet, id, requests) = running(1, 1);
    let (robot, _, operation) = requests[0].clone();
    fleet.stop(id).unwrap();
    assert_eq!(fleet.sent().len(), 1);
    let cancel = || Command::CancelOperation {
        robot: RobotId::new("r1").unwrap(),
        all: false,
    };
    fleet.command(cancel()).unwrap();
    assert_eq!(fleet.sent(), [], "it has heard it on this connection");
    assert_eq!(code(fleet.command(cancel())), "already_cancelling");
    fleet
        .fail(robot, "main", operation, EventCode::Cancelled)
        .unwrap();
    let end = cancelled(CancelReason::ByOperator);
    assert_eq!(fleet.target_state(id, robot), end);
}

#[test]
fn a_cancel_of_the_rollout_ends_what_waits_and_calls_off_what_does_not_write() {
    let mut fleet = Fleet::default();
    let robots = fleet.robots(4);
    robots.iter().for_each(|robot| fleet.online(*robot));
    let id = fleet.launch_with(|mechanism| {
        mechanism.max_in_progress = 2;
        mechanism.retries = vec![Retry {
            class: FailureClass::Network,
            times: 1,
            backoff: HOUR,
            max_backoff: HOUR,
        }];
    });
    let retrying = fleet.requests()[0].clone();
    fleet
        .fail(retrying.0, "main", retrying.2, EventCode::NetworkError)
        .unwrap();
    let writing = fleet.requests()[0].clone();
    fleet
        .event(writing.0, "main", writing.2, EventStatus::Deploying)
        .unwrap();
    let cancel = fleet.cancel(id);
    assert_eq!(cancel, Ok(Reply::Rollout(id)));
    let reason = FailureReason::NetworkError;
    assert_eq!(
        fleet.target_state(id, retrying.0),
        TargetState::Failed { reason }
    );
    let counts = fleet.state.rollout(id).unwrap().counts;
    assert_eq!((counts.cancelled, counts.active), (1, 2));
    let kinds: Vec<_> = fleet.sent().iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, [RequestKind::Cancel]);
    // The one that says nothing is not waited for longer than for its answer.
    fleet.pass(Mechanism::default().request_timeout);
    fleet.install(writing.0, "main", writing.2);
    assert_eq!(fleet.outcome(id), Some(Completion::Cancelled));
    let counts = fleet.state.rollout(id).unwrap().counts;
    assert_eq!(
        (counts.cancelled, counts.installed, counts.failed),
        (2, 1, 1)
    );
    let never = robots.iter().filter(|robot| {
        fleet.target_state(id, **robot) == cancelled(CancelReason::RolloutCancelled)
    });
    assert_eq!(never.count(), 2);
}

#[test]
fn a_recalled_robot_is_cancelled_with_the_stopped_rollout() {
    let (mut fleet, id, requests) = running(2, 2);
    fleet.stop(id).unwrap();
    let (waiting, _, operation) = &requests[0];
    fleet
        .fail(*waiting, "main", *operation, EventCode::Cancelled)
        .unwrap();
    fleet.cancel(id).unwrap();
    let end = cancelled(CancelReason::RolloutCancelled);
    assert_eq!(fleet.target_state(id, *waiting), end);
    // The other one's answer comes now: it does not wait for a resume that will never be.
    let (late, _, operation) = &requests[1];
    fleet
        .fail(*late, "main", *operation, EventCode::Cancelled)
        .unwrap();
    assert_eq!(fleet.target_state(id, *late), end);
    assert_eq!(fleet.outcome(id), Some(Completion::Cancelled));
}

#[test]
fn the_deadline_ends_a_paused_and_a_stopped_rollout() {
    for stop in [false, true] {
        let (mut fleet, id, requests) = running(2, 1);
        let (robot, _, operation) = requests[0].clone();
        fleet
            .event(robot, "main", operation, EventStatus::Deploying)
            .unwrap();
        let done = if stop {
            fleet.stop(id)
        } else {
            fleet.pause(id)
        };
        done.unwrap();
        fleet.pass(Mechanism::default().deadline);
        assert_eq!(fleet.outcome(id), Some(Completion::Expired));
        assert_eq!(fleet.state.next_timer(), None);
    }
}

#[test]
fn x20_a_newer_rollout_takes_over_what_a_paused_or_stopped_one_waits_for() {
    for stop in [false, true] {
        let (mut fleet, older, requests) = running(2, 1);
        let (told, _, operation) = requests[0].clone();
        let done = if stop {
            fleet.stop(older)
        } else {
            fleet.pause(older)
        };
        done.unwrap();
        fleet.image("os@3", &["hw"]);
        let newer = fleet
            .create(fleet.spec(fleet.all(), &[("hw", "os@3")]))
            .unwrap();
        fleet.launch(newer).unwrap();
        let members = &fleet.state.rollout(older).unwrap().members;
        let waiting = members.keys().find(|key| *key != told).unwrap();
        let taken = TargetState::Superseded { by: newer };
        assert_eq!(fleet.target_state(older, waiting), taken);
        assert!(fleet.target_state(newer, waiting).is_active());
        if stop {
            // The recalled robot is not told of the older image again.
            fleet
                .fail(told, "main", operation, EventCode::Cancelled)
                .unwrap();
            assert_eq!(fleet.target_state(older, told), taken);
            assert!(fleet.target_state(newer, told).is_active());
            assert!(fleet.outcome(older).is_some());
        }
    }
}

fn edit(fleet: &mut Fleet, id: RolloutId, edit: RolloutEdit) -> Result<Reply, Refusal> {
    fleet.command(Command::EditRollout {
        rollout: id,
        edit: Box::new(edit),
    })
}

#[test]
fn a_lower_cap_tells_nobody_new_until_fewer_are_under_way_and_a_higher_one_at_once() {
    let (mut fleet, id, requests) = running(5, 3);
    let cap = |max| RolloutEdit {
        max_in_progress: Some(max),
        ..RolloutEdit::default()
    };
    edit(&mut fleet, id, cap(2)).unwrap();
    for (index, told) in [(0, 0), (1, 1)] {
        let (robot, _, operation) = &requests[index];
        fleet.install(*robot, "main", *operation);
        assert_eq!(fleet.requests().len(), told, "after {index}");
    }
    edit(&mut fleet, id, cap(3)).unwrap();
    assert_eq!(fleet.requests().len(), 1);
    assert_eq!(fleet.state.rollout(id).unwrap().revision, 3);
}

#[test]
fn a_rate_is_given_changed_and_taken_away() {
    let (mut fleet, id, _) = running(5, 1);
    let rate = |per_minute| RolloutEdit {
        rate: Some(per_minute),
        max_in_progress: Some(10),
        ..RolloutEdit::default()
    };
    let one = Rate {
        per_minute: 1,
        growth: None,
    };
    edit(&mut fleet, id, rate(Some(one))).unwrap();
    assert_eq!(fleet.requests().len(), 1, "the first under the rate");
    fleet.pass(MINUTE - 1);
    assert_eq!(fleet.requests(), []);
    fleet.pass(1);
    assert_eq!(fleet.requests().len(), 1);
    edit(&mut fleet, id, rate(None)).unwrap();
    assert_eq!(fleet.requests().len(), 2);
}

#[test]
fn the_deadline_of_a_launched_rollout_moves_but_not_into_the_past() {
    let (mut fleet, id, requests) = running(2, 1);
    let (robot, _, operation) = &requests[0];
    fleet
        .event(*robot, "main", *operation, EventStatus::Acknowledged)
        .unwrap();
    fleet.pass(HOUR - 1);
    let deadline = |span| RolloutEdit {
        deadline: Some(span),
        ..RolloutEdit::default()
    };
    assert_eq!(
        code(edit(&mut fleet, id, deadline(HOUR - 1))),
        "deadline_passed"
    );
    edit(&mut fleet, id, deadline(HOUR + 5 * SECOND)).unwrap();
    fleet.pass(5 * SECOND);
    assert_eq!(fleet.outcome(id), None);
    fleet.pass(1);
    assert!(fleet.outcome(id).is_some());
    // Timers of its robots fire for nothing, once.
    fleet.pass(HOUR);
    assert_eq!(fleet.state.next_timer(), None);
}

#[test]
fn what_is_fixed_at_the_launch_is_refused_and_so_is_another_revision() {
    let (mut fleet, id, _) = running(1, 1);
    let none = RolloutEdit::default;
    let all = fleet.all();
    let fixed = [
        RolloutEdit {
            target: Some(all),
            ..none()
        },
        RolloutEdit {
            images: Some(Vec::new()),
            ..none()
        },
        RolloutEdit {
            mechanism: Some(Mechanism::default()),
            ..none()
        },
        RolloutEdit {
            force_downgrade: Some(ForceDowngrade::All),
            ..none()
        },
    ];
    for change in fixed {
        assert_eq!(code(edit(&mut fleet, id, change)), "fixed_at_launch");
    }
    let out_of_range = RolloutEdit {
        max_in_progress: Some(0),
        ..none()
    };
    assert_eq!(code(edit(&mut fleet, id, out_of_range)), "out_of_range");
    // Two operators look at revision 1.
    let theirs = |cap| RolloutEdit {
        revision: Some(1),
        max_in_progress: Some(cap),
        ..none()
    };
    edit(&mut fleet, id, theirs(5)).unwrap();
    let late = edit(&mut fleet, id, theirs(6));
    assert_eq!(
        late,
        Err(Refusal::OtherRevision {
            id,
            current: 2,
            found: 1
        })
    );
    assert_eq!(
        fleet.state.rollout(id).unwrap().mechanism.max_in_progress,
        5
    );
}

#[test]
fn what_cannot_be_done_now_is_refused_with_the_reason() {
    let (mut fleet, id, requests) = running(1, 1);
    let done = [
        Fleet::pause as fn(&mut Fleet, RolloutId) -> Result<Reply, Refusal>,
        Fleet::resume,
        Fleet::stop,
        Fleet::cancel,
    ];
    let codes = |fleet: &mut Fleet, id| done.map(|what| code(what(fleet, id)));
    assert_eq!(codes(&mut fleet, RolloutId(9)), ["unknown_rollout"; 4]);
    let prepared = fleet
        .create(fleet.spec(fleet.all(), &[("hw", "os@2")]))
        .unwrap();
    assert_eq!(codes(&mut fleet, prepared), ["not_launched"; 4]);
    assert_eq!(code(fleet.resume(id)), "not_now", "it runs");
    fleet.pause(id).unwrap();
    assert_eq!(code(fleet.pause(id)), "not_now", "it is paused");
    fleet.stop(id).unwrap();
    assert_eq!(code(fleet.pause(id)), "not_now", "it is stopped");
    assert_eq!(code(fleet.stop(id)), "not_now", "it is stopped");
    fleet.resume(id).unwrap();
    let (robot, _, operation) = &requests[0];
    fleet
        .event(*robot, "main", *operation, EventStatus::Deploying)
        .unwrap();
    fleet.cancel(id).unwrap();
    assert_eq!(codes(&mut fleet, id), ["not_now"; 4], "it ends");
    fleet.install(*robot, "main", *operation);
    assert_eq!(fleet.outcome(id), Some(Completion::Cancelled));
    assert_eq!(codes(&mut fleet, id), ["not_launched"; 4], "it is over");
    let late = edit(&mut fleet, id, RolloutEdit::default());
    assert_eq!(code(late), "not_prepared");
}

#[test]
fn x18_each_attempt_on_one_connection_gets_its_own_cancel() {
    let (mut fleet, id, requests) = running(1, 1);
    let (robot, _, first) = requests[0].clone();
    fleet.stop(id).unwrap();
    assert_eq!(fleet.sent(), [(robot, RequestKind::Cancel, first)]);
    fleet
        .fail(robot, "main", first, EventCode::Cancelled)
        .unwrap();
    fleet.resume(id).unwrap();
    let second = fleet.requests()[0].2;
    assert_ne!(second, first);
    fleet.cancel(id).unwrap();
    assert_eq!(fleet.sent(), [(robot, RequestKind::Cancel, second)]);
}

#[test]
fn nobody_is_told_at_or_after_the_deadline_though_its_timer_comes_late() {
    let (mut fleet, id, _) = running(2, 1);
    fleet.pause(id).unwrap();
    let deadline = fleet.state.rollout(id).unwrap().deadline().unwrap();
    // Ahead of the timer, as in a batch of inputs.
    fleet.now = deadline.0;
    let edit = RolloutEdit {
        max_in_progress: Some(2),
        ..RolloutEdit::default()
    };
    fleet.resume(id).unwrap();
    let edit = Command::EditRollout {
        rollout: id,
        edit: Box::new(edit),
    };
    fleet.command(edit).unwrap();
    assert_eq!(fleet.sent(), []);
}

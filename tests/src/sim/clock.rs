//! What the clock allows, said once more: maintenance windows, scheduled starts, ends and deadlines.

use super::Broken;
use super::hours::Hours;
use rollcall_engine::{Input, Mechanism, Robot, Rollout, RolloutStatus, State, Timer, Timestamp};

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

/// Whether the robot may be told of something new now, as far as windows go.
pub(super) fn window_is_open(mechanism: &Mechanism, robot: &Robot, now: u64) -> bool {
    let windows = mechanism.windows.as_ref();
    windows.is_none_or(|windows| Hours::new(windows, &robot.labels).are_open(now))
}

/// Nothing is sent at the end of a rollout, or later, be it new or sent again; nothing new outside of a window.
pub(super) fn may_send(
    rollout: &Rollout,
    robot: &Robot,
    now: u64,
    is_new: bool,
) -> Result<(), Broken> {
    let id = rollout.id.0;
    let mechanism = &rollout.mechanism;
    ensure(!is_new || window_is_open(mechanism, robot, now), || {
        format!(
            "windows: {} is told by rollout {id} outside of {:?}, labels {:?}",
            robot.id, mechanism.windows, robot.labels
        )
    })?;
    let end = mechanism.schedule.end;
    ensure(end.is_none_or(|end| now < end.0), || {
        format!(
            "schedule: {} is told by rollout {id} after its end {end:?}",
            robot.id
        )
    })?;
    let RolloutStatus::Launched { deadline, .. } = rollout.status else {
        return Ok(());
    };
    ensure(now < deadline.0, || {
        format!(
            "X3: {} is told by rollout {id} after its deadline {deadline:?}",
            robot.id
        )
    })
}

/// A rollout that was prepared before is launched by an operator, or by its start time.
pub(super) fn may_launch(rollout: &Rollout, input: &Input, now: u64) -> Result<(), Broken> {
    let start = rollout.mechanism.schedule.start;
    let by_itself = matches!(input, Input::Due(Timer::Rollout(id)) if *id == rollout.id);
    let by_hand = matches!(input, Input::Command { .. });
    let due = start.is_some_and(|start| start.0 <= now);
    ensure(by_hand || by_itself && due, || {
        format!(
            "schedule: rollout {} launches at {now}, its start is {start:?}",
            rollout.id.0
        )
    })
}

/// When all timers have fired: what was to start has started, or has said why not; what was to end has ended.
pub(super) fn nothing_is_late(state: &State, now: u64) -> Result<(), Broken> {
    let come = |at: Option<Timestamp>| at.is_some_and(|at| at.0 <= now);
    for rollout in state.rollouts() {
        let id = rollout.id.0;
        let schedule = &rollout.mechanism.schedule;
        match rollout.status {
            RolloutStatus::Prepared => ensure(!come(schedule.start), || {
                format!("schedule: rollout {id} should have started: {schedule:?}")
            })?,
            RolloutStatus::Launched { deadline, .. } => {
                ensure(!come(schedule.end) && !come(Some(deadline)), || {
                    format!(
                        "schedule: rollout {id} goes on after its end: {schedule:?}, {deadline:?}"
                    )
                })?;
            }
            RolloutStatus::Completed { .. } => {}
        }
    }
    Ok(())
}

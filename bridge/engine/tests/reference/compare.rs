//! The engine's state beside the model's.

use super::model::{Model, Rollout, Status, Target, is_final};
use rollcall_engine::{
    Member, RobotKey, RolloutId, RolloutStatus, Run, State, TargetState, Timestamp, WaitReason,
};

/// The first difference, if any.
pub(super) fn compare(state: &State, model: &Model) -> Result<(), String> {
    for (r, expected) in model.rollouts.iter().enumerate() {
        let id = RolloutId(u32::try_from(r + 1).unwrap_or(0));
        let found = state.rollout(id).ok_or(format!("rollout {id:?} is gone"))?;
        let of = |what: &str| format!("rollout {}, {what}", id.0);
        let status = match found.status {
            RolloutStatus::Prepared => Status::Prepared,
            RolloutStatus::Launched { run, .. } => Status::Launched(run),
            RolloutStatus::Completed { outcome, .. } => Status::Completed(outcome),
        };
        same(&of("status"), &status, &expected.status)?;
        same(
            &of("missed start"),
            &found.missed_start.is_some(),
            &expected.missed,
        )?;
        if let RolloutStatus::Launched { deadline, .. } = found.status {
            same(&of("deadline"), &deadline.0, &expected.deadline)?;
            same(
                &of("phase"),
                &usize::from(found.course.phase),
                &expected.phase,
            )?;
            same(&of("rate"), &found.per_minute(), &model.per_minute(r))?;
        }
        let members: Vec<_> = found
            .members
            .iter()
            .filter(|(_, m)| m.skipped.is_none())
            .collect();
        same(&of("members"), &members.len(), &expected.members.len())?;
        for (m, (key, member)) in members.into_iter().enumerate() {
            same_member(model, expected, (r, m), key, member)
                .map_err(|why| of(&format!("robot {}: {why}", key.0)))?;
            waits(state, model, (r, m), id, key).map_err(|why| of(&why))?;
        }
    }
    for (number, robot) in model.robots.iter().enumerate() {
        let key = RobotKey(u32::try_from(number + 1).unwrap_or(0));
        let found = state.robot(key).ok_or("a robot is gone")?;
        let busy = found.active.is_some();
        same("busy", &busy, &model.is_busy(number))?;
        same("removed", &found.removed.is_some(), &robot.removed)?;
        same(
            "ready",
            &(found.ready() && found.removed.is_none()),
            &model.is_ready(number),
        )?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "{what}: the engine has {found:?}, the model {expected:?}"
    ))
}

fn same_member(
    model: &Model,
    rollout: &Rollout,
    (r, m): (usize, usize),
    key: RobotKey,
    found: &Member,
) -> Result<(), String> {
    let expected = &model.rollouts[r].members[m];
    same("number", &(key.0 as usize), &(expected.robot + 1))?;
    same("targets", &found.targets.len(), &expected.targets.len())?;
    if !rollout.mechanism.phases.is_empty() {
        same("phase", &usize::from(found.phase), &expected.phase)?;
    }
    for (found, expected) in found.targets.iter().zip(&expected.targets) {
        let name = format!("ECU {}", found.ecu);
        same(&name, &seen(found), &known(expected))?;
    }
    Ok(())
}

/// What counts of a target.
type Seen = (
    TargetState,
    u16,
    u8,
    Option<Timestamp>,
    Option<Timestamp>,
    String,
);

fn seen(target: &rollcall_engine::Target) -> Seen {
    let goal = target.cancelling.as_ref().map(|cancelling| cancelling.goal);
    let retry = target
        .retry
        .as_ref()
        .map(|retry| (retry.failure, retry.at.0, retry.used));
    let retry = retry.filter(|_| !target.state.is_final());
    let resends = if target.state == TargetState::Requested {
        target.resends
    } else {
        0
    };
    let goal = goal.filter(|_| !target.state.is_final());
    (
        target.state,
        target.attempt,
        resends,
        target.deadline,
        target.suspect_until,
        format!("{goal:?} {retry:?}"),
    )
}

fn known(target: &Target) -> Seen {
    let over = is_final(target.state);
    let (goal, retry) = (
        target.cancelling.filter(|_| !over),
        target.retry.filter(|_| !over),
    );
    let resends = if target.state == TargetState::Requested {
        target.resends
    } else {
        0
    };
    (
        target.state,
        target.attempt,
        resends,
        target.deadline.filter(|_| !over).map(Timestamp),
        target.suspect.filter(|_| !over).map(Timestamp),
        format!("{goal:?} {retry:?}"),
    )
}

/// Whoever waits has a reason that is true, and an end of the wait.
fn waits(
    state: &State,
    model: &Model,
    (r, m): (usize, usize),
    id: RolloutId,
    key: RobotKey,
) -> Result<(), String> {
    let answers = state.why(id, key).map_err(|refusal| refusal.to_string())?;
    let launched = model.rollouts[r].run().is_some();
    let targets = &model.rollouts[r].members[m].targets;
    for (t, (why, target)) in answers.iter().zip(targets).enumerate() {
        let pending = target.state == TargetState::Pending;
        let so = match &why.waits_for {
            Some(reason) => pending && model.is_so(reason, (r, m, t)),
            None => !pending,
        };
        let ends = !launched || is_final(target.state) || why.until.is_some();
        // Everything that was due is done.
        let overdue = pending && why.until.is_some_and(|until| until.0 <= model.now);
        let reason = why.waits_for.as_ref();
        let since = reason.and_then(|reason| model.since(reason, (r, m, t)));
        let since_then = since.is_none_or(|since| why.waits_since == Some(Timestamp(since)));
        if !so || !ends || overdue || !since_then {
            return Err(format!("robot {}: why is not so: {why:?}", key.0));
        }
    }
    Ok(())
}

impl Model {
    /// Since when the target waits for that; `None` where the model does not know.
    fn since(&self, reason: &WaitReason, (r, m, t): (usize, usize, usize)) -> Option<u64> {
        let rollout = &self.rollouts[r];
        let robot = &self.robots[rollout.members[m].robot];
        let target = &rollout.members[m].targets[t];
        let link = robot.link.as_ref();
        let since = match reason {
            WaitReason::Paused(_) | WaitReason::Stopped => match rollout.run()? {
                Run::Paused { since, .. } | Run::Stopped { since } | Run::Ending { since, .. } => {
                    since.0
                }
                Run::Running => return None,
            },
            WaitReason::Phase { .. } => rollout.passed.or(rollout.opened.last().copied())?,
            WaitReason::Retry { .. } | WaitReason::Order { .. } => target.since,
            WaitReason::Window { .. } => {
                self.window_since(&rollout.mechanism, rollout.members[m].robot)
            }
            WaitReason::Rate { .. } => rollout.newest_start?,
            WaitReason::Offline { .. } => robot.gone,
            // Fleets here are smaller than a burst.
            WaitReason::Turn => return None,
            WaitReason::NotSubscribed => link?.came,
            WaitReason::Introduction if link?.introduced => link?.introduced_at,
            WaitReason::Introduction => link?.came,
            WaitReason::Busy { .. } => {
                let place = self.active(rollout.members[m].robot)?;
                self.target(place).begun
            }
            WaitReason::Launch { .. }
            | WaitReason::Deadline
            | WaitReason::Slot { .. }
            | WaitReason::Hold(_) => return None,
        };
        Some(since.max(target.since))
    }

    /// Whether what the engine says is true.
    fn is_so(&self, reason: &WaitReason, (r, m, t): (usize, usize, usize)) -> bool {
        let rollout = &self.rollouts[r];
        let member = &rollout.members[m];
        let robot = &self.robots[member.robot];
        let target = &member.targets[t];
        let run = rollout.run();
        match reason {
            WaitReason::Launch { .. } => rollout.status == Status::Prepared,
            WaitReason::Paused(why) => {
                let paused = matches!(run, Some(Run::Paused { why: found, .. }) if found == *why);
                paused && !member.is_told()
            }
            WaitReason::Stopped => {
                matches!(run, Some(Run::Stopped { .. } | Run::Ending { .. }))
            }
            WaitReason::Deadline => rollout.deadline <= self.now,
            WaitReason::Phase {
                phase,
                open,
                soaks_until,
            } => {
                usize::from(*phase) == member.phase
                    && usize::from(*open) == rollout.phase
                    && phase > open
                    && soaks_until.map(|at| at.0)
                        == rollout.soaks_until().filter(|_| {
                            *phase == open + 1 && !rollout.mechanism.phases[rollout.phase].approval
                        })
            }
            WaitReason::Retry { failure, at } => target
                .retry
                .is_some_and(|(why, when, _)| why == *failure && when == at.0 && when > self.now),
            WaitReason::Rate { per_minute, next } => {
                !member.is_told()
                    && self.per_minute(r) == Some(*per_minute)
                    && self.next_start(r) == Some(next.0)
            }
            WaitReason::Offline { fails } => {
                let patience = self.patience(r, member.robot);
                robot.link.is_none() && fails.map(|at| at.0) == patience
            }
            WaitReason::Turn => false,
            WaitReason::NotSubscribed => robot.link.as_ref().is_some_and(|link| !link.subscribed),
            WaitReason::Introduction => {
                robot.link.as_ref().is_some_and(|link| link.subscribed)
                    && !self.is_ready(member.robot)
            }
            WaitReason::Busy { rollout: other } => {
                let busy = self.active(member.robot).map(|(r, ..)| r);
                busy.is_some_and(|busy| busy != r && busy + 1 == other.0 as usize)
            }
            WaitReason::Order { ecu } => member.targets.iter().enumerate().any(|(index, other)| {
                let before = index < t || super::model::is_active(other.state);
                before && !is_final(other.state) && robot.ecus[other.ecu].name == ecu.as_str()
            }),
            WaitReason::Slot {
                in_progress,
                max_in_progress,
            } => {
                *in_progress == rollout.in_progress()
                    && *max_in_progress == rollout.mechanism.max_in_progress
                    && in_progress >= max_in_progress
            }
            WaitReason::Window { opens, .. } => {
                let expected = self.opens(&rollout.mechanism, member.robot);
                expected.is_some() && expected == opens.map(|at| at.0)
            }
            WaitReason::Hold(_) => false,
        }
    }
}

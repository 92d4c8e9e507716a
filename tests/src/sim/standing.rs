//! The standing rules: what must be true of the engine's state whenever it is looked at.

use super::Broken;
use super::clock::window_is_open;
use super::gates::{is_at_work, is_told};
use super::hours::Hours;
use super::promises::{Promises, ends_later};
use rollcall_engine::{
    CancelReason, Counts, Member, OnFailure, Robot, RobotKey, Rollout, RolloutId, RolloutStatus,
    Run, State, SuccessKind, Target, TargetState, Timestamp, WaitReason, Why,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hasher};

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(what())) }
}

/// Everything but the time, as a hash of its debug form.
pub(super) fn fingerprint(state: &State) -> u64 {
    let robots: Vec<_> = state.robots(None).collect();
    let groups: Vec<_> = state.groups().collect();
    let images = state.images().count();
    let rollouts: Vec<_> = state.rollouts().collect();
    let (counters, timer) = (state.counters(), state.next_timer());
    Hashed::of(format_args!(
        "{counters:?} {robots:?} {groups:?} {images} {rollouts:?} {timer:?}"
    ))
}

/// Hashes what is written, so that a text of megabytes is not kept.
pub(super) struct Hashed(DefaultHasher);

impl Hashed {
    /// The hash of a text.
    pub(super) fn of(text: std::fmt::Arguments<'_>) -> u64 {
        let mut hash = Self(DefaultHasher::new());
        hash.write_fmt(text).expect("a hash takes every text");
        hash.0.finish()
    }
}

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

/// All rules over the whole state. `now` is the real time, at which all due timers have fired.
pub(super) fn everything(state: &State, now: u64, promises: &mut Promises) -> Result<(), Broken> {
    for rollout in state.rollouts() {
        counts_equal_a_recount(rollout)?;
        a_rollout_runs_only_while_something_is_open(rollout)?;
        nobody_waits_who_could_be_told(state, rollout)?;
        for (key, member) in rollout.members.iter() {
            let Some(robot) = state.robot(key) else {
                return Err(Broken(format!("member {} is no robot", key.0)));
            };
            every_wait_ends(state, rollout, robot, member, now)?;
            a_failure_stops_the_robot_if_the_rollout_says_so(rollout, robot, member)?;
            let answers = why_tells_the_truth(state, rollout, robot, member)?;
            for why in &answers {
                ends_later(robot, why, now)?;
            }
            promises.look(state, rollout, robot, &answers)?;
        }
    }
    one_operation_per_robot(state)
}

/// What must be true of one robot in one rollout after every single input.
pub(super) fn member(
    state: &State,
    id: RolloutId,
    key: RobotKey,
    promises: &mut Promises,
) -> Result<(), Broken> {
    let (Some(rollout), Some(robot)) = (state.rollout(id), state.robot(key)) else {
        return Err(Broken(format!(
            "robot {} in rollout {} is nowhere",
            key.0, id.0
        )));
    };
    let answers = why_tells_the_truth(state, rollout, robot, &rollout.members[&key])?;
    promises.look(state, rollout, robot, &answers)
}

fn recount(rollout: &Rollout) -> Counts {
    let mut counts = Counts::default();
    for member in rollout.members.values() {
        counts.robots += 1;
        counts.skipped_robots += u32::from(member.skipped.is_some());
        counts.open_robots +=
            u32::from(member.targets.iter().any(|target| !target.state.is_final()));
        counts.in_progress += u32::from(member.targets.iter().any(is_active));
        for target in &member.targets {
            counts.targets += 1;
            *match target.state {
                TargetState::Pending => &mut counts.pending,
                TargetState::Succeeded {
                    how: SuccessKind::Installed,
                } => &mut counts.installed,
                TargetState::Succeeded {
                    how: SuccessKind::AlreadyCurrent,
                } => &mut counts.already_current,
                TargetState::Failed { .. } => &mut counts.failed,
                TargetState::RolledBack => &mut counts.rolled_back,
                TargetState::Skipped { .. } => &mut counts.skipped,
                TargetState::Cancelled { .. } => &mut counts.cancelled,
                TargetState::Superseded { .. } => &mut counts.superseded,
                TargetState::Expired => &mut counts.expired,
                _ => &mut counts.active,
            } += 1;
        }
    }
    counts
}

/// Told and not final, written apart from the engine's own idea of it.
pub(super) fn is_active(target: &Target) -> bool {
    target.state != TargetState::Pending && !target.state.is_final()
}

fn counts_equal_a_recount(rollout: &Rollout) -> Result<(), Broken> {
    let found = recount(rollout);
    ensure(found == rollout.counts, || {
        format!(
            "counts of rollout {}: {:?}, a recount gives {found:?}",
            rollout.id.0, rollout.counts
        )
    })
}

/// A24: a running rollout has something open; a completed one has not; a prepared one has nobody.
fn a_rollout_runs_only_while_something_is_open(rollout: &Rollout) -> Result<(), Broken> {
    let open = rollout.counts.open_robots > 0;
    let holds = match rollout.status {
        RolloutStatus::Prepared => rollout.members.is_empty() && rollout.ready.is_empty(),
        // Others may join a dynamic one.
        RolloutStatus::Launched { run, .. } => {
            open || rollout.mechanism.dynamic && !matches!(run, Run::Ending { .. })
        }
        RolloutStatus::Completed { .. } => !open && rollout.ready.is_empty(),
    };
    ensure(holds, || {
        format!(
            "A24: rollout {} is {:?} with {:?}",
            rollout.id.0, rollout.status, rollout.counts
        )
    })
}

/// A lost wake-up would be a robot that could be told, a slot that is free, and nobody who tells it.
fn nobody_waits_who_could_be_told(state: &State, rollout: &Rollout) -> Result<(), Broken> {
    let at_work = rollout.members.values().filter(|m| is_at_work(m)).count();
    let full = at_work >= rollout.mechanism.max_in_progress as usize;
    let runs = rollout.run() == Some(Run::Running);
    let goes_on = runs || matches!(rollout.run(), Some(Run::Paused { .. }));
    if rollout.more {
        let next = state.next_timer();
        return ensure(next.is_some_and(|(at, _)| at <= state.now()), || {
            format!(
                "lost wake-up: rollout {} would tell more robots, and no timer is due",
                rollout.id.0
            )
        });
    }
    let rate = rollout.mechanism.rate.is_some();
    let paced = rate && rollout.course.next_start_us / 1_000 > state.now().0;
    for (key, member) in rollout.members.iter().filter(|_| goes_on && !full) {
        let robot = state
            .robot(key)
            .filter(|r| r.ready() && r.active.is_none() && r.removed.is_none());
        let Some(robot) = robot else { continue };
        let free = |t: &&Target| !t.state.is_final() && robot.hold(t.ecu.into()).is_none();
        let Some(next) = member.targets.iter().find(free) else {
            continue;
        };
        let waits = next
            .retry
            .as_ref()
            .is_some_and(|retry| retry.at > state.now());
        let phases = &rollout.mechanism.phases;
        let open = phases.is_empty() || member.phase <= rollout.course.phase;
        let begins = runs && open && !paced;
        let closed = !window_is_open(&rollout.mechanism, robot, state.now().0);
        ensure(waits || closed || !(is_told(member) || begins), || {
            format!(
                "lost wake-up: {} could be told by rollout {}: {member:?}, {:?}",
                robot.id, rollout.id.0, rollout.course
            )
        })?;
    }
    Ok(())
}

/// Design 5.1: one active operation per robot, over all rollouts, and the robot's own note of it is right.
fn one_operation_per_robot(state: &State) -> Result<(), Broken> {
    let mut active: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for rollout in state.rollouts() {
        for (key, member) in rollout.members.iter() {
            for (index, _) in member
                .targets
                .iter()
                .enumerate()
                .filter(|(_, target)| is_active(target))
            {
                active.entry(key).or_default().push((rollout.id, index));
            }
        }
    }
    for robot in state.robots(None) {
        let found = active.get(&robot.key).map_or(&[][..], Vec::as_slice);
        let noted: Vec<_> = robot.active.into_iter().collect();
        ensure(found == noted && found.len() < 2, || {
            format!(
                "one operation: {} has {found:?} under way and notes {noted:?}",
                robot.id
            )
        })?;
    }
    Ok(())
}

/// How long a verdict waits for a report that is under way, in milliseconds.
const REPORT_UNDER_WAY: u64 = 60_000;

/// Design 5.1: every state that is not final has a deadline, in the future, and a timer that will see it.
fn every_wait_ends(
    state: &State,
    rollout: &Rollout,
    robot: &Robot,
    member: &Member,
    now: u64,
) -> Result<(), Broken> {
    let RolloutStatus::Launched { deadline: end, .. } = rollout.status else {
        return Ok(());
    };
    let next = state.next_timer().map(|(at, _)| at);
    for target in member
        .targets
        .iter()
        .filter(|target| !target.state.is_final())
    {
        let deadline = if is_active(target) {
            // A report under way is waited for, a minute at most.
            let overdue = |deadline: Timestamp| deadline.0 <= now && robot.timer.is_some();
            let waits = |deadline| match overdue(deadline) {
                true => Timestamp(deadline.0 + REPORT_UNDER_WAY),
                false => deadline,
            };
            target.deadline.map(waits)
        } else {
            Some(end)
        };
        let seen = deadline
            .is_some_and(|deadline| deadline.0 > now && next.is_some_and(|next| next <= deadline));
        let armed = !is_active(target) || robot.timer.is_some_and(|set| Some(set) <= deadline);
        ensure(seen && armed, || {
            format!(
                "5.1: {} in rollout {} waits without end at {now}: {target:?}, timer {:?}",
                robot.id, rollout.id.0, robot.timer
            )
        })?;
    }
    Ok(())
}

/// Design 5.1, A24: `on_failure = stop` ends the robot's other ECUs, and nothing else does.
fn a_failure_stops_the_robot_if_the_rollout_says_so(
    rollout: &Rollout,
    robot: &Robot,
    member: &Member,
) -> Result<(), Broken> {
    let stop = rollout.mechanism.on_failure == OnFailure::Stop;
    let failed = |target: &Target| {
        matches!(
            target.state,
            TargetState::Failed { .. } | TargetState::RolledBack | TargetState::Expired
        )
    };
    let reason = CancelReason::EarlierEcuFailed;
    let open = member.targets.iter().any(|target| !target.state.is_final());
    let stopped = member
        .targets
        .iter()
        .any(|target| target.state == TargetState::Cancelled { reason });
    let holds = if member.targets.iter().any(failed) {
        !(stop && open) && (stop || !stopped)
    } else {
        !stopped
    };
    ensure(holds, || {
        format!(
            "on_failure: {} in rollout {}: {member:?}",
            robot.id, rollout.id.0
        )
    })
}

/// `why` answers for every robot of every launched rollout, and what it says is so.
fn why_tells_the_truth(
    state: &State,
    rollout: &Rollout,
    robot: &Robot,
    member: &Member,
) -> Result<Vec<Why>, Broken> {
    let answers = state.why(rollout.id, robot.key);
    let answers = answers
        .map_err(|refusal| Broken(format!("why has no answer for {}: {refusal}", robot.id)))?;
    if member.skipped.is_some() {
        ensure(
            answers.len() == 1 && answers[0].waits_for.is_none() && member.targets.is_empty(),
            || format!("A9: skipped {} has {answers:?}", robot.id),
        )?;
        return Ok(answers);
    }
    ensure(answers.len() == member.targets.len(), || {
        format!("why of {} is {answers:?}", robot.id)
    })?;
    for (why, target) in answers.iter().zip(&member.targets) {
        let pending = target.state == TargetState::Pending;
        let consistent = why.state == target.state
            && why.waits_for.is_some() == pending
            && why.until.is_some() != target.state.is_final();
        let truthful = why
            .waits_for
            .as_ref()
            .is_none_or(|reason| is_so(state, reason, rollout, robot, target, &answers));
        ensure(consistent && truthful, || {
            format!(
                "why of {} in rollout {} is not so: {why:?} for {target:?}, {:?}",
                robot.id, rollout.id.0, robot.link
            )
        })?;
    }
    Ok(answers)
}

fn is_so(
    state: &State,
    reason: &WaitReason,
    rollout: &Rollout,
    robot: &Robot,
    target: &Target,
    all: &[Why],
) -> bool {
    let held = robot.hold(target.ecu.into());
    let online = robot.link.connection.is_some();
    let member = &rollout.members[&robot.key];
    let told = is_told(member);
    match reason {
        WaitReason::Launch { .. } => rollout.status == RolloutStatus::Prepared,
        WaitReason::Hold(hold) => held.as_ref() == Some(hold),
        WaitReason::Offline { fails } => !online && (fails.is_some() || held.is_none()),
        WaitReason::Turn => rollout.more && robot.ready() && held.is_none(),
        WaitReason::NotSubscribed => online && !robot.link.subscribed && held.is_none(),
        WaitReason::Introduction => {
            online && robot.link.subscribed && !robot.ready() && held.is_none()
        }
        WaitReason::Busy { rollout: other } => {
            robot.ready()
                && *other != rollout.id
                && robot.active.is_some_and(|(active, _)| active == *other)
        }
        WaitReason::Order { ecu } => {
            let before = all.iter().find(|why| why.ecu.as_ref() == Some(ecu));
            robot.ready() && before.is_some_and(|why| !why.state.is_final())
        }
        WaitReason::Paused(why) => {
            let paused = rollout
                .run()
                .is_some_and(|run| matches!(run, Run::Paused { why: found, .. } if found == *why));
            paused && !told
        }
        WaitReason::Stopped => {
            matches!(
                rollout.run(),
                Some(Run::Stopped { .. } | Run::Ending { .. })
            )
        }
        WaitReason::Deadline => rollout.deadline().is_some_and(|end| end <= state.now()),
        WaitReason::Phase {
            phase,
            open,
            soaks_until,
        } => {
            let soaks = soaks_until.is_none_or(|until| until > state.now());
            *phase == member.phase
                && *open == rollout.course.phase
                && phase > open
                && !told
                && soaks
        }
        WaitReason::Retry { failure, at } => {
            let retry = target.retry.as_ref();
            *at > state.now() && retry.is_some_and(|r| r.failure == *failure && r.at == *at)
        }
        WaitReason::Window { opens, zone, .. } => {
            let windows = rollout.mechanism.windows.as_ref();
            windows.is_some_and(|windows| {
                let hours = Hours::new(windows, &robot.labels);
                hours.zone() == zone.as_str() && hours.open_next(state.now().0, *opens)
            })
        }
        WaitReason::Rate { next, .. } => {
            rollout.mechanism.rate.is_some() && !told && *next > state.now()
        }
        WaitReason::Slot {
            in_progress,
            max_in_progress,
        } => {
            robot.ready()
                && robot.active.is_none()
                && *in_progress == rollout.counts.in_progress
                && *max_in_progress == rollout.mechanism.max_in_progress
                && in_progress >= max_in_progress
        }
    }
}

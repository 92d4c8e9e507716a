//! "Until T, then X", as `why` says it, held against what happened: at T it does, and before T nothing else comes but what
//! an event explains.
//!
//! What was said is remembered for each ECU, with what it was based on, and compared with what is said next.

use super::Broken;
use super::gates::{is_told, is_withdrawn};
use super::hours::Hours;
use rollcall_engine::{
    EcuName, FailureReason, Member, Rate, Robot, RobotKey, Rollout, RolloutId, RolloutStatus, Run,
    State, Target, TargetState, WaitReason, Why,
};
use std::collections::BTreeMap;

/// A timer may be looked at so much later, while a batch is on its way to the disk; milliseconds.
const LATE: u64 = 50;
/// So long a report that is under way is waited for, at most.
const REPORT_UNDER_WAY: u64 = 60_000;

/// What was said of an ECU, and what it was based on.
#[derive(Debug, Clone)]
struct Said {
    why: Why,
    attempt: u16,
    resends: u8,
    zone: Option<&'static str>,
    rate: Option<Rate>,
    next_start: u64,
    deadline: Option<u64>,
    running_since: u64,
    states: Vec<TargetState>,
}

/// What has been said of all ECUs since the server started.
#[derive(Debug, Default)]
pub(super) struct Promises {
    said: BTreeMap<(RolloutId, RobotKey, EcuName), Said>,
}

impl Said {
    fn says_the_same(&self, other: &Self) -> bool {
        let said = |said: &Self| {
            let why = &said.why;
            (
                why.state,
                why.waits_for.clone(),
                why.until,
                why.then,
                said.attempt,
                said.resends,
            )
        };
        said(self) == said(other)
    }
}

/// What an answer is about.
struct Place<'a> {
    state: &'a State,
    rollout: &'a Rollout,
    robot: &'a Robot,
    member: &'a Member,
    target: &'a Target,
}

/// The order in which gates are asked: what comes later is only said when nothing before it holds.
const fn rank(reason: &WaitReason) -> u8 {
    match reason {
        WaitReason::Launch { .. } => 0,
        WaitReason::Paused(_) | WaitReason::Stopped => 1,
        WaitReason::Phase { .. } => 2,
        WaitReason::Deadline => 3,
        WaitReason::Offline { fails: Some(_) } => 4,
        WaitReason::Hold(_) => 5,
        WaitReason::Offline { fails: None } => 6,
        WaitReason::NotSubscribed => 7,
        WaitReason::Introduction => 8,
        WaitReason::Busy { .. } => 9,
        WaitReason::Order { .. } => 10,
        WaitReason::Retry { .. } => 11,
        WaitReason::Window { .. } => 12,
        WaitReason::Rate { .. } => 13,
        WaitReason::Slot { .. } => 14,
        WaitReason::Turn => 15,
    }
}

impl Promises {
    /// What was said before a death is not held against what is said after.
    pub(super) fn restarted(&mut self) {
        self.said.clear();
    }

    /// Compares what is said of a robot with what was said before.
    pub(super) fn look(
        &mut self,
        state: &State,
        rollout: &Rollout,
        robot: &Robot,
        answers: &[Why],
    ) -> Result<(), Broken> {
        let member = &rollout.members[&robot.key];
        for (why, target) in answers.iter().zip(&member.targets) {
            let Some(ecu) = &why.ecu else { continue };
            let place = Place {
                state,
                rollout,
                robot,
                member,
                target,
            };
            let key = (rollout.id, robot.key, ecu.clone());
            let said = place.say(why);
            let known = self.said.get(&key);
            let news = known.is_none_or(|known| !known.says_the_same(&said));
            if let Some(before) = known.filter(|_| news) {
                place.follows(before, &said).map_err(|what| {
                    Broken(format!(
                        "why: {} in rollout {} at {}: {what}\n  before {before:?}\n  now {said:?}",
                        robot.id,
                        rollout.id.0,
                        state.now().0
                    ))
                })?;
            }
            if why.state.is_final() {
                self.said.remove(&key);
            } else if news {
                self.said.insert(key, said);
            }
        }
        Ok(())
    }
}

/// When all timers have fired: every wait ends in the future.
pub(super) fn ends_later(robot: &Robot, why: &Why, now: u64) -> Result<(), Broken> {
    // A verdict waits for a report that is under way.
    let grace = match why.waits_for.is_none() && robot.link.settled_at.is_some() {
        true => REPORT_UNDER_WAY,
        false => 0,
    };
    match why.until {
        Some(until) if until.0 + grace <= now => Err(Broken(format!(
            "why: {} waits until {until:?} at {now}: {why:?}",
            robot.id
        ))),
        _ => Ok(()),
    }
}

impl Place<'_> {
    fn say(&self, why: &Why) -> Said {
        Said {
            why: why.clone(),
            attempt: self.target.attempt,
            resends: self.target.resends,
            zone: self.hours().map(|hours| hours.zone()),
            rate: self.rollout.mechanism.rate.clone(),
            next_start: self.rollout.course.next_start_us,
            deadline: match self.rollout.status {
                RolloutStatus::Launched { deadline, .. } => Some(deadline.0),
                RolloutStatus::Prepared | RolloutStatus::Completed { .. } => None,
            },
            running_since: self.rollout.course.running_since.0,
            states: self.member.targets.iter().map(|t| t.state).collect(),
        }
    }

    fn hours(&self) -> Option<Hours> {
        let windows = self.rollout.mechanism.windows.as_ref();
        windows.map(|windows| Hours::new(windows, &self.robot.labels))
    }

    fn follows(&self, before: &Said, now: &Said) -> Result<(), String> {
        let at = self.state.now().0;
        let Some(until) = before.why.until.map(|until| until.0) else {
            return Ok(());
        };
        match (&before.why.waits_for, at < until) {
            (Some(reason), true) => self.explained(reason, before, now),
            (Some(reason), false) => self.happened(reason, before, now, at - until),
            (None, true) => Ok(()),
            (None, false) => self.ended(before, now, at - until),
        }
    }

    /// The wait has ended before its time.
    fn explained(&self, reason: &WaitReason, before: &Said, now: &Said) -> Result<(), String> {
        let moved = before.deadline != now.deadline && now.deadline.is_some();
        let state = now.why.state;
        let offline = FailureReason::Offline;
        match state {
            TargetState::Expired => return says(moved, "it expires before that"),
            TargetState::Failed { reason: found } if found == offline => {
                let said = matches!(reason, WaitReason::Offline { fails: Some(_) });
                return says(!said || before.states != now.states, "it fails before that");
            }
            state if state.is_final() => return Ok(()),
            _ => {}
        }
        let next = now.why.waits_for.as_ref().map_or(u8::MAX, rank);
        let same = next == rank(reason);
        if next < rank(reason) || same && (moved || before.why.until == now.why.until) {
            return Ok(());
        }
        let at = self.state.now().0;
        let other_zone = before.zone != now.zone;
        match reason {
            WaitReason::Window { .. } => says(other_zone, "nobody has moved it to another zone"),
            WaitReason::Retry { .. } => says(false, "a retry comes too early"),
            WaitReason::Rate { .. } => {
                let edited = before.rate != now.rate;
                // Another robot was told, so that the next one is further away.
                let told = same && now.next_start > before.next_start;
                says(edited || told, "the rate has not changed")
            }
            WaitReason::Phase { soaks_until, .. } => {
                let former = self.member.phase.saturating_sub(1);
                let members = self
                    .rollout
                    .members
                    .values()
                    .filter(|m| m.skipped.is_none());
                let nobody = members.filter(|m| m.phase == former).all(is_withdrawn);
                let other = before.running_since != now.running_since;
                let soaks = soaks_until.is_some();
                says(
                    !soaks || nobody || other || moved,
                    "the phase opens before it has soaked",
                )
            }
            WaitReason::Offline { fails: Some(_) } => {
                let closed = self.hours().is_some_and(|hours| !hours.are_open(at));
                let online = self.robot.link.connection.is_some();
                let busy = self.robot.active.is_some();
                let anew = other_zone
                    || before.states != now.states
                    || before.running_since != now.running_since;
                let explained = closed || online || busy || anew;
                says(explained, "patience has changed for no reason")
            }
            // These end when something else does.
            _ => Ok(()),
        }
    }

    /// The time has come.
    fn happened(
        &self,
        reason: &WaitReason,
        before: &Said,
        now: &Said,
        late: u64,
    ) -> Result<(), String> {
        let until = before.why.until.map_or(0, |until| until.0);
        let (state, then) = (now.why.state, before.why.then);
        // Something else came first, or in the moment between the time and its timer.
        let stood = match self.rollout.run() {
            Some(
                Run::Paused { since, .. } | Run::Stopped { since } | Run::Ending { since, .. },
            ) => since.0 <= until + LATE,
            Some(Run::Running) | None => false,
        };
        let taken = matches!(
            state,
            TargetState::Superseded { .. } | TargetState::Cancelled { .. }
        );
        if stood || taken && late <= LATE {
            return Ok(());
        }
        if before.deadline == Some(until) {
            let other = now.deadline.is_some() && now.deadline != before.deadline;
            return says(state == TargetState::Expired || other, "it does not expire");
        }
        let next = now.why.waits_for.as_ref();
        let holds = match (reason, then) {
            (WaitReason::Offline { .. }, "fails as offline (DEP_E151)") => {
                let link = &self.robot.link;
                let back = link.connection.is_some() && link.since.0 <= until + LATE;
                let reason = FailureReason::Offline;
                state == TargetState::Failed { reason } || back
            }
            (WaitReason::Window { .. }, _) if then.starts_with("its window opens") => {
                self.hours().is_none_or(|hours| hours.are_open(until)) || before.zone != now.zone
            }
            (WaitReason::Retry { at, .. }, "is tried again with a new operation") => {
                let waits = |reason: &WaitReason| matches!(reason, WaitReason::Retry { at: other, .. } if other == at);
                now.attempt > before.attempt || !next.is_some_and(waits)
            }
            (WaitReason::Rate { .. }, "the next robot in line is told") => {
                // Somebody was, or nobody could be.
                let waits = |reason: &WaitReason| matches!(reason, WaitReason::Rate { .. });
                now.next_start > before.next_start || !next.is_some_and(waits)
            }
            (WaitReason::Phase { phase, .. }, "the phase before it has soaked") => {
                let runs = self.rollout.run() == Some(Run::Running);
                self.rollout.course.phase >= *phase || !runs || is_told(self.member)
            }
            (WaitReason::Introduction, text) => text.starts_with("is judged by what it has said"),
            _ => false,
        };
        says(holds, "that is not what was said")
    }

    /// An operation's time has come.
    fn ended(&self, before: &Said, now: &Said, late: u64) -> Result<(), String> {
        let failure = match now.why.state {
            TargetState::Failed { reason } => Some(reason),
            _ => None,
        };
        // Or it was to be tried again, and perhaps failed for another reason at once.
        let retry = self.target.retry.as_ref().map(|retry| retry.failure);
        let failed = |reason| failure == Some(reason) || retry == Some(reason);
        let other = failed(FailureReason::OtherImageReported);
        let state = now.why.state;
        // An event, a report or an operator came in the moment between the time and its timer, or was waited for.
        let crossed = late <= LATE
            || late <= REPORT_UNDER_WAY && !matches!(state, TargetState::Failed { .. });
        let holds = match before.why.then {
            "the request is sent again, and at last fails" => {
                now.resends > before.resends || failed(FailureReason::RequestTimeout)
            }
            "fails as too slow" => failed(FailureReason::InProgressTimeout) || other,
            "fails as not confirmed" => failed(FailureReason::NotConfirmed) || other,
            text if text.starts_with("it restarted and runs the old image") => {
                let after_all = state == TargetState::RolledBack || !state.is_final();
                failed(FailureReason::Interrupted) || other || after_all
            }
            _ => true,
        };
        says(
            holds || crossed && failure.is_none(),
            "that is not what was said",
        )
    }
}

fn says(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

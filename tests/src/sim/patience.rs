//! X12, said once more: a robot that is gone fails a rollout that does not wait (DEP_E151), neither before its grace has
//! passed nor later; and it fails no other.
//!
//! The grace runs while the robot could have been told if it were there: the rollout runs, its phase and its window are
//! open, nothing is under way on it, and no retry is to come. It begins anew with each of these, with a start of the server,
//! with another time zone, and when what its ECUs wait for changes.

use super::Broken;
use super::gates::is_told;
use super::hours::Hours;
use rollcall_engine::{
    FailureReason, Input, Member, OfflinePolicy, Robot, RobotKey, Rollout, RolloutId, Row, Run,
    State, Target, TargetState, Timer,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a robot that is gone.
#[derive(Debug, Clone)]
struct Gone {
    /// Since when nothing but the clock keeps it from being told.
    since: u64,
    zone: Option<&'static str>,
    states: Vec<TargetState>,
}

/// All robots that are gone, by rollouts that do not wait for ever.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience {
    gone: BTreeMap<(RolloutId, RobotKey), Gone>,
}

fn grace(rollout: &Rollout) -> Option<u64> {
    match rollout.mechanism.offline {
        OfflinePolicy::Fail { grace } => Some(grace),
        OfflinePolicy::Wait => None,
    }
}

fn next_pending(member: &Member) -> Option<&Target> {
    let mut targets = member.targets.iter();
    targets.find(|target| target.state == TargetState::Pending)
}

/// Whether nothing but the clock keeps it from being told.
fn could_be_told(rollout: &Rollout, robot: &Robot, member: &Member) -> bool {
    let phases = !rollout.mechanism.phases.is_empty();
    let closed = phases && !is_told(member) && member.phase > rollout.course.phase;
    robot.link.connection.is_none()
        && robot.active.is_none()
        && rollout.run() == Some(Run::Running)
        && !closed
        && next_pending(member).is_some()
}

fn hours(rollout: &Rollout, robot: &Robot) -> Option<Hours> {
    let windows = rollout.mechanism.windows.as_ref();
    windows.map(|windows| Hours::new(windows, &robot.labels))
}

/// Since when it could have been told, the clock included; `None` when it cannot be now.
fn since(rollout: &Rollout, robot: &Robot, member: &Member, held: u64, now: u64) -> Option<u64> {
    let retry = next_pending(member)?.retry.as_ref();
    let due = retry.map_or(0, |retry| retry.at.0);
    let open = match hours(rollout, robot) {
        Some(hours) => hours.open_since(held, now)?,
        None => held,
    };
    (due <= now).then(|| held.max(due).max(open))
}

impl Patience {
    /// The server has come back.
    pub(super) fn restarted(&mut self) {
        self.gone.clear();
    }

    /// A target has failed because its robot is gone.
    pub(super) fn failed(
        &self,
        state: &State,
        rollout: &Rollout,
        key: RobotKey,
        before: Option<&Member>,
    ) -> Result<(), Broken> {
        let now = state.now().0;
        let begun = || {
            let gone = self.gone.get(&(rollout.id, key))?;
            since(rollout, state.robot(key)?, before?, gone.since, now)
        };
        // What ended in this very moment, and is not tried again, has had no time at all.
        let begun = begun().unwrap_or(now);
        match grace(rollout) {
            Some(grace) if begun + grace <= now => Ok(()),
            grace => Err(Broken(format!(
                "X12: robot {} fails rollout {} at {now}, could have been told since {begun}, grace {grace:?}",
                key.0, rollout.id.0
            ))),
        }
    }

    /// Looks at whom an input may have changed.
    pub(super) fn after(&mut self, state: &State, input: &Input, touched: &[Row]) {
        let everybody = matches!(input, Input::Command { .. } | Input::Started { .. })
            || touched.iter().any(|row| matches!(row, Row::Rollout(_)));
        if matches!(input, Input::Started { .. }) {
            self.gone.clear();
        }
        let mut keys: BTreeSet<_> = touched
            .iter()
            .filter_map(|row| match row {
                Row::Member(_, key) => Some(*key),
                _ => None,
            })
            .collect();
        if let Input::Link { robot, .. }
        | Input::Report { robot, .. }
        | Input::Due(Timer::Robot(robot)) = input
        {
            keys.insert(*robot);
        }
        let tracked = |rollout: &&Rollout| rollout.is_launched() && grace(rollout).is_some();
        for rollout in state.rollouts().filter(tracked) {
            if everybody {
                for (key, member) in rollout.members.iter() {
                    self.look(state, rollout, key, member);
                }
                continue;
            }
            for key in &keys {
                if let Some(member) = rollout.members.get(key) {
                    self.look(state, rollout, *key, member);
                }
            }
        }
    }

    fn look(&mut self, state: &State, rollout: &Rollout, key: RobotKey, member: &Member) {
        let place = (rollout.id, key);
        let robot = state
            .robot(key)
            .filter(|r| could_be_told(rollout, r, member));
        let Some(robot) = robot else {
            self.gone.remove(&place);
            return;
        };
        let now = state.now().0;
        let zone = hours(rollout, robot).map(|hours| hours.zone());
        let states: Vec<_> = member.targets.iter().map(|target| target.state).collect();
        let new = Gone {
            since: now,
            zone,
            states,
        };
        let gone = self.gone.entry(place).or_insert_with(|| new.clone());
        if gone.zone != new.zone || gone.states != new.states {
            *gone = new;
        }
    }

    /// When all timers have fired: nobody's grace is over who still waits.
    pub(super) fn nobody_is_late(&self, state: &State, now: u64) -> Result<(), Broken> {
        for ((id, key), gone) in &self.gone {
            let (Some(rollout), Some(robot)) = (state.rollout(*id), state.robot(*key)) else {
                continue;
            };
            let Some(grace) = grace(rollout).filter(|_| rollout.is_launched()) else {
                continue;
            };
            let begun = since(rollout, robot, &rollout.members[key], gone.since, now);
            if begun.is_some_and(|begun| begun + grace <= now) {
                return Err(Broken(format!(
                    "X12: {} should have failed rollout {} at {now}: {begun:?}, grace {grace}, {gone:?}",
                    robot.id, id.0
                )));
            }
        }
        Ok(())
    }
}

/// Whether it failed because its robot was gone.
pub(super) fn is_offline(state: TargetState) -> bool {
    let reason = FailureReason::Offline;
    state == TargetState::Failed { reason }
}

//! What operators do to a launched rollout: pause, resume, stop and cancel (requirements 6.1, X18).
//!
//! Nobody who writes an image is disturbed. Who was told and has not begun to write is told to give up when the rollout
//! stops or ends; what it then does decides.

use crate::input::Actor;
use crate::inventory::RobotKey;
use crate::outcome::{Reply, Row};
use crate::refusal::Refusal;
use crate::rollout::{
    EndReason, PauseReason, Rollout, RolloutId, RolloutStatus, Run, TargetSelection,
};
use crate::state::{Changes, State};
use crate::target::{CancelGoal, Cancelling, TargetState};

/// From here on a robot writes.
pub(crate) const INSTALLING: u16 = (TargetState::Installing { progress: 0 }).rank();

impl State {
    pub(crate) fn pause_rollout(
        &mut self,
        id: RolloutId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        match self.launched_run(id, "paused")? {
            Run::Running => {}
            run => return Err(self.not_so(id, run, "paused")),
        }
        let why = PauseReason::Operator;
        let since = self.now;
        self.set_run(id, Run::Paused { since, why }, changes);
        self.pump(id, changes);
        Ok(Reply::Rollout(id))
    }

    pub(crate) fn resume_rollout(
        &mut self,
        id: RolloutId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        match self.launched_run(id, "resumed")? {
            Run::Paused {
                why: PauseReason::Approval { phase } | PauseReason::PhaseMissed { phase },
                ..
            } => return Err(Refusal::NeedsApproval { id, phase }),
            Run::Paused { .. } | Run::Stopped { .. } => {}
            run @ (Run::Running | Run::Ending { .. }) => {
                return Err(self.not_so(id, run, "resumed"));
            }
        }
        self.run_again(id, changes);
        Ok(Reply::Rollout(id))
    }

    /// Robots are told again. A threshold that pauses, and would do so at once, acts again only when more robots fail.
    pub(crate) fn run_again(&mut self, id: RolloutId, changes: &mut Changes) {
        let now = self.now;
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.course.running_since = now;
            rollout.course.excused = rollout.to_excuse().unwrap_or(rollout.course.excused);
        }
        self.set_run(id, Run::Running, changes);
        self.pump(id, changes);
        self.arm_offline(id);
    }

    pub(crate) fn stop_rollout(
        &mut self,
        by: &Actor,
        id: RolloutId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        match self.launched_run(id, "stopped")? {
            Run::Running | Run::Paused { .. } => {}
            run => return Err(self.not_so(id, run, "stopped")),
        }
        self.halt_rollout(by, id, changes);
        Ok(Reply::Rollout(id))
    }

    /// From here on it sends nothing but Cancels.
    pub(crate) fn halt_rollout(&mut self, by: &Actor, id: RolloutId, changes: &mut Changes) {
        let since = self.now;
        self.set_run(id, Run::Stopped { since }, changes);
        for key in self.active_robots(id) {
            self.call_off(id, key, by, CancelGoal::Recall, changes);
        }
        self.pump(id, changes);
    }

    pub(crate) fn cancel_rollout(
        &mut self,
        by: &Actor,
        id: RolloutId,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        match self.launched_run(id, "cancelled")? {
            Run::Running | Run::Paused { .. } | Run::Stopped { .. } => {}
            run => return Err(self.not_so(id, run, "cancelled")),
        }
        self.end_by(by, id, EndReason::Operator, changes);
        self.pump(id, changes);
        Ok(Reply::Rollout(id))
    }

    /// A threshold ends the rollout.
    pub(crate) fn end_rollout(&mut self, id: RolloutId, why: EndReason, changes: &mut Changes) {
        self.end_by(&Actor("rollcall".to_owned()), id, why, changes);
        // Its release is not live while those that install are waited for.
        if let Some(TargetSelection::Release(release)) = self.rollouts.get(&id).map(|r| &r.target) {
            self.tranche_ended(*release, id, changes);
        }
    }

    pub(crate) fn end_by(
        &mut self,
        by: &Actor,
        id: RolloutId,
        why: EndReason,
        changes: &mut Changes,
    ) {
        let since = self.now;
        self.set_run(id, Run::Ending { since, why }, changes);
        let goal = match why {
            EndReason::Operator | EndReason::Replaced { .. } => CancelGoal::RolloutCancelled,
            _ => CancelGoal::RolloutAborted,
        };
        for key in self.open_robots(id) {
            self.end_waiting(id, key, why, changes);
            self.call_off(id, key, by, goal, changes);
            self.refresh_ready(key);
        }
    }

    /// What was not sent will not be.
    fn end_waiting(&mut self, id: RolloutId, key: RobotKey, why: EndReason, changes: &mut Changes) {
        let member = self.rollouts.get(&id).and_then(|r| r.members.get(&key));
        let targets = member.map_or(&[][..], |member| &member.targets);
        let waiting = targets.iter().enumerate();
        let waiting = waiting.filter(|(_, target)| target.state == TargetState::Pending);
        let ends: Vec<_> = waiting
            .map(|(index, target)| {
                // No retry is left for what has failed before.
                let state = target.retry.as_ref().map_or(
                    TargetState::Cancelled {
                        reason: why.cancel_reason(),
                    },
                    |retry| TargetState::Failed {
                        reason: retry.failure,
                    },
                );
                (index, state)
            })
            .collect();
        for (index, state) in ends {
            self.set_target(id, key, index, state, changes);
        }
    }

    /// Tells the robot to give up the rollout's operation under way, unless it writes already.
    fn call_off(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        by: &Actor,
        goal: CancelGoal,
        changes: &mut Changes,
    ) {
        let active = self.robots.get(&key).and_then(|robot| robot.active);
        let Some((_, index)) = active.filter(|(active, _)| *active == id) else {
            return;
        };
        let now = self.now;
        let Some(target) = self.target_mut(id, key, index) else {
            return;
        };
        if let Some(cancelling) = &mut target.cancelling {
            // The Cancel is on its way; an operator's word about this one robot stands.
            if cancelling.goal != CancelGoal::Operator {
                cancelling.goal = goal;
                changes.touch(Row::Member(id, key));
            }
            return;
        }
        if target.state.rank() >= INSTALLING {
            return;
        }
        target.cancelling = Some(Box::new(Cancelling::new(by, now, goal)));
        changes.touch(Row::Member(id, key));
        self.send_due_cancel(key, changes);
    }

    /// Changes whether the rollout tells robots, and who is ready.
    pub(crate) fn set_run(&mut self, id: RolloutId, run: Run, changes: &mut Changes) {
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.set_run(run);
            changes.touch(Row::Rollout(id));
        }
    }

    fn launched_run(&self, id: RolloutId, action: &'static str) -> Result<Run, Refusal> {
        let rollout = self
            .rollouts
            .get(&id)
            .ok_or(Refusal::UnknownRollout { id })?;
        rollout.run().ok_or(Refusal::NotLaunched {
            id,
            status: rollout.word(),
            action,
        })
    }

    fn not_so(&self, id: RolloutId, run: Run, action: &'static str) -> Refusal {
        Refusal::NotNow {
            id,
            status: run.word(),
            action,
            remedy: match run {
                Run::Running => "pause or stop it first",
                Run::Paused { .. } => "resume it, stop it or cancel it",
                Run::Stopped { .. } => "resume it or cancel it",
                Run::Ending { .. } => "it is over; only robots that install are waited for",
            },
        }
    }

    pub(crate) fn open_robots(&self, id: RolloutId) -> Vec<RobotKey> {
        self.robots_of(id, |member| member.is_open())
    }

    fn active_robots(&self, id: RolloutId) -> Vec<RobotKey> {
        self.robots_of(id, |member| member.active().is_some())
    }

    fn robots_of(&self, id: RolloutId, which: fn(&crate::Member) -> bool) -> Vec<RobotKey> {
        let members = self
            .rollouts
            .get(&id)
            .into_iter()
            .flat_map(|r| r.members.iter());
        let members = members.filter(|(_, member)| which(member));
        members.map(|(key, _)| key).collect()
    }
}

impl Rollout {
    /// Its status in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.status {
            RolloutStatus::Prepared => "prepared",
            RolloutStatus::Launched { run, .. } => run.word(),
            RolloutStatus::Completed { .. } => "completed",
        }
    }
}

impl Run {
    /// In a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Stopped { .. } => "stopped",
            Self::Ending { .. } => "ending",
        }
    }
}

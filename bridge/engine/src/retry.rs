//! Trying again: failures that may go away by themselves get another operation, after a wait that doubles.
//!
//! While it waits the target holds no slot, and its robot's later ECUs wait with it: the order on a robot stays. What a
//! newer rollout waits to update is not told again (X20): it would undo that rollout's work.
//!
//! Nothing is tried again by default, and [`FailureReason::Offline`](crate::FailureReason::Offline) never is.

use crate::inventory::RobotKey;
use crate::outcome::Row;
use crate::rollout::{RolloutId, Run};
use crate::state::{Changes, State};
use crate::target::{CancelGoal, CancelReason, Retrying, Target, TargetState};
use crate::time::Timestamp;

impl State {
    /// What becomes of the active target that comes to `end`: that, or it waits again.
    pub(crate) fn end_or_retry(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        end: TargetState,
        changes: &mut Changes,
    ) -> TargetState {
        let Some(target) = self.target(id, key, index) else {
            return end;
        };
        let Some(rollout) = self.rollouts.get(&id) else {
            return end;
        };
        let goal = target.cancelling.as_ref().map(|cancelling| cancelling.goal);
        let run = rollout.run();
        let newer = self.newer_rollout(id, key, target.ecu);
        match end {
            TargetState::Cancelled {
                reason: CancelReason::ByOperator,
            } => match goal {
                Some(CancelGoal::RolloutCancelled) => cancelled(CancelReason::RolloutCancelled),
                Some(CancelGoal::RolloutAborted) => cancelled(CancelReason::RolloutAborted),
                Some(CancelGoal::Recall) => match newer {
                    Some(by) => TargetState::Superseded { by },
                    None => self.wait_again(id, key, index, None, changes),
                },
                Some(CancelGoal::Operator) | None => end,
            },
            TargetState::Failed { reason } => {
                let over = matches!(run, None | Some(Run::Ending { .. }))
                    || goal == Some(CancelGoal::Operator)
                    || newer.is_some();
                let rule = reason
                    .class()
                    .filter(|_| !over)
                    .and_then(|class| rollout.mechanism.retry(class));
                let Some(rule) = rule else {
                    return end;
                };
                let place = rule.class as usize;
                let mut used = target.retry.as_ref().map_or([0; 5], |retry| retry.used);
                if used[place] >= rule.times {
                    return end;
                }
                let doubled = rule.backoff.checked_shl(used[place].into());
                let wait = doubled.map_or(rule.max_backoff, |wait| wait.min(rule.max_backoff));
                used[place] += 1;
                let retrying = Retrying {
                    failure: reason,
                    at: self.now.after(wait),
                    used,
                };
                self.wait_again(id, key, index, Some(retrying), changes)
            }
            _ => end,
        }
    }

    fn wait_again(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        retrying: Option<Retrying>,
        changes: &mut Changes,
    ) -> TargetState {
        if let Some(target) = self.target_mut(id, key, index) {
            target.cancelling = None;
            if let Some(retrying) = retrying {
                target.retry = Some(Box::new(retrying));
            }
            changes.touch(Row::Member(id, key));
        }
        TargetState::Pending
    }

    /// The newest rollout of those launched after this one that still has something to do on the ECU.
    fn newer_rollout(&self, id: RolloutId, key: RobotKey, ecu: u8) -> Option<RolloutId> {
        let open = self.robots.get(&key)?.open.iter();
        let mut newer = open.rev().take_while(|open| **open != id);
        let updates = |newer: &&RolloutId| {
            let member = self.rollouts.get(newer).and_then(|r| r.members.get(&key));
            let mut targets = member.into_iter().flat_map(|member| &member.targets);
            targets.any(|target| target.ecu == ecu && !target.state.is_final())
        };
        newer.find(updates).copied()
    }

    /// When the robot's next retry comes due.
    pub(crate) fn next_retry(&self, key: RobotKey) -> Option<Timestamp> {
        let robot = self.robots.get(&key)?;
        let open = robot.open.iter();
        let members = open.filter_map(|id| self.rollouts.get(id)?.members.get(&key));
        let waits = members.flat_map(|member| &member.targets);
        waits
            .filter_map(|target| target.retry_at())
            .filter(|at| *at > self.now)
            .min()
    }
}

impl Target {
    /// Not before then is the target tried again; `None` when it does not wait for that.
    #[must_use]
    pub fn retry_at(&self) -> Option<Timestamp> {
        let retry = self.retry.as_ref()?;
        (self.state == TargetState::Pending).then_some(retry.at)
    }
}

const fn cancelled(reason: CancelReason) -> TargetState {
    TargetState::Cancelled { reason }
}

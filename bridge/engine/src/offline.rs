//! X12: a rollout that does not wait for offline robots fails them (DEP_E151) when its patience is at an end.
//!
//! Patience runs only while the robot could have been told: the rollout runs, the robot's phase and its maintenance window
//! are open, and nothing is under way on the robot. It begins anew with each of these, so that nobody fails for what the server or an operator did.

use crate::inventory::{Robot, RobotKey};
use crate::mechanism::OfflinePolicy;
use crate::rollout::{Member, Rollout, RolloutId, Run};
use crate::state::{Changes, State};
use crate::target::{FailureReason, Target, TargetState};
use crate::time::Timestamp;

impl State {
    /// When the robot's pending targets in the rollout fail because it is offline; `None` while it is waited for.
    pub(crate) fn patience(&self, rollout: &Rollout, robot: &Robot) -> Option<Timestamp> {
        let OfflinePolicy::Fail { grace } = rollout.mechanism.offline else {
            return None;
        };
        let member = rollout.members.get(&robot.key)?;
        let could_be_told = !robot.online()
            && robot.active.is_none()
            && matches!(rollout.run(), Some(Run::Running))
            && self.closed_to(rollout, member).is_none();
        let next = member.targets.iter().find(|target| is_pending(target))?;
        if !could_be_told {
            return None;
        }
        let since = [
            robot.link.since,
            robot.active_since,
            self.started,
            rollout.course.running_since,
            rollout.course.opened(member.phase),
            rollout.open_since(robot, self.now)?,
            last_step(member),
            next.retry_at().unwrap_or_default(),
        ];
        since.into_iter().max().map(|since| since.after(grace))
    }

    /// When the first rollout loses patience with the robot.
    pub(crate) fn next_patience(&self, key: RobotKey) -> Option<Timestamp> {
        let robot = self.robots.get(&key).filter(|robot| !robot.online())?;
        let open = robot.open.iter().filter_map(|id| self.rollouts.get(id));
        open.filter_map(|rollout| self.patience(rollout, robot))
            .min()
    }

    /// Patience begins for everybody who is offline.
    pub(crate) fn arm_offline(&mut self, id: RolloutId) {
        let policy = self.rollouts.get(&id).map(|r| r.mechanism.offline);
        if matches!(policy, Some(OfflinePolicy::Fail { .. })) {
            for key in self.open_robots(id) {
                self.arm(key);
            }
        }
    }

    /// Fails the robot in the rollouts that have lost patience with it.
    pub(crate) fn fail_offline(&mut self, key: RobotKey, changes: &mut Changes) {
        let open = self.robots.get(&key).map(|robot| robot.open.clone());
        for id in open.unwrap_or_default() {
            let robot = self.robots.get(&key);
            let over = self.rollouts.get(&id).zip(robot);
            let over = over.and_then(|(rollout, robot)| self.patience(rollout, robot));
            if over.is_none_or(|over| over > self.now) {
                continue;
            }
            let member = self.rollouts.get(&id).and_then(|r| r.members.get(&key));
            let targets = member.map_or(&[][..], |member| &member.targets);
            let pending = targets.iter().enumerate();
            let pending = pending.filter(|(_, target)| is_pending(target));
            let pending: Vec<_> = pending.map(|(index, _)| index).collect();
            let reason = FailureReason::Offline;
            for index in pending {
                self.set_target(id, key, index, TargetState::Failed { reason }, changes);
            }
            self.pump(id, changes);
        }
    }
}

fn is_pending(target: &Target) -> bool {
    target.state == TargetState::Pending
}

/// When the robot came into the rollout, or the operation under way on it in this rollout ended.
fn last_step(member: &Member) -> Timestamp {
    let steps = member.targets.iter().map(|target| target.since);
    steps.max().unwrap_or_default()
}

//! Cancels: an operator's, and those that the server owes to robots that it could not reach.
//!
//! A Cancel decides nothing. It goes out when the robot can hear it, and what the robot then does decides: it says that
//! the operation is cancelled, or it goes on and is judged as ever. An Edgehog device answers a Cancel that comes too
//! late with a failure that means nothing (device-contract 3.2), except where it says that it has never begun.

use crate::control::INSTALLING;
use crate::input::Actor;
use crate::inventory::RobotKey;
use crate::names::RobotId;
use crate::outcome::{Reply, RequestKind, Row};
use crate::refusal::Refusal;
use crate::rollout::RolloutId;
use crate::state::{Changes, State};
use crate::target::{CancelGoal, CancelReason, Cancelling, TargetState};

impl State {
    /// Cancels the operation under way on the robot and, with `all`, everything that it still waits for.
    pub(crate) fn cancel_operation(
        &mut self,
        by: &Actor,
        id: &RobotId,
        all: bool,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let key = self
            .robot_key(id.as_str())
            .ok_or_else(|| Refusal::UnknownRobot { id: id.clone() })?;
        let robot = self.robots.get(&key).ok_or(Refusal::RobotGone)?;
        let active = robot.active;
        // That the rollout was stopped is no word about this robot.
        let already = self
            .active_target(robot)
            .and_then(|(_, target)| target.cancelling.as_ref())
            .filter(|cancelling| cancelling.goal != CancelGoal::Recall);
        if let Some(already) = already.filter(|_| !all) {
            return Err(Refusal::AlreadyCancelling {
                id: id.clone(),
                by: already.by.to_string(),
            });
        }
        let already = already.is_some();
        let waiting = if all {
            self.waiting_of(key)
        } else {
            Vec::new()
        };
        if active.is_none() && waiting.is_empty() || already && waiting.is_empty() {
            return Err(Refusal::NothingToCancel { id: id.clone() });
        }
        let mut rollouts = Vec::new();
        for (rollout, index) in waiting {
            let reason = CancelReason::ByOperator;
            self.set_target(
                rollout,
                key,
                index,
                TargetState::Cancelled { reason },
                changes,
            );
            rollouts.push(rollout);
        }
        if let Some((rollout, index)) = active.filter(|_| !already) {
            let cancelling = Cancelling::new(by, self.now, CancelGoal::Operator);
            if let Some(target) = self.target_mut(rollout, key, index) {
                let sent = target.cancelling.as_ref().map_or(0, |recall| recall.sent);
                target.cancelling = Some(Box::new(Cancelling { sent, ..cancelling }));
            }
            changes.touch(Row::Member(rollout, key));
            self.send_due_cancel(key, changes);
        }
        self.refresh_ready(key);
        for rollout in rollouts {
            self.pump(rollout, changes);
        }
        Ok(Reply::Robot(key))
    }

    /// Targets of running rollouts for which nothing was sent to the robot.
    fn waiting_of(&self, key: RobotKey) -> Vec<(RolloutId, usize)> {
        let open = self.robots.get(&key).map_or(&[][..], |robot| &robot.open);
        let mut waiting = Vec::new();
        for id in open {
            let member = self.rollouts.get(id).and_then(|r| r.members.get(&key));
            let targets = member.map_or(&[][..], |member| &member.targets);
            for (index, target) in targets.iter().enumerate() {
                if target.state == TargetState::Pending {
                    waiting.push((*id, index));
                }
            }
        }
        waiting
    }

    /// Sends the Cancel of the operation under way if an operator wants it and the robot can hear it.
    pub(crate) fn send_due_cancel(&mut self, key: RobotKey, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&key).filter(|robot| robot.ready()) else {
            return;
        };
        let Some((id, index)) = robot.active else {
            return;
        };
        // A device that hears it twice answers the second with a failure that means nothing.
        if robot.link.told_cancel == Some((id, index)) {
            return;
        }
        let Some(target) = self.target_mut(id, key, index) else {
            return;
        };
        let writes = target.state.rank() >= INSTALLING;
        let Some(cancelling) = &mut target.cancelling else {
            return;
        };
        // X18: the end of a rollout disturbs nobody who writes; an operator may mean this very robot.
        if writes && cancelling.goal != CancelGoal::Operator {
            return;
        }
        cancelling.sent = cancelling.sent.saturating_add(1);
        changes.touch(Row::Member(id, key));
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.link.told_cancel = Some((id, index));
        }
        self.send(id, key, index, RequestKind::Cancel, changes);
    }

    /// The server gives an operation up. The robot is told now, or when it returns.
    pub(crate) fn cancel_or_owe(
        &mut self,
        (id, key, index): (RolloutId, RobotKey, usize),
        changes: &mut Changes,
    ) {
        if self.robots.get(&key).is_some_and(|robot| robot.ready()) {
            return self.send(id, key, index, RequestKind::Cancel, changes);
        }
        if let Some(target) = self.target_mut(id, key, index) {
            target.owes_cancel = true;
            changes.touch(Row::Member(id, key));
        }
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.owed.insert((id, index));
        }
    }

    /// The robot is back: what was given up meanwhile it shall not begin, or go on with if it is not too late.
    pub(crate) fn send_owed(&mut self, key: RobotKey, changes: &mut Changes) {
        let Some(robot) = self
            .robots
            .get_mut(&key)
            .filter(|robot| robot.ready() && !robot.owed.is_empty())
        else {
            return;
        };
        for (id, index) in std::mem::take(&mut robot.owed) {
            if let Some(target) = self.target_mut(id, key, index) {
                target.owes_cancel = false;
                changes.touch(Row::Member(id, key));
            }
            self.send(id, key, index, RequestKind::Cancel, changes);
        }
    }
}

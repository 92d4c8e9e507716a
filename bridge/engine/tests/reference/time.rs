//! What time does. At each instant the robots come first, by number, then the rollouts.

use super::model::{Model, is_active, is_final, writes};
use rollcall_engine::{CancelReason, FailureReason, Run, TargetState};

/// How long a verdict waits for a report that is under way.
const REPORT_UNDER_WAY: u64 = 60_000;

impl Model {
    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<u64> {
        let robots = (0..self.robots.len()).filter_map(|robot| self.robot_due_at(robot));
        let rollouts = (0..self.rollouts.len()).filter_map(|r| self.rollout_due_at(r));
        robots.chain(rollouts).min()
    }

    /// Everything that is due now.
    pub(super) fn due(&mut self) {
        let now = self.now;
        for robot in 0..self.robots.len() {
            if self.robot_due_at(robot).is_some_and(|at| at <= now) {
                self.robot_due(robot);
            }
        }
        for r in 0..self.rollouts.len() {
            if self.rollout_due_at(r).is_some_and(|at| at <= now) {
                self.rollout_due(r);
            }
        }
        self.looked = now;
    }

    fn robot_due_at(&self, robot: usize) -> Option<u64> {
        let settles = self.robots[robot]
            .link
            .as_ref()
            .and_then(|link| link.settles);
        let active = self.active(robot).and_then(|place| {
            let target = self.target(place);
            let until = target.deadline.into_iter().chain(target.suspect).min()?;
            Some(match settles {
                Some(settles) if until <= self.looked => settles.min(until + REPORT_UNDER_WAY),
                _ => until,
            })
        });
        let retries = self.rollouts.iter().filter(|r| r.run().is_some());
        let retries = retries.flat_map(|rollout| &rollout.members);
        let retries = retries.filter(|member| member.robot == robot);
        let retries = retries.flat_map(|member| &member.targets);
        let retries = retries.filter(|target| target.state == TargetState::Pending);
        let retries = retries.filter_map(|target| target.retry.map(|(_, at, _)| at));
        let retry = retries.filter(|at| *at > self.looked).min();
        settles.into_iter().chain(active).chain(retry).min()
    }

    fn robot_due(&mut self, robot: usize) {
        let now = self.now;
        let link = self.robots[robot].link.as_mut();
        let settled = link.and_then(|link| link.settles.take_if(|at| *at <= now));
        if settled.is_some()
            && let Some(place) = self.active(robot)
        {
            let ecu = self.target(place).ecu;
            let first = self.judge(robot, ecu, false);
            self.settle(first);
        }
        self.operation_due(robot);
        self.settle(None);
    }

    fn operation_due(&mut self, robot: usize) {
        let now = self.now;
        let Some(place) = self.active(robot) else {
            return;
        };
        let target = self.target(place).clone();
        let mechanism = self.rollouts[place.0].mechanism.clone();
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        let (deadline, suspect) = (is_due(target.deadline), is_due(target.suspect));
        let Some(until) = target.deadline.into_iter().chain(target.suspect).min() else {
            return;
        };
        if until > now {
            return;
        }
        let said = self.robots[robot].ecus[target.ecu].said;
        let settling = self.robots[robot]
            .link
            .as_ref()
            .is_some_and(|link| link.settles.is_some());
        let reporting = settling && until + REPORT_UNDER_WAY > now;
        let requested = target.state == TargetState::Requested;
        let repeat = requested && target.resends < mechanism.request_resends;
        if reporting && (target.cancelling.is_some() || !repeat) {
            return;
        }
        let other = said.is_some_and(|said| said != target.version);
        if suspect && !other && !deadline {
            self.target_mut(place).suspect = None;
            return;
        }
        if target.cancelling.is_some() && !writes(target.state) {
            let reason = CancelReason::ByOperator;
            let first = self.finish(place, TargetState::Cancelled { reason });
            return self.settle(Some(first));
        }
        if repeat {
            let target = self.target_mut(place);
            target.resends += 1;
            target.deadline = Some(now + mechanism.request_timeout);
            return;
        }
        let third = other && said != target.ran;
        let restarted = self.robots[robot].boot > target.boot;
        let failed = |reason| TargetState::Failed { reason };
        let end = if requested {
            failed(FailureReason::RequestTimeout)
        } else if third && restarted && writes(target.state) {
            failed(FailureReason::OtherImageReported)
        } else if suspect && other && writes(target.state) {
            TargetState::RolledBack
        } else if suspect && other {
            failed(FailureReason::Interrupted)
        } else if matches!(target.state, TargetState::Applied | TargetState::Verifying) {
            failed(FailureReason::NotConfirmed)
        } else {
            failed(FailureReason::InProgressTimeout)
        };
        let first = self.finish(place, end);
        self.settle(Some(first));
    }

    fn rollout_due_at(&self, r: usize) -> Option<u64> {
        let rollout = &self.rollouts[r];
        rollout.run()?;
        let mut due = vec![rollout.deadline];
        due.extend(rollout.soaks_until());
        let waits = |m: &usize| {
            let member = &rollout.members[*m];
            !member.is_told() && self.next_target((r, *m)).is_some()
        };
        if rollout.run() == Some(Run::Running) && (0..rollout.members.len()).any(|m| waits(&m)) {
            let next = rollout.next_start_us / 1_000;
            due.extend(Some(next).filter(|next| *next > self.looked));
        }
        if rollout.mechanism.windows.is_some() {
            due.extend(self.next_opening());
        }
        due.into_iter().min()
    }

    fn rollout_due(&mut self, r: usize) {
        if self.rollouts[r].deadline <= self.now {
            for member in &mut self.rollouts[r].members {
                for target in &mut member.targets {
                    if !is_final(target.state) {
                        target.state = TargetState::Expired;
                    }
                }
            }
            self.complete(r);
        }
        self.settle(None);
    }

    /// The server was away: nobody is connected, and what was promised to robots and rollouts begins where it stopped.
    pub(super) fn restart(&mut self, downtime: u64) {
        for robot in &mut self.robots {
            robot.link = None;
        }
        for rollout in &mut self.rollouts {
            rollout.deadline += downtime;
            for target in rollout.members.iter_mut().flat_map(|m| &mut m.targets) {
                if is_active(target.state) {
                    target.deadline = target.deadline.map(|at| at + downtime);
                    target.suspect = target.suspect.map(|at| at + downtime);
                }
            }
        }
    }
}

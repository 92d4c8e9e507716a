//! What time does. At each instant the robots come first, by number, then the rollouts.

use super::model::{Model, Status, Target, is_active, is_final, writes};
use rollcall_engine::{CancelReason, FailureReason, OfflinePolicy, Run, TargetState};

/// How long a verdict waits for a report that is under way.
const REPORT_UNDER_WAY: u64 = 60_000;

impl Model {
    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<u64> {
        let robots = (0..self.robots.len()).filter_map(|robot| self.robot_due_at(robot));
        let rollouts = (0..self.rollouts.len()).filter_map(|r| self.rollout_due_at(r));
        robots.chain(rollouts).min()
    }

    /// Everything that is due now: what was due first first, then robots before rollouts, by number.
    pub(super) fn due(&mut self) {
        let now = self.now;
        let robots = (0..self.robots.len()).map(|n| (self.robot_due_at(n), false, n));
        let rollouts = (0..self.rollouts.len()).map(|n| (self.rollout_due_at(n), true, n));
        let mut due: Vec<_> = robots.chain(rollouts).collect();
        due.retain(|(at, ..)| at.is_some_and(|at| at <= now));
        due.sort_unstable();
        for (_, is_rollout, number) in due {
            if !is_rollout && self.robot_due_at(number).is_some_and(|at| at <= now) {
                self.robot_due(number);
                self.take_in();
            }
            if is_rollout && self.rollout_due_at(number).is_some_and(|at| at <= now) {
                self.rollout_due(number);
            }
        }
        // What has come to be due by that.
        for robot in 0..self.robots.len() {
            if self.robot_due_at(robot).is_some_and(|at| at <= now) {
                self.robot_due(robot);
                self.take_in();
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
        let patience = self.launched().into_iter();
        let patience = patience.filter_map(|r| self.patience(r, robot)).min();
        let due = settles.into_iter().chain(active).chain(retry);
        due.chain(patience).min()
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
        self.fail_offline(robot);
        self.settle(None);
    }

    /// X12: the server has lost patience with who is not there.
    fn fail_offline(&mut self, robot: usize) {
        let now = self.now;
        for r in self.launched() {
            if self.patience(r, robot).is_none_or(|at| at > now) {
                continue;
            }
            let reason = FailureReason::Offline;
            let members = self.rollouts[r].members.iter_mut();
            for member in members.filter(|member| member.robot == robot) {
                for target in &mut member.targets {
                    if target.state == TargetState::Pending {
                        target.turn(TargetState::Failed { reason }, now);
                    }
                }
            }
            self.settle(None);
        }
    }

    /// When the rollout loses patience with the robot: so long after it could have been told if it were there.
    pub(super) fn patience(&self, r: usize, robot: usize) -> Option<u64> {
        let rollout = &self.rollouts[r];
        let OfflinePolicy::Fail { grace } = rollout.mechanism.offline else {
            return None;
        };
        let member = rollout.members.iter().find(|m| m.robot == robot)?;
        let pending = |target: &&Target| target.state == TargetState::Pending;
        let next = member.targets.iter().find(pending)?;
        let here = self.robots[robot].link.is_some() || self.is_busy(robot);
        let phase_open = member.is_told() || member.phase <= rollout.phase;
        let runs = rollout.run() == Some(Run::Running);
        if here || !runs || !phase_open || self.opens(&rollout.mechanism, robot).is_some() {
            return None;
        }
        let mut since = vec![
            self.robots[robot].gone,
            self.started,
            rollout.running_since,
            rollout.opened.get(member.phase).copied().unwrap_or(0),
            next.retry.map_or(0, |(_, at, _)| at),
        ];
        since.push(self.window_since(&rollout.mechanism, robot));
        // Nothing is under way on it, for any rollout.
        let members = self.rollouts.iter().flat_map(|rollout| &rollout.members);
        let its = members.filter(|member| member.robot == robot);
        since.extend(
            its.flat_map(|member| &member.targets)
                .map(|target| target.over),
        );
        // The robot came in, or its other work in the rollout ended.
        since.extend(member.targets.iter().map(|target| target.since));
        Some(since.into_iter().max()? + grace)
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
        if rollout.status == Status::Prepared {
            return rollout.mechanism.schedule.start.map(|at| at.0);
        }
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
        due.extend(self.next_opening(&rollout.mechanism));
        due.into_iter().min()
    }

    fn rollout_due(&mut self, r: usize) {
        let now = self.now;
        if self.rollouts[r].status == Status::Prepared {
            if !self.launch(r) {
                self.rollouts[r].missed = true;
                self.rollouts[r].mechanism.schedule.start = None;
            }
            return;
        }
        if self.rollouts[r].deadline <= now {
            for member in &mut self.rollouts[r].members {
                for target in &mut member.targets {
                    if !is_final(target.state) {
                        target.turn(TargetState::Expired, now);
                    }
                }
            }
            self.complete(r);
        }
        self.settle(None);
    }

    /// The server was away: nobody is connected, and what was promised to robots and rollouts begins where it stopped.
    pub(super) fn restart(&mut self, downtime: u64) {
        self.started = self.now;
        for robot in &mut self.robots {
            if robot.link.take().is_some() {
                robot.gone = self.now;
            }
        }
        for rollout in &mut self.rollouts {
            // An end is a time on the clock.
            let end = rollout.mechanism.schedule.end.map_or(u64::MAX, |at| at.0);
            rollout.deadline = end.min(rollout.deadline + downtime);
            for target in rollout.members.iter_mut().flat_map(|m| &mut m.targets) {
                if is_active(target.state) {
                    target.deadline = target.deadline.map(|at| at + downtime);
                    target.suspect = target.suspect.map(|at| at + downtime);
                }
            }
        }
    }
}

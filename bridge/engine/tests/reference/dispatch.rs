//! Who is told next. Nothing is remembered of who could be: everybody is looked at after everything that happens.

use super::model::{Model, is_active, is_final};
use rollcall_engine::{
    CancelReason, Counting, FailureReason, OnFailure, Run, SuccessKind, TargetState,
};

/// A robot of a rollout: indexes of the rollout and of the member.
pub(super) type Place = (usize, usize);

impl Model {
    /// Tells whoever may be told, until nobody may. A robot that is `first` keeps its slot; then robots come that have
    /// begun, then new ones, both by their numbers. Older launches come first, after the rollout of `first`.
    pub(super) fn settle(&mut self, first: Option<Place>) {
        let mut first = first;
        loop {
            let mut order = self.launched();
            if let Some((r, _)) = first {
                order.retain(|other| *other != r);
                order.insert(0, r);
            }
            let told = order.into_iter().any(|r| self.settle_rollout(r, first));
            if !told {
                return;
            }
            // What keeps its slot is told of one ECU more, and then is one of many.
            first = None;
        }
    }

    /// Whether somebody was told.
    fn settle_rollout(&mut self, r: usize, first: Option<Place>) -> bool {
        self.thresholds(r);
        if let Some(place) = first.filter(|(of, _)| *of == r)
            && self.may_go_on(place)
        {
            self.tell(place);
            return true;
        }
        self.phases(r);
        let members = 0..self.rollouts[r].members.len();
        let begun = |m: &usize| self.may_go_on((r, *m));
        let new = |m: &usize| self.may_begin((r, *m));
        let next = members
            .clone()
            .find(begun)
            .or_else(|| members.clone().find(new));
        if let Some(m) = next {
            self.tell((r, m));
            return true;
        }
        self.complete(r);
        false
    }

    /// The ECU that comes next, if the robot can be told of it.
    pub(super) fn next_target(&self, (r, m): Place) -> Option<usize> {
        let member = &self.rollouts[r].members[m];
        if !self.is_ready(member.robot) || self.active(member.robot).is_some() {
            return None;
        }
        let mut open = (0..member.targets.len()).filter(|t| !is_final(member.targets[*t].state));
        let next = open.next()?;
        let target = &member.targets[next];
        let due = target.retry.is_none_or(|(_, at, _)| at <= self.now);
        let open = self
            .opens(&self.rollouts[r].mechanism, member.robot)
            .is_none();
        (target.state == TargetState::Pending && due && open).then_some(next)
    }

    pub(super) fn has_slot(&self, r: usize) -> bool {
        self.rollouts[r].in_progress() < self.rollouts[r].mechanism.max_in_progress
    }

    fn may_go_on(&self, (r, m): Place) -> bool {
        let rollout = &self.rollouts[r];
        let told = rollout.members[m].is_told();
        let runs = matches!(rollout.run(), Some(Run::Running | Run::Paused { .. }));
        told && runs && self.has_slot(r) && self.next_target((r, m)).is_some()
    }

    fn may_begin(&self, (r, m): Place) -> bool {
        let rollout = &self.rollouts[r];
        let member = &rollout.members[m];
        rollout.run() == Some(Run::Running)
            && !member.is_told()
            && member.phase <= rollout.phase
            && self.next_start(r).is_none()
            && self.has_slot(r)
            && self.next_target((r, m)).is_some()
    }

    /// When the rate lets the next robot begin; `None`: now.
    pub(super) fn next_start(&self, r: usize) -> Option<u64> {
        let rollout = &self.rollouts[r];
        rollout.mechanism.rate.as_ref()?;
        let next = rollout.next_start_us / 1_000;
        (next > self.now).then_some(next)
    }

    /// Robots per minute: the rate, as often grown as so many robots were counted.
    pub(super) fn per_minute(&self, r: usize) -> Option<u32> {
        let rollout = &self.rollouts[r];
        let rate = rollout.mechanism.rate.as_ref()?;
        let Some(growth) = &rate.growth else {
            return Some(rate.per_minute);
        };
        let counted = rollout.members.iter().filter(|m| match growth.counting {
            Counting::Told => m.is_told(),
            Counting::Succeeded => m.has_succeeded(),
        });
        let times = super::model::count(counted) / growth.every;
        let mut per_minute = u64::from(rate.per_minute);
        for _ in 0..times {
            // In tenths, rounded up.
            per_minute = (per_minute * u64::from(growth.factor.in_tenths())).div_ceil(10);
            per_minute = per_minute.min(u64::from(growth.max_per_minute));
        }
        Some(u32::try_from(per_minute).expect("bounded above"))
    }

    /// Tells the robot of its next ECU, or ends that if it must not be told.
    fn tell(&mut self, (r, m): Place) {
        let now = self.now;
        let Some(t) = self.next_target((r, m)) else {
            return;
        };
        let robot = self.rollouts[r].members[m].robot;
        let target = self.target((r, m, t));
        let said = self.robots[robot].ecus[target.ecu].said;
        let end = match said {
            None => Some(TargetState::Failed {
                reason: FailureReason::MissingVersion,
            }),
            Some(version) if version == target.version => Some(TargetState::Succeeded {
                how: SuccessKind::AlreadyCurrent,
            }),
            Some(_) => None,
        };
        if let Some(end) = end {
            self.target_mut((r, m, t)).turn(end, now);
            return self.stop_after_failure((r, m));
        }
        if let Some(per_minute) = self
            .per_minute(r)
            .filter(|_| !self.rollouts[r].members[m].is_told())
        {
            let gap = 60_000_000_u64.div_ceil(per_minute.into());
            let rollout = &mut self.rollouts[r];
            rollout.next_start_us = rollout.next_start_us.max(now * 1_000) + gap;
            rollout.newest_start = Some(now);
        }
        let timeout = self.rollouts[r].mechanism.request_timeout;
        let boot = self.robots[robot].boot;
        let target = self.target_mut((r, m, t));
        target.turn(TargetState::Requested, now);
        target.begun = now;
        target.attempt += 1;
        target.resends = 0;
        target.boot = boot;
        target.ran = said;
        target.deadline = Some(now + timeout);
        target.suspect = None;
        target.cancelling = None;
    }

    /// `on_failure = stop`: the robot's other ECUs get nothing.
    pub(super) fn stop_after_failure(&mut self, (r, m): Place) {
        let now = self.now;
        let rollout = &mut self.rollouts[r];
        let stop = rollout.mechanism.on_failure == OnFailure::Stop;
        let targets = &mut rollout.members[m].targets;
        let failed = targets.iter().any(|target| {
            matches!(
                target.state,
                TargetState::Failed { .. } | TargetState::RolledBack | TargetState::Expired
            )
        });
        for target in targets.iter_mut().filter(|_| stop && failed) {
            if !is_final(target.state) {
                let reason = CancelReason::EarlierEcuFailed;
                target.turn(TargetState::Cancelled { reason }, now);
            }
        }
    }

    /// Whether anything is under way on the robot.
    pub(super) fn is_busy(&self, robot: usize) -> bool {
        let members = self.rollouts.iter().flat_map(|rollout| &rollout.members);
        let mut of_robot = members.filter(|member| member.robot == robot);
        of_robot.any(|member| member.targets.iter().any(|t| is_active(t.state)))
    }
}

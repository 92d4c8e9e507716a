//! What robots do and say.

use super::model::{Link, Model, is_final};
use rollcall_engine::{
    CancelGoal, CancelReason, EventCode, EventStatus, FailureReason, RolloutId, Run, SuccessKind,
    TargetState,
};

/// A robot that has introduced itself has so long to say what it runs.
const WINDOW: u64 = 10_000;

impl Model {
    pub(super) fn connect(&mut self, robot: usize) -> bool {
        let now = self.now;
        let robot = &mut self.robots[robot];
        if robot.removed {
            return false;
        }
        robot.link = Some(Link {
            came: now,
            subscribed: false,
            introduced: false,
            introduced_at: 0,
            said: vec![false; robot.ecus.len()],
            settles: None,
        });
        self.settle(None);
        true
    }

    pub(super) fn subscribe(&mut self, robot: usize) {
        if let Some(link) = &mut self.robots[robot].link {
            link.subscribed = true;
        }
        self.settle(None);
    }

    pub(super) fn disconnect(&mut self, robot: usize) {
        self.robots[robot].link = None;
        self.robots[robot].gone = self.now;
    }

    pub(super) fn manifest(&mut self, robot: usize, boot: u64) {
        let now = self.now;
        let robot = &mut self.robots[robot];
        robot.boot = boot;
        if let Some(link) = &mut robot.link {
            link.introduced = true;
            link.introduced_at = now;
            link.said.fill(false);
            link.settles = Some(now + WINDOW);
        }
    }

    /// An ECU says what it runs, and perhaps that the operation under way on the robot brought it.
    pub(super) fn report(&mut self, robot: usize, ecu: usize, version: u8, names_it: bool) {
        self.robots[robot].ecus[ecu].said = Some(version);
        if let Some(link) = &mut self.robots[robot].link {
            link.said[ecu] = true;
            if link.said.iter().all(|said| *said) {
                link.settles = None;
            }
        }
        let first = self.judge(robot, ecu, names_it);
        self.settle(first);
    }

    /// What an ECU's report means to the operation under way on it. Returns the place of one that ended.
    pub(super) fn judge(
        &mut self,
        robot: usize,
        ecu: usize,
        names_it: bool,
    ) -> Option<(usize, usize)> {
        let place = self.active(robot)?;
        let target = self.target(place).clone();
        let said = self.robots[robot].ecus[ecu].said?;
        if target.ecu != ecu {
            return None;
        }
        if said == target.version {
            let how = SuccessKind::Installed;
            return Some(self.finish(place, TargetState::Succeeded { how }));
        }
        if names_it {
            let reason = FailureReason::OtherImageReported;
            return Some(self.finish(place, TargetState::Failed { reason }));
        }
        let link = self.robots[robot].link.as_ref();
        let restarted = self.robots[robot].boot > target.boot;
        let said_here = link.is_some_and(|link| link.said[ecu]);
        if restarted && said_here && target.state != TargetState::Requested {
            let grace = self.rollouts[place.0].mechanism.rollback_grace;
            let until = self.now + grace;
            self.target_mut(place).suspect.get_or_insert(until);
        }
        None
    }

    /// The robot says how far it is.
    pub(super) fn event(
        &mut self,
        robot: usize,
        status: EventStatus,
        progress: u8,
        code: Option<EventCode>,
    ) {
        let Some(place) = self.active(robot) else {
            return;
        };
        let now = self.now;
        let boot = self.robots[robot].boot;
        let mechanism = self.rollouts[place.0].mechanism.clone();
        let cancelling = self.target(place).cancelling.is_some();
        let new = match status {
            EventStatus::Acknowledged | EventStatus::Error => TargetState::Acknowledged,
            EventStatus::Downloading if progress == 100 => TargetState::Downloaded,
            EventStatus::Downloading => TargetState::Downloading { progress },
            EventStatus::Deploying => TargetState::Installing { progress },
            EventStatus::Deployed => TargetState::Applied,
            EventStatus::Rebooting | EventStatus::Success => TargetState::Verifying,
            EventStatus::Failure => failure(code, cancelling),
        };
        let target = self.target_mut(place);
        let old = target.state;
        target.suspect = None;
        if is_final(new) {
            let first = self.finish(place, new);
            return self.settle(Some(first));
        }
        target.boot = boot;
        if step(new) >= step(TargetState::Applied) && step(old) < step(TargetState::Applied) {
            target.deadline = Some(now + mechanism.confirm_timeout);
        } else if old == TargetState::Requested {
            target.deadline = Some(now + mechanism.in_progress_timeout);
        }
        if step(new) > step(old) {
            target.turn(new, now);
        }
        self.settle(None);
    }

    /// An operation is over: its target ends, or waits to be told again.
    pub(super) fn finish(
        &mut self,
        place: (usize, usize, usize),
        end: TargetState,
    ) -> (usize, usize) {
        let now = self.now;
        let target = self.target(place).clone();
        let rollout = &self.rollouts[place.0];
        let over = !matches!(
            rollout.run(),
            Some(Run::Running | Run::Paused { .. } | Run::Stopped { .. })
        );
        let goal = target.cancelling;
        let mut state = end;
        let mut retry = target.retry;
        if end
            == (TargetState::Cancelled {
                reason: CancelReason::ByOperator,
            })
        {
            let cancelled = |reason| TargetState::Cancelled { reason };
            state = match goal {
                Some(CancelGoal::Recall) => match self.newer_rollout(place) {
                    Some(by) => TargetState::Superseded { by },
                    None => TargetState::Pending,
                },
                Some(CancelGoal::RolloutCancelled) => cancelled(CancelReason::RolloutCancelled),
                Some(CancelGoal::RolloutAborted) => cancelled(CancelReason::RolloutAborted),
                Some(CancelGoal::Operator) | None => end,
            };
        }
        if let TargetState::Failed { reason } = end
            && !over
            && goal != Some(CancelGoal::Operator)
            && self.newer_rollout(place).is_none()
            && let Some(class) = reason.class()
            && let Some(rule) = rollout
                .mechanism
                .retries
                .iter()
                .find(|rule| rule.class == class)
        {
            let mut used = retry.map_or([0; 5], |(.., used)| used);
            let times = &mut used[class as usize];
            if *times < rule.times {
                let wait = rule.backoff * 2_u64.pow(u32::from(*times));
                *times += 1;
                retry = Some((reason, now + wait.min(rule.max_backoff), used));
                state = TargetState::Pending;
            }
        }
        let target = self.target_mut(place);
        target.turn(state, now);
        target.retry = retry;
        target.deadline = None;
        target.suspect = None;
        target.cancelling = None;
        self.stop_after_failure((place.0, place.1));
        (place.0, place.1)
    }
}

impl Model {
    /// X20: the rollout launched last of those that were launched later and wait to update the same ECU.
    fn newer_rollout(&self, (r, m, t): (usize, usize, usize)) -> Option<RolloutId> {
        let robot = self.rollouts[r].members[m].robot;
        let ecu = self.rollouts[r].members[m].targets[t].ecu;
        let order = self.launched();
        let later = order.iter().rev().take_while(|other| **other != r);
        let mut waits = later.filter(|other| {
            let members = self.rollouts[**other].members.iter();
            let mut targets = members
                .filter(|member| member.robot == robot)
                .flat_map(|member| &member.targets);
            targets.any(|target| target.ecu == ecu && !is_final(target.state))
        });
        let number = u32::try_from(waits.next()? + 1).expect("worlds are small");
        Some(RolloutId(number))
    }
}

/// Where an event takes a target; greater never goes back.
fn step(state: TargetState) -> (u8, u8) {
    match state {
        TargetState::Requested => (1, 0),
        TargetState::Acknowledged => (2, 0),
        TargetState::Downloading { progress } => (3, progress),
        TargetState::Downloaded => (4, 0),
        TargetState::Installing { progress } => (5, progress),
        TargetState::Applied => (6, 0),
        TargetState::Verifying => (7, 0),
        _ => (0, 0),
    }
}

fn failure(code: Option<EventCode>, cancelling: bool) -> TargetState {
    let reason = match code {
        Some(EventCode::SystemRollback) => return TargetState::RolledBack,
        Some(EventCode::Cancelled) if cancelling => {
            return TargetState::Cancelled {
                reason: CancelReason::ByOperator,
            };
        }
        Some(EventCode::Cancelled) => {
            return TargetState::Cancelled {
                reason: CancelReason::ByRobot,
            };
        }
        Some(EventCode::NetworkError) => FailureReason::NetworkError,
        Some(EventCode::Busy) => FailureReason::Busy,
        Some(EventCode::StorageFull) => FailureReason::StorageFull,
        Some(EventCode::DigestMismatch) => FailureReason::DigestMismatch,
        Some(EventCode::Refused) => FailureReason::Refused,
        _ => FailureReason::InternalError,
    };
    TargetState::Failed { reason }
}

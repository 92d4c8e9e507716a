//! Timers that come due. A timer may fire for nothing (see [`State::arm`]); the deadlines themselves decide.

use crate::control::INSTALLING;
use crate::edgehog::LONGEST_WINDOW;
use crate::input::Timer;
use crate::inventory::RobotKey;
use crate::outcome::Reply;
use crate::proof::Proof;
use crate::rollout::{RolloutId, RolloutStatus};
use crate::state::{Changes, State};
use crate::target::{CancelReason, FailureReason, TargetState};

impl State {
    pub(crate) fn robot_due(&mut self, key: RobotKey, changes: &mut Changes) -> Reply {
        let now = self.now;
        if let Some(robot) = self.robots.get_mut(&key)
            && let Some(set) = robot.timer.take_if(|set| *set <= now)
        {
            self.timers.remove(&(set, Timer::Robot(key)));
        }
        let before = self.robots.get(&key).and_then(|robot| robot.active);
        let settled = self.settle_if_due(key, changes);
        let expired = self.operation_due(key, changes);
        self.fail_offline(key, changes);
        let moved = self.refresh_ready(key);
        self.offer(key, changes);
        if settled {
            // What has just been repeated or given up is not told again.
            self.settled(key, before.filter(|_| !expired), changes);
        }
        self.arm(key);
        // A retry that has come due is a robot more to choose from: recorded, so that a replay chooses the same.
        if settled || expired || moved || !changes.is_empty() {
            Reply::Done
        } else {
            Reply::Stale
        }
    }

    /// The robot has had its time to report: it is judged by what it said.
    fn settle_if_due(&mut self, key: RobotKey, changes: &mut Changes) -> bool {
        let now = self.now;
        let Some(robot) = self.robots.get_mut(&key) else {
            return false;
        };
        if robot
            .link
            .settled_at
            .take_if(|settled| *settled <= now)
            .is_none()
        {
            return false;
        }
        self.finish_purge(key, changes);
        if self.ask_again(key, changes) {
            return true;
        }
        // Before anything new.
        self.send_owed(key, changes);
        self.judge_active(key, changes);
        true
    }

    fn operation_due(&mut self, key: RobotKey, changes: &mut Changes) -> bool {
        let Some(robot) = self.robots.get(&key) else {
            return false;
        };
        let Some((id, index)) = robot.active else {
            return false;
        };
        let Some((rollout, target)) = self.active_target(robot) else {
            return false;
        };
        let Some(until) = target.until().filter(|until| *until <= self.now) else {
            return false;
        };
        // A report is under way. It is waited for, but not for ever: a robot may return again and again.
        let reporting = robot.link.settled_at.is_some() && until.after(LONGEST_WINDOW) > self.now;
        let resends = rollout.mechanism.request_resends;
        let timeout = rollout.mechanism.request_timeout;
        let suspicion_due = target.suspect_until.is_some_and(|until| until <= self.now);
        let deadline_due = target.deadline.is_some_and(|until| until <= self.now);
        let image = self.images.get(&target.image);
        let proof = image.map_or(Proof::Nothing, |image| {
            Self::proves(robot, rollout, target, image)
        });
        let writes = target.state.rank() >= INSTALLING;
        // Without a new process the robot has yet to begin with what it wrote.
        let restarted = robot.cursor.boot > target.boot;
        let differs = matches!(proof, Proof::ThirdImage | Proof::OtherBuild) && writes && restarted;
        let both = || {
            let reported = robot.ecus.get(usize::from(target.ecu))?.reported.as_ref()?;
            Some(Self::names_both(reported, image?))
        };
        let both = both().filter(|_| differs);
        let suspicion_holds = suspicion_due && matches!(proof, Proof::OldImage | Proof::ThirdImage);
        let cancelling = target.cancelling.is_some();
        let resend = target.state == TargetState::Requested && target.resends < resends;
        if reporting && (cancelling || !resend) {
            return false;
        }
        if suspicion_due && !suspicion_holds && !deadline_due {
            // It no longer says what made it suspect.
            if let Some(target) = self.target_mut(id, key, index) {
                target.suspect_until = None;
                changes.touch(crate::Row::Member(id, key));
            }
            return true;
        }
        let reason = match target.state {
            // The robot has said nothing since, and was not seen to write anything.
            state if cancelling && state.rank() < INSTALLING => {
                let reason = CancelReason::ByOperator;
                self.cancel_or_owe((id, key, index), changes);
                self.finish(id, key, index, TargetState::Cancelled { reason }, changes);
                return true;
            }
            TargetState::Requested if resend && !cancelling => {
                let deadline = self.now.after(timeout);
                if let Some(target) = self.target_mut(id, key, index) {
                    target.resends += 1;
                    target.deadline = Some(deadline);
                }
                changes.touch(crate::Row::Member(id, key));
                self.resend_unanswered(key, changes);
                return true;
            }
            TargetState::Requested => FailureReason::RequestTimeout,
            _ if differs => FailureReason::OtherImageReported,
            _ if suspicion_holds && writes => {
                self.finish(id, key, index, TargetState::RolledBack, changes);
                return true;
            }
            _ if suspicion_holds => FailureReason::Interrupted,
            TargetState::Applied | TargetState::Verifying => FailureReason::NotConfirmed,
            _ => FailureReason::InProgressTimeout,
        };
        if let Some(both) = both {
            self.note(id, key, index, &both, changes);
        }
        // The robot may still have the request; what it has not begun it shall not begin.
        self.cancel_or_owe((id, key, index), changes);
        self.finish(id, key, index, TargetState::Failed { reason }, changes);
        true
    }

    /// The rollout's start, its end, or a gate that opens.
    pub(crate) fn rollout_due(&mut self, id: RolloutId, changes: &mut Changes) -> Reply {
        let now = self.now;
        let Some(rollout) = self.rollouts.get_mut(&id) else {
            return Reply::Stale;
        };
        if let Some(set) = rollout.timer.take_if(|set| *set <= now) {
            self.timers.remove(&(set, Timer::Rollout(id)));
        }
        rollout.more = false;
        let status = rollout.status;
        let moved = self.turn_windows(id);
        match status {
            RolloutStatus::Prepared => self.scheduled_launch(id, changes),
            RolloutStatus::Launched { deadline, .. } if deadline <= now => {
                self.expire_rollout(id, changes);
            }
            RolloutStatus::Launched { .. } => self.pump(id, changes),
            RolloutStatus::Completed { .. } => {}
        }
        self.arm_rollout(id);
        if changes.is_empty() && !moved {
            Reply::Stale
        } else {
            Reply::Done
        }
    }

    /// X3: what was never tried, or never finished, expires.
    fn expire_rollout(&mut self, id: RolloutId, changes: &mut Changes) {
        let open = self.open_robots(id);
        for key in &open {
            self.expire_robot(id, *key, changes);
        }
        self.complete_if_done(id, changes);
        for key in open {
            self.refresh_ready(key);
            self.offer(key, changes);
        }
    }

    /// Sets the rollout's timer for the next thing that happens to it by itself. An earlier timer is left to fire for
    /// nothing.
    pub(crate) fn arm_rollout(&mut self, id: RolloutId) {
        let Some(rollout) = self.rollouts.get(&id) else {
            return;
        };
        let needed = match rollout.status {
            RolloutStatus::Prepared => rollout.mechanism.schedule.start,
            RolloutStatus::Launched { deadline, .. } => {
                let start = rollout.next_start(self.now);
                let start = start.filter(|_| !rollout.ready.is_empty());
                [
                    Some(deadline),
                    rollout.more.then_some(self.now),
                    start,
                    self.phase_timer(rollout),
                    rollout.window_timer(),
                ]
                .into_iter()
                .flatten()
                .min()
            }
            RolloutStatus::Completed { .. } => None,
        };
        if needed.is_some() && rollout.timer.is_some_and(|set| Some(set) <= needed) {
            return;
        }
        let set = rollout.timer;
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.timer = needed;
        }
        if let Some(set) = set {
            self.timers.remove(&(set, Timer::Rollout(id)));
        }
        if let Some(needed) = needed {
            self.timers.insert((needed, Timer::Rollout(id)));
        }
    }

    fn expire_robot(&mut self, id: RolloutId, key: RobotKey, changes: &mut Changes) {
        let Some(member) = self.rollouts.get(&id).and_then(|r| r.members.get(&key)) else {
            return;
        };
        let states: Vec<_> = member.targets.iter().map(|target| target.state).collect();
        for (index, state) in states.into_iter().enumerate() {
            if state.is_final() {
                continue;
            }
            if state.is_active() {
                self.cancel_or_owe((id, key, index), changes);
            }
            self.set_target(id, key, index, TargetState::Expired, changes);
        }
    }
}

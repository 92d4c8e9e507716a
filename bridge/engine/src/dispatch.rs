//! Telling robots: which one, which of its ECUs, and whether it may still be told.
//!
//! **Invariants**: a robot has one operation at a time; a rollout never has more robots with an operation under way
//! than its cap; an image goes to an ECU only if registration, the rollout's map and the image agree on the hardware
//! id at this very moment (A10).

use crate::check::{Check, fits};
use crate::inventory::{Robot, RobotKey};
use crate::mechanism::OnFailure;
use crate::operation::operation_id;
use crate::outcome::{Effect, Request, RequestKind, Row};
use crate::rollout::{Rollout, RolloutId, Run};
use crate::state::{Changes, State};
use crate::target::{CancelReason, FailureReason, Ran, SuccessKind, Target, TargetState};
use crate::time::Timestamp;

/// How much of a robot's words is kept beside a target; the history keeps them whole.
const MAX_DETAIL_BYTES: usize = 512;

/// How many robots one input tells at most. A launch to a whole fleet goes out in bursts: the first robots are told while the
/// next ones are still being worked out, and nobody else waits for all of them.
pub const BURST: usize = 2_500;

/// What dispatch finds when it looks at a pending target.
enum Verdict {
    Send,
    Hold,
    End(TargetState),
}

impl State {
    /// Puts the robot into the ready sets of the rollouts that could tell it something now, and takes it out of the
    /// others. Called whenever its link, its operation, its targets or a gate change. Says whether it has moved.
    pub(crate) fn refresh_ready(&mut self, key: RobotKey) -> bool {
        let moved = self.sort_in(key);
        if self.robots.get(&key).is_some_and(|robot| !robot.online()) {
            // Patience with it may have begun.
            self.arm(key);
        }
        moved
    }

    fn sort_in(&mut self, key: RobotKey) -> bool {
        let Some(robot) = self.robots.get(&key) else {
            return false;
        };
        let mut moved = false;
        let free = robot.ready() && robot.active.is_none() && robot.removed.is_none();
        for id in &robot.open {
            let Some(rollout) = self.rollouts.get_mut(id) else {
                continue;
            };
            let before = (rollout.ready.remove(&key), rollout.begun.remove(&key));
            let next = free
                && next_target(rollout, robot, self.now).is_some()
                && rollout.window_is_open(robot, self.now);
            let after = match rollout.members.get(&key).filter(|_| next) {
                Some(member) if member.is_told() => (false, rollout.begun.insert(key)),
                Some(member) if rollout.is_open_to(member) => (rollout.ready.insert(key), false),
                _ => (false, false),
            };
            moved |= before != after;
        }
        moved
    }

    /// Tells robots while slots are free, then completes the rollout if nothing is left to do. To be called after
    /// everything that may open one of its gates. After a burst the rollout's timer, due at once, goes on.
    pub(crate) fn pump(&mut self, id: RolloutId, changes: &mut Changes) {
        self.turn_windows(id);
        let mut left = BURST;
        let next = loop {
            self.watch_thresholds(id, changes);
            self.turn_phases(id, changes);
            let next = self.next_ready(id);
            let Some(key) = next.filter(|_| left > 0) else {
                break next;
            };
            self.tell(id, key, changes);
            left -= 1;
        };
        if let Some(rollout) = self.rollouts.get_mut(&id) {
            rollout.more = next.is_some();
        }
        self.complete_if_done(id, changes);
        self.arm_rollout(id);
    }

    /// Robots that have begun come first: a robot with old and new software is worse off than one that waits.
    fn next_ready(&self, id: RolloutId) -> Option<RobotKey> {
        let rollout = self.rollouts.get(&id)?;
        if !rollout.goes_on(self.now) {
            return None;
        }
        let takes_new =
            rollout.run() == Some(Run::Running) && rollout.next_start(self.now).is_none();
        let new = || rollout.ready.first().filter(|_| takes_new);
        rollout.begun.first().or_else(new)
    }

    /// After a target became final or waits again: the robot's next ECU keeps the slot, otherwise the slot goes to the
    /// next robot.
    pub(crate) fn go_on(&mut self, id: RolloutId, key: RobotKey, changes: &mut Changes) {
        self.stop_after_failure(id, key, changes);
        self.refresh_ready(key);
        self.watch_thresholds(id, changes);
        if self.may_go_on(id, key) {
            self.tell(id, key, changes);
        }
        self.pump(id, changes);
        self.offer(key, changes);
    }

    fn may_go_on(&self, id: RolloutId, key: RobotKey) -> bool {
        let rollout = self.rollouts.get(&id);
        rollout.is_some_and(|rollout| rollout.begun.contains(&key) && rollout.goes_on(self.now))
    }

    /// Lets every rollout that waits for this robot try, oldest first.
    pub(crate) fn offer(&mut self, key: RobotKey, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&key) else {
            return;
        };
        if robot.active.is_some() || !robot.ready() {
            return;
        }
        for id in robot.open.clone() {
            let waits =
                |rollout: &Rollout| rollout.ready.contains(&key) || rollout.begun.contains(&key);
            if self.rollouts.get(&id).is_some_and(waits) {
                self.pump(id, changes);
            }
        }
    }

    /// Starts the robot's next target, or ends it if it must not be sent.
    fn tell(&mut self, id: RolloutId, key: RobotKey, changes: &mut Changes) {
        let robot = self.robots.get(&key);
        let rollout = self.rollouts.get(&id);
        let next = robot.zip(rollout);
        let next = next.and_then(|(robot, rollout)| {
            let index = next_target(rollout, robot, self.now)?;
            // The last word: the ready sets only say where to look.
            self.gate_before(id, robot, index)
                .is_none()
                .then_some(index)
        });
        let mut passed_over = next.is_none();
        if let Some(index) = next {
            match self.verdict(id, key, index) {
                None | Some(Verdict::Hold) => passed_over = true,
                Some(Verdict::Send) => self.begin(id, key, index, changes),
                Some(Verdict::End(state)) => {
                    self.set_target(id, key, index, state, changes);
                    self.stop_after_failure(id, key, changes);
                }
            }
        }
        self.refresh_ready(key);
        if let Some(rollout) = passed_over.then(|| self.rollouts.get_mut(&id)).flatten() {
            rollout.ready.remove(&key);
            rollout.begun.remove(&key);
        }
    }

    /// E15: the checks at the moment of sending. `None` when the target is not pending.
    fn verdict(&self, id: RolloutId, key: RobotKey, index: usize) -> Option<Verdict> {
        let robot = self.robots.get(&key)?;
        let rollout = self.rollouts.get(&id)?;
        let target = rollout.members.get(&key)?.targets.get(index)?;
        if target.state != TargetState::Pending {
            return None;
        }
        let image = self.images.get(&target.image)?;
        let checked = self.check(rollout.rules(), image, robot, target.ecu);
        Some(match checked {
            Check::Send { .. } => Verdict::Send,
            Check::Held => Verdict::Hold,
            Check::AlreadyCurrent => Verdict::End(TargetState::Succeeded {
                how: SuccessKind::AlreadyCurrent,
            }),
            Check::Skip { reason } => Verdict::End(TargetState::Skipped { reason }),
            Check::Fail { reason } => Verdict::End(TargetState::Failed { reason }),
            // A robot that is ready has said all that it will say.
            Check::Unreported => Verdict::End(TargetState::Failed {
                reason: FailureReason::MissingVersion,
            }),
        })
    }

    /// Starts a new operation: the next attempt, with a new uuid.
    fn begin(&mut self, id: RolloutId, key: RobotKey, index: usize, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&key) else {
            return;
        };
        let boot = robot.cursor.boot;
        let ran = self
            .target(id, key, index)
            .and_then(|target| robot.ecus.get(usize::from(target.ecu))?.reported.as_ref())
            .map(|reported| Box::new(Ran::of(reported)));
        let Some(timeout) = self.rollouts.get(&id).map(|r| r.mechanism.request_timeout) else {
            return;
        };
        let deadline = self.now.after(timeout);
        let hosted = |target: &Target| self.images.get(&target.image).is_some_and(|i| i.hosted);
        let base = self.target(id, key, index).filter(|target| hosted(target));
        let base = base.and(self.base.clone());
        let Some(target) = self.target_mut(id, key, index) else {
            return;
        };
        target.base = base;
        target.ran = ran;
        target.cancelling = None;
        target.resends = 0;
        target.boot = boot;
        target.detail = None;
        target.deadline = Some(deadline);
        // A Cancel of an earlier attempt says nothing of this one.
        if let Some(robot) = self.robots.get_mut(&key) {
            robot.link.told_cancel = None;
        }
        // In this order: both look at whether the robot was told before.
        self.charge_start(id, key, changes);
        self.set_target(id, key, index, TargetState::Requested, changes);
        if let Some(target) = self.target_mut(id, key, index) {
            target.attempt += 1;
        }
        self.arm(key);
        self.send(id, key, index, RequestKind::Update, changes);
    }

    /// Sends an OTARequest for the target's current operation if the robot can hear it now.
    pub(crate) fn send(
        &self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        kind: RequestKind,
        changes: &mut Changes,
    ) {
        let request = || {
            let robot = self.robots.get(&key)?;
            let rollout = self.rollouts.get(&id)?;
            let target = rollout.members.get(&key)?.targets.get(index)?;
            let ecu = robot.ecus.get(usize::from(target.ecu))?;
            let connection = robot.link.connection.filter(|_| robot.link.subscribed)?;
            Some(Request {
                kind,
                robot: key,
                connection,
                ecu: ecu.name.clone(),
                operation: operation_id(id, key, &ecu.name, target.attempt),
                attempt: target.attempt,
                image: target.image,
                base: target.base.clone(),
                expected: ecu
                    .reported
                    .as_ref()
                    .map(|reported| reported.version.clone()),
                deadline: self.now.after(rollout.mechanism.in_progress_timeout),
            })
        };
        changes.effects.extend(request().map(Effect::Request));
    }

    /// Whether `request` is still to be sent once its batch is durable. A later input of the same batch may have brought
    /// the robot's answer, and a finished uuid is never sent again.
    #[must_use]
    pub fn is_wanted(&self, request: &Request) -> bool {
        let update = || {
            let robot = self.robots.get(&request.robot)?;
            let (rollout, target) = self.active_target(robot)?;
            let ecu = robot.ecus.get(usize::from(target.ecu))?;
            let image = self.images.get(&target.image)?;
            let operation = operation_id(rollout.id, robot.key, &ecu.name, target.attempt);
            Some(
                target.state == TargetState::Requested
                    && operation == request.operation
                    && target.cancelling.is_none()
                    && robot.hold(target.ecu.into()).is_none()
                    && fits(&rollout.images, image, ecu)
                    && !self.is_withdrawn(image),
            )
        };
        request.kind == RequestKind::Cancel || update().unwrap_or(false)
    }

    /// A robot that can hear again and has said nothing of its request gets it again: same uuid, same URL.
    pub(crate) fn resend_unanswered(&mut self, key: RobotKey, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&key).filter(|robot| robot.ready()) else {
            return;
        };
        let Some((id, index)) = robot.active else {
            return;
        };
        // E15 holds for every push: an ECU that was changed meanwhile by other hands is not overrun by an old request.
        let requested = self.active_target(robot).is_some_and(|(rollout, target)| {
            let image = self.images.get(&target.image);
            let checked = image.map(|image| self.check(rollout.rules(), image, robot, target.ecu));
            let stopped = matches!(
                checked,
                None | Some(Check::Held | Check::Skip { .. } | Check::Fail { .. })
            );
            target.state == TargetState::Requested && target.cancelling.is_none() && !stopped
        });
        if requested {
            self.send(id, key, index, RequestKind::Update, changes);
        }
    }

    /// Tells the robot to give up the operation under way, if it is not too late.
    pub(crate) fn send_cancel(&mut self, key: RobotKey, changes: &mut Changes) {
        if let Some((id, index)) = self.robots.get(&key).and_then(|robot| robot.active) {
            self.send(id, key, index, RequestKind::Cancel, changes);
        }
    }

    fn stop_after_failure(&mut self, id: RolloutId, key: RobotKey, changes: &mut Changes) {
        let Some(rollout) = self.rollouts.get(&id) else {
            return;
        };
        let failed = |target: &Target| target.state.is_failure();
        let stop = rollout.mechanism.on_failure == OnFailure::Stop
            && rollout
                .members
                .get(&key)
                .is_some_and(|member| member.targets.iter().any(failed));
        if stop {
            self.cancel_open(id, key, CancelReason::EarlierEcuFailed, changes);
        }
    }

    /// The operation under way is over: its target ends, or waits to be tried again. Then the rollout moves on.
    pub(crate) fn finish(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        end: TargetState,
        changes: &mut Changes,
    ) {
        let state = self.end_or_retry(id, key, index, end, changes);
        self.set_target(id, key, index, state, changes);
        if !state.is_final() {
            self.arm(key);
        }
        self.go_on(id, key, changes);
    }

    /// Notes a robot's words beside the target.
    pub(crate) fn note(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        detail: &str,
        changes: &mut Changes,
    ) {
        if let Some(target) = self
            .target_mut(id, key, index)
            .filter(|_| !detail.is_empty())
        {
            let end = detail.floor_char_boundary(MAX_DETAIL_BYTES);
            target.detail = Some(detail[..end].into());
            changes.touch(Row::Member(id, key));
        }
    }
}

/// The target of the robot that comes next in the order of installation, if it may be sent now as far as it depends on
/// the robot: ECUs on hold are passed over, those that are tried again later are waited for.
fn next_target(rollout: &Rollout, robot: &Robot, now: Timestamp) -> Option<usize> {
    let targets = &rollout.members.get(&robot.key)?.targets;
    let mut open = targets
        .iter()
        .enumerate()
        .filter(|(_, target)| !target.state.is_final() && robot.hold(target.ecu.into()).is_none());
    let (index, next) = open.next()?;
    let due = next.retry_at().is_none_or(|at| at <= now);
    (next.state == TargetState::Pending && due).then_some(index)
}

//! Telling robots: which one, which of its ECUs, and whether it may still be told.
//!
//! **Invariants**: a robot has one operation at a time; a rollout never has more robots with an operation under way
//! than its cap; an image goes to an ECU only if registration, the rollout's map and the image agree on the hardware
//! id at this very moment (A10).

use crate::check::{Check, check, fits};
use crate::inventory::{Robot, RobotKey};
use crate::operation::operation_id;
use crate::outcome::{Effect, Request, RequestKind, Row};
use crate::rollout::{OnFailure, Rollout, RolloutId};
use crate::state::{Changes, State};
use crate::target::{CancelReason, FailureReason, Ran, SuccessKind, Target, TargetState};

/// How much of a robot's words is kept beside a target; the history keeps them whole.
const MAX_DETAIL_BYTES: usize = 512;

/// What dispatch finds when it looks at a pending target.
enum Verdict {
    Send,
    Hold,
    End(TargetState),
}

impl State {
    /// Puts the robot into the ready sets of the rollouts that could tell it something now, and takes it out of the
    /// others. Called whenever its link, its operation or its targets change.
    pub(crate) fn refresh_ready(&mut self, key: RobotKey) {
        let Some(robot) = self.robots.get(&key) else {
            return;
        };
        let free = robot.ready() && robot.active.is_none() && robot.removed.is_none();
        for id in &robot.open {
            let Some(rollout) = self.rollouts.get_mut(id) else {
                continue;
            };
            if free && rollout.is_running() && has_sendable(rollout, robot) {
                rollout.ready.insert(key);
            } else {
                rollout.ready.remove(&key);
            }
        }
    }

    /// Tells robots while slots are free, then completes the rollout if nothing is left to do.
    pub(crate) fn pump(&mut self, id: RolloutId, changes: &mut Changes) {
        while let Some(key) = self.next_ready(id) {
            self.tell(id, key, changes);
        }
        self.complete_if_done(id, changes);
    }

    fn next_ready(&self, id: RolloutId) -> Option<RobotKey> {
        let rollout = self.rollouts.get(&id)?;
        let free =
            rollout.is_running() && rollout.counts.in_progress < rollout.mechanism.max_in_progress;
        if free {
            rollout.ready.first().copied()
        } else {
            None
        }
    }

    /// After a target became final: the robot's next ECU keeps the slot, otherwise the slot goes to the next robot.
    pub(crate) fn go_on(&mut self, id: RolloutId, key: RobotKey, changes: &mut Changes) {
        self.stop_after_failure(id, key, changes);
        self.refresh_ready(key);
        let same_robot = self
            .rollouts
            .get(&id)
            .is_some_and(|rollout| rollout.ready.contains(&key));
        if same_robot {
            self.tell(id, key, changes);
        }
        self.pump(id, changes);
        self.offer(key, changes);
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
            if self
                .rollouts
                .get(&id)
                .is_some_and(|rollout| rollout.ready.contains(&key))
            {
                self.pump(id, changes);
            }
        }
    }

    /// Looks at the robot's pending targets in the order of installation and starts the first that may be sent.
    fn tell(&mut self, id: RolloutId, key: RobotKey, changes: &mut Changes) {
        let count = self
            .rollouts
            .get(&id)
            .and_then(|r| r.members.get(&key))
            .map_or(0, |m| m.targets.len());
        for index in 0..count {
            match self.verdict(id, key, index) {
                None | Some(Verdict::Hold) => {}
                Some(Verdict::Send) => {
                    self.begin(id, key, index, changes);
                    break;
                }
                Some(Verdict::End(state)) => {
                    self.set_target(id, key, index, state, changes);
                    self.stop_after_failure(id, key, changes);
                }
            }
        }
        self.refresh_ready(key);
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
        let checked = check(
            &rollout.images,
            &rollout.mechanism,
            image,
            robot,
            target.ecu,
        );
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
        target.attempt += 1;
        target.resends = 0;
        target.boot = boot;
        target.detail = None;
        target.deadline = Some(deadline);
        self.set_target(id, key, index, TargetState::Requested, changes);
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
                    && fits(&rollout.images, image, ecu),
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
            let checked = image.map(|image| {
                check(
                    &rollout.images,
                    &rollout.mechanism,
                    image,
                    robot,
                    target.ecu,
                )
            });
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

    /// Makes the active target final and moves on.
    pub(crate) fn finish(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        state: TargetState,
        changes: &mut Changes,
    ) {
        self.set_target(id, key, index, state, changes);
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

fn has_sendable(rollout: &Rollout, robot: &Robot) -> bool {
    let held = |target: &Target| robot.hold(target.ecu.into()).is_some();
    rollout.members.get(&robot.key).is_some_and(|member| {
        member
            .targets
            .iter()
            .any(|t| t.state == TargetState::Pending && !held(t))
    })
}

//! What robots say, and what follows from it.
//!
//! Outcomes are judged from facts: an event only moves a target forward, and success is what the ECU reports to run.

use crate::input::{Event, EventCode, EventStatus, Stamp};
use crate::inventory::{
    Ecu, EcuSpec, Hold, Novelty, PROPERTY_WINDOW, Protocol, ReportedImage, Robot, RobotKey,
};
use crate::names::EcuName;
use crate::operation::operation_id;
use crate::outcome::{Effect, Reply, Row};
use crate::proof::Proof;
use crate::refusal::Refusal;
use crate::rollout::RolloutId;
use crate::state::{Changes, State};
use crate::target::{CancelReason, FailureReason, SuccessKind, Target, TargetState};
use uuid::Uuid;

/// How many of a robot's newest rollouts are searched for the operation of a late event.
const REMEMBERED_ROLLOUTS: usize = 32;

impl State {
    pub(crate) fn manifest(
        &mut self,
        key: RobotKey,
        boot: u64,
        wants_ack: bool,
        ecus: &[EcuSpec],
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let now = self.now;
        let Some(robot) = self.robots.get_mut(&key) else {
            return Err(Refusal::RobotGone);
        };
        if robot.by_part_number {
            return Err(Refusal::RegisteredAsEdgehog);
        }
        if boot < robot.cursor.boot {
            return Err(Refusal::OlderBoot {
                found: boot,
                current: robot.cursor.boot,
            });
        }
        if boot > robot.cursor.boot {
            robot.cursor.start_boot(boot);
        }
        changes.touch(Row::Cursor(key));
        if robot.protocol.replace(Protocol::Native) != Some(Protocol::Native) {
            changes.touch(Row::Robot(key));
        }
        for ecu in &mut robot.ecus {
            let hold = hold_for(ecu, ecus);
            if ecu.hold != hold {
                ecu.hold = hold;
                changes.touch(Row::Robot(key));
            }
        }
        robot.link.introduced = true;
        robot.link.wants_ack = wants_ack;
        robot.link.reported_ecus = 0;
        robot.link.window_since = now;
        robot.link.settled_at = Some(now.after(PROPERTY_WINDOW));
        self.arm(key);
        self.refresh_ready(key);
        Ok(Reply::Done)
    }

    pub(crate) fn base_image(
        &mut self,
        key: RobotKey,
        ecu: &EcuName,
        image: ReportedImage,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(robot) = self.robots.get_mut(&key) else {
            return Err(Refusal::RobotGone);
        };
        if !robot.link.introduced {
            return Err(Refusal::NotIntroduced);
        }
        let index = robot
            .ecu_index(ecu.as_str())
            .ok_or_else(|| Refusal::UnknownEcu { ecu: ecu.clone() })?;
        let ecu = &mut robot.ecus[index];
        if ecu.reported.as_ref() != Some(&image) {
            ecu.reported = Some(image);
            changes.touch(Row::Robot(key));
        }
        robot.link.reported_ecus |= 1 << index;
        let settled = robot.link.settled_at.is_some() && robot.all_ecus_reported();
        if settled {
            robot.link.settled_at = None;
        }
        let before = robot.active;
        self.judge_ecu(key, index, changes);
        if settled {
            self.settled(key, before, changes);
        } else {
            // The ECU may have become one that needs nothing, or something again.
            self.offer(key, changes);
        }
        Ok(Reply::Done)
    }

    /// The robot's reports are complete. An operation that was under way `before` they were judged may never have
    /// reached it; one that began since has just been sent.
    pub(crate) fn settled(
        &mut self,
        key: RobotKey,
        before: Option<(RolloutId, usize)>,
        changes: &mut Changes,
    ) {
        self.send_owed(key, changes);
        self.send_due_cancel(key, changes);
        let robot = self.robots.get(&key);
        if robot.is_some_and(|robot| robot.active == before) {
            self.resend_unanswered(key, changes);
        }
        self.refresh_ready(key);
        self.offer(key, changes);
        // What was overdue, and waited for these reports, is due now.
        self.arm(key);
    }

    /// Judges the operation under way by what its ECU reports now.
    pub(crate) fn judge_active(&mut self, key: RobotKey, changes: &mut Changes) {
        let ecu = self
            .robots
            .get(&key)
            .and_then(|robot| self.active_target(robot))
            .map(|(_, t)| t.ecu);
        if let Some(ecu) = ecu {
            self.judge_ecu(key, usize::from(ecu), changes);
        }
    }

    fn judge_ecu(&mut self, key: RobotKey, ecu: usize, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&key) else {
            return;
        };
        let Some((id, index)) = robot.active else {
            return;
        };
        let Some((rollout, target)) = self.active_target(robot) else {
            return;
        };
        if usize::from(target.ecu) != ecu {
            return;
        }
        let Some(image) = self.images.get(&target.image) else {
            return;
        };
        match Self::proves(robot, rollout, target, image) {
            Proof::Installed => {
                self.take_model(id, key, index, changes);
                let state = TargetState::Succeeded {
                    how: SuccessKind::Installed,
                };
                self.finish(id, key, index, state, changes);
            }
            Proof::OtherImage => {
                let state = TargetState::Failed {
                    reason: FailureReason::OtherImageReported,
                };
                self.finish(id, key, index, state, changes);
            }
            // A mere reconnect proves nothing; only a new process without the image does, after a while.
            Proof::OldImage | Proof::ThirdImage
                if robot.cursor.boot > target.boot
                    && target.state != TargetState::Requested
                    && robot.has_reported(ecu) =>
            {
                let grace = self.now.after(rollout.mechanism.rollback_grace);
                if let Some(target) = self
                    .target_mut(id, key, index)
                    .filter(|target| target.suspect_until.is_none())
                {
                    target.suspect_until = Some(grace);
                    changes.touch(Row::Member(id, key));
                    self.arm(key);
                }
            }
            Proof::OldImage | Proof::ThirdImage | Proof::OtherBuild | Proof::Nothing => {}
        }
    }

    pub(crate) fn event(
        &mut self,
        key: RobotKey,
        event: &Event,
        changes: &mut Changes,
    ) -> Result<Reply, Refusal> {
        let Some(robot) = self.robots.get(&key) else {
            return Err(Refusal::RobotGone);
        };
        if event.progress > 100 {
            return Err(Refusal::ProgressOutOfRange {
                found: event.progress,
            });
        }
        let ecu = robot
            .ecu_index(event.ecu.as_str())
            .ok_or_else(|| Refusal::UnknownEcu {
                ecu: event.ecu.clone(),
            })?;
        if let Some(stamp) = event.stamp
            && !is_new(robot, stamp)?
        {
            self.acknowledge(key, changes);
            return Ok(Reply::Duplicate);
        }
        let current = self.active_target(robot).filter(|(rollout, target)| {
            usize::from(target.ecu) == ecu
                && operation_id(rollout.id, key, &event.ecu, target.attempt) == event.operation
        });
        let active = current.and(robot.active);
        if active.is_none() && !self.was_requested(robot, ecu, event.operation) {
            return Err(Refusal::UnknownOperation {
                operation: event.operation,
                ecu: event.ecu.clone(),
            });
        }
        self.count_event(key, event.stamp, changes);
        let Some((id, index)) = active else {
            return Ok(Reply::Late);
        };
        Ok(self.advance(id, key, index, event, changes))
    }

    fn count_event(&mut self, key: RobotKey, stamp: Option<Stamp>, changes: &mut Changes) {
        let Some(robot) = self.robots.get_mut(&key) else {
            return;
        };
        if let Some(stamp) = stamp {
            robot.cursor.see(stamp.boot, stamp.counter);
        }
        changes.touch(Row::Cursor(key));
        self.acknowledge(key, changes);
    }

    fn acknowledge(&self, key: RobotKey, changes: &mut Changes) {
        let Some(robot) = self.robots.get(&key).filter(|robot| robot.link.wants_ack) else {
            return;
        };
        if let Some(connection) = robot.link.connection {
            let (boot, counter) = (robot.cursor.boot, robot.cursor.acknowledged);
            // Counters start at 1: while the first event is missing there is nothing to say.
            if counter == 0 {
                return;
            }
            changes.effects.push(Effect::Acknowledge {
                robot: key,
                connection,
                boot,
                counter,
            });
        }
    }

    /// Whether `operation` is one that this ECU was once asked to do.
    fn was_requested(&self, robot: &Robot, ecu: usize, operation: Uuid) -> bool {
        let Some(name) = robot.ecus.get(ecu).map(|ecu| &ecu.name) else {
            return false;
        };
        robot
            .memberships
            .iter()
            .rev()
            .take(REMEMBERED_ROLLOUTS)
            .any(|id| {
                let member = self
                    .rollouts
                    .get(id)
                    .and_then(|rollout| rollout.members.get(&robot.key));
                member.is_some_and(|member| {
                    member
                        .targets
                        .iter()
                        .filter(|target| usize::from(target.ecu) == ecu)
                        .any(|target| {
                            (1..=target.attempt)
                                .any(|n| operation_id(*id, robot.key, name, n) == operation)
                        })
                })
            })
    }

    /// Moves the active target forward; never back.
    fn advance(
        &mut self,
        id: RolloutId,
        key: RobotKey,
        index: usize,
        event: &Event,
        changes: &mut Changes,
    ) -> Reply {
        let Some(robot) = self.robots.get(&key) else {
            return Reply::Stale;
        };
        let edgehog = robot.protocol == Some(Protocol::Edgehog);
        let boot = robot.cursor.boot;
        let Some(mechanism) = self.rollouts.get(&id).map(|rollout| &rollout.mechanism) else {
            return Reply::Stale;
        };
        let in_progress = self.now.after(mechanism.in_progress_timeout);
        let confirm = self.now.after(mechanism.confirm_timeout);
        let Some(target) = self.target_mut(id, key, index) else {
            return Reply::Stale;
        };
        let old = target.state;
        let Some(new) = next_state(event, target, edgehog) else {
            return Reply::Late;
        };
        let reached = |state: TargetState, goal: TargetState| state.rank() >= goal.rank();
        let forward = new.rank() > old.rank();
        // Whoever speaks of the operation in this boot is still at it: only a later one can tell of its end.
        let mut changed = target.suspect_until.take().is_some();
        if !new.is_final() {
            changed |= std::mem::replace(&mut target.boot, boot) != boot;
            let applied = |state| reached(state, TargetState::Applied);
            if applied(new) && !applied(old) {
                target.deadline = Some(confirm);
            } else if !reached(old, TargetState::Acknowledged) {
                target.deadline = Some(in_progress);
            }
        }
        if changed {
            changes.touch(Row::Member(id, key));
        }
        if matches!(event.status, EventStatus::Error | EventStatus::Failure) {
            self.note(id, key, index, &event.message, changes);
        }
        if !forward {
            self.arm(key);
            return Reply::Late;
        }
        if new.is_final() {
            self.finish(id, key, index, new, changes);
        } else {
            self.set_target(id, key, index, new, changes);
            self.arm(key);
        }
        Reply::Done
    }
}

fn hold_for(ecu: &Ecu, declared: &[EcuSpec]) -> Option<Hold> {
    match declared.iter().find(|declared| declared.name == ecu.name) {
        None => Some(Hold::NotDeclared),
        Some(declared)
            if declared.hardware_id == ecu.hardware_id && declared.primary == ecu.primary =>
        {
            None
        }
        Some(declared) => Some(Hold::DeclaredAs {
            hardware_id: declared.hardware_id.clone(),
            primary: declared.primary,
        }),
    }
}

/// Whether the event is new; an event that cannot be told apart from a duplicate is refused.
fn is_new(robot: &Robot, Stamp { boot, counter }: Stamp) -> Result<bool, Refusal> {
    if !robot.link.introduced {
        return Err(Refusal::NotIntroduced);
    }
    let current = robot.cursor.boot;
    match robot.cursor.novelty(boot, counter) {
        _ if boot > current => Err(Refusal::BootWithoutManifest {
            found: boot,
            current,
        }),
        _ if boot < current => Err(Refusal::OlderBoot {
            found: boot,
            current,
        }),
        Novelty::New => Ok(true),
        Novelty::Duplicate => Ok(false),
        Novelty::Stale => Err(Refusal::OldCounter { boot, counter }),
    }
}

/// Where the event takes a target that is at `old`; `None` when it says nothing about the operation.
fn next_state(event: &Event, target: &Target, edgehog: bool) -> Option<TargetState> {
    let old = target.state;
    let cancels = target.cancelling.as_ref().map_or(0, |c| c.sent);
    Some(match event.status {
        EventStatus::Acknowledged => TargetState::Acknowledged,
        EventStatus::Downloading if event.progress == 100 => TargetState::Downloaded,
        EventStatus::Downloading => TargetState::Downloading {
            progress: event.progress,
        },
        EventStatus::Deploying => TargetState::Installing {
            progress: event.progress,
        },
        EventStatus::Deployed => TargetState::Applied,
        EventStatus::Rebooting | EventStatus::Success => TargetState::Verifying,
        // Recoverable: no move, but whoever reports a fault has taken the request.
        EventStatus::Error => TargetState::Acknowledged,
        EventStatus::Failure => {
            let code = event.code;
            // An Edgehog device that is busy with this very operation says so of any second request for it.
            let echo = edgehog
                && code == Some(EventCode::UpdateAlreadyInProgress)
                && old != TargetState::Requested;
            if echo {
                return None;
            }
            let by_operator = TargetState::Cancelled {
                reason: CancelReason::ByOperator,
            };
            // It answers a Cancel for which it is too late like that, and goes on with the operation. Only to the first
            // Cancel of a request of which it has said nothing does it mean that it never began: a Cancel follows its
            // request, and whoever begins says so before.
            if edgehog && code == Some(EventCode::InternalError) && cancels > 0 {
                return (old == TargetState::Requested && cancels == 1).then_some(by_operator);
            }
            if code == Some(EventCode::Cancelled) && target.cancelling.is_some() {
                return Some(by_operator);
            }
            failure(code)
        }
    })
}

const fn failure(code: Option<EventCode>) -> TargetState {
    let reason = match code {
        None => FailureReason::Unspecified,
        Some(EventCode::SystemRollback) => return TargetState::RolledBack,
        Some(EventCode::Cancelled) => {
            return TargetState::Cancelled {
                reason: CancelReason::ByRobot,
            };
        }
        Some(EventCode::InvalidRequest) => FailureReason::InvalidRequest,
        Some(EventCode::UpdateAlreadyInProgress) => FailureReason::UpdateAlreadyInProgress,
        Some(EventCode::NetworkError) => FailureReason::NetworkError,
        Some(EventCode::IoError) => FailureReason::IoError,
        Some(EventCode::InternalError) => FailureReason::InternalError,
        Some(EventCode::InvalidBaseImage) => FailureReason::InvalidBaseImage,
        Some(EventCode::IncompatibleHardware) => FailureReason::RefusedHardware,
        Some(EventCode::UnexpectedVersion) => FailureReason::UnexpectedVersion,
        Some(EventCode::DigestMismatch) => FailureReason::DigestMismatch,
        Some(EventCode::Refused) => FailureReason::Refused,
        Some(EventCode::Busy) => FailureReason::Busy,
        Some(EventCode::StorageFull) => FailureReason::StorageFull,
    };
    TargetState::Failed { reason }
}

//! Rollouts: which image for which hardware id, on which robots, and how fast.

use crate::inventory::{ImageKey, ImageRef};
use crate::mechanism::Mechanism;
use crate::names::{GroupName, HardwareId, RobotId, RolloutName};
use crate::release::ReleaseId;
use crate::robot_map::{RobotMap, RobotSet};
use crate::selector::Selector;
use crate::tally::Tally;
use crate::target::{CancelReason, SkipReason, SuccessKind, Target, TargetState};
use crate::time::Timestamp;
use crate::windows::Zones;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rollout's number, for people and in the database; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub u32);

/// A6: exactly three ways to choose robots. A selector stands for the group that it would make, without its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetSelection {
    /// Every member of the group (A3).
    Group(GroupName),
    /// Every robot that the selector means (A3).
    Selector(Selector),
    /// Every robot with at least one ECU of the hardware id (A4).
    Hardware(HardwareId),
    /// Exactly these robots (A5).
    Robots(Vec<RobotId>),
    /// The robots that a tranche of the release brings. Not an operator's way: only a release makes it.
    Release(ReleaseId),
}

/// What an operator asks for: the same words preview, create and edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutSpec {
    /// What people call it.
    pub name: RolloutName,
    /// Which robots.
    pub target: TargetSelection,
    /// Which image for which hardware id. A list, so that a hardware id named twice can be refused (A7).
    pub images: Vec<(HardwareId, ImageRef)>,
    /// How fast.
    #[serde(default)]
    pub mechanism: Mechanism,
}

/// Where a rollout is (requirements 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RolloutStatus {
    /// Created; nothing is sent (A16).
    Prepared,
    /// Launched, and not every target is final.
    // Rows of the time before rollouts could be paused say `running`.
    #[serde(rename = "running")]
    Launched {
        /// When it was launched.
        launched: Timestamp,
        /// When it ends at the latest.
        deadline: Timestamp,
        /// Whether robots are told.
        #[serde(default)]
        run: Run,
    },
    /// Every target is final (A24). It never changes again.
    Completed {
        /// When it was launched.
        launched: Timestamp,
        /// When the last target became final.
        completed: Timestamp,
        /// How it went.
        outcome: Completion,
        /// What ended it before its robots were done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<EndReason>,
    },
}

/// Whether a launched rollout tells robots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "run", rename_all = "snake_case")]
pub enum Run {
    /// Robots are told as the mechanism allows.
    #[default]
    Running,
    /// Nobody new is told; robots that were told go on, with their other ECUs too.
    Paused {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: PauseReason,
    },
    /// Nothing is sent but Cancels, to robots that have not begun to install (X18).
    Stopped {
        /// Since when.
        since: Timestamp,
    },
    /// It is over but for the robots that install: they are waited for.
    Ending {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: EndReason,
    },
}

/// Why a rollout paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum PauseReason {
    /// An operator wanted it.
    Operator,
    /// A phase is done, and the next waits for an approval.
    Approval {
        /// The phase that is done, from 0.
        phase: u16,
    },
    /// Every robot of a phase is done, and too few succeeded to open the next.
    PhaseMissed {
        /// Which phase, from 0.
        phase: u16,
    },
    /// More robots of a phase failed than may.
    PhaseErrors {
        /// Which phase, from 0.
        phase: u16,
    },
    /// An abort rule whose action is to pause.
    Failures {
        /// Which rule, from 0.
        rule: u16,
    },
}

/// Why a rollout ends before its robots are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum EndReason {
    /// An operator cancelled it.
    Operator,
    /// More robots failed than `max_failure_percentage` allows.
    MaxFailures,
    /// An abort rule.
    Failures {
        /// Which rule, from 0.
        rule: u16,
    },
    /// More robots of a phase failed than may.
    PhaseErrors {
        /// Which phase, from 0.
        phase: u16,
    },
    /// Its release was replaced.
    Replaced {
        /// By which.
        by: ReleaseId,
    },
}

impl EndReason {
    /// The outcome that follows.
    #[must_use]
    pub const fn outcome(self) -> Completion {
        match self {
            Self::Operator | Self::Replaced { .. } => Completion::Cancelled,
            Self::MaxFailures | Self::Failures { .. } | Self::PhaseErrors { .. } => {
                Completion::Failure
            }
        }
    }

    /// What becomes of robots that were not told.
    #[must_use]
    pub const fn cancel_reason(self) -> CancelReason {
        match self {
            Self::Operator | Self::Replaced { .. } => CancelReason::RolloutCancelled,
            Self::MaxFailures | Self::Failures { .. } | Self::PhaseErrors { .. } => {
                CancelReason::RolloutAborted
            }
        }
    }
}

/// What a launched rollout has to remember of its own course.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// Since when robots are told: the launch, or the last resume. Patience with offline robots begins here.
    pub running_since: Timestamp,
    /// The newest phase that is open, from 0.
    pub phase: u16,
    /// When it opened.
    pub phase_opened: Timestamp,
    /// When the phases before it opened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former_opened: Vec<Timestamp>,
    /// When it reached its success threshold.
    pub phase_passed: Option<Timestamp>,
    /// When the next robot may be told for the first time, in microseconds since the Unix epoch.
    pub next_start_us: u64,
    /// When the newest robot was told for the first time under a rate.
    pub newest_start: Option<Timestamp>,
    /// Failed robots that an operator has seen: thresholds act again when there are more.
    pub excused: u32,
}

impl Course {
    /// When the phase opened; the epoch when that is not known, or yet to come.
    pub(crate) fn opened(&self, phase: u16) -> Timestamp {
        if phase == self.phase {
            return self.phase_opened;
        }
        let former = self.former_opened.get(usize::from(phase));
        former.copied().unwrap_or_default()
    }
}

/// How a completed rollout went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// No robot failed or expired.
    Success,
    /// Some robots succeeded, some did not.
    Partial,
    /// Nobody succeeded, or a threshold ended it.
    Failure,
    /// An operator ended it.
    Cancelled,
    /// The deadline ended it while robots had never been told.
    Expired,
}

/// A robot in a rollout, derived from its targets (requirements 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RobotProgress {
    /// Launched; nothing is under way and nothing done. It may have been told, and be told again later.
    Waiting,
    /// An operation is under way, or some ECUs are done and others wait.
    Updating,
    /// All targets were skipped.
    Skipped,
    /// All that were not skipped succeeded.
    Successful,
    /// At least one failed, rolled back or expired.
    Failed,
    /// At least one was cancelled, none failed.
    Cancelled,
    /// At least one was superseded, none failed or was cancelled.
    Superseded,
}

/// A robot of a launched rollout's snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// One per ECU that gets an image, in the order of installation.
    pub targets: Vec<Target>,
    /// Set when the robot gets nothing at all (A9).
    pub skipped: Option<SkipReason>,
    /// Its phase, from 0.
    pub phase: u16,
}

impl Member {
    /// The robot's state in the rollout.
    #[must_use]
    pub fn progress(&self) -> RobotProgress {
        let any =
            |is: fn(&TargetState) -> bool| self.targets.iter().any(|target| is(&target.state));
        if !self.targets.iter().all(|target| target.state.is_final()) {
            let begun = any(|state| !matches!(state, TargetState::Pending));
            return if begun {
                RobotProgress::Updating
            } else {
                RobotProgress::Waiting
            };
        }
        if any(TargetState::is_failure) {
            RobotProgress::Failed
        } else if any(|state| matches!(state, TargetState::Cancelled { .. })) {
            RobotProgress::Cancelled
        } else if any(|state| matches!(state, TargetState::Superseded { .. })) {
            RobotProgress::Superseded
        } else if any(|state| matches!(state, TargetState::Succeeded { .. })) {
            RobotProgress::Successful
        } else {
            RobotProgress::Skipped
        }
    }

    pub(crate) fn active(&self) -> Option<usize> {
        self.targets
            .iter()
            .position(|target| target.state.is_active())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.targets.iter().any(|target| !target.state.is_final())
    }
}

/// Targets by state; `open` and `in_progress` count robots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Robots of the snapshot.
    pub robots: u32,
    /// Robots that get nothing.
    pub skipped_robots: u32,
    /// Robots with a target that is not final.
    pub open_robots: u32,
    /// Robots with an operation under way; never above the cap.
    pub in_progress: u32,
    /// Targets in all.
    pub targets: u32,
    /// Not told yet.
    pub pending: u32,
    /// Told, not done.
    pub active: u32,
    /// Installed by this rollout.
    pub installed: u32,
    /// Ran the image before.
    pub already_current: u32,
    /// Failed.
    pub failed: u32,
    /// Came back with the old image.
    pub rolled_back: u32,
    /// Skipped.
    pub skipped: u32,
    /// Cancelled.
    pub cancelled: u32,
    /// Taken over by a newer rollout.
    pub superseded: u32,
    /// Ended by the deadline.
    pub expired: u32,
}

impl Counts {
    pub(crate) fn slot(&mut self, state: &TargetState) -> &mut u32 {
        match state {
            TargetState::Pending => &mut self.pending,
            TargetState::Requested
            | TargetState::Acknowledged
            | TargetState::Downloading { .. }
            | TargetState::Downloaded
            | TargetState::Installing { .. }
            | TargetState::Applied
            | TargetState::Verifying => &mut self.active,
            TargetState::Succeeded {
                how: SuccessKind::Installed,
            } => &mut self.installed,
            TargetState::Succeeded {
                how: SuccessKind::AlreadyCurrent,
            } => &mut self.already_current,
            TargetState::Failed { .. } => &mut self.failed,
            TargetState::RolledBack => &mut self.rolled_back,
            TargetState::Skipped { .. } => &mut self.skipped,
            TargetState::Cancelled { .. } => &mut self.cancelled,
            TargetState::Superseded { .. } => &mut self.superseded,
            TargetState::Expired => &mut self.expired,
        }
    }
}

/// One rollout.
#[derive(Debug, Clone)]
pub struct Rollout {
    /// Its number.
    pub id: RolloutId,
    /// What people call it.
    pub name: RolloutName,
    /// Which robots.
    pub target: TargetSelection,
    /// Which image for which hardware id; never empty.
    pub images: BTreeMap<HardwareId, ImageKey>,
    /// How fast.
    pub mechanism: Mechanism,
    /// It updates one robot by hand (E19): the model is not looked at.
    pub manual: bool,
    /// Grows with each edit.
    pub revision: u32,
    /// When it was created.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Why it did not launch at its start time.
    pub missed_start: Option<String>,
    /// Where it is.
    pub status: RolloutStatus,
    /// What it remembers of its course.
    pub course: Course,
    /// The plan as it was shown at creation, a fingerprint per robot; empty after launch (X4).
    pub preview: RobotMap<u64>,
    /// The snapshot, from launch on.
    pub members: RobotMap<Member>,
    /// What the members add up to (derived).
    pub counts: Counts,
    /// What thresholds look at (derived).
    pub tally: Tally,
    /// Robots that could be told their first ECU now if slot and rate allowed it (derived).
    pub ready: RobotSet,
    /// Robots that could be told of another ECU, or once more, if a slot were free (derived).
    pub begun: RobotSet,
    /// Its robots by time zone, if it has windows (derived).
    pub zones: Zones,
    /// Robots can be told at once, but so many were by one input that the others come with the next (derived).
    pub more: bool,
    /// When its timer is set (derived).
    pub timer: Option<Timestamp>,
}

impl Rollout {
    /// Whether it is launched and not completed.
    #[must_use]
    pub const fn is_launched(&self) -> bool {
        matches!(self.status, RolloutStatus::Launched { .. })
    }

    /// Whether robots are told, if it is launched.
    #[must_use]
    pub const fn run(&self) -> Option<Run> {
        match self.status {
            RolloutStatus::Launched { run, .. } => Some(run),
            RolloutStatus::Prepared | RolloutStatus::Completed { .. } => None,
        }
    }

    /// When it ends at the latest, if it is launched.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self.status {
            RolloutStatus::Launched { deadline, .. } => Some(deadline),
            RolloutStatus::Prepared | RolloutStatus::Completed { .. } => None,
        }
    }

    pub(crate) const fn set_run(&mut self, to: Run) {
        if let RolloutStatus::Launched { run, .. } = &mut self.status {
            *run = to;
        }
    }

    /// Robots that it affects: what percentages are of.
    #[must_use]
    pub const fn affected(&self) -> u32 {
        self.counts.robots - self.counts.skipped_robots
    }

    /// Orders rollouts by their launch; numbers are given out at creation and decide only within one millisecond.
    pub(crate) const fn launch_order(&self) -> (Option<Timestamp>, RolloutId) {
        match self.status {
            RolloutStatus::Prepared => (None, self.id),
            RolloutStatus::Launched { launched, .. }
            | RolloutStatus::Completed { launched, .. } => (Some(launched), self.id),
        }
    }

    /// The spec that would create this rollout again.
    #[must_use]
    pub fn spec(&self, reference: impl Fn(ImageKey) -> Option<ImageRef>) -> RolloutSpec {
        let images = self
            .images
            .iter()
            .filter_map(|(id, key)| Some((id.clone(), reference(*key)?)))
            .collect();
        RolloutSpec {
            name: self.name.clone(),
            target: self.target.clone(),
            images,
            mechanism: self.mechanism.clone(),
        }
    }
}

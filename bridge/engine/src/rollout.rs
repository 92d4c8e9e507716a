//! Rollouts: which image for which hardware id, on which robots, and how fast.

use crate::inventory::{ImageKey, ImageRef, RobotKey};
use crate::names::{GroupName, HardwareId, RobotId, RolloutName};
use crate::selector::Selector;
use crate::target::{SkipReason, SuccessKind, Target, TargetState};
use crate::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

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
}

/// What happens to a robot's other ECUs when one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// They are updated all the same (A24).
    #[default]
    Continue,
    /// They are cancelled.
    Stop,
}

/// Which rules for versions a rollout overrides (X5). Nothing overrides the hardware id, or a missing version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForceDowngrade {
    /// None.
    #[default]
    No,
    /// All: order, requirement, and versions that cannot be read (E18).
    All,
    /// The order only; an image's requirement holds.
    WithinRequirement,
}

/// The pace of a rollout. Spans are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mechanism {
    /// The cap: robots with an operation under way, at every instant.
    pub max_in_progress: u32,
    /// Wait for the first event after each send.
    pub request_timeout: Millis,
    /// Sends after the first that got no event.
    pub request_resends: u8,
    /// From the first event to the image being applied.
    pub in_progress_timeout: Millis,
    /// From applied to the ECU's report of what it runs.
    pub confirm_timeout: Millis,
    /// From a new process's report of the old image to the verdict.
    pub rollback_grace: Millis,
    /// From launch to the end of the whole rollout (X3).
    pub deadline: Millis,
    /// Whether a failed ECU stops its robot's other ECUs.
    pub on_failure: OnFailure,
    /// Which rules for versions are overridden.
    pub force_downgrade: ForceDowngrade,
    /// X1: the strict reading of Airbotics, in which a created rollout can be neither edited nor deleted.
    pub immutable_on_create: bool,
}

/// The ranges that a mechanism must keep; spans in milliseconds.
#[derive(Debug)]
pub struct Defaults;

impl Defaults {
    const SECOND: Millis = 1_000;
    /// Least wait for a first event.
    pub const MIN_REQUEST_TIMEOUT: Millis = Self::SECOND;
    /// Longest of all spans: two years.
    pub const MAX_SPAN: Millis = 2 * 365 * 24 * 3_600 * Self::SECOND;
}

impl Default for Mechanism {
    fn default() -> Self {
        let minute = 60 * Defaults::SECOND;
        Self {
            max_in_progress: 100,
            request_timeout: 5 * minute,
            request_resends: 3,
            in_progress_timeout: 60 * minute,
            confirm_timeout: 15 * minute,
            rollback_grace: minute,
            deadline: 30 * 24 * 60 * minute,
            on_failure: OnFailure::Continue,
            force_downgrade: ForceDowngrade::No,
            immutable_on_create: false,
        }
    }
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

/// Where a rollout is (requirements 6.1; paused and stopped come with their commands).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RolloutStatus {
    /// Created; nothing is sent (A16).
    Prepared,
    /// Launched; robots are told as the mechanism allows.
    Running {
        /// When it was launched.
        launched: Timestamp,
        /// When it ends at the latest.
        deadline: Timestamp,
    },
    /// Every target is final (A24). It never changes again.
    Completed {
        /// When it was launched.
        launched: Timestamp,
        /// When the last target became final.
        completed: Timestamp,
        /// How it went.
        outcome: Completion,
    },
}

/// How a completed rollout went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// No robot failed or expired.
    Success,
    /// Some robots succeeded, some did not.
    Partial,
    /// Nobody succeeded.
    Failure,
    /// The deadline ended it while robots had never been told.
    Expired,
}

/// A robot in a rollout, derived from its targets (requirements 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RobotProgress {
    /// Launched, nothing sent yet.
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
    /// Grows with each edit.
    pub revision: u32,
    /// When it was created.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Where it is.
    pub status: RolloutStatus,
    /// The plan as it was shown at creation, a fingerprint per robot; empty after launch (X4).
    pub preview: BTreeMap<RobotKey, u64>,
    /// The snapshot, from launch on.
    pub members: BTreeMap<RobotKey, Member>,
    /// What the members add up to (derived).
    pub counts: Counts,
    /// Robots that could be told now if a slot were free, not counting those with an operation under way (derived).
    pub ready: BTreeSet<RobotKey>,
}

impl Rollout {
    /// Whether robots are told at present.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.status, RolloutStatus::Running { .. })
    }

    /// Orders rollouts by their launch; numbers are given out at creation and decide only within one millisecond.
    pub(crate) const fn launch_order(&self) -> (Option<Timestamp>, RolloutId) {
        match self.status {
            RolloutStatus::Prepared => (None, self.id),
            RolloutStatus::Running { launched, .. } | RolloutStatus::Completed { launched, .. } => {
                (Some(launched), self.id)
            }
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

//! A target: one ECU in one rollout.
//!
//! ```text
//! pending ─► requested ─► acknowledged ─► downloading ─► downloaded ─► installing ─► applied ─► verifying
//!    │           └──────────────┴──────────────┴──── any of these ──────────┴───────────┴──────────┤
//!    └─► succeeded (already current), skipped, superseded, cancelled, expired, failed        ◄─────┘
//! ```
//!
//! **Invariant**: a target moves only forward in this order, and a final state never changes.
//! *Waiting* (requirements 6.2) is `Pending` in a launched rollout; its reason is computed by [`crate::Why`].

use crate::input::Actor;
use crate::inventory::ImageKey;
use crate::rollout::RolloutId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TargetState {
    /// Nothing has been sent.
    Pending,
    /// The OTARequest is on its way; no event has come.
    Requested,
    /// The robot has taken the request.
    Acknowledged,
    /// Percent fetched, 0 to 99.
    Downloading {
        /// Percent.
        progress: u8,
    },
    /// All fetched.
    Downloaded,
    /// Percent written.
    Installing {
        /// Percent.
        progress: u8,
    },
    /// Installed; a restart is needed.
    Applied,
    /// Restarting, or said to be done; the reported image decides.
    Verifying,
    /// Final: the ECU runs the image.
    Succeeded {
        /// How.
        how: SuccessKind,
    },
    /// Final: it did not work and no retry is left.
    Failed {
        /// Why.
        reason: FailureReason,
    },
    /// Final: the ECU came back with the old image.
    RolledBack,
    /// Final: never meant to get an image.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
    /// Final: given up on purpose.
    Cancelled {
        /// Why.
        reason: CancelReason,
    },
    /// Final: a newer rollout took the ECU over before anything was sent (X20).
    Superseded {
        /// The newer rollout.
        by: RolloutId,
    },
    /// Final: the rollout's deadline came first (X3).
    Expired,
}

/// How a target succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuccessKind {
    /// By this rollout's operation.
    Installed,
    /// It ran the image before; nothing was sent (X6, E16).
    AlreadyCurrent,
}

/// Why a robot or one of its ECUs gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// No ECU has a hardware id that the rollout maps (A9).
    NoCompatibleEcu,
    /// The image is for another model (X8).
    OtherModel,
    /// An Edgehog device that was registered without a hardware id has not said its part number.
    NoPartNumber,
    /// The image does not accept its version, and the rollout skips such ECUs (X7).
    VersionMismatch,
    /// The ledger has withdrawn the image.
    LedgerWithdrawn,
    /// The ledger does not know the version that it runs, so nobody can say whether the image may be installed over it.
    LedgerVersionUnknown,
    /// On the ledger the image may not be installed over the version that it runs.
    LedgerVersionNotApplicable,
}

/// Why a target was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The robot was removed from the inventory.
    RobotRemoved,
    /// An earlier ECU of the robot failed and the rollout says `on_failure = stop`.
    EarlierEcuFailed,
    /// The robot says that it was cancelled there.
    ByRobot,
    /// An operator cancelled it, and the robot did not go on with it as far as is known.
    ByOperator,
    /// An operator cancelled the rollout.
    RolloutCancelled,
    /// A threshold ended the rollout.
    RolloutAborted,
}

/// Why a target failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// No event came after the request and all its resends.
    RequestTimeout,
    /// Acknowledged, but not installed in time.
    InProgressTimeout,
    /// Installed, but the ECU never reported the image in time.
    NotConfirmed,
    /// The robot's process started anew in the middle and still runs the old image.
    Interrupted,
    /// The ECU never reported what it runs, so nothing can be judged; nothing was sent.
    MissingVersion,
    /// The ECU reports a version that is not SemVer, so its order or the image's requirement cannot be judged; nothing was
    /// sent.
    InvalidVersion,
    /// The image is older than what the ECU runs; nothing was sent.
    DowngradeNotAllowed,
    /// The image differs from what the ECU runs in the build only, which has no order; nothing was sent.
    AmbiguousVersionOrder,
    /// What the ECU runs does not meet the image's requirement (E17); nothing was sent.
    VersionRequirementNotMet,
    /// The ECU named the operation but reports another image.
    OtherImageReported,
    /// Registration has changed so that the ECU is no longer compatible; nothing was sent.
    IncompatibleHardware,
    /// The robot could not make sense of the request.
    InvalidRequest,
    /// The robot was busy with another operation.
    UpdateAlreadyInProgress,
    /// Download failed.
    NetworkError,
    /// Reading or writing failed.
    IoError,
    /// The robot's own fault.
    InternalError,
    /// The image cannot be installed there.
    InvalidBaseImage,
    /// The robot's own check of the hardware id said no.
    RefusedHardware,
    /// The ECU ran something else than the request expected.
    UnexpectedVersion,
    /// The file was not the one that the request named.
    DigestMismatch,
    /// The robot refused for a reason of its own.
    Refused,
    /// The robot could not update at that moment.
    Busy,
    /// No room on the robot.
    StorageFull,
    /// The robot was offline for longer than the rollout waits (DEP_E151); nothing was sent.
    Offline,
    /// The robot gave no reason.
    Unspecified,
}

impl TargetState {
    /// Whether the state never changes again.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. }
                | Self::Failed { .. }
                | Self::RolledBack
                | Self::Skipped { .. }
                | Self::Cancelled { .. }
                | Self::Superseded { .. }
                | Self::Expired
        )
    }

    /// Whether an operation is under way: the robot has been told and is not done. It holds a slot.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        !self.is_final() && !matches!(self, Self::Pending)
    }

    /// Whether the ECU failed: what `on_failure` and the robot's status look at.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::RolledBack | Self::Expired)
    }

    /// The place in the order; a target only moves to a greater one.
    pub(crate) const fn rank(&self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Requested => 1,
            Self::Acknowledged => 2,
            Self::Downloading { progress } => 100 + *progress as u16,
            Self::Downloaded => 300,
            Self::Installing { progress } => 400 + *progress as u16,
            Self::Applied => 600,
            Self::Verifying => 700,
            Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::RolledBack
            | Self::Skipped { .. }
            | Self::Cancelled { .. }
            | Self::Superseded { .. }
            | Self::Expired => u16::MAX,
        }
    }
}

/// One ECU in one rollout, with its latest attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Index into the robot's ECUs, which registration fixes.
    pub ecu: u8,
    /// What it shall run.
    pub image: ImageKey,
    /// Where it is.
    pub state: TargetState,
    /// Since when.
    pub since: Timestamp,
    /// Attempts begun; 0 before the first request. The current operation is a function of it.
    pub attempt: u16,
    /// Resends of the current request.
    pub resends: u8,
    /// The robot's boot when it last spoke of the operation, or was told first: a later one is evidence of a new
    /// process.
    pub boot: u64,
    /// What the ECU ran when the current operation began; `None` when the target is final, or was begun before this was
    /// kept.
    pub ran: Option<Box<Ran>>,
    /// A new process reported the old image: the verdict falls then, unless an event of the operation comes first.
    pub suspect_until: Option<Timestamp>,
    /// When waiting in this state ends; `None` while pending (the rollout's deadline counts) and when final.
    pub deadline: Option<Timestamp>,
    /// What the robot said with its last error or failure.
    pub detail: Option<Box<str>>,
    /// Where hosted files were fetched from when the current operation was requested first.
    pub base: Option<Arc<str>>,
    /// An operator wants the operation cancelled.
    pub cancelling: Option<Box<Cancelling>>,
    /// What went wrong before, and when it is tried again.
    pub retry: Option<Box<Retrying>>,
    /// The operation was given up while the robot could not hear: it gets a Cancel when it returns.
    pub owes_cancel: bool,
}

/// What an ECU ran before an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its version.
    pub version: Box<str>,
    /// Its build id; empty when not reported.
    pub build_id: Box<str>,
}

/// The wish that an operation ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cancelling {
    /// Who.
    pub by: Box<str>,
    /// Since when.
    pub since: Timestamp,
    /// How often a Cancel went out.
    pub sent: u8,
    /// What becomes of the target if the robot gives up.
    pub goal: CancelGoal,
}

impl Cancelling {
    /// How much of a name is kept, in bytes.
    const MAX_BY: usize = 64;

    pub(crate) fn new(by: &Actor, since: Timestamp, goal: CancelGoal) -> Self {
        let end = by.0.floor_char_boundary(Self::MAX_BY);
        Self {
            by: by.0[..end].into(),
            since,
            sent: 0,
            goal,
        }
    }
}

/// What becomes of a target whose operation is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelGoal {
    /// It is cancelled by an operator.
    Operator,
    /// The rollout was stopped: it waits again, for the resume.
    Recall,
    /// The rollout was cancelled.
    RolloutCancelled,
    /// A threshold ended the rollout.
    RolloutAborted,
}

/// Failures of a target that were, or will be, tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrying {
    /// The newest failure.
    pub failure: FailureReason,
    /// Not before.
    pub at: Timestamp,
    /// Retries so far, by class in the order of [`crate::FailureClass`].
    pub used: [u8; 5],
}

impl Target {
    pub(crate) const fn new(ecu: u8, image: ImageKey, at: Timestamp) -> Self {
        Self {
            ecu,
            image,
            state: TargetState::Pending,
            since: at,
            attempt: 0,
            resends: 0,
            boot: 0,
            ran: None,
            suspect_until: None,
            deadline: None,
            detail: None,
            base: None,
            cancelling: None,
            retry: None,
            owes_cancel: false,
        }
    }

    /// When the wait ends, one way or the other.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        [self.deadline, self.suspect_until]
            .into_iter()
            .flatten()
            .min()
    }
}

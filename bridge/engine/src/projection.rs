//! The words of other systems for our states: read-only projections (requirements 6.2 and 6.3).

use crate::rollout::{RobotProgress, RolloutStatus};
use crate::target::TargetState;
use serde::Serialize;

/// Airbotics' rollout status (A22 to A25).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "Airbotics' words")]
pub enum AirboticsRollout {
    Prepared,
    Launched,
    Completed,
}

/// Airbotics' status of a robot in a rollout (A26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "Airbotics' words")]
pub enum AirboticsRobot {
    Pending,
    Skipped,
    Scheduled,
    Accepted,
    Successful,
    Cancelled,
    Failed,
}

/// Airbotics' status of an ECU (A27).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "Airbotics' words")]
pub enum AirboticsEcu {
    DownloadStarted,
    DownloadCompleted,
    DownloadFailed,
    InstallationStarted,
    InstallationFailed,
    InstallationApplied,
    InstallationCompleted,
}

/// Edgehog's status of an OTA operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Edgehog's words")]
pub enum EdgehogOperation {
    Pending,
    Acknowledged,
    Downloading,
    Deploying,
    Deployed,
    Rebooting,
    Success,
    Failure,
}

/// Edgehog's status of a campaign target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "Edgehog's words")]
pub enum EdgehogTarget {
    Idle,
    InProgress,
    Failed,
    Successful,
}

impl RolloutStatus {
    /// Airbotics' word.
    #[must_use]
    pub const fn airbotics(&self) -> AirboticsRollout {
        match self {
            Self::Prepared => AirboticsRollout::Prepared,
            Self::Launched { .. } => AirboticsRollout::Launched,
            Self::Completed { .. } => AirboticsRollout::Completed,
        }
    }
}

impl crate::Member {
    /// Airbotics' word for the robot in the rollout.
    #[must_use]
    pub fn airbotics(&self) -> AirboticsRobot {
        match self.progress() {
            RobotProgress::Skipped => AirboticsRobot::Skipped,
            RobotProgress::Successful => AirboticsRobot::Successful,
            RobotProgress::Failed => AirboticsRobot::Failed,
            RobotProgress::Cancelled | RobotProgress::Superseded => AirboticsRobot::Cancelled,
            RobotProgress::Waiting => AirboticsRobot::Pending,
            RobotProgress::Updating => {
                let told = |target: &crate::Target| target.state == TargetState::Requested;
                let begun =
                    |target: &crate::Target| !told(target) && target.state != TargetState::Pending;
                if self.targets.iter().any(begun) {
                    AirboticsRobot::Accepted
                } else {
                    AirboticsRobot::Scheduled
                }
            }
        }
    }
}

impl crate::Target {
    /// Airbotics' word for the ECU; `None` where it has none.
    #[must_use]
    pub const fn airbotics(&self) -> Option<AirboticsEcu> {
        use crate::FailureReason as Why;
        Some(match self.state {
            TargetState::Downloading { .. } => AirboticsEcu::DownloadStarted,
            TargetState::Downloaded => AirboticsEcu::DownloadCompleted,
            TargetState::Installing { .. } => AirboticsEcu::InstallationStarted,
            TargetState::Applied | TargetState::Verifying => AirboticsEcu::InstallationApplied,
            TargetState::Succeeded { .. } => AirboticsEcu::InstallationCompleted,
            TargetState::Failed {
                reason:
                    Why::NetworkError | Why::DigestMismatch | Why::StorageFull | Why::RequestTimeout,
            } => AirboticsEcu::DownloadFailed,
            TargetState::Failed { .. } | TargetState::RolledBack => {
                AirboticsEcu::InstallationFailed
            }
            TargetState::Pending
            | TargetState::Requested
            | TargetState::Acknowledged
            | TargetState::Skipped { .. }
            | TargetState::Cancelled { .. }
            | TargetState::Superseded { .. }
            | TargetState::Expired => return None,
        })
    }

    /// Edgehog's word for the operation; `None` before one exists.
    #[must_use]
    pub const fn edgehog_operation(&self) -> Option<EdgehogOperation> {
        Some(match self.state {
            TargetState::Pending | TargetState::Skipped { .. } => return None,
            TargetState::Requested => EdgehogOperation::Pending,
            TargetState::Acknowledged => EdgehogOperation::Acknowledged,
            TargetState::Downloading { .. } | TargetState::Downloaded => {
                EdgehogOperation::Downloading
            }
            TargetState::Installing { .. } => EdgehogOperation::Deploying,
            TargetState::Applied => EdgehogOperation::Deployed,
            TargetState::Verifying => EdgehogOperation::Rebooting,
            TargetState::Succeeded { .. } => EdgehogOperation::Success,
            TargetState::Failed { .. }
            | TargetState::RolledBack
            | TargetState::Cancelled { .. }
            | TargetState::Superseded { .. }
            | TargetState::Expired => EdgehogOperation::Failure,
        })
    }

    /// Edgehog's word for the campaign target; `None` when it is not one.
    #[must_use]
    pub const fn edgehog_target(&self) -> Option<EdgehogTarget> {
        Some(match self.state {
            TargetState::Skipped { .. } => return None,
            TargetState::Pending => EdgehogTarget::Idle,
            TargetState::Succeeded { .. } => EdgehogTarget::Successful,
            state if state.is_active() => EdgehogTarget::InProgress,
            _ => EdgehogTarget::Failed,
        })
    }
}

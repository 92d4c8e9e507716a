//! What an operator can do about a failure, and the code that rapyuta.io has for it (requirements R17 to R31).

use crate::target::{CancelReason, FailureReason, SkipReason, TargetState};

/// A code of rapyuta.io's table, where one says what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeploymentError {
    /// The code.
    pub code: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

const OFFLINE: DeploymentError = DeploymentError {
    code: "DEP_E151",
    meaning: "the device is offline or not reachable",
};
const FAILED_ON_DEVICE: DeploymentError = DeploymentError {
    code: "DEP_E152",
    meaning: "what was deployed failed on the device",
};
const NOT_FETCHED: DeploymentError = DeploymentError {
    code: "DEP_E153",
    meaning: "the artifact cannot be fetched",
};
const DEPENDENCY: DeploymentError = DeploymentError {
    code: "DEP_E156",
    meaning: "what it depends on has failed",
};
const INCONSISTENT: DeploymentError = DeploymentError {
    code: "DEP_E162",
    meaning: "the device and what is deployed do not fit together",
};
const INTERNAL: DeploymentError = DeploymentError {
    code: "DEP_E3xx",
    meaning: "an internal error on the device",
};

impl TargetState {
    /// The code of rapyuta.io; `None` where none of them is true.
    #[must_use]
    pub const fn deployment_error(&self) -> Option<DeploymentError> {
        match self {
            Self::Failed { reason } => reason.deployment_error(),
            Self::RolledBack => Some(FAILED_ON_DEVICE),
            Self::Cancelled {
                reason: CancelReason::EarlierEcuFailed,
            } => Some(DEPENDENCY),
            _ => None,
        }
    }
}

impl FailureReason {
    /// The code of rapyuta.io; `None` where none of them is true.
    #[must_use]
    pub const fn deployment_error(self) -> Option<DeploymentError> {
        Some(match self {
            Self::Offline => OFFLINE,
            Self::NetworkError | Self::DigestMismatch => NOT_FETCHED,
            Self::IncompatibleHardware
            | Self::RefusedHardware
            | Self::MissingVersion
            | Self::InvalidVersion
            | Self::DowngradeNotAllowed
            | Self::AmbiguousVersionOrder
            | Self::VersionRequirementNotMet
            | Self::UnexpectedVersion => INCONSISTENT,
            Self::InternalError | Self::IoError => INTERNAL,
            Self::RequestTimeout
            | Self::InProgressTimeout
            | Self::NotConfirmed
            | Self::Interrupted
            | Self::OtherImageReported
            | Self::InvalidRequest
            | Self::UpdateAlreadyInProgress
            | Self::InvalidBaseImage
            | Self::Refused
            | Self::Busy
            | Self::StorageFull
            | Self::Unspecified => return None,
        })
    }

    /// What an operator can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Offline => {
                "bring the robot online, then include it in another rollout; one whose offline policy is `wait` waits for it"
            }
            Self::RequestTimeout => {
                "look whether the robot's updater runs, then include it in another rollout"
            }
            Self::InProgressTimeout => {
                "look at the robot's log; if it only needs longer, use a longer in_progress_timeout in another rollout"
            }
            Self::NotConfirmed => {
                "look whether the ECU has restarted and what it reports, then include the robot in another rollout"
            }
            Self::Interrupted => {
                "look why the robot restarted in the middle, then include it in another rollout"
            }
            Self::MissingVersion => {
                "let the ECU report what it runs, then include the robot in another rollout"
            }
            Self::InvalidVersion => {
                "let the ECU report a SemVer version, or force the image onto it (force_downgrade `all`) in another rollout"
            }
            Self::DowngradeNotAllowed | Self::AmbiguousVersionOrder => {
                "nothing, if the ECU shall keep what it runs; else force the image onto it (force_downgrade) in another rollout"
            }
            Self::VersionRequirementNotMet => {
                "bring the ECU to a version that the image accepts first (its from_version says which)"
            }
            Self::OtherImageReported => {
                "look who else updates the robot; compare what it reports with the image"
            }
            Self::IncompatibleHardware | Self::RefusedHardware => {
                "compare the ECU's hardware id with the image's: correct the registration, or map the right image"
            }
            Self::InvalidRequest | Self::InvalidBaseImage => {
                "look at the robot's words; check the image's file and whether the robot's updater understands it"
            }
            Self::UpdateAlreadyInProgress | Self::Busy => {
                "include it in another rollout when it is free; a retry rule for class `busy` does that by itself"
            }
            Self::NetworkError => {
                "check that the robot can reach the image's URL; a retry rule for class `network` tries again by itself"
            }
            Self::IoError => "look at the robot's disk and log, then include it in another rollout",
            Self::StorageFull => "make room on the robot, then include it in another rollout",
            Self::DigestMismatch => {
                "check that the image's URL still serves the file that was added; add it as another version if it changed"
            }
            Self::UnexpectedVersion => {
                "look what the ECU runs, then include the robot in another rollout"
            }
            Self::InternalError | Self::Refused | Self::Unspecified => {
                "look at the robot's words and its log, then include it in another rollout"
            }
        }
    }
}

impl SkipReason {
    /// What an operator can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NoCompatibleEcu => {
                "nothing to do; map one of the robot's hardware ids to update it"
            }
            Self::VersionMismatch => "nothing to do; the image does not accept its version",
            Self::OtherModel => "nothing to do; add an image for the robot's model to update it",
            Self::NoPartNumber => {
                "let the device connect and report SystemInfo's part number, then launch another rollout; if it has none, \
                 set EDGEHOG_SYSTEM_PART_NUMBER there, or remove the robot and add it with --ecu main=HARDWARE_ID"
            }
            Self::LedgerWithdrawn => {
                "nothing to do; the vendor has withdrawn the version, so release another one"
            }
            Self::LedgerVersionUnknown => {
                "compare what the ECU reports with `rollcall channel ledger`; bring it to a version that the ledger has by \
                 hand (`rollcall robot update`)"
            }
            Self::LedgerVersionNotApplicable => {
                "bring the ECU to a version from which the vendor allows this one first; `rollcall channel ledger` has them"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R18, R20, R25, R30: the codes, and none where none is true.
    #[test]
    fn failures_have_the_codes_of_rapyuta_where_they_are_true() {
        for (reason, code) in [
            (FailureReason::Offline, Some("DEP_E151")),
            (FailureReason::NetworkError, Some("DEP_E153")),
            (FailureReason::RefusedHardware, Some("DEP_E162")),
            (FailureReason::InternalError, Some("DEP_E3xx")),
            (FailureReason::Busy, None),
            (FailureReason::RequestTimeout, None),
        ] {
            let found = TargetState::Failed { reason }.deployment_error();
            assert_eq!(found.map(|error| error.code), code, "{reason:?}");
        }
        let states = [
            (TargetState::RolledBack, Some("DEP_E152")),
            (
                TargetState::Cancelled {
                    reason: CancelReason::EarlierEcuFailed,
                },
                Some("DEP_E156"),
            ),
            (
                TargetState::Cancelled {
                    reason: CancelReason::ByOperator,
                },
                None,
            ),
            (TargetState::Expired, None),
        ];
        for (state, code) in states {
            assert_eq!(state.deployment_error().map(|error| error.code), code);
        }
    }
}

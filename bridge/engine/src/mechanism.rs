//! The mechanism of a rollout: how fast, how often again, when to stop. Plain values; what they mean is done elsewhere.

mod check;

use crate::calendar::Windows;
use crate::names::GroupName;
use crate::percent::Percent;
use crate::target::FailureReason;
use crate::time::{Millis, Timestamp, read_moment};
use serde::{Deserialize, Serialize};

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

/// X7: what becomes of an ECU whose version the image does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnVersionMismatch {
    /// It fails, and counts against thresholds (E17).
    #[default]
    Fail,
    /// It is skipped, and does not.
    Skip,
}

/// How many robots may be told for the first time, per minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Robots per minute, at first.
    pub per_minute: u32,
    /// Whether it grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
}

/// A rate that grows: it is multiplied by `factor` each time that `every` more robots were counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// 1.1 to 5, with one decimal.
    pub factor: Factor,
    /// Robots until the rate grows.
    pub every: u32,
    /// Which robots.
    pub counting: Counting,
    /// Robots per minute that it never exceeds.
    pub max_per_minute: u32,
}

/// A factor with one decimal, kept in tenths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Factor(u8);

impl Factor {
    /// So many tenths.
    #[must_use]
    pub const fn tenths(tenths: u8) -> Self {
        Self(tenths)
    }

    /// In tenths.
    #[must_use]
    pub const fn in_tenths(self) -> u8 {
        self.0
    }
}

impl TryFrom<f64> for Factor {
    type Error = String;
    fn try_from(number: f64) -> Result<Self, String> {
        // The shortest text that reads back as the number is what was written.
        let text = number.to_string();
        let (whole, tenth) = text.split_once('.').unwrap_or((&text, "0"));
        let tenths = format!("{whole}{tenth}")
            .parse()
            .ok()
            .filter(|_| tenth.len() == 1);
        tenths
            .map(Self)
            .ok_or_else(|| format!("factor {text} is not valid: use 1.1 to 5 with one decimal"))
    }
}

impl From<Factor> for f64 {
    fn from(factor: Factor) -> Self {
        Self::from(factor.0) / 10.0
    }
}

/// Which robots make a rate grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Those that were told.
    Told,
    /// Those that succeeded.
    Succeeded,
}

/// Failures that may go away by themselves. What is in no class is never tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The download failed.
    Network,
    /// Reading or writing failed, or there was no room.
    Storage,
    /// The robot was busy.
    Busy,
    /// The file was not the one that was meant.
    Verify,
    /// A wait of the server's ended.
    Timeout,
}

impl FailureClass {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Storage => "storage",
            Self::Busy => "busy",
            Self::Verify => "verify",
            Self::Timeout => "timeout",
        }
    }
}

/// How often a class of failures is tried again. A retry is a new operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Which failures.
    pub class: FailureClass,
    /// Retries per ECU, 1 to 10.
    pub times: u8,
    /// Wait before the first, in milliseconds; it doubles with each further one.
    #[serde(default = "default_backoff")]
    pub backoff: Millis,
    /// The longest wait, in milliseconds.
    #[serde(default = "default_max_backoff")]
    pub max_backoff: Millis,
}

impl Retry {
    /// So many retries of a class, with the default waits.
    #[must_use]
    pub const fn new(class: FailureClass, times: u8) -> Self {
        Self {
            class,
            times,
            backoff: default_backoff(),
            max_backoff: default_max_backoff(),
        }
    }
}

const fn default_backoff() -> Millis {
    60_000
}

const fn default_max_backoff() -> Millis {
    3_600_000
}

/// Kinds of failure, as abort criteria name them (AWS: FAILED, REJECTED, TIMED_OUT, ALL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Any of them.
    All,
    /// The robot tried and could not, or came back with another image.
    Failed,
    /// The robot, or a rule for versions, said no before anything was done.
    Rejected,
    /// A wait of the server's ended.
    TimedOut,
    /// The ECU came back with the old image.
    RolledBack,
}

/// What a threshold does when it is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdAction {
    /// The rollout ends as a failure: nobody new is told, and robots that have not begun to install are told to stop.
    #[default]
    Abort,
    /// The rollout pauses.
    Pause,
}

/// Acts when failures of a kind reach a share of the robots that have tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbortRule {
    /// Which failures.
    pub kind: FailureKind,
    /// The share of the robots that have tried at which it acts.
    pub percentage: Percent,
    /// Robots that must have tried before it acts.
    pub min_tried: u32,
    /// What it does.
    #[serde(default)]
    pub action: ThresholdAction,
}

/// X12: what happens to robots that are not connected when they could be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OfflinePolicy {
    /// They are waited for, until the rollout's deadline.
    #[default]
    Wait,
    /// They fail (DEP_E151).
    Fail {
        /// After having been gone for so long, in milliseconds, while they could have been told.
        grace: Millis,
    },
}

/// The robots of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseSize {
    /// A share of all robots that the rollout affects.
    Percentage(Percent),
    /// So many robots.
    Robots(u32),
    /// The members of a group.
    Group(GroupName),
    /// Everybody who is in no phase before.
    Rest,
}

/// A part of a rollout's robots that is told only when the part before it did well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its robots.
    pub size: PhaseSize,
    /// The share of its robots that must have succeeded before the next phase opens.
    #[serde(default = "all")]
    pub success_threshold: Percent,
    /// How long the next phase waits from then on, in milliseconds.
    #[serde(default)]
    pub soak: Millis,
    /// Whether the next phase then waits for an operator's approval.
    #[serde(default)]
    pub approval: bool,
    /// The share of its robots that may fail; more of them act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_threshold: Option<Percent>,
    /// What more of them do.
    #[serde(default = "pause")]
    pub on_error: ThresholdAction,
}

impl Phase {
    /// A phase of this size: all of its robots must succeed, and nothing else is asked.
    #[must_use]
    pub const fn new(size: PhaseSize) -> Self {
        Self {
            size,
            success_threshold: all(),
            soak: 0,
            approval: false,
            error_threshold: None,
            on_error: pause(),
        }
    }
}

const fn all() -> Percent {
    Percent::ALL
}

const fn pause() -> ThresholdAction {
    ThresholdAction::Pause
}

/// When a rollout starts and ends by itself. People may write moments in RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// It launches then, as the fleet is then.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_moment"
    )]
    pub start: Option<Timestamp>,
    /// It ends then, if its deadline does not come first.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_moment"
    )]
    pub end: Option<Timestamp>,
}

/// The pace of a rollout. Spans are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mechanism {
    /// The cap: robots with an operation under way, at every instant.
    pub max_in_progress: u32,
    /// The cap on new starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
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
    /// What becomes of ECUs whose version the image does not accept.
    pub on_version_mismatch: OnVersionMismatch,
    /// Which failures are tried again; a class at most once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retries: Vec<Retry>,
    /// The share of the robots that may fail; one more ends the rollout as a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failure_percentage: Option<Percent>,
    /// Further thresholds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub abort: Vec<AbortRule>,
    /// What happens to robots that are offline.
    pub offline: OfflinePolicy,
    /// The phases in their order; none: all robots at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// When it starts and ends by itself.
    pub schedule: Schedule,
    /// When robots are told, by the clock where they are; none: at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// Whether robots that come to belong to the target later join in.
    pub dynamic: bool,
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
    /// Greatest rate, in robots per minute.
    pub const MAX_RATE: u32 = 1_000_000;
    /// Most phases.
    pub const MAX_PHASES: usize = 100;
    /// Most abort rules.
    pub const MAX_ABORT_RULES: usize = 16;
}

impl Default for Mechanism {
    fn default() -> Self {
        let minute = 60 * Defaults::SECOND;
        Self {
            max_in_progress: 100,
            rate: None,
            request_timeout: 5 * minute,
            request_resends: 3,
            in_progress_timeout: 60 * minute,
            confirm_timeout: 15 * minute,
            rollback_grace: minute,
            deadline: 30 * 24 * 60 * minute,
            on_failure: OnFailure::Continue,
            force_downgrade: ForceDowngrade::No,
            on_version_mismatch: OnVersionMismatch::Fail,
            retries: Vec::new(),
            max_failure_percentage: None,
            abort: Vec::new(),
            offline: OfflinePolicy::Wait,
            phases: Vec::new(),
            schedule: Schedule::default(),
            windows: None,
            dynamic: false,
            immutable_on_create: false,
        }
    }
}

impl FailureReason {
    /// The class in which it may be tried again, if any.
    #[must_use]
    pub const fn class(self) -> Option<FailureClass> {
        Some(match self {
            Self::NetworkError => FailureClass::Network,
            Self::IoError | Self::StorageFull => FailureClass::Storage,
            Self::Busy | Self::UpdateAlreadyInProgress => FailureClass::Busy,
            Self::DigestMismatch | Self::InvalidBaseImage => FailureClass::Verify,
            Self::RequestTimeout
            | Self::InProgressTimeout
            | Self::NotConfirmed
            | Self::Interrupted => FailureClass::Timeout,
            Self::MissingVersion
            | Self::InvalidVersion
            | Self::DowngradeNotAllowed
            | Self::AmbiguousVersionOrder
            | Self::VersionRequirementNotMet
            | Self::OtherImageReported
            | Self::IncompatibleHardware
            | Self::InvalidRequest
            | Self::InternalError
            | Self::RefusedHardware
            | Self::UnexpectedVersion
            | Self::Refused
            | Self::Offline
            | Self::Unspecified => return None,
        })
    }

    /// The kind that abort criteria count it as, beside [`FailureKind::All`].
    #[must_use]
    pub const fn kind(self) -> FailureKind {
        match self {
            Self::MissingVersion
            | Self::InvalidVersion
            | Self::DowngradeNotAllowed
            | Self::AmbiguousVersionOrder
            | Self::VersionRequirementNotMet
            | Self::IncompatibleHardware
            | Self::InvalidRequest
            | Self::RefusedHardware
            | Self::UnexpectedVersion
            | Self::UpdateAlreadyInProgress
            | Self::Busy
            | Self::Refused => FailureKind::Rejected,
            Self::RequestTimeout | Self::InProgressTimeout | Self::NotConfirmed | Self::Offline => {
                FailureKind::TimedOut
            }
            Self::Interrupted
            | Self::OtherImageReported
            | Self::NetworkError
            | Self::IoError
            | Self::InternalError
            | Self::InvalidBaseImage
            | Self::DigestMismatch
            | Self::StorageFull
            | Self::Unspecified => FailureKind::Failed,
        }
    }
}

impl Mechanism {
    /// How often failures of `class` are tried again.
    #[must_use]
    pub fn retry(&self, class: FailureClass) -> Option<&Retry> {
        self.retries.iter().find(|retry| retry.class == class)
    }

    /// When a rollout that is launched at `launched` ends at the latest.
    pub(crate) fn ends(&self, launched: Timestamp) -> Timestamp {
        let deadline = launched.after(self.deadline);
        self.schedule.end.map_or(deadline, |end| end.min(deadline))
    }
}

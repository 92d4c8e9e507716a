//! The pure domain of Rollcall: robots with their ECUs, groups, images, rollouts and operations.
//!
//! Everything happens through [`State::apply`]: an [`Input`] and a time go in, an [`Outcome`] comes out.
//! The shell commits the rows that the outcome touched and only then performs its effects and answers.
//!
//! **Invariant**: this crate knows no clock, no I/O, no randomness and no wire format, so the same inputs
//! always lead to the same state.
//!
//! ```
//! use rollcall_engine::{Actor, Command, EcuSpec, Input, Reply, RobotKey, RobotSpec, Row, State, Timestamp};
//!
//! let mut state = State::default();
//! let spec = RobotSpec {
//!     id: "robot-1".parse()?,
//!     name: None,
//!     model: None,
//!     labels: Default::default(),
//!     tags: Default::default(),
//!     ecus: vec![EcuSpec { name: "main".parse()?, hardware_id: "compute".parse()?, primary: true }],
//!     secret: [0; 32],
//! };
//! let command = Command::AddRobot(spec);
//! let by = Actor("operator".to_owned());
//! let outcome = state.apply(Timestamp(1_000), Input::Command { by, command });
//! assert_eq!(outcome.reply, Ok(Reply::Robot(RobotKey(1))));
//! // The shell stores these rows, and only then answers.
//! assert_eq!(outcome.touched, [Row::Counters, Row::Robot(RobotKey(1))]);
//! # Ok::<(), rollcall_engine::NameError>(())
//! ```

mod accept;
mod apply;
mod calendar;
mod cancel;
mod channels;
mod check;
mod commands;
mod control;
mod credentials;
mod deadlines;
mod device;
mod dispatch;
mod dynamic;
mod edgehog;
mod edit;
mod groups;
mod images;
mod input;
mod inventory;
mod launch;
mod ledger;
mod links;
mod manual;
mod mechanism;
mod names;
mod offline;
mod operation;
mod outcome;
mod percent;
mod phases;
mod plan;
mod projection;
mod proof;
mod rank;
mod rate;
mod refusal;
mod release;
mod remedy;
mod reports;
mod requirement;
mod retry;
mod robot_map;
mod rollout;
mod selector;
mod settings;
mod since;
mod standstill;
mod state;
mod syntax;
mod tally;
mod target;
mod thresholds;
mod time;
mod value;
mod wait;
mod why;
mod windows;

pub use calendar::{
    BadZone, Cron, LONGEST_DAYS, MAX_WINDOW_MINUTES, MAX_WINDOWS, Opening, Span, Spans, TimeZone,
    Window, Windows, WindowsError,
};
pub use channels::{Channel, ChannelEdit, ChannelKey};
pub use check::Check;
pub use credentials::{
    Certificate, Credentials, CredentialsStatus, PairingToken, PairingTokenSpec, Registration,
    Serial, TokenKey,
};
pub use device::{
    Device, InterfaceVersion, Interfaces, MAX_DEVICE_BYTES, MAX_DEVICE_PATHS, Published, Setting,
};
pub use dispatch::BURST;
pub use edgehog::EDGEHOG_ECU;
pub use input::{
    Actor, BaseImageProperty, Command, DeviceValue, Event, EventCode, EventStatus, ImageSpec,
    Input, LinkEvent, ManualUpdate, Meaning, PropertyChange, Report, RobotEdit, RobotSpec,
    RolloutEdit, Stamp, Timer,
};
pub use inventory::{
    Counters, Cursor, Ecu, EcuSpec, Group, GroupKey, Hold, Image, ImageKey, ImageRef, Link,
    Membership, Protocol, ReportedImage, Robot, RobotKey, RobotStatus,
};
pub use ledger::{
    ChecksumType, LedgerFault, LedgerFile, LedgerImage, LedgerOrigin, LedgerReading, LedgerRecord,
    LedgerSource, LedgerVersion, MAX_VERSIONS as MAX_LEDGER_VERSIONS, Product, Source, StoredFile,
    Withdrawn,
};
pub use manual::MANUAL_OFFLINE_GRACE;
pub use mechanism::{
    AbortRule, Counting, Defaults, Factor, FailureClass, FailureKind, ForceDowngrade, Growth,
    Mechanism, OfflinePolicy, OnFailure, OnVersionMismatch, Phase, PhaseSize, Rate, Retry,
    Schedule, ThresholdAction,
};
pub use names::{
    ChannelName, EcuName, GroupName, HardwareId, ImageName, ImageVersion, Model, NameError,
    RobotId, RolloutName, Tag, TokenName,
};
pub use operation::operation_id;
pub use outcome::{Effect, Outcome, Reply, Request, RequestKind, Row};
pub use percent::{Percent, PercentError};
pub use phases::PhaseGate;
pub use plan::{Conflict, Drift, Plan, PlanReport, PlannedEcu, PlannedRobot};
pub use projection::{
    AirboticsEcu, AirboticsRobot, AirboticsRollout, EdgehogOperation, EdgehogTarget,
};
pub use rank::rank;
pub use refusal::Refusal;
pub use release::{
    Act, Deed, InactiveReason, Release, ReleaseCounts, ReleaseId, ReleasePreview, ReleaseSet,
    ReleaseSpec, ReleaseStatus, Released, Salt, Sampling, Share, ShareError, Tranche,
};
pub use remedy::DeploymentError;
pub use requirement::Requirement;
pub use robot_map::{RobotMap, RobotSet};
pub use rollout::{
    Completion, Counts, Course, EndReason, Member, PauseReason, RobotProgress, Rollout, RolloutId,
    RolloutSpec, RolloutStatus, Run, TargetSelection,
};
pub use selector::{Explanation, Finding, MAX_SELECTOR_BYTES, Selector};
pub use settings::{MAX_SETTING_PATHS, MAX_SETTINGS};
pub use standstill::Standstill;
pub use state::State;
pub use syntax::SyntaxError;
pub use tally::{PhaseTally, Tally};
pub use target::{
    CancelGoal, CancelReason, Cancelling, FailureReason, Ran, Retrying, SkipReason, SuccessKind,
    Target, TargetState,
};
pub use time::{Millis, Timestamp};
pub use value::{Content, Document, Part, Value};
pub use wait::WaitReason;
pub use why::Why;
pub use windows::{UPCOMING_WINDOWS, ZoneWindows, Zones};

/// The version of the rules. It grows with every change that makes the same inputs lead to another state; the history
/// records it beside each input.
pub const VERSION: u32 = 4;

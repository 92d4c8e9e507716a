//! Everything that can happen to the engine, as values that can be stored and replayed.

use crate::channels::ChannelEdit;
use crate::credentials::{PairingTokenSpec, Serial, TokenKey};
use crate::device::Interfaces;
use crate::inventory::{EcuSpec, ImageRef, ReportedImage, RobotKey};
use crate::ledger::{LedgerReading, LedgerRecord, Source, StoredFile};
use crate::mechanism::{ForceDowngrade, Mechanism, OfflinePolicy, Rate};
use crate::names::{
    ChannelName, EcuName, GroupName, HardwareId, Model, RobotId, RolloutName, Tag, TokenName,
};
use crate::release::{ReleaseId, ReleaseSpec, Share};
use crate::requirement::Requirement;
use crate::rollout::{RolloutId, RolloutSpec, TargetSelection};
use crate::selector::Selector;
use crate::time::{Millis, Timestamp};
use crate::value::Content;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An operator asked for something.
    Command {
        /// Who.
        by: Actor,
        /// What.
        command: Command,
    },
    /// A robot's connection changed.
    Link {
        /// Which robot.
        robot: RobotKey,
        /// How.
        event: LinkEvent,
    },
    /// A robot said something.
    Report {
        /// Which robot.
        robot: RobotKey,
        /// What.
        report: Report,
    },
    /// A timer that [`crate::State::next_timer`] named has come due.
    Due(Timer),
    /// The server has started: all robots are offline, and running deadlines move on by the downtime.
    Started {
        /// The last time of which the database knew: how long the server was away follows from it.
        down_since: Timestamp,
        /// Where hosted files are fetched from now on; operations that were requested before keep their URL.
        base: Option<String>,
    },
}

/// Who asked; recorded in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(pub String);

/// What an operator can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Registers a robot.
    AddRobot(RobotSpec),
    /// Removes a robot; its open targets are cancelled.
    RemoveRobot {
        /// Which.
        robot: RobotId,
    },
    /// Takes what a robot declares of its ECUs for its registration, which ends their holds.
    AcceptDeclared {
        /// Which.
        robot: RobotId,
    },
    /// Notes a certificate that was signed for a robot; the one before it is revoked.
    IssueCertificate {
        /// Which.
        robot: RobotId,
        /// The certificate's number.
        serial: Serial,
        /// When it ends.
        not_after: Timestamp,
        /// SHA-256 of the secret that it was asked for with; none when an operator asked.
        #[serde(default)]
        secret: Option<[u8; 32]>,
    },
    /// Shuts a robot out: no certificates, no connections.
    InhibitCredentials {
        /// Which.
        robot: RobotId,
    },
    /// Lets a robot in again with the credentials that it had.
    AllowCredentials {
        /// Which.
        robot: RobotId,
    },
    /// Replaces a robot's secret and revokes its certificate.
    RotateCredentials {
        /// Which.
        robot: RobotId,
        /// SHA-256 of the new secret.
        secret: [u8; 32],
        /// Whether the robot may also register itself, which voids this secret too.
        allow_pairing: bool,
    },
    /// Adds a token with which robots register themselves.
    AddPairingToken(PairingTokenSpec),
    /// Revokes such a token.
    RemovePairingToken {
        /// Which.
        name: TokenName,
    },
    /// A robot registers itself.
    PairRobot {
        /// The token that it showed.
        token: TokenKey,
        /// What people call that token.
        token_name: TokenName,
        /// Which robot.
        robot: RobotId,
        /// SHA-256 of its new secret.
        secret: [u8; 32],
    },
    /// Changes what people say of a robot: its tags and labels.
    EditRobot {
        /// Which.
        robot: RobotId,
        /// What changes.
        edit: RobotEdit,
    },
    /// Makes a group of listed robots, or adds robots to one.
    AddGroup {
        /// Which.
        name: GroupName,
        /// Robots to add; may be empty.
        robots: Vec<RobotId>,
    },
    /// Makes a group of the robots that a selector means.
    AddSelectorGroup {
        /// Which.
        name: GroupName,
        /// Whom.
        selector: Selector,
    },
    /// Gives a group that has a selector another one.
    EditGroup {
        /// Which.
        name: GroupName,
        /// Whom from now on.
        selector: Selector,
    },
    /// Removes a group that no channel owns; running rollouts keep their robots.
    RemoveGroup {
        /// Which.
        name: GroupName,
    },
    /// Makes a channel.
    AddChannel {
        /// Its name.
        name: ChannelName,
        /// Its target groups; none means every robot.
        #[serde(default)]
        groups: BTreeSet<GroupName>,
    },
    /// Changes a channel's target groups.
    EditChannel {
        /// Which.
        name: ChannelName,
        /// How.
        edit: ChannelEdit,
    },
    /// Removes a channel; its groups stay.
    RemoveChannel {
        /// Which.
        name: ChannelName,
    },
    /// Gives a channel another source of releases.
    SetChannelSource {
        /// Which.
        channel: ChannelName,
        /// From where.
        source: Source,
    },
    /// Takes a record that a ledger has of the channel's product.
    RecordLedgerVersion {
        /// Which.
        channel: ChannelName,
        /// Where the ledger says it.
        reading: LedgerReading,
        /// What the ledger says.
        record: Box<LedgerRecord>,
    },
    /// Notes that a ledger no longer lists a version.
    WithdrawLedgerVersion {
        /// Of which channel's product.
        channel: ChannelName,
        /// Where it is no longer listed.
        reading: LedgerReading,
        /// Which.
        number: u32,
    },
    /// Notes why the file of a version on a ledger is not here.
    NoteLedgerProblem {
        /// Of which channel's product.
        channel: ChannelName,
        /// Which version.
        number: u32,
        /// Why; what is too long is cut off.
        problem: String,
    },
    /// Makes a version on a ledger an image: its file is here, and is the ledger's.
    AttachLedgerFile {
        /// Of which channel's product.
        channel: ChannelName,
        /// Which version.
        number: u32,
        /// The file.
        file: StoredFile,
    },
    /// Adds an image.
    AddImage(ImageSpec),
    /// Removes an image that no unfinished rollout uses.
    RemoveImage {
        /// Which.
        image: ImageRef,
    },
    /// Updates one ECU of one robot at once, past the model check and the rules for versions (E19, X8).
    ManualUpdate(ManualUpdate),
    /// Creates a rollout; nothing is sent (A15).
    CreateRollout(Box<RolloutSpec>),
    /// Changes a prepared rollout (A17, X1).
    EditRollout {
        /// Which.
        rollout: RolloutId,
        /// What changes.
        edit: Box<RolloutEdit>,
    },
    /// Deletes a prepared rollout (X1).
    DeleteRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// Launches a prepared rollout (A18).
    LaunchRollout {
        /// Which.
        rollout: RolloutId,
        /// Launch although the fleet has changed since the preview (X4).
        #[serde(default)]
        accept_drift: bool,
    },
    /// Pauses a rollout: nobody new is told.
    PauseRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// Lets a paused or stopped rollout go on.
    ResumeRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// Stops a rollout: robots that have not begun to install are told to give up (X18). It can be resumed.
    StopRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// Ends a rollout for good, as a stop does.
    CancelRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// Opens the next phase of a rollout that waits for it.
    ApprovePhase {
        /// Which.
        rollout: RolloutId,
        /// The phase that is done, from 0: refused when another one waits.
        #[serde(default)]
        phase: Option<u16>,
    },
    /// Publishes a release on a channel that is not live.
    PublishRelease(Box<ReleaseSpec>),
    /// Stops a live release: nobody more gets it (G12 to G16).
    StopRelease {
        /// Which.
        release: ReleaseId,
    },
    /// Lets an inactive release go on, with its set and its percentage (G19).
    ResumeRelease {
        /// Which.
        release: ReleaseId,
    },
    /// Raises the percentage of a live release (G23); the one in force changes nothing (X11).
    RaiseRelease {
        /// Which.
        release: ReleaseId,
        /// To what.
        percentage: Share,
    },
    /// Cancels the operation under way on a robot. What the robot then does decides.
    CancelOperation {
        /// On which.
        robot: RobotId,
        /// And everything that the robot still waits for in running rollouts.
        #[serde(default)]
        all: bool,
    },
    /// Sets or removes a property that the server owns on an Edgehog device.
    SetProperty {
        /// On which.
        robot: RobotId,
        /// What; its value has been checked against the interface.
        change: PropertyChange,
    },
}

/// A property that the server owns, and its new value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PropertyChange {
    /// The interface.
    pub interface: String,
    /// The path, without a leading `/`.
    pub path: String,
    /// The value as text; `None` removes the property.
    pub value: Option<String>,
}

/// A robot to register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotSpec {
    /// Its identity.
    pub id: RobotId,
    /// What people call it; the id if not given.
    #[serde(default)]
    pub name: Option<String>,
    /// The product that it is.
    #[serde(default)]
    pub model: Option<Model>,
    /// Free labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Free words.
    #[serde(default)]
    pub tags: BTreeSet<Tag>,
    /// Its ECUs, exactly one of them primary. None: an Edgehog device, whose part number will be the hardware id of its
    /// ECU `main`, and its model.
    #[serde(default)]
    pub ecus: Vec<EcuSpec>,
    /// SHA-256 of its credentials secret.
    pub secret: [u8; 32],
}

/// What to change at a robot. What is taken away goes first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RobotEdit {
    /// Tags to put on it.
    pub add_tags: BTreeSet<Tag>,
    /// Tags to take off; one that it does not have is no fault.
    pub remove_tags: BTreeSet<Tag>,
    /// Labels to set.
    pub set_labels: BTreeMap<String, String>,
    /// Keys of labels to take off; one that it does not have is no fault.
    pub remove_labels: BTreeSet<String>,
}

/// An update of one robot by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManualUpdate {
    /// Which.
    pub robot: RobotId,
    /// Which of its ECUs; may be left out when it has only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecu: Option<EcuName>,
    /// What it shall run.
    pub image: ImageRef,
    /// The robot's id once more, typed by whoever takes the risk (E21).
    pub confirm: String,
    /// What happens while it is offline; fails after [`crate::MANUAL_OFFLINE_GRACE`] if not given (X12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<OfflinePolicy>,
    /// From now to the end of the wait, in milliseconds; as of any rollout if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Millis>,
}

/// An image to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// Name and version.
    pub reference: ImageRef,
    /// The boards that it runs on.
    pub hardware_ids: Vec<HardwareId>,
    /// The only model that it is meant for.
    #[serde(default)]
    pub model: Option<Model>,
    /// The build id that must be reported after the update.
    #[serde(default)]
    pub build_id: Option<String>,
    /// What the version that it replaces must meet (E17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<Requirement>,
    /// Where robots fetch it.
    pub url: String,
    /// Whether the file is hosted here.
    pub hosted: bool,
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// What to change in a rollout; `None` leaves it. Once it is launched, name, cap, rate and deadline can be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutEdit {
    /// Refuse when the rollout is no longer at this revision.
    pub revision: Option<u32>,
    /// Another name.
    pub name: Option<RolloutName>,
    /// Other robots.
    pub target: Option<TargetSelection>,
    /// Another map, whole.
    pub images: Option<Vec<(HardwareId, ImageRef)>>,
    /// Another mechanism, whole.
    pub mechanism: Option<Mechanism>,
    /// Another cap, in robots.
    pub max_in_progress: Option<u32>,
    /// Another rate of new starts; `Some(None)`: none.
    // `null` is another word for none, so what is not given must not be written as that.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub rate: Option<Option<Rate>>,
    /// Another deadline, in milliseconds from the launch.
    pub deadline: Option<Millis>,
    /// Other rules for versions.
    pub force_downgrade: Option<ForceDowngrade>,
}

/// Tells a field that is `null` from one that is not there.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    input: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

/// What happens to a robot's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "link", rename_all = "snake_case")]
pub enum LinkEvent {
    /// The broker accepted a connection.
    Connected {
        /// The broker's number for it.
        connection: u64,
    },
    /// The robot listens for OTARequests now.
    Subscribed {
        /// On which connection.
        connection: u64,
    },
    /// The robot no longer listens.
    Unsubscribed {
        /// On which connection.
        connection: u64,
    },
    /// The connection is gone.
    Disconnected {
        /// Which one.
        connection: u64,
    },
}

/// What a robot says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A native robot introduces itself.
    Manifest {
        /// Its process's number; grows with each start.
        boot: u64,
        /// It wants application-level acknowledgements.
        wants_ack: bool,
        /// Its ECUs as it sees them.
        ecus: Vec<EcuSpec>,
    },
    /// A native robot's ECU says what it runs.
    BaseImage {
        /// Which ECU.
        ecu: EcuName,
        /// What.
        image: ReportedImage,
    },
    /// An operation goes on.
    Event(Event),
    /// An Edgehog device introduces itself with its interfaces; its property window begins.
    Introspection(Interfaces),
    /// An Edgehog device says which properties it still has, as `interface/path`; none means a new process.
    ProducerProperties(BTreeSet<String>),
    /// An Edgehog device publishes a value.
    Value(DeviceValue),
}

/// A value of an Edgehog device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceValue {
    /// Interface and path, joined by `/`.
    pub path: String,
    /// What it says; `None` removes the property.
    pub content: Option<Content>,
    /// It is a property; otherwise a value of a moment.
    pub property: bool,
    /// What it means for updates, if anything.
    pub meaning: Option<Meaning>,
}

/// What a property of an Edgehog device means for updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A part of what it runs.
    BaseImage(BaseImageProperty, String),
    /// Its part number (SystemInfo), which is the robot's model.
    PartNumber(String),
}

/// The properties of Edgehog's BaseImage interface that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseImageProperty {
    /// `/name`
    Name,
    /// `/version`
    Version,
    /// `/buildId`
    BuildId,
}

/// The number of a native robot's event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The robot's process.
    pub boot: u64,
    /// Counts events within it, from 1.
    pub counter: u64,
}

/// An OTAEvent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which ECU.
    pub ecu: EcuName,
    /// Its number; Edgehog events have none.
    pub stamp: Option<Stamp>,
    /// Of which operation.
    pub operation: Uuid,
    /// What happened.
    pub status: EventStatus,
    /// Percent of this status, 0 to 100.
    pub progress: u8,
    /// Why, for Error and Failure.
    pub code: Option<EventCode>,
    /// For people.
    pub message: String,
}

/// Edgehog's OTAEvent statuses (E4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStatus {
    /// Taken.
    Acknowledged,
    /// Fetching.
    Downloading,
    /// Writing.
    Deploying,
    /// Written.
    Deployed,
    /// About to restart.
    Rebooting,
    /// Done, says the robot.
    Success,
    /// A fault that it will try to get over.
    Error,
    /// Given up.
    Failure,
}

/// Edgehog's status codes, and those that only native robots have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the words are the wire's; `FailureReason` explains them"
)]
pub enum EventCode {
    InvalidRequest,
    UpdateAlreadyInProgress,
    NetworkError,
    IoError,
    InternalError,
    InvalidBaseImage,
    SystemRollback,
    Cancelled,
    IncompatibleHardware,
    UnexpectedVersion,
    DigestMismatch,
    Refused,
    Busy,
    StorageFull,
}

/// What a timer is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The robot's operation or its introduction.
    Robot(RobotKey),
    /// The rollout's deadline.
    Rollout(RolloutId),
}

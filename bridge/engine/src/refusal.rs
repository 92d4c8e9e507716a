//! Why an input was refused. Every refusal says what to do next, and has changed nothing.

use crate::calendar::{TimeZone, WindowsError};
use crate::device::{MAX_DEVICE_BYTES, MAX_DEVICE_PATHS};
use crate::inventory::ImageRef;
use crate::ledger::{LedgerFault, Product};
use crate::mechanism::FailureClass;
use crate::names::{ChannelName, EcuName, GroupName, HardwareId, RobotId, TokenName};
use crate::release::{ReleaseId, Share};
use crate::rollout::RolloutId;
use crate::time::Timestamp;
use uuid::Uuid;

/// Why an input was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    missing_docs,
    reason = "the messages say it, and the fields are their subjects"
)]
pub enum Refusal {
    // The inventory.
    #[error("robot {id} exists already; choose another id, or remove it first")]
    RobotExists { id: RobotId },
    #[error("robot {id} is not registered; `rollcall robot ls` lists those that are")]
    UnknownRobot { id: RobotId },
    #[error("a robot has at most 32 ECUs, not {found}")]
    EcuCount { found: usize },
    #[error("ECU name {name} is given twice; ECU names are unique on a robot")]
    DuplicateEcu { name: EcuName },
    #[error("a robot has exactly one primary ECU, not {found}; mark one with `,primary`")]
    PrimaryCount { found: usize },
    #[error("{what} is longer than {max} bytes; shorten it")]
    TooLong { what: &'static str, max: usize },
    #[error("more than {max} {what}; use fewer")]
    TooMany { what: &'static str, max: usize },
    #[error("robot {id} is inhibited; `rollcall robot credentials allow {id}` lets it in again")]
    CredentialsInhibited { id: RobotId },
    #[error("the secret of robot {id} was replaced meanwhile; ask again with the new one")]
    SecretReplaced { id: RobotId },
    #[error(
        "robot {id} has used its secret already; `rollcall robot credentials rotate {id} --allow-pairing` voids it and \
         lets the robot register again"
    )]
    AlreadyPaired { id: RobotId },
    #[error(
        "an operator has replaced the secret of robot {id}; put the new one into the robot, or let it register again with \
         `rollcall robot credentials rotate {id} --allow-pairing`"
    )]
    RegistrationClosed { id: RobotId },
    #[error("pairing token {name} exists already; choose another name, or remove it first")]
    TokenExists { name: TokenName },
    #[error(
        "pairing token {name} does not exist or is used up; `rollcall pairing token ls` lists those that are good"
    )]
    UnknownToken { name: TokenName },
    #[error("group {name} does not exist; `rollcall group ls` lists those that do")]
    UnknownGroup { name: GroupName },
    #[error("group {name} exists already; `rollcall group edit` changes its selector")]
    GroupExists { name: GroupName },
    #[error(
        "group {name} has a selector; change that with `rollcall group edit`, or list the robots in another group"
    )]
    GroupHasSelector { name: GroupName },
    #[error(
        "group {name} lists its robots and has no selector; add robots to it, or remove it and make it anew"
    )]
    GroupListsRobots { name: GroupName },
    #[error(
        "group {name} belongs to channel {channel}; take it out with `rollcall channel edit {channel} --remove-group {name}`, or \
         give it other groups, first"
    )]
    GroupInUse {
        name: GroupName,
        channel: ChannelName,
    },
    #[error(
        "group {name} belongs to channel {channel} already, and to one at most; take it out there first with \
         `rollcall channel edit {channel} --remove-group {name}`"
    )]
    GroupHasChannel {
        name: GroupName,
        channel: ChannelName,
    },
    #[error("channel {name} does not exist; `rollcall channel ls` lists those that do")]
    UnknownChannel { name: ChannelName },
    #[error("channel {name} exists already; `rollcall channel edit` changes its groups")]
    ChannelExists { name: ChannelName },
    #[error(
        "without its last group channel {name} would mean every robot; if that is meant, \
         `rollcall channel edit {name} --every-robot` says so"
    )]
    LastGroup { name: ChannelName },
    #[error(
        "a product has a vendor's number and one of its own, each from 1 to 65535 (0x0001 to 0xFFFF); give both"
    )]
    NoSuchProduct,
    #[error(
        "the product has no hardware id; name the boards that it is, at least one (--hardware-id)"
    )]
    ProductWithoutHardware,
    #[error(
        "product {product} is followed by channel {channel} already, and by one at most; give that another source first with \
         `rollcall channel source {channel} console`"
    )]
    ProductFollowed {
        product: Product,
        channel: ChannelName,
    },
    #[error(
        "URL {url:?} is not one that a ledger can be read from; write https://HOST or http://HOST, without user, '?' and '#'"
    )]
    BadLedgerUrl { url: String },
    #[error(
        "channel {name} does not follow a ledger; `rollcall channel source {name} ledger` lets it follow one"
    )]
    NotFromLedger { name: ChannelName },
    #[error(
        "channel {name} has another source since the reading began, so nothing more of that reading is taken; \
         `rollcall channel sync {name}` reads the new one"
    )]
    LedgerSourceChanged { name: ChannelName },
    #[error("version {number} on the ledger is not taken: {fault}")]
    BadLedgerRecord { number: u32, fault: LedgerFault },
    #[error(
        "channel {name} knows no version {number} on the ledger; `rollcall channel ledger {name}` lists those that it knows"
    )]
    UnknownLedgerVersion { name: ChannelName, number: u32 },
    #[error("version {number} is withdrawn on the ledger; take another one")]
    LedgerVersionWithdrawn { number: u32 },
    #[error("the file is not the one that the ledger records for version {number}; fetch it again")]
    NotTheLedgersFile { number: u32 },
    #[error(
        "image {image} is the ledger's and cannot be changed here: channel {channel} follows it there; \
         `rollcall channel source {channel} console` ends that"
    )]
    ImageOfLedger {
        image: ImageRef,
        channel: ChannelName,
    },
    #[error("image {image} is withdrawn on the ledger and offered to nobody; take another version")]
    ImageWithdrawn { image: ImageRef },
    #[error("image {image} exists already and images never change; choose another version")]
    ImageExists { image: ImageRef },
    #[error("image {image} does not exist; `rollcall image ls` lists those that do")]
    UnknownImage { image: ImageRef },
    #[error(
        "image {image} is used by rollout {}, which is not completed; complete or delete that first", .rollout.0
    )]
    ImageInUse { image: ImageRef, rollout: RolloutId },
    #[error(
        "image {image} is that of release {}, which can go on; publish another image on its channel first", .release.0
    )]
    ImageReleased { image: ImageRef, release: ReleaseId },
    #[error("image {image} has no hardware id; name at least one board that it runs on")]
    ImageWithoutHardware { image: ImageRef },
    #[error("image {image} has size 0; give the size of the file in bytes")]
    EmptyImage { image: ImageRef },
    #[error("URL {url:?} is not one that a robot can fetch; start it with http:// or https://")]
    BadUrl { url: String },

    #[error(
        "robot {id} declares what is registered, or nothing yet; there is nothing to accept (`rollcall robot show {id}`)"
    )]
    NothingDeclared { id: RobotId },
    #[error(
        "robot {id} works on an operation of rollout {}; accept when it is done, or cancel it first", .rollout.0
    )]
    OperationUnderWay { id: RobotId, rollout: RolloutId },
    #[error(
        "nothing is under way on robot {id}; `rollcall robot cancel {id} --all` cancels what it waits for too"
    )]
    NothingToCancel { id: RobotId },
    #[error(
        "the operation on robot {id} is being cancelled already, by {by}; what the robot does decides"
    )]
    AlreadyCancelling { id: RobotId, by: String },
    #[error(
        "robot {id} does not have the interface {interface}; `rollcall robot show {id}` lists those in its introspection"
    )]
    InterfaceNotInstalled { id: RobotId, interface: String },
    #[error(
        "property {path} is not set on robot {id}; `rollcall robot property ls {id}` lists those that are"
    )]
    PropertyNotSet { id: RobotId, path: String },
    #[error(
        "ECU {ecu} of robot {id} cannot be taken as declared ({why}); only a hardware id can change: remove the robot \
         and add it as it is now"
    )]
    NotAcceptable {
        id: RobotId,
        ecu: EcuName,
        why: &'static str,
    },

    // Manual updates.
    #[error(
        "a manual update passes the check of the model and every rule for versions, and can make the robot unusable; to \
         confirm that, type its id: {id} (--confirm {id})"
    )]
    NotTyped { id: RobotId },
    #[error("robot {id} has several ECUs; name one of {} (--ecu)", list(.ecus))]
    SeveralEcus { id: RobotId, ecus: Vec<EcuName> },
    #[error("robot {id} has no ECU {ecu}; it has {}", list(.ecus))]
    NoSuchEcu {
        id: RobotId,
        ecu: EcuName,
        ecus: Vec<EcuName>,
    },
    #[error(
        "robot {id} has no ECU yet: its part number will make it one; let the device connect, or remove the robot and add it \
         with --ecu main=HARDWARE_ID"
    )]
    NoEcuYet { id: RobotId },

    // Rollouts.
    #[error("rollout {} does not exist; `rollcall rollout ls` lists those that do", .id.0)]
    UnknownRollout { id: RolloutId },
    #[error("a rollout needs at least one hardware id mapped to an image")]
    NoImages,
    #[error("hardware id {hardware_id} is mapped twice; map each once")]
    HardwareMappedTwice { hardware_id: HardwareId },
    #[error("image {image} is not for hardware id {hardware_id}; it runs on {}", list(.runs_on))]
    IncompatibleImage {
        image: ImageRef,
        hardware_id: HardwareId,
        runs_on: Vec<HardwareId>,
    },
    #[error("a rollout needs at least one robot; the list is empty")]
    NoRobots,
    #[error(
        "the rollout would affect nobody ({skipped} robots would be skipped); `rollcall rollout preview` says why"
    )]
    AffectsNobody { skipped: usize },
    #[error("{what} must be from {min} to {max}, not {found}")]
    OutOfRange {
        what: &'static str,
        min: u64,
        max: u64,
        found: u64,
    },
    #[error("rollout {} is {status}; only a prepared rollout can be {action}", .id.0)]
    NotPrepared {
        id: RolloutId,
        status: &'static str,
        action: &'static str,
    },
    #[error(
        "rollout {} is {status}; only a launched rollout can be {action}", .id.0
    )]
    NotLaunched {
        id: RolloutId,
        status: &'static str,
        action: &'static str,
    },
    #[error("rollout {} is {status} and cannot be {action}; {remedy}", .id.0)]
    NotNow {
        id: RolloutId,
        status: &'static str,
        action: &'static str,
        remedy: &'static str,
    },
    #[error(
        "rollout {} waits for a person after phase {}; `rollcall rollout approve {}` opens the next one",
        .id.0, .phase + 1, .id.0
    )]
    NeedsApproval { id: RolloutId, phase: u16 },
    #[error("rollout {} is {status} and waits for no approval; `rollcall rollout show {}` says where it is", .id.0, .id.0)]
    NothingToApprove { id: RolloutId, status: &'static str },
    #[error("rollout {} waits after phase {current}, not {found}; look at it again before approving", .id.0)]
    OtherPhase {
        id: RolloutId,
        current: u16,
        found: u16,
    },
    #[error(
        "rollout {} is launched and its {what} can no longer change; name, cap, rate and deadline can: cancel it and \
         launch another for anything else", .id.0
    )]
    FixedAtLaunch { id: RolloutId, what: &'static str },
    #[error("the deadline of rollout {} would have passed already; give a longer one, or cancel the rollout", .id.0)]
    DeadlinePassed { id: RolloutId },
    #[error("failures of class {} have two retry rules; give one", .class.word())]
    RetriedTwice { class: FailureClass },
    #[error(
        "phase {phase} takes the rest, so nobody is left for the next; only the last phase can"
    )]
    RestBeforeTheEnd { phase: usize },
    #[error(
        "the phases add up to {}, not to all robots; let the percentages add up to 100 %, or make the last phase `rest`",
        percent(.hundredths)
    )]
    PhasesDoNotAddUp { hundredths: u32 },
    #[error("{what} after the last phase holds nobody back; put it on the phase before")]
    NothingAfterTheLastPhase { what: &'static str },
    #[error("the {what} is in the past; give a later one")]
    InThePast { what: &'static str },
    #[error(transparent)]
    Windows(#[from] WindowsError),
    #[error(
        "the rollout would end at {} and no window of its robots opens before that ({}); give it a later end, a longer \
         deadline or other windows", utc(.ends), opening(.opens)
    )]
    WindowsNeverOpen {
        opens: Option<Timestamp>,
        ends: Timestamp,
    },
    #[error("start and end lie at most two years ahead")]
    TooFarAhead,
    #[error("rollout {} was created with immutable_on_create; launch it, or create another", .id.0)]
    Immutable { id: RolloutId },
    #[error("rollout {} is at revision {current}, not {found}; look at it again before changing it", .id.0)]
    OtherRevision {
        id: RolloutId,
        current: u32,
        found: u32,
    },
    #[error(
        "the fleet has changed since the preview of rollout {}: {joined} robots joined, {left} left, {changed} \
         changed; look at the preview again, then launch with --accept-drift", .id.0
    )]
    Drifted {
        id: RolloutId,
        joined: usize,
        left: usize,
        changed: usize,
    },

    // Releases.
    #[error("release {} does not exist; `rollcall release ls` lists those that do", .id.0)]
    UnknownRelease { id: ReleaseId },
    #[error(
        "channel {channel} has a live release ({}); stop it first with `rollcall release stop {channel}`, or give it to more \
         robots with `rollcall release raise {channel}`", .release.0
    )]
    ChannelIsLive {
        channel: ChannelName,
        release: ReleaseId,
    },
    #[error(
        "channel {name} is there from the start and stays; give it other groups with `rollcall channel edit {name}`"
    )]
    ChannelStays { name: ChannelName },
    #[error(
        "channel {channel} has an inactive release ({}); say whom this one is for: --new-set draws other robots, --same-set \
         takes those of the former one, and `rollcall release resume {channel}` lets that go on", .release.0
    )]
    ChooseSet {
        channel: ChannelName,
        release: ReleaseId,
    },
    #[error(
        "channel {channel} has had no release whose robots could be taken; leave --same-set away and say --percentage"
    )]
    NoFormerSet { channel: ChannelName },
    #[error("say to how many robots: a percentage from 1 to 100")]
    NoPercentage,
    #[error(
        "the same set keeps its percentage ({percentage}); leave the percentage away, or draw a new set with --new-set"
    )]
    PercentageIsFixed { percentage: Share },
    #[error(
        "release {} is at {current}; {found} is lower, and what robots got is not taken back: stop it instead", .id.0
    )]
    LowerPercentage {
        id: ReleaseId,
        current: Share,
        found: Share,
    },
    #[error("release {} is INACTIVE and cannot be {action}; {remedy}", .id.0)]
    ReleaseIsInactive {
        id: ReleaseId,
        action: &'static str,
        remedy: &'static str,
    },
    #[error("release {} is LIVE and cannot be {action}; stop it first", .id.0)]
    ReleaseIsLive { id: ReleaseId, action: &'static str },
    #[error(
        "release {} was replaced by release {} and cannot be {action}; `rollcall release show {}` shows the newer one",
        .id.0, .by.0, .by.0
    )]
    ReleaseIsReplaced {
        id: ReleaseId,
        by: ReleaseId,
        action: &'static str,
    },
    #[error(
        "release {} cannot be {action}: its channel {channel} was removed; make a channel and publish there", .id.0
    )]
    ReleaseIsOver {
        id: ReleaseId,
        action: &'static str,
        channel: ChannelName,
    },
    #[error(
        "robots that come later are chosen by chance, and some were in the former set; leave bernoulli away to keep away from that"
    )]
    AwayIsExact,
    #[error(
        "rollout {} belongs to release {} and cannot be {action} by itself; use `rollcall release stop` and \
         `rollcall release resume`", .id.0, .release.0
    )]
    RolloutOfRelease {
        id: RolloutId,
        release: ReleaseId,
        action: &'static str,
    },
    #[error(
        "release {} comes from the ledger, is read-only and cannot be {action}; `rollcall channel source {channel} console` \
         takes the channel from the ledger, which stops it", .id.0
    )]
    ReleaseIsReadOnly {
        id: ReleaseId,
        action: &'static str,
        channel: ChannelName,
    },
    #[error(
        "channel {channel} follows the ledger; release one of its versions with `rollcall release publish {channel} --ledger`, \
         or switch it with `rollcall channel source {channel} console`"
    )]
    SourceIsLedger { channel: ChannelName },
    #[error(
        "channel {channel} has no version of the ledger that can be released: `rollcall channel ledger {channel}` lists them \
         and says why"
    )]
    NothingOnLedger { channel: ChannelName },
    #[error(
        "the file of version {number} is not here yet; `rollcall channel sync {channel}` fetches it, and \
         `rollcall channel ledger {channel}` says what is wrong with it"
    )]
    LedgerFileMissing { channel: ChannelName, number: u32 },
    #[error(
        "a version of the ledger is for every robot of the channel; leave percentage, set and sampling away"
    )]
    LedgerIsForAll,
    #[error(
        "a release from the ledger is read-only, so nobody could resume it; leave phases and rules that pause away"
    )]
    LedgerCannotPause,
    #[error(
        "only a release makes rollouts for a release; use `rollcall release publish`, or name a group or robots"
    )]
    TargetIsRelease,
    #[error("a release begins when it is published; leave the start time away")]
    ReleaseStartsAtOnce,
    #[error(
        "a release chooses its robots by its sampling; leave `dynamic` away, and say `bernoulli` if robots that come later \
         shall have it too"
    )]
    ReleaseIsSampled,

    // Robots' reports.
    #[error("the sender is no longer registered")]
    RobotGone,
    #[error("ECU {ecu} is not registered on this robot")]
    UnknownEcu { ecu: EcuName },
    #[error(
        "boot {found} is older than {current}; a robot keeps its boot number and increases it at each start"
    )]
    OlderBoot { found: u64, current: u64 },
    #[error(
        "event {counter} of boot {boot} is older than what can still be told apart from a duplicate"
    )]
    OldCounter { boot: u64, counter: u64 },
    #[error("event of boot {found} but the Manifest said {current}; send the Manifest first")]
    BootWithoutManifest { found: u64, current: u64 },
    #[error("operation {operation} was never requested from ECU {ecu}")]
    UnknownOperation { operation: Uuid, ecu: EcuName },
    #[error("progress {found} is not a percentage")]
    ProgressOutOfRange { found: u8 },
    #[error("event without a Manifest; introduce the robot first")]
    NotIntroduced,
    #[error(
        "the robot was registered without ECUs, as an Edgehog device; remove it and add it with its ECUs to let it \
         speak the native protocol"
    )]
    RegisteredAsEdgehog,
    #[error(
        "part number {found:?} cannot be a hardware id: use 1 to 64 of A-Z a-z 0-9 . _ -; set another one on the \
         device (EDGEHOG_SYSTEM_PART_NUMBER), or remove the robot and add it with --ecu main=HARDWARE_ID"
    )]
    BadPartNumber { found: String },
    #[error(
        "the device has values on {MAX_DEVICE_PATHS} paths or of {MAX_DEVICE_BYTES} bytes, which is all that is kept; \
         this one is dropped: let it unset some"
    )]
    DeviceFull,
}

fn percent(hundredths: &u32) -> String {
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

fn utc(at: &Timestamp) -> String {
    TimeZone::default().local_time(*at)
}

fn opening(opens: &Option<Timestamp>) -> String {
    opens.as_ref().map_or_else(
        || "never".to_owned(),
        |at| format!("the first does at {}", utc(at)),
    )
}

fn list<N: ToString>(names: &[N]) -> String {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl Refusal {
    /// A stable word for programs and counters.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RobotExists { .. } => "robot_exists",
            Self::UnknownRobot { .. } => "unknown_robot",
            Self::EcuCount { .. } => "ecu_count",
            Self::DuplicateEcu { .. } => "duplicate_ecu",
            Self::PrimaryCount { .. } => "primary_count",
            Self::TooLong { .. } => "too_long",
            Self::TooMany { .. } => "too_many",
            Self::CredentialsInhibited { .. } => "credentials_inhibited",
            Self::SecretReplaced { .. } => "secret_replaced",
            Self::AlreadyPaired { .. } => "already_paired",
            Self::RegistrationClosed { .. } => "registration_closed",
            Self::TokenExists { .. } => "token_exists",
            Self::UnknownToken { .. } => "unknown_token",
            Self::UnknownGroup { .. } => "unknown_group",
            Self::GroupExists { .. } => "group_exists",
            Self::GroupHasSelector { .. } => "group_has_selector",
            Self::GroupListsRobots { .. } => "group_lists_robots",
            Self::GroupInUse { .. } => "group_in_use",
            Self::GroupHasChannel { .. } => "group_has_channel",
            Self::UnknownChannel { .. } => "unknown_channel",
            Self::ChannelExists { .. } => "channel_exists",
            Self::LastGroup { .. } => "last_group",
            Self::NoSuchProduct => "no_such_product",
            Self::ProductWithoutHardware => "product_without_hardware",
            Self::ProductFollowed { .. } => "product_followed",
            Self::BadLedgerUrl { .. } => "bad_ledger_url",
            Self::NotFromLedger { .. } => "not_from_ledger",
            Self::LedgerSourceChanged { .. } => "ledger_source_changed",
            Self::BadLedgerRecord { .. } => "bad_ledger_record",
            Self::UnknownLedgerVersion { .. } => "unknown_ledger_version",
            Self::LedgerVersionWithdrawn { .. } => "ledger_version_withdrawn",
            Self::NotTheLedgersFile { .. } => "not_the_ledgers_file",
            Self::ImageOfLedger { .. } => "image_of_ledger",
            Self::ImageWithdrawn { .. } => "image_withdrawn",
            Self::ImageExists { .. } => "image_exists",
            Self::UnknownImage { .. } => "unknown_image",
            Self::ImageInUse { .. } => "image_in_use",
            Self::ImageReleased { .. } => "image_released",
            Self::ImageWithoutHardware { .. } => "image_without_hardware",
            Self::EmptyImage { .. } => "empty_image",
            Self::BadUrl { .. } => "bad_url",
            Self::NothingDeclared { .. } => "nothing_declared",
            Self::OperationUnderWay { .. } => "operation_under_way",
            Self::NothingToCancel { .. } => "nothing_to_cancel",
            Self::AlreadyCancelling { .. } => "already_cancelling",
            Self::InterfaceNotInstalled { .. } => "interface_not_installed",
            Self::PropertyNotSet { .. } => "property_not_set",
            Self::NotAcceptable { .. } => "not_acceptable",
            Self::NotTyped { .. } => "not_typed",
            Self::SeveralEcus { .. } => "several_ecus",
            Self::NoSuchEcu { .. } => "no_such_ecu",
            Self::NoEcuYet { .. } => "no_ecu_yet",
            Self::UnknownRollout { .. } => "unknown_rollout",
            Self::NoImages => "no_images",
            Self::HardwareMappedTwice { .. } => "hardware_mapped_twice",
            Self::IncompatibleImage { .. } => "incompatible_image",
            Self::NoRobots => "no_robots",
            Self::AffectsNobody { .. } => "affects_nobody",
            Self::OutOfRange { .. } => "out_of_range",
            Self::NotPrepared { .. } => "not_prepared",
            Self::NotLaunched { .. } => "not_launched",
            Self::NotNow { .. } => "not_now",
            Self::NeedsApproval { .. } => "needs_approval",
            Self::NothingToApprove { .. } => "nothing_to_approve",
            Self::OtherPhase { .. } => "other_phase",
            Self::FixedAtLaunch { .. } => "fixed_at_launch",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::RetriedTwice { .. } => "retried_twice",
            Self::RestBeforeTheEnd { .. } => "rest_before_the_end",
            Self::PhasesDoNotAddUp { .. } => "phases_do_not_add_up",
            Self::NothingAfterTheLastPhase { .. } => "nothing_after_the_last_phase",
            Self::InThePast { .. } => "in_the_past",
            Self::Windows(error) => error.code(),
            Self::WindowsNeverOpen { .. } => "windows_never_open",
            Self::TooFarAhead => "too_far_ahead",
            Self::Immutable { .. } => "immutable",
            Self::OtherRevision { .. } => "other_revision",
            Self::Drifted { .. } => "drifted",
            Self::UnknownRelease { .. } => "unknown_release",
            Self::ChannelIsLive { .. } => "channel_is_live",
            Self::ChannelStays { .. } => "channel_stays",
            Self::ChooseSet { .. } => "choose_set",
            Self::NoFormerSet { .. } => "no_former_set",
            Self::NoPercentage => "no_percentage",
            Self::PercentageIsFixed { .. } => "percentage_is_fixed",
            Self::LowerPercentage { .. } => "lower_percentage",
            Self::ReleaseIsInactive { .. } => "release_is_inactive",
            Self::ReleaseIsLive { .. } => "release_is_live",
            Self::ReleaseIsReplaced { .. } => "release_is_replaced",
            Self::ReleaseIsOver { .. } => "release_is_over",
            Self::AwayIsExact => "away_is_exact",
            Self::RolloutOfRelease { .. } => "rollout_of_release",
            Self::ReleaseIsReadOnly { .. } => "release_is_read_only",
            Self::SourceIsLedger { .. } => "source_is_ledger",
            Self::NothingOnLedger { .. } => "nothing_on_ledger",
            Self::LedgerFileMissing { .. } => "ledger_file_missing",
            Self::LedgerIsForAll => "ledger_is_for_all",
            Self::LedgerCannotPause => "ledger_cannot_pause",
            Self::TargetIsRelease => "target_is_release",
            Self::ReleaseStartsAtOnce => "release_starts_at_once",
            Self::ReleaseIsSampled => "release_is_sampled",
            Self::RobotGone => "robot_gone",
            Self::UnknownEcu { .. } => "unknown_ecu",
            Self::OlderBoot { .. } => "older_boot",
            Self::OldCounter { .. } => "old_counter",
            Self::BootWithoutManifest { .. } => "boot_without_manifest",
            Self::UnknownOperation { .. } => "unknown_operation",
            Self::ProgressOutOfRange { .. } => "progress_out_of_range",
            Self::NotIntroduced => "not_introduced",
            Self::RegisteredAsEdgehog => "registered_as_edgehog",
            Self::BadPartNumber { .. } => "bad_part_number",
            Self::DeviceFull => "device_full",
        }
    }
}

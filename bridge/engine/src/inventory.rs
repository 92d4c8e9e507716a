//! What exists: robots with their ECUs, groups and images.

use crate::credentials::Credentials;
use crate::device::{Device, InterfaceVersion};
use crate::ledger::LedgerImage;
use crate::names::{EcuName, GroupName, HardwareId, ImageName, ImageVersion, Model, RobotId, Tag};
use crate::requirement::Requirement;
use crate::rollout::{Rollout, RolloutId};
use crate::selector::Selector;
use crate::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// A robot's number in this database, never used twice, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RobotKey(pub u32);

/// An image's number in this database, never used twice, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageKey(pub u32);

/// A group's number in this database, never used twice, from 1 up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupKey(pub u32);

/// The last numbers given out, so that none is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The newest robot's number.
    pub robots: u32,
    /// The newest group's number.
    pub groups: u32,
    /// The newest image's number.
    pub images: u32,
    /// The newest rollout's number.
    pub rollouts: u32,
    /// The newest pairing token's number.
    pub tokens: u32,
    /// The newest channel's number.
    pub channels: u32,
    /// The newest release's number.
    pub releases: u32,
}

/// An ECU as it is registered or as a Manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EcuSpec {
    /// Unique on the robot.
    pub name: EcuName,
    /// The board.
    pub hardware_id: HardwareId,
    /// Exactly one ECU of a robot is primary; it is updated last.
    #[serde(default)]
    pub primary: bool,
}

/// One ECU of a robot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ecu {
    /// Unique on the robot.
    pub name: EcuName,
    /// The board; what registration said, not what the robot claims.
    pub hardware_id: HardwareId,
    /// Exactly one ECU of a robot is primary.
    pub primary: bool,
    /// What the ECU last said it runs.
    pub reported: Option<ReportedImage>,
    /// Set while the robot declares something else than registration.
    pub hold: Option<Hold>,
}

/// Why nothing is sent to an ECU until an operator has looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hold", rename_all = "snake_case")]
pub enum Hold {
    /// The robot's Manifest does not name the ECU.
    NotDeclared,
    /// The robot's Manifest gives it another hardware id or another rank.
    DeclaredAs {
        /// The hardware id in the Manifest, or an Edgehog device's part number.
        hardware_id: HardwareId,
        /// Whether the Manifest calls it primary.
        primary: bool,
    },
    /// An Edgehog device's part number is another one, and none that can be a hardware id.
    PartNumber {
        /// Its beginning.
        found: String,
    },
    /// An Edgehog device's introspection does not list OTARequest: its runtime cannot be updated. Not stored.
    OtaDisabled,
    /// An Edgehog device has another major version of one of the interfaces of an update. Not stored.
    InterfaceVersion {
        /// Which interface.
        interface: String,
        /// Its version on the device.
        found: InterfaceVersion,
    },
}

/// What an ECU says it runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportedImage {
    /// The image's name; empty when not reported.
    pub name: String,
    /// Its version; empty when not reported.
    pub version: String,
    /// Build id; empty when not reported.
    pub build_id: String,
    /// SHA-256 of the image.
    pub digest: Option<[u8; 32]>,
    /// The operation that brought it.
    pub operation: Option<Uuid>,
}

/// Which protocol a robot speaks, learned from its first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Rollcall's own protocol v1.
    Native,
    /// Astarte MQTT v1 with Edgehog's interfaces; one ECU named `main`.
    Edgehog,
}

/// Where a robot is in its own event numbering; what makes duplicates and reordering harmless.
///
/// `window` has bit *i* set when the event `counter - i` has been seen, as in IPsec's replay protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The robot's current process; an Edgehog device's is counted by us.
    pub boot: u64,
    /// The highest event counter seen in this boot; 0 before the first.
    pub counter: u64,
    /// Which of the 64 counters up to `counter` were seen.
    pub window: u64,
    /// Up to which counter everything was seen or can no longer come.
    pub acknowledged: u64,
    /// When the robot last connected or disconnected.
    pub last_seen: Timestamp,
}

/// What a cursor says of an event's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    Duplicate,
    Stale,
}

impl Cursor {
    const WINDOW: u64 = 64;

    pub(crate) fn novelty(&self, boot: u64, counter: u64) -> Novelty {
        if boot < self.boot || counter == 0 {
            return Novelty::Stale;
        }
        if boot > self.boot || counter > self.counter {
            return Novelty::New;
        }
        let behind = self.counter - counter;
        if behind >= Self::WINDOW {
            Novelty::Stale
        } else if self.window & (1 << behind) != 0 {
            Novelty::Duplicate
        } else {
            Novelty::New
        }
    }

    /// Marks `(boot, counter)` as seen. The caller has asked [`Cursor::novelty`].
    pub(crate) fn see(&mut self, boot: u64, counter: u64) {
        if boot > self.boot {
            self.start_boot(boot);
        }
        if counter > self.counter {
            let ahead = counter - self.counter;
            self.window = if ahead < Self::WINDOW {
                self.window << ahead
            } else {
                0
            };
            self.window |= 1;
            self.counter = counter;
        } else {
            self.window |= 1 << (self.counter - counter);
        }
        self.advance_acknowledged();
    }

    pub(crate) fn start_boot(&mut self, boot: u64) {
        self.boot = boot;
        self.counter = 0;
        self.window = 0;
        self.acknowledged = 0;
    }

    fn advance_acknowledged(&mut self) {
        // What fell out of the window can no longer be accepted, so waiting for it would be for ever.
        self.acknowledged = self
            .acknowledged
            .max(self.counter.saturating_sub(Self::WINDOW));
        while self.acknowledged < self.counter
            && self.window & (1 << (self.counter - self.acknowledged - 1)) != 0
        {
            self.acknowledged += 1;
        }
    }
}

/// A robot's connection. It is never stored: after a start every robot is offline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The broker's number of the live connection.
    pub connection: Option<u64>,
    /// Since when it is connected, or has been gone.
    pub since: Timestamp,
    /// It listens for OTARequests.
    pub subscribed: bool,
    /// It has said Manifest or introspection on this connection.
    pub introduced: bool,
    /// Which ECUs have reported their image on this connection, a bit each.
    pub reported_ecus: u64,
    /// When its reports are taken as complete at the latest; moved on by each Edgehog property.
    pub settled_at: Option<Timestamp>,
    /// Since when `settled_at` is moved on.
    pub window_since: Timestamp,
    /// An Edgehog device's process began with this connection, and has not been judged by what it says on it.
    pub fresh: bool,
    /// It asked for application-level acknowledgements.
    pub wants_ack: bool,
    /// What an Edgehog device says it runs before its part number has made its ECU.
    pub early: Option<Box<ReportedImage>>,
    /// Properties that an Edgehog device's list leaves out, and that are gone unless it says them again in its window.
    pub purge: Vec<Arc<str>>,
    /// The target that an operator's Cancel was sent for on this connection.
    pub told_cancel: Option<(RolloutId, usize)>,
}

impl Link {
    /// No connection since `since`.
    pub(crate) fn offline(since: Timestamp) -> Self {
        Self {
            since,
            ..Self::default()
        }
    }
}

/// One robot.
#[derive(Debug, Clone)]
pub struct Robot {
    /// Its number here.
    pub key: RobotKey,
    /// Its identity for life.
    pub id: RobotId,
    /// What people call it; starts equal to the id.
    pub name: String,
    /// The product that it is.
    pub model: Option<Model>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Free words: a set, where labels are a map.
    pub tags: BTreeSet<Tag>,
    /// The groups that list it; what selectors say of it is worked out when it is asked.
    pub groups: BTreeSet<GroupName>,
    /// Its ECUs in the order of installation: secondaries by name, then the primary. None while an Edgehog device that
    /// was registered without any has not said its part number.
    pub ecus: Vec<Ecu>,
    /// Registered without ECUs: an Edgehog device whose part number is its hardware id and its model.
    pub by_part_number: bool,
    /// SHA-256 of its credentials secret.
    pub secret: [u8; 32],
    /// What else lets it in, or keeps it out.
    pub credentials: Credentials,
    /// When it was registered.
    pub registered: Timestamp,
    /// When it was removed; a removed robot stays readable in its rollouts.
    pub removed: Option<Timestamp>,
    /// What it speaks, once it has spoken.
    pub protocol: Option<Protocol>,
    /// What an Edgehog device says of itself.
    pub device: Option<Box<Device>>,
    /// Where it is in its event numbering.
    pub cursor: Cursor,
    /// Its connection (not stored).
    pub link: Link,
    /// The rollouts that it is or was a member of, oldest first (derived).
    pub memberships: Vec<RolloutId>,
    /// Those of them that are under way: what happens to a robot must not cost more with each rollout that it has ever
    /// been in (derived).
    pub open: Vec<RolloutId>,
    /// The operation under way: rollout and index of the target (derived).
    pub active: Option<(RolloutId, usize)>,
    /// When that began, or ended if nothing is under way; of before the server's start only the newest step that was stored
    /// (derived).
    pub active_since: Timestamp,
    /// Targets that were given up while it could not hear, and of which it gets a Cancel when it returns (derived).
    pub owed: BTreeSet<(RolloutId, usize)>,
    /// When its timer is set (derived).
    pub timer: Option<Timestamp>,
}

/// A28: the robot as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RobotStatus {
    /// No newest outcome is a failure and nothing is under way.
    Updated,
    /// An operation is under way or waits.
    Updating,
    /// The newest outcome of at least one ECU is a failure.
    Failed,
}

impl Robot {
    /// Puts its rollouts into the order of their launch, in which they came while the server ran.
    pub(crate) fn sort_rollouts(&mut self, rollouts: &BTreeMap<RolloutId, Rollout>) {
        for ids in [&mut self.memberships, &mut self.open] {
            ids.sort_by_key(|id| rollouts.get(id).map(Rollout::launch_order));
        }
    }

    /// Whether a live connection exists.
    #[must_use]
    pub const fn online(&self) -> bool {
        self.link.connection.is_some()
    }

    /// The index of the ECU called `name`.
    #[must_use]
    pub fn ecu_index(&self, name: &str) -> Option<usize> {
        self.ecus.iter().position(|ecu| ecu.name.as_str() == name)
    }

    /// Whether an OTARequest may be sent now: connected, subscribed, introduced, and its reports complete.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.online()
            && self.link.subscribed
            && self.link.introduced
            && self.link.settled_at.is_none()
    }

    /// Whether what the ECU is known to run was said on this connection. An Edgehog device's process forgets at its
    /// start, so what is known of it always was.
    pub(crate) fn has_reported(&self, ecu: usize) -> bool {
        self.protocol == Some(Protocol::Edgehog) || self.link.reported_ecus & (1 << ecu) != 0
    }

    pub(crate) fn all_ecus_reported(&self) -> bool {
        self.link.reported_ecus.count_ones() as usize >= self.ecus.len()
    }
}

/// A group of robots; it can be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number here.
    pub key: GroupKey,
    /// Its name.
    pub name: GroupName,
    /// When it was made.
    pub created: Timestamp,
    /// Who belongs to it.
    pub membership: Membership,
}

/// How a group knows its robots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// They are listed. Kept at the robots, so this is derived.
    Listed(BTreeSet<RobotKey>),
    /// They are those that a selector means at the moment of asking.
    Selected(Selector),
}

/// Names one image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    /// The image's name.
    pub name: ImageName,
    /// Its version.
    pub version: ImageVersion,
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl std::str::FromStr for ImageRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = text
            .split_once('@')
            .ok_or_else(|| format!("image {text:?} is not valid: write NAME@VERSION"))?;
        Ok(Self {
            name: ImageName::new(name).map_err(|e| e.to_string())?,
            version: ImageVersion::new(version).map_err(|e| e.to_string())?,
        })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> String {
        image.to_string()
    }
}

/// An image; it never changes once added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its number here.
    pub key: ImageKey,
    /// Name and version.
    pub reference: ImageRef,
    /// The boards that it runs on; never empty.
    pub hardware_ids: BTreeSet<HardwareId>,
    /// The only model that it is meant for, if it is.
    pub model: Option<Model>,
    /// Compared too when set: the build id that the ECU reports after the update.
    pub build_id: Option<String>,
    /// What the version that it replaces must meet (E17).
    pub from_version: Option<Requirement>,
    /// Where robots fetch it: an absolute URL, or a path below the server's own artifact URL.
    pub url: String,
    /// Whether the file is hosted here.
    pub hosted: bool,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// Which version on a ledger it is, if it comes from one.
    pub ledger: Option<LedgerImage>,
    /// When it was added.
    pub created: Timestamp,
    /// When it was removed. It stays for the rollouts that name it; its name and its file are gone.
    pub removed: Option<Timestamp>,
}

impl Image {
    /// Whether `reported` says that this image runs: name, version, and digest and build id as far as both know them.
    #[must_use]
    pub fn is_reported_by(&self, reported: &ReportedImage, protocol: Option<Protocol>) -> bool {
        self.is_named_by(reported, protocol)
            && self.is_version_of(reported)
            && reported.digest.is_none_or(|digest| digest == self.sha256)
    }

    /// Whether `reported` may be a version of this image. An Edgehog device reports as a name whatever its maker wrote into
    /// the system.
    pub(crate) fn is_named_by(&self, reported: &ReportedImage, protocol: Option<Protocol>) -> bool {
        protocol == Some(Protocol::Edgehog)
            || reported.name.is_empty()
            || reported.name == self.reference.name.as_str()
    }

    /// Whether version and build are those that are reported, whatever the bytes are.
    pub(crate) fn is_version_of(&self, reported: &ReportedImage) -> bool {
        reported.version == self.version_without_build(reported)
            && self
                .build_id
                .as_ref()
                .is_none_or(|build| *build == reported.build_id)
    }

    /// Whether `reported` has this image's version, whatever its build.
    pub(crate) fn has_version_of(&self, reported: &ReportedImage) -> bool {
        let version = self.reference.version.as_str();
        let core = version.split_once('+').map(|(core, _)| core);
        reported.version == version || core == Some(reported.version.as_str())
    }

    /// The build that is asked for.
    pub(crate) fn build(&self) -> Option<&str> {
        let in_version = || Some(self.reference.version.as_str().split_once('+')?.1);
        self.build_id.as_deref().or_else(in_version)
    }

    /// Its version, if that is SemVer.
    pub(crate) fn version(&self) -> Option<semver::Version> {
        semver::Version::parse(self.reference.version.as_str()).ok()
    }

    /// Edgehog's runtime splits `1.0.0+b7` into version and build id, so compare in the form that was reported.
    fn version_without_build(&self, reported: &ReportedImage) -> &str {
        let version = self.reference.version.as_str();
        match version.split_once('+') {
            Some((core, build))
                if reported.build_id == build && !reported.version.contains('+') =>
            {
                core
            }
            _ => version,
        }
    }
}

/// How long a robot may take to re-publish what it runs before it is taken as it is, in milliseconds.
pub(crate) const PROPERTY_WINDOW: Millis = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_takes_each_event_once_in_any_order_within_its_window() {
        let mut cursor = Cursor {
            boot: 3,
            ..Cursor::default()
        };
        for counter in [2, 1, 5, 4, 3, 70] {
            assert_eq!(cursor.novelty(3, counter), Novelty::New, "{counter}");
            cursor.see(3, counter);
            assert_eq!(cursor.novelty(3, counter), Novelty::Duplicate, "{counter}");
        }
        assert_eq!(cursor.novelty(3, 6), Novelty::Stale, "64 behind");
        assert_eq!(cursor.novelty(3, 7), Novelty::New, "63 behind");
        assert_eq!(cursor.novelty(2, 99), Novelty::Stale, "an older boot");
        assert_eq!(cursor.novelty(3, 0), Novelty::Stale, "counters start at 1");
        cursor.see(4, 1);
        assert_eq!(
            (cursor.boot, cursor.counter, cursor.acknowledged),
            (4, 1, 1)
        );
    }

    #[test]
    fn acknowledgement_is_cumulative_and_gives_up_on_what_left_the_window() {
        let mut cursor = Cursor {
            boot: 1,
            ..Cursor::default()
        };
        cursor.see(1, 2);
        assert_eq!(cursor.acknowledged, 0, "event 1 is missing");
        cursor.see(1, 1);
        assert_eq!(cursor.acknowledged, 2);
        cursor.see(1, 4);
        cursor.see(1, 100);
        assert_eq!(cursor.acknowledged, 36, "event 3 can no longer come");
    }
}

//! Releases: an image for a share of a channel's robots (requirements G1 to G28).
//!
//! A release owns its pool (the channel's robots that the image suits, at the moment of publishing), a salt that puts them
//! into an order, and one rollout per tranche: the first percentage, then each increase. Its set is always the front of the
//! pool, so an increase only adds robots (X9, G25). It is LIVE until it is stopped or replaced; the newest release of a
//! channel is the only one that can be.

mod control;
mod count;
mod draft;
mod publish;
mod set;
mod share;

use crate::channels::ChannelKey;
use crate::input::Actor;
use crate::inventory::{ImageKey, ImageRef, RobotKey};
use crate::mechanism::Mechanism;
use crate::names::ChannelName;
use crate::rollout::RolloutId;
use crate::time::Timestamp;
pub use count::ReleaseCounts;
pub use draft::ReleasePreview;
use serde::{Deserialize, Serialize};
pub use share::{Share, ShareError};

/// A release's number, for people and in the database; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(pub u32);

/// What makes the choice of a release's robots random: the shell draws it, and the history records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Salt(pub [u8; 16]);

/// How the robots of a release are chosen (X9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// The share of the pool, exact to one robot. Robots that come later are not in it.
    #[default]
    Exact,
    /// Each robot by its own chance, as Google does it: the share is met about, and robots that come later are in it with
    /// the same chance.
    Bernoulli,
}

/// Which robots a release goes to, on a channel that has had one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseSet {
    /// A fresh random choice (G20).
    New {
        /// Whether robots of the former set are left out.
        #[serde(default)]
        away_from_former: bool,
    },
    /// The former release's robots, with its percentage (G21).
    Same,
}

/// What is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Released {
    /// An image of ours (G3).
    Image(ImageRef),
    /// A version that the channel's ledger records, by its number; the newest one that can be offered if not given (G8).
    Ledger {
        /// Its number.
        #[serde(default)]
        version: Option<u32>,
    },
}

/// What an operator asks for: the same words preview and publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    /// To which channel.
    pub channel: ChannelName,
    /// What.
    pub what: Released,
    /// To how many of its robots, in percent; not given for the same set, which keeps its own, and for a version of the
    /// ledger, which is for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<Share>,
    /// To which of them; needed once the channel has had a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<ReleaseSet>,
    /// How they are chosen; that of the former release for the same set.
    #[serde(default)]
    pub sampling: Sampling,
    /// What makes the choice random; that of the former release for the same set.
    pub salt: Salt,
    /// How fast each tranche goes.
    #[serde(default)]
    pub mechanism: Mechanism,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its number.
    pub id: ReleaseId,
    /// The channel that it was made to.
    pub channel: ChannelKey,
    /// The channel's name; channels can be removed, and releases are kept (G28).
    pub channel_name: ChannelName,
    /// What it gives to its robots.
    pub image: ImageKey,
    /// Which version on the ledger that is; such a release is read-only (G11).
    pub ledger: Option<u32>,
    /// How its robots are chosen.
    pub sampling: Sampling,
    /// What makes the choice random.
    pub salt: Salt,
    /// How fast each tranche goes.
    pub mechanism: Mechanism,
    /// When it was published (G28).
    pub published: Timestamp,
    /// Whether it is live.
    pub status: ReleaseStatus,
    /// The newer release of its channel: then nothing changes here any more.
    pub replaced_by: Option<ReleaseId>,
    /// What was published to whom: the first percentage, then each increase.
    pub tranches: Vec<Tranche>,
    /// What was done to it, oldest first.
    pub acts: Vec<Act>,
    /// How many robots the pool had when it was published.
    pub pool_size: u32,
    /// The pool in the order of choice; empty once the release is replaced.
    pub pool: Vec<RobotKey>,
}

/// Whether robots get it (G10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum ReleaseStatus {
    /// Its robots get it.
    Live,
    /// Nobody more gets it (G14, G16).
    Inactive {
        /// Since when.
        since: Timestamp,
        /// Why.
        why: InactiveReason,
    },
}

/// Why a release is inactive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum InactiveReason {
    /// An operator stopped it (G12).
    Stopped,
    /// The ledger has withdrawn its version.
    Withdrawn,
    /// The channel got another source (G17).
    SourceSwitched,
    /// The channel was removed: it cannot go on.
    ChannelRemoved,
    /// One of its rollouts ended badly: a threshold, the deadline, or nobody succeeded.
    RolloutEnded {
        /// Which.
        rollout: RolloutId,
    },
}

/// Robots that were added at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tranche {
    /// The release's percentage from then on.
    pub percentage: Share,
    /// Robots of the pool that the release reaches from then on.
    pub reach: u32,
    /// The rollout that tells the new ones; none when the percentage grew by less than a robot.
    pub rollout: Option<RolloutId>,
    /// It tells robots of earlier tranches once more, and no new ones.
    #[serde(default)]
    pub again: bool,
}

/// Something that was done to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
    /// What.
    #[serde(flatten)]
    pub what: Deed,
}

/// What can be done to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum Deed {
    /// Published it.
    Published {
        /// At which percentage.
        percentage: Share,
        /// Whose set it took over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        set_of: Option<ReleaseId>,
    },
    /// Stopped it.
    Stopped {
        /// Why.
        #[serde(flatten)]
        why: InactiveReason,
    },
    /// Resumed it.
    Resumed,
    /// Raised its percentage.
    Raised {
        /// To what.
        percentage: Share,
    },
    /// Published another one in its place.
    Replaced {
        /// Which.
        release: ReleaseId,
    },
}

impl Tranche {
    pub(crate) fn to(percentage: Share, reach: usize) -> Self {
        Self {
            percentage,
            reach: u32::try_from(reach).unwrap_or(u32::MAX),
            rollout: None,
            again: false,
        }
    }
}

impl Release {
    /// The percentage in force (G10, X10).
    #[must_use]
    pub fn percentage(&self) -> Share {
        let newest = self.tranches.last();
        newest.map_or(Share::ALL, |tranche| tranche.percentage)
    }

    /// The percentage that it was published with.
    #[must_use]
    pub fn first_percentage(&self) -> Share {
        let first = self.tranches.first();
        first.map_or(Share::ALL, |tranche| tranche.percentage)
    }

    /// How many robots of its pool it reaches.
    #[must_use]
    pub fn reach(&self) -> u32 {
        self.tranches.last().map_or(0, |tranche| tranche.reach)
    }

    /// Whether its robots get it now.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.status, ReleaseStatus::Live)
    }

    /// Its status in the word of the Live Releases table (G10).
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.status {
            ReleaseStatus::Live => "LIVE",
            ReleaseStatus::Inactive { .. } => "INACTIVE",
        }
    }

    /// Its rollouts, oldest first.
    pub fn rollouts(&self) -> impl Iterator<Item = RolloutId> {
        self.tranches.iter().filter_map(|tranche| tranche.rollout)
    }
}

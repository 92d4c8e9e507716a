//! What an input led to: rows to store, effects to perform after the commit, and the answer.

use crate::channels::ChannelKey;
use crate::credentials::TokenKey;
use crate::inventory::{GroupKey, ImageKey, RobotKey};
use crate::names::EcuName;
use crate::refusal::Refusal;
use crate::release::ReleaseId;
use crate::rollout::RolloutId;
use crate::time::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// The result of [`crate::State::apply`].
#[derive(Debug)]
#[must_use = "rows must be stored and effects performed"]
pub struct Outcome {
    /// The answer to whoever sent the input. A refusal has touched nothing and has no effects.
    pub reply: Result<Reply, Refusal>,
    /// The rows that differ from before, each at least once.
    pub touched: Vec<Row>,
    /// What to do once the rows are durable, in order.
    pub effects: Vec<Effect>,
}

/// A stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// The last numbers given out.
    Counters,
    /// A robot with its ECUs.
    Robot(RobotKey),
    /// A robot's event numbering and presence.
    Cursor(RobotKey),
    /// A group; absent when it was removed.
    Group(GroupKey),
    /// A channel; absent when it was removed.
    Channel(ChannelKey),
    /// A version that a channel's ledger records; absent when the channel follows another product.
    LedgerVersion(ChannelKey, u32),
    /// An image.
    Image(ImageKey),
    /// A rollout without members and preview; absent when it was deleted.
    Rollout(RolloutId),
    /// A prepared rollout's preview; absent after launch.
    Preview(RolloutId),
    /// A robot in a rollout.
    Member(RolloutId, RobotKey),
    /// A release without its pool.
    Release(ReleaseId),
    /// A release's pool; absent once it is replaced.
    Pool(ReleaseId),
    /// A pairing token; absent when it was revoked.
    PairingToken(TokenKey),
    /// What an Edgehog device says of itself, and the properties set on it; absent when there is nothing.
    Device(RobotKey),
}

/// What to do once the rows are durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send an OTARequest.
    Request(Request),
    /// Tell the robot up to which event everything is durable.
    Acknowledge {
        /// Which robot.
        robot: RobotKey,
        /// On which connection.
        connection: u64,
        /// Its boot.
        boot: u64,
        /// Everything up to this counter.
        counter: u64,
    },
    /// Tell an Edgehog device a property that the server owns, as the state has it then.
    Property {
        /// Which robot.
        robot: RobotKey,
        /// On which connection.
        connection: u64,
        /// Interface and path, joined by `/`.
        path: String,
    },
    /// Close the robot's connection.
    Disconnect {
        /// Which connection.
        connection: u64,
        /// Why, for the log and for MQTT 5.
        why: &'static str,
    },
}

/// An OTARequest to one ECU over one live connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Update or Cancel.
    pub kind: RequestKind,
    /// Which robot.
    pub robot: RobotKey,
    /// On which connection; it is dropped if that one is gone.
    pub connection: u64,
    /// Which ECU.
    pub ecu: EcuName,
    /// The operation.
    pub operation: Uuid,
    /// Its attempt, from 1.
    pub attempt: u16,
    /// The image.
    pub image: ImageKey,
    /// Where hosted files were fetched from when the operation was requested first. With the image it gives the URL,
    /// which stays the same for the life of the operation. `None`: where they are fetched from now.
    pub base: Option<Arc<str>>,
    /// The version that the ECU runs now, as far as known.
    pub expected: Option<String>,
    /// When the server gives up on it.
    pub deadline: Timestamp,
}

/// What an OTARequest asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Install the image.
    Update,
    /// Give up if nothing is written yet.
    Cancel,
}

/// An answer to an input that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Done; there is nothing to say.
    Done,
    /// The robot was registered.
    Robot(RobotKey),
    /// The image was added.
    Image(ImageKey),
    /// The rollout was created or edited.
    Rollout(RolloutId),
    /// The release was published or changed.
    Release(ReleaseId),
    /// The event was seen before; nothing changed, nothing was recorded.
    Duplicate,
    /// The event is recorded, but its operation is finished or further on.
    Late,
    /// Nothing to record: the input is about a connection or a timer that is gone.
    Stale,
}

//! Sessions and retained messages that survive a restart.
//!
//! The broker changes its own memory first and notes every change in a [`Journal`]. The owner collects what has
//! gathered ([`BrokerHandle::unstored`]), makes it durable together with its own data and says so
//! ([`BrokerHandle::stored`]); only then does the broker send what promises it: the acknowledgement of a message that
//! a lasting session waits for, the answer to a SUBSCRIBE. What is changed and undone between two collections never
//! reaches a disk.
//!
//! Kept are sessions that outlive their connection, with their subscriptions and will; messages that wait for them or
//! are under way to them; the packet identifiers of QoS 2 in both directions; retained messages. Not kept: what
//! [`BrokerHandle::send`] sent, and the identifiers of publishes that went to the owner, who knows repetitions by
//! himself.
//!
//! [`BrokerHandle::unstored`]: crate::BrokerHandle::unstored
//! [`BrokerHandle::stored`]: crate::BrokerHandle::stored

mod journal;
mod records;
mod restore;

pub(crate) use journal::{Journal, Mark, SessionJournal, Taken, Waiter};
pub(crate) use records::{SessionState, SubscriptionState, WillState};
pub(crate) use restore::restore;

use std::fmt;

/// What the broker asks of whoever makes its state durable.
pub trait Storage: Send + Sync + 'static {
    /// Something waits for its commit: collect soon. Called from connection tasks, so it must be cheap and never block.
    /// Changes that nobody waits for do not call; they go along with the next collection.
    fn wanted(&self);
}

/// The tables that a broker's rows live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoredTable {
    /// A row per session that outlives its connection.
    Sessions,
    /// A row per message that waits for a session or is under way to its client.
    Deliveries,
    /// A row per QoS 2 packet identifier that a client has not released.
    Received,
    /// A row per message that a delivery or a retained entry refers to.
    Messages,
    /// A row per topic with a retained message.
    Retained,
}

impl StoredTable {
    /// Every table.
    pub const ALL: [Self; 5] = [
        Self::Sessions,
        Self::Deliveries,
        Self::Received,
        Self::Messages,
        Self::Retained,
    ];
}

/// Length of a row's key, bytes.
pub const KEY_LEN: usize = 12;

/// A row's key: two numbers of 48 bits, big-endian, so that the rows of one session stand together in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredKey(pub [u8; KEY_LEN]);

impl StoredKey {
    pub(crate) fn new(high: u64, low: u64) -> Self {
        let mut bytes = [0; KEY_LEN];
        bytes[..6].copy_from_slice(&high.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&low.to_be_bytes()[2..]);
        Self(bytes)
    }

    pub(crate) fn parts(self) -> (u64, u64) {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        (number(&self.0[..6]), number(&self.0[6..]))
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = self.parts();
        write!(f, "{high}/{low}")
    }
}

/// A row as it was made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The table.
    pub table: StoredTable,
    /// The key.
    pub key: StoredKey,
    /// The value, which only the broker understands.
    pub value: Vec<u8>,
}

/// A row's new value, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChange {
    /// The table.
    pub table: StoredTable,
    /// The key.
    pub key: StoredKey,
    /// The whole row after the change; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// Changes that are to be made durable in one step, all or none.
#[derive(Debug)]
#[must_use = "who waits for these changes waits until they are said to be stored"]
pub struct Unstored {
    /// The changes, each row at most once.
    pub changes: Vec<StoredChange>,
    pub(crate) mark: Mark,
}

/// Why stored rows cannot be put together again.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A row is not what this version writes.
    #[error(
        "row {key:?} of {table:?} cannot be understood: {why}; start the version that wrote it, or restore a backup of the \
         database"
    )]
    Damaged {
        /// In which table.
        table: StoredTable,
        /// Which row.
        key: StoredKey,
        /// Why.
        why: String,
    },
}

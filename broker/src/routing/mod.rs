//! Sessions, subscriptions, retained messages and wills of all clients. Pure: time comes in, deliveries go out.
//!
//! A session is *online* while a connection owns its protocol state, and *absent* while the router keeps it:
//!
//! ```text
//!   open ──► online ──close, keep──► absent ──open──► online
//!              │                        │
//!              └──close, drop──► gone ◄─┴─ expiry, clean start
//! ```
//!
//! Invariant: every subscription in the tree or in a share belongs to a session in `sessions`, and its filter is in
//! that session's list.

mod absent;
mod deadlines;
mod durable;
mod publishing;
mod retained;
mod sessions;
mod shared;
mod subscribers;
mod subscribing;
#[cfg(test)]
mod tests;
mod tree;

use crate::codec::QoS;
use crate::config::Limits;
use crate::event::ConnectionId;
use crate::message::{Message, Queued};
use crate::storage::Journal;
use absent::Absent;
use durable::Durable;
pub(crate) use publishing::Routed;
use retained::Retained;
pub(crate) use sessions::{Claim, Opened, Ready, TooManySessions};
pub(crate) use shared::Handed;
use shared::Shares;
use slab::Slab;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tree::Tree;

/// Where a session stands in the router; valid until it is closed or expires.
pub(crate) type SessionKey = usize;

/// All sessions and what flows between them.
#[derive(Debug)]
pub(crate) struct Router {
    limits: Arc<Limits>,
    names: HashMap<Arc<str>, SessionKey>,
    sessions: Slab<Entry>,
    tree: Tree<Wish>,
    shares: Shares,
    retained: Retained,
    /// Wills and ends of absent sessions, by time.
    deadlines: BTreeSet<(Instant, SessionKey)>,
    last_session: u64,
    /// Where changes of what is stored are noted.
    journal: Option<Arc<Journal>>,
    /// Whether anything was noted since the flag was cleared.
    pub(crate) noted: bool,
    pub(crate) tally: Tally,
}

/// Things to count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) queue_full: u64,
    pub(crate) retained_limit: u64,
    pub(crate) wills: u64,
    pub(crate) expired_sessions: u64,
    pub(crate) expired_messages: u64,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    /// Tells a session from an older one of the same client.
    number: u64,
    presence: Presence,
    /// Filters, each with what is asked for.
    subscriptions: Vec<(Box<str>, Wish)>,
    durable: Option<Box<Durable>>,
}

#[derive(Debug)]
enum Presence {
    Online(ConnectionId),
    Absent(Box<Absent>),
}

/// What a subscription asks for, as the tree keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    identifier: Option<u32>,
}

/// A will with its publishing parameters.
#[derive(Debug, Clone)]
pub(crate) struct Testament {
    pub(crate) message: Arc<Message>,
    /// Counts from the moment at which the will is published.
    pub(crate) expiry: Option<Duration>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) delay: Duration,
}

impl Router {
    /// With a journal, sessions that outlive their connections and retained messages are noted in it.
    pub(crate) fn new(limits: Arc<Limits>, journal: Option<Arc<Journal>>) -> Self {
        Self {
            limits,
            names: HashMap::new(),
            sessions: Slab::new(),
            tree: Tree::default(),
            shares: Shares::default(),
            retained: Retained::default(),
            deadlines: BTreeSet::new(),
            last_session: 0,
            journal,
            noted: false,
            tally: Tally::default(),
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.tree.len() + self.shares.len()
    }

    pub(crate) fn retained(&self) -> (usize, usize) {
        (self.retained.len(), self.retained.bytes())
    }

    /// Messages that wait for absent clients.
    pub(crate) fn waiting(&self) -> Queued {
        let absent = self.sessions.iter().filter_map(|(_, entry)| {
            let Presence::Absent(absent) = &entry.presence else {
                return None;
            };
            Some(Queued {
                messages: absent.session.queue.len(),
                bytes: absent.queued_bytes,
            })
        });
        absent.fold(Queued::default(), Queued::and)
    }

    pub(crate) fn is_known(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }
}

//! Who may connect: the little that connections and pairing need of the inventory, shared with the writer.

use crate::api::tokens::same;
use parking_lot::RwLock;
use rollcall_engine::{
    Credentials, PairingToken, Protocol, Robot, RobotKey, Timestamp, TokenKey, TokenName,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What is asked about a robot at CONNECT and when it pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: RobotKey,
    pub(crate) secret: [u8; 32],
    pub(crate) protocol: Option<Protocol>,
    pub(crate) credentials: Credentials,
}

/// A robot that `serve --dev` has let in and that will be registered by its first words.
pub(crate) const PROVISIONAL: u64 = 1 << 63;

/// How many unregistered robots `serve --dev` lets in.
const MAX_PROVISIONAL: usize = 100_000;

/// The bits of a tag that count a robot's secrets; beside them the robot's number and [`PROVISIONAL`] have room.
const GENERATIONS: u64 = (1 << 31) - 1;

/// The broker's number for a robot that was let in with these credentials.
pub(crate) fn tag(key: RobotKey, credentials: &Credentials) -> u64 {
    u64::from(key.0) | (u64::from(credentials.generation) & GENERATIONS) << 32
}

/// The robot behind a tag that is not provisional.
pub(crate) fn key(tag: u64) -> RobotKey {
    RobotKey(u32::try_from(tag & u64::from(u32::MAX)).unwrap_or(0))
}

/// The robots that may connect, and the tokens with which others may pair. Written by the writer after each commit, read at each CONNECT and
/// each request of a robot that pairs.
#[derive(Debug, Default, Clone)]
pub(crate) struct Registry(Arc<RwLock<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    robots: HashMap<Box<str>, Entry>,
    provisional: HashMap<Box<str>, u64>,
    provisional_ids: Vec<Box<str>>,
    tokens: BTreeMap<TokenKey, PairingToken>,
}

impl Registry {
    pub(crate) fn get(&self, id: &str) -> Option<Entry> {
        self.0.read().robots.get(id).copied()
    }

    /// Takes over what the inventory says of `robot` now.
    pub(crate) fn update(&self, robot: &Robot) {
        let mut tables = self.0.write();
        if robot.removed.is_some() {
            // The id may belong to a successor by now.
            if tables
                .robots
                .get(robot.id.as_str())
                .is_some_and(|entry| entry.key == robot.key)
            {
                tables.robots.remove(robot.id.as_str());
            }
            return;
        }
        let entry = Entry {
            key: robot.key,
            secret: robot.secret,
            protocol: robot.protocol,
            credentials: robot.credentials,
        };
        tables.robots.insert(robot.id.as_str().into(), entry);
    }

    /// Takes over what there is of a pairing token now.
    pub(crate) fn update_token(&self, key: TokenKey, token: Option<&PairingToken>) {
        let mut tables = self.0.write();
        match token {
            Some(token) => tables.tokens.insert(key, token.clone()),
            None => tables.tokens.remove(&key),
        };
    }

    /// The pairing token with this digest, if it is in force at `now`; one that is used up still serves the robots that
    /// have registered with it. All are compared, so that the time says nothing of which one it was.
    pub(crate) fn token(&self, digest: &[u8; 32], now: Timestamp) -> Option<(TokenKey, TokenName)> {
        let tables = self.0.read();
        let found = tables.tokens.values().fold(None, |found, token| {
            if same(&token.digest, digest) {
                Some(token)
            } else {
                found
            }
        });
        found
            .filter(|token| token.is_in_force(now))
            .map(|token| (token.key, token.name.clone()))
    }

    /// A tag for a robot that is not registered yet; `None` when there are too many.
    pub(crate) fn provisional(&self, id: &str) -> Option<u64> {
        let mut tables = self.0.write();
        if let Some(tag) = tables.provisional.get(id) {
            return Some(*tag);
        }
        if tables.provisional_ids.len() >= MAX_PROVISIONAL {
            return None;
        }
        let tag = PROVISIONAL | tables.provisional_ids.len() as u64;
        tables.provisional.insert(id.into(), tag);
        tables.provisional_ids.push(id.into());
        Some(tag)
    }

    /// The robot id behind a provisional tag.
    pub(crate) fn provisional_id(&self, tag: u64) -> Option<Box<str>> {
        let index = usize::try_from(tag & !PROVISIONAL).ok()?;
        self.0.read().provisional_ids.get(index).cloned()
    }
}

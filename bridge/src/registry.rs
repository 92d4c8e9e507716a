//! Who may connect: the little that connection tasks need of the inventory, shared with the writer.

use parking_lot::RwLock;
use rollcall_engine::{Protocol, Robot, RobotKey};
use std::collections::HashMap;
use std::sync::Arc;

/// What is asked about a robot at CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: RobotKey,
    pub(crate) secret: [u8; 32],
    pub(crate) protocol: Option<Protocol>,
}

/// A robot that `serve --dev` has let in and that will be registered by its first words.
pub(crate) const PROVISIONAL: u64 = 1 << 63;

/// How many unregistered robots `serve --dev` lets in.
const MAX_PROVISIONAL: usize = 100_000;

/// The robots that may connect. Written by the writer after each commit, read at each CONNECT.
#[derive(Debug, Default, Clone)]
pub(crate) struct Registry(Arc<RwLock<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    robots: HashMap<Box<str>, Entry>,
    provisional: HashMap<Box<str>, u64>,
    provisional_ids: Vec<Box<str>>,
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
        };
        tables.robots.insert(robot.id.as_str().into(), entry);
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

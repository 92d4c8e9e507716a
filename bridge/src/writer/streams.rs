//! Datastreams of QoS 0: telemetry, of which the newest values are kept in memory.
//!
//! They say what is at a moment, are lost when a link is down, and may come many times a second. Nothing depends on them,
//! so neither the disk nor the history hears of them; after a start of the server they come again.

use rollcall_engine::{RobotKey, Timestamp};
use std::collections::BTreeMap;

/// Paths of one device.
const MAX_PATHS: usize = 128;
/// Bytes of all paths and values of one device.
const MAX_BYTES: usize = 32 * 1024;

/// The newest value of each path, by device.
#[derive(Debug, Default)]
pub struct Streams(BTreeMap<RobotKey, Values>);

#[derive(Debug, Default)]
struct Values {
    bytes: usize,
    newest: BTreeMap<Box<str>, (Timestamp, Box<[u8]>)>,
}

impl Streams {
    /// Keeps a value; says whether there was room for it.
    pub(super) fn keep(
        &mut self,
        robot: RobotKey,
        at: Timestamp,
        (path, payload): (&str, &[u8]),
    ) -> bool {
        let values = self.0.entry(robot).or_default();
        let old = values.newest.get(path);
        let freed = old.map_or(0, |(_, old)| path.len() + old.len());
        let bytes = values.bytes - freed + path.len() + payload.len();
        if bytes > MAX_BYTES || old.is_none() && values.newest.len() == MAX_PATHS {
            return false;
        }
        values.bytes = bytes;
        values.newest.insert(path.into(), (at, payload.into()));
        true
    }

    pub(super) fn forget(&mut self, robot: RobotKey) {
        self.0.remove(&robot);
    }

    /// What a device sent last: path (interface and path, joined by `/`), when, and the payload.
    pub fn of(&self, robot: RobotKey) -> impl Iterator<Item = (&str, Timestamp, &[u8])> {
        let values = self.0.get(&robot).into_iter();
        values
            .flat_map(|values| &values.newest)
            .map(|(path, (at, payload))| (path.as_ref(), *at, payload.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_values_of_a_device_are_kept_and_no_more_than_its_share() {
        let mut streams = Streams::default();
        let mut keep = |path: &str, bytes: usize| {
            streams.keep(RobotKey(1), Timestamp(7), (path, &vec![1; bytes]))
        };
        assert!(keep("a/b", 10));
        assert!(keep("a/b", 20));
        assert!(!keep("a/c", MAX_BYTES));
        for n in 1..MAX_PATHS {
            assert!(keep(&format!("p/{n}"), 1));
        }
        assert!(!keep("one/more", 1));
        assert!(keep("a/b", 1), "a known path is always renewed");
        let found: Vec<_> = streams.of(RobotKey(1)).take(1).collect();
        assert_eq!(found, [("a/b", Timestamp(7), &[1][..])]);
        assert_eq!(streams.of(RobotKey(2)).count(), 0);
        streams.forget(RobotKey(1));
        assert_eq!(streams.of(RobotKey(1)).count(), 0);
    }
}

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

impl Values {
    fn remove(&mut self, path: &str) {
        if let Some((_, old)) = self.newest.remove(path) {
            self.bytes -= path.len() + old.len();
        }
    }
}

impl Streams {
    /// Keeps a value; says whether it fits at all. The oldest ones make room.
    pub(super) fn keep(
        &mut self,
        robot: RobotKey,
        at: Timestamp,
        (path, payload): (&str, &[u8]),
    ) -> bool {
        let values = self.0.entry(robot).or_default();
        let size = path.len() + payload.len();
        if size > MAX_BYTES {
            return false;
        }
        values.remove(path);
        while values.bytes + size > MAX_BYTES || values.newest.len() >= MAX_PATHS {
            let oldest = values.newest.iter().min_by_key(|(_, (at, _))| *at);
            let Some(oldest) = oldest.map(|(path, _)| path.clone()) else {
                break;
            };
            values.remove(&oldest);
        }
        values.bytes += size;
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
    fn the_newest_values_of_a_device_are_kept_and_the_oldest_make_room() {
        let mut streams = Streams::default();
        let mut at = 0;
        let mut keep = |path: &str, bytes: usize| {
            at += 1;
            streams.keep(RobotKey(1), Timestamp(at), (path, &vec![1; bytes]))
        };
        assert!(keep("a/b", 10));
        assert!(keep("a/b", 20));
        assert!(!keep("a/c", MAX_BYTES));
        for n in 1..MAX_PATHS {
            assert!(keep(&format!("p/{n}"), 1));
        }
        assert!(keep("a/b", 1), "a known path is always renewed");
        assert!(keep("one/more", 1), "the oldest makes room");
        let paths = |streams: &Streams| -> Vec<String> {
            let all = streams.of(RobotKey(1));
            all.map(|(path, ..)| path.to_owned()).collect()
        };
        let kept = paths(&streams);
        assert_eq!(kept.len(), MAX_PATHS);
        assert!(kept.contains(&"a/b".to_owned()) && !kept.contains(&"p/1".to_owned()));
        let all = vec![1; MAX_BYTES - 3];
        assert!(streams.keep(RobotKey(1), Timestamp(999), ("big", &all)));
        assert_eq!(paths(&streams), ["big"]);
        assert_eq!(streams.of(RobotKey(2)).count(), 0);
        streams.forget(RobotKey(1));
        assert_eq!(streams.of(RobotKey(1)).count(), 0);
    }
}

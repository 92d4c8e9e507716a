//! What was downloaded: counters for all, and a tally for each of the operations that asked last.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use uuid::Uuid;

/// Operations whose downloads are remembered; the one that was silent longest goes first. Below 4 MB in all.
const OPERATIONS: usize = 20_000;

/// How a request for an artifact ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(super) enum End {
    /// Every byte that the answer announced went out.
    Finished,
    /// The robot went away or read too slowly.
    Abandoned,
    /// The storage gave less than it has to, or something else.
    Broken,
    /// HEAD and 304: no body was asked for.
    NoBody,
    /// No byte of the range is in the file.
    Unsatisfiable,
    /// Nothing is known under that name.
    Unknown,
    /// The file is damaged or missing, or the storage does not give it.
    Unavailable,
    /// As many downloads ran as may, for longer than one may wait.
    Busy,
}

impl End {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Finished, "finished"),
        (Self::Abandoned, "abandoned"),
        (Self::Broken, "broken"),
        (Self::NoBody, "no_body"),
        (Self::Unsatisfiable, "unsatisfiable"),
        (Self::Unknown, "unknown"),
        (Self::Unavailable, "unavailable"),
        (Self::Busy, "busy"),
    ];
}

/// What one operation downloaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests.
    pub requests: u64,
    /// Bytes that went out.
    pub bytes: u64,
    /// Answers that went out up to the file's last byte.
    pub completed: u64,
    /// HTTP status of the last answer.
    pub last_status: u16,
}

#[derive(Debug, Default)]
struct Operations {
    tallies: HashMap<Uuid, (Tally, u64)>,
    /// By when they were last touched.
    order: BTreeMap<u64, Uuid>,
    touches: u64,
}

impl Operations {
    /// The tally of `operation`, which is now the one touched last; none for a stranger unless it is to be made.
    fn touch(&mut self, operation: Uuid, make: bool) -> Option<&mut Tally> {
        if !make && !self.tallies.contains_key(&operation) {
            return None;
        }
        self.touches += 1;
        if let Some((_, touched)) = self.tallies.get(&operation) {
            self.order.remove(touched);
        } else if self.order.len() == OPERATIONS
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.tallies.remove(&oldest);
        }
        self.order.insert(self.touches, operation);
        let (tally, touched) = self.tallies.entry(operation).or_default();
        *touched = self.touches;
        Some(tally)
    }
}

/// All tallies and counters. Lost at a restart, like other counters.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    operations: Mutex<Operations>,
    ends: [AtomicU64; End::ALL.len()],
    bytes: AtomicU64,
    strange_operations: AtomicU64,
}

impl Ledger {
    /// A request is answered with `status`. Who names an artifact that exists is no stranger.
    pub(super) fn answered(&self, operation: Option<Uuid>, status: u16, known: bool) {
        if let Some(operation) = operation
            && let Some(tally) = self.operations.lock().touch(operation, known)
        {
            tally.requests += 1;
            tally.last_status = status;
        }
    }

    /// A request is over.
    pub(super) fn ended(&self, end: End) {
        if let Some(counter) = self.ends.get(end as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// A body is over.
    pub(super) fn sent(&self, operation: Option<Uuid>, bytes: u64, completed: bool) {
        self.bytes.fetch_add(bytes, Relaxed);
        if let Some(operation) = operation
            && let Some(tally) = self.operations.lock().touch(operation, true)
        {
            tally.bytes += bytes;
            tally.completed += u64::from(completed);
        }
    }

    /// A request named an operation with what is no UUID.
    pub(super) fn strange_operation(&self) {
        self.strange_operations.fetch_add(1, Relaxed);
    }

    pub(super) fn operation(&self, operation: Uuid) -> Option<Tally> {
        let operations = self.operations.lock();
        operations
            .tallies
            .get(&operation)
            .map(|(tally, _)| tally.clone())
    }

    pub(super) fn ends(&self) -> BTreeMap<&'static str, u64> {
        let count = |end: End| self.ends.get(end as usize).map_or(0, |n| n.load(Relaxed));
        End::ALL
            .into_iter()
            .map(|(end, word)| (word, count(end)))
            .collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn strange_operations(&self) -> u64 {
        self.strange_operations.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Uuid {
        Uuid::from_u128(u128::try_from(number).unwrap())
    }

    #[test]
    fn the_operation_that_was_silent_longest_is_forgotten_first() {
        let ledger = Ledger::default();
        for number in 0..OPERATIONS {
            ledger.answered(Some(id(number)), 200, true);
        }
        ledger.sent(Some(id(0)), 5, true);
        for number in 0..10 {
            ledger.answered(Some(id(OPERATIONS + number)), 200, true);
        }
        let operations = ledger.operations.lock();
        assert_eq!(operations.tallies.len(), OPERATIONS);
        assert_eq!(operations.order.len(), OPERATIONS);
        drop(operations);
        assert_eq!(ledger.operation(id(0)).unwrap().bytes, 5);
        assert_eq!(ledger.operation(id(1)), None);
        assert!(ledger.operation(id(11)).is_some());
    }

    #[test]
    fn who_asks_for_what_is_not_there_is_remembered_only_if_known() {
        let ledger = Ledger::default();
        ledger.answered(Some(id(1)), 404, false);
        assert_eq!(ledger.operation(id(1)), None);
        ledger.answered(Some(id(1)), 200, true);
        ledger.answered(Some(id(1)), 404, false);
        let tally = ledger.operation(id(1)).unwrap();
        assert_eq!((tally.requests, tally.last_status), (2, 404));
    }
}

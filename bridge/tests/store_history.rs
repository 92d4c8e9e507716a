//! Reading the history beside the writer, and trimming it in small steps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use rollcall::store::fault::{FaultDisk, Tearing};
use rollcall::store::{Batch, HistoryEntry, Options, RedbStore, Store};

fn batch(first: u64, entries: u64) -> Batch {
    let history = (first..first + entries).map(|seq| HistoryEntry {
        seq,
        bytes: seq.to_be_bytes().to_vec(),
    });
    Batch {
        at_ms: first,
        history: history.collect(),
        ..Batch::default()
    }
}

fn open(disk: &FaultDisk) -> RedbStore {
    RedbStore::open_with_backend(disk.backend(), Options::default())
        .unwrap()
        .0
}

fn numbers(entries: &[HistoryEntry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq).collect()
}

#[test]
fn pages_follow_each_other_without_a_gap_and_end_with_the_last_entry() {
    let mut store = open(&FaultDisk::default());
    store.commit(batch(1, 7)).unwrap();
    store.commit(batch(8, 3)).unwrap();
    let history = store.history();
    assert_eq!(numbers(&history.page(.., 4).unwrap()), [1, 2, 3, 4]);
    assert_eq!(numbers(&history.page(5.., 4).unwrap()), [5, 6, 7, 8]);
    assert_eq!(numbers(&history.page(9.., 4).unwrap()), [9, 10]);
    assert!(history.page(11.., 4).unwrap().is_empty());
    assert_eq!(numbers(&history.page(3..=4, 100).unwrap()), [3, 4]);
    assert_eq!(history.read(9).unwrap(), Some(9_u64.to_be_bytes().to_vec()));
    assert_eq!(history.read(11).unwrap(), None);
}

#[test]
fn readers_in_other_threads_see_whole_commits_only() {
    let mut store = open(&FaultDisk::default());
    let readers = [store.history(), store.history()].map(|history| {
        std::thread::spawn(move || {
            loop {
                let seen = history.page(.., usize::MAX).unwrap().len();
                assert_eq!(seen % 10, 0, "part of a commit was seen");
                if seen == 300 {
                    break;
                }
            }
        })
    });
    for number in 0..30 {
        store.commit(batch(number * 10 + 1, 10)).unwrap();
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

#[test]
fn trimming_goes_in_steps_from_the_front_survives_a_crash_and_keeps_the_last_entry() {
    let disk = FaultDisk::default();
    let mut store = open(&disk);
    store.commit(batch(1, 10)).unwrap();
    assert_eq!(store.history().oldest().unwrap(), Some(1));
    assert_eq!(store.trim_history(6, 3).unwrap(), 3);
    disk.crash(Tearing::Whole, || false);
    let mut store = open(&disk);
    assert_eq!(store.history().oldest().unwrap(), Some(4));
    assert_eq!(store.trim_history(6, 3).unwrap(), 2);
    assert_eq!(store.trim_history(6, 3).unwrap(), 0);
    assert_eq!(
        numbers(&store.history().page(.., 100).unwrap()),
        [6, 7, 8, 9, 10]
    );
    assert_eq!(store.trim_history(u64::MAX, 100).unwrap(), 4);
    assert_eq!(store.trim_history(u64::MAX, 100).unwrap(), 0);
    store.commit(batch(11, 1)).unwrap();
    disk.crash(Tearing::Whole, || false);
    let store = open(&disk);
    assert_eq!(numbers(&store.history().page(.., 100).unwrap()), [10, 11]);
}

#[test]
fn an_empty_history_has_no_oldest_entry_and_nothing_to_trim() {
    let mut store = open(&FaultDisk::default());
    assert_eq!(store.history().oldest().unwrap(), None);
    assert_eq!(store.trim_history(u64::MAX, 100).unwrap(), 0);
    assert!(store.history().page(.., 10).unwrap().is_empty());
}

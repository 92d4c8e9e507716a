//! After one failed commit the store takes nothing more, and what was acknowledged is there when
//! it is opened again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod store_model;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rollcall::store::fault::{FaultDisk, Tearing};
use rollcall::store::{Batch, CommitError, HistoryEntry, Options, RedbStore, Store};
use store_model::{Model, quick_sweep, rounds};

fn open(disk: &FaultDisk) -> RedbStore {
    RedbStore::open_with_backend(disk.backend(), Options::default())
        .unwrap()
        .0
}

#[test]
fn every_commit_and_trim_after_a_failed_one_is_refused_with_the_first_cause() {
    let disk = FaultDisk::default();
    let mut store = open(&disk);
    store.commit(Batch::default()).unwrap();
    disk.power_off_after(0);
    let first = store.commit(Batch::default()).unwrap_err();
    assert!(matches!(first, CommitError::Database(_)), "{first:?}");
    // Power is back, but the store does not know what it wrote.
    disk.power_off_after(u64::MAX);
    for _ in 0..2 {
        let later = store.commit(Batch::default()).unwrap_err();
        assert!(matches!(later, CommitError::Poisoned(_)), "{later:?}");
        assert!(later.to_string().contains("the power is off"), "{later}");
    }
    let trim = store.trim_history(10, 10).unwrap_err();
    assert!(matches!(trim, CommitError::Poisoned(_)), "{trim:?}");
}

#[test]
fn history_that_does_not_continue_and_time_that_falls_end_the_store_unwritten() {
    let entry = |seq| HistoryEntry {
        seq,
        bytes: vec![1],
    };
    let good = Batch {
        at_ms: 5,
        history: vec![entry(1), entry(2)],
        ..Batch::default()
    };
    let wrong = [
        (vec![entry(2)], 5),
        (vec![entry(3), entry(3)], 5),
        (vec![], 4),
    ];
    for (history, at_ms) in wrong {
        let disk = FaultDisk::default();
        let mut store = open(&disk);
        store.commit(good.clone()).unwrap();
        let bad = Batch {
            at_ms,
            history,
            ..Batch::default()
        };
        let refused = store.commit(bad).unwrap_err();
        assert!(
            matches!(
                refused,
                CommitError::Sequence { .. } | CommitError::Time { .. }
            ),
            "{refused:?}"
        );
        assert!(matches!(
            store.commit(Batch::default()),
            Err(CommitError::Poisoned(_))
        ));
        drop(store);
        let history = open(&disk).history().page(.., 10).unwrap();
        assert_eq!(history, good.history);
    }
}

#[test]
fn a_disk_that_fills_up_fails_one_commit_and_loses_nothing_acknowledged() {
    for seed in 0..rounds(6) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = FaultDisk::default();
        let (mut store, _) = RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
        disk.set_capacity(Some(disk.len() + 1_000 * seed));
        let mut acknowledged = Model::default();
        let in_flight = loop {
            let batch = acknowledged.random_batch(&mut rng);
            let mut after = acknowledged.clone();
            after.apply(&batch);
            match store.commit(batch) {
                Ok(_) => acknowledged = after,
                Err(_) => break after,
            }
        };
        assert!(
            !acknowledged.rows.is_empty(),
            "the disk was full from the start"
        );
        drop(store);
        // Opening needs no room of its own: intake stops while there is some left, but a kill
        // may come before somebody made more.
        disk.crash(Tearing::Whole, || true);
        disk.set_capacity(None);
        let (store, recovered) =
            RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
        let found = Model::read(&store, &recovered);
        assert!(found == acknowledged || found == in_flight, "seed {seed}");
    }
}

//! Whatever was committed is there after opening again, row for row, however far the sweep got.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod store_model;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rollcall::store::fault::{FaultDisk, Tearing};
use rollcall::store::{Batch, Options, RedbStore, RowChange, RowKey, Store, Table};
use store_model::{Model, quick_sweep, rounds};

#[test]
fn rows_history_and_counters_equal_the_model_after_every_batch_and_reopening() {
    for seed in 0..rounds(3) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = FaultDisk::default();
        let mut model = Model::default();
        for batch_number in 0..120 {
            let (mut store, recovered) =
                RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
            assert_eq!(
                Model::read(&store, &recovered),
                model,
                "seed {seed}, before batch {batch_number}"
            );
            let batch = model.random_batch(&mut rng);
            model.apply(&batch);
            store.commit(batch).unwrap();
            // A kill: what was written is there, but the database was never closed.
            disk.crash(Tearing::Whole, || true);
        }
    }
}

#[test]
fn rows_equal_the_model_when_many_batches_pass_between_two_openings() {
    let mut rng = ChaCha8Rng::seed_from_u64(99);
    let directory = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    for _ in 0..rounds(4) {
        let (mut store, recovered) = RedbStore::open(directory.path(), quick_sweep()).unwrap();
        assert_eq!(Model::read(&store, &recovered), model);
        for _ in 0..100 {
            let batch = model.random_batch(&mut rng);
            model.apply(&batch);
            store.commit(batch).unwrap();
        }
        let read = store.rows(Table::Robots).unwrap().map(|row| {
            let row = row.unwrap();
            ((Table::Robots, row.key), row.value().to_vec())
        });
        let expected = model
            .rows
            .iter()
            .filter(|((table, _), _)| *table == Table::Robots);
        let expected: Vec<_> = expected.map(|(key, value)| (*key, value.clone())).collect();
        assert_eq!(read.collect::<Vec<_>>(), expected, "while it is open");
    }
}

#[test]
fn the_later_of_two_changes_of_a_row_in_one_batch_holds_after_reopening() {
    let disk = FaultDisk::default();
    let (mut store, recovered) =
        RedbStore::open_with_backend(disk.backend(), Options::default()).unwrap();
    assert!(recovered.created);
    let change = |value: &[u8]| RowChange {
        table: Table::Groups,
        key: RowKey::from(1_u32),
        value: Some(value.to_vec()),
    };
    let rows = vec![change(b"earlier"), change(b"later")];
    store
        .commit(Batch {
            rows,
            ..Batch::default()
        })
        .unwrap();
    disk.crash(Tearing::Whole, || true);
    let (store, recovered) =
        RedbStore::open_with_backend(disk.backend(), Options::default()).unwrap();
    assert!(!recovered.created);
    let row = store.rows(Table::Groups).unwrap().next().unwrap().unwrap();
    assert_eq!(row.value(), b"later");
}

#[test]
fn a_whole_round_of_the_sweep_empties_the_redo_of_what_came_before_it() {
    let disk = FaultDisk::default();
    let (mut store, _) = RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
    let mut most = 0;
    for number in 0..2_000_u32 {
        let rows = vec![RowChange {
            table: Table::Robots,
            key: RowKey::from(number * 7_919 % 500),
            value: Some(vec![1; 100]),
        }];
        let stats = store
            .commit(Batch {
                rows,
                ..Batch::default()
            })
            .unwrap();
        most = most.max(stats.redo_commits);
    }
    // Two rounds of 64 slices of 3 rows at one row per commit, and the slice being filled.
    assert!(most <= 2 * 64 * 3 + 3, "{most} commits in redo");
    drop(store);
    let (_, recovered) = RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
    assert!(recovered.redo_commits <= most);
}

#[test]
fn one_batch_larger_than_a_whole_round_is_written_and_trimmed_at_once() {
    let disk = FaultDisk::default();
    let (mut store, _) = RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
    let rows = (0..5_000_u32).map(|number| RowChange {
        table: Table::Cursors,
        key: RowKey::from(number),
        value: Some(number.to_be_bytes().to_vec()),
    });
    let rows: Vec<_> = rows.collect();
    let stats = store
        .commit(Batch {
            rows,
            ..Batch::default()
        })
        .unwrap();
    assert_eq!((stats.pending_rows, stats.redo_commits), (0, 0));
    assert_eq!(stats.written_rows, 5_001, "the rows and the counters");
    disk.crash(Tearing::Whole, || true);
    let (store, recovered) = RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
    assert_eq!(recovered.redo_commits, 0);
    let rows = store.rows(Table::Cursors).unwrap();
    for (number, row) in (0_u32..).zip(rows) {
        let row = row.unwrap();
        assert_eq!(
            (row.key.as_u32(), row.value()),
            (Some(number), &number.to_be_bytes()[..])
        );
    }
}

#[test]
fn keys_that_only_grow_cannot_keep_the_sweep_from_coming_round() {
    let disk = FaultDisk::default();
    let (mut store, _) = RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap();
    let mut most = 0;
    for number in 0..3_000_u32 {
        let rows = vec![RowChange {
            table: Table::Artifacts,
            key: RowKey::from(number),
            value: Some(vec![1; 20]),
        }];
        let stats = store
            .commit(Batch {
                rows,
                ..Batch::default()
            })
            .unwrap();
        assert!(
            stats.written_rows < 64,
            "one slice wrote {} rows",
            stats.written_rows
        );
        most = most.max(stats.redo_commits);
    }
    assert!(most <= 2 * 64 * 3 + 3, "{most} commits in redo");
}

#[test]
fn restarts_cannot_keep_the_sweep_from_coming_round() {
    let disk = FaultDisk::default();
    let pace = Options {
        rows_per_slice: 2,
        ..Options::default()
    };
    let mut most = 0;
    for number in 0..600_u32 {
        let (mut store, _) = RedbStore::open_with_backend(disk.backend(), pace.clone()).unwrap();
        let rows = vec![RowChange {
            table: Table::Robots,
            key: RowKey::from(number * 7_919 % 100),
            value: Some(vec![1; 20]),
        }];
        let stats = store
            .commit(Batch {
                rows,
                ..Batch::default()
            })
            .unwrap();
        most = most.max(stats.redo_commits);
        disk.crash(Tearing::Whole, || true);
    }
    assert!(most <= 2 * 64 * 2 + 2, "{most} commits in redo");
}

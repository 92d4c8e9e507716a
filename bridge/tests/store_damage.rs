//! A database whose parts contradict each other is refused: silence would bring back old rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};
use rollcall::store::{
    Batch, DATABASE_FILE, HistoryEntry, OpenError, Options, RedbStore, RedoError, RowChange,
    RowKey, Store, Table,
};

const REDO: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("redo");
const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
const COUNTERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("counters");
const SWEEP: TableDefinition<'_, (), &[u8]> = TableDefinition::new("sweep");

/// The redo chunks of a batch with this row length: one, or three.
const SHORT_ROW: usize = 100;
const LONG_ROW: usize = 80_000;

/// A database of ten commits, all still in redo, changed by `damage`; how opening it ends.
fn opened_after(row_bytes: usize, damage: impl FnOnce(&WriteTransaction)) -> Result<(), RedoError> {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = RedbStore::open(directory.path(), Options::default()).unwrap();
    for seq in 1..=10_u64 {
        let rows = vec![RowChange {
            table: Table::Robots,
            key: RowKey::from(seq),
            value: Some(vec![1; row_bytes]),
        }];
        let bytes = vec![2; 50];
        let history = vec![HistoryEntry { seq, bytes }];
        let counters = vec![3; 20];
        store
            .commit(Batch {
                at_ms: seq,
                history,
                rows,
                counters,
            })
            .unwrap();
    }
    drop(store);
    change(&directory.path().join(DATABASE_FILE), damage);
    match RedbStore::open(directory.path(), Options::default()) {
        Ok(_) => Ok(()),
        Err(OpenError::Inconsistent { source, path }) => {
            assert_eq!(path, directory.path().join(DATABASE_FILE));
            Err(source)
        }
        Err(other) => panic!("{other:?}"),
    }
}

fn change(file: &Path, damage: impl FnOnce(&WriteTransaction)) {
    let db = Database::open(file).unwrap();
    let txn = db.begin_write().unwrap();
    damage(&txn);
    txn.commit().unwrap();
}

fn without_chunk(commit: u64, part: u32) -> impl FnOnce(&WriteTransaction) {
    move |txn| {
        let mut redo = txn.open_table(REDO).unwrap();
        redo.remove((commit, part))
            .unwrap()
            .expect("the chunk is there");
    }
}

#[test]
fn a_redo_frame_missing_anywhere_is_refused() {
    assert_eq!(opened_after(SHORT_ROW, |_| {}), Ok(()));
    let missing = |expected, found| Err(RedoError::Missing { expected, found });
    assert_eq!(
        opened_after(SHORT_ROW, without_chunk(1, 0)),
        missing(1, Some(2))
    );
    assert_eq!(
        opened_after(SHORT_ROW, without_chunk(6, 0)),
        missing(6, Some(5))
    );
    // The newest frame has the newest counters, so the history shows that it is gone.
    assert_eq!(
        opened_after(SHORT_ROW, without_chunk(10, 0)),
        Err(RedoError::History {
            expected: 10,
            found: 11
        })
    );
}

#[test]
fn an_emptied_redo_is_refused() {
    let emptied = opened_after(SHORT_ROW, |txn| {
        let mut redo = txn.open_table(REDO).unwrap();
        redo.retain(|_, _| false).unwrap();
    });
    // Nothing was swept yet, so the counters are gone with it.
    assert_eq!(
        emptied,
        Err(RedoError::History {
            expected: 1,
            found: 11
        })
    );
}

#[test]
fn a_frame_without_its_first_middle_or_last_chunk_is_refused() {
    assert_eq!(opened_after(LONG_ROW, |_| {}), Ok(()));
    for part in 0..3 {
        let refused = opened_after(LONG_ROW, without_chunk(5, part)).unwrap_err();
        assert_eq!(refused, RedoError::Incomplete { commit: 5 }, "part {part}");
    }
    let refused = opened_after(LONG_ROW, without_chunk(1, 0)).unwrap_err();
    assert_eq!(refused, RedoError::Incomplete { commit: 1 });
    let refused = opened_after(LONG_ROW, without_chunk(10, 2)).unwrap_err();
    assert_eq!(refused, RedoError::Incomplete { commit: 10 });
}

#[test]
fn a_chunk_with_a_changed_byte_or_of_another_commit_is_refused() {
    let refused = opened_after(SHORT_ROW, |txn| {
        let mut redo = txn.open_table(REDO).unwrap();
        let mut chunk = redo.get((4, 0)).unwrap().unwrap().value().to_vec();
        *chunk.last_mut().unwrap() ^= 1;
        redo.insert((4, 0), chunk.as_slice()).unwrap();
    });
    assert_eq!(refused, Err(RedoError::Damaged { commit: 4, part: 0 }));
    let refused = opened_after(SHORT_ROW, |txn| {
        let mut redo = txn.open_table(REDO).unwrap();
        let chunk = redo.get((3, 0)).unwrap().unwrap().value().to_vec();
        redo.insert((4, 0), chunk.as_slice()).unwrap();
    });
    assert_eq!(refused, Err(RedoError::Damaged { commit: 4, part: 0 }));
}

#[test]
fn a_history_that_ends_too_early_or_too_late_is_refused() {
    let refused = opened_after(SHORT_ROW, |txn| {
        txn.open_table(HISTORY).unwrap().remove(10).unwrap();
    });
    assert_eq!(
        refused,
        Err(RedoError::History {
            expected: 11,
            found: 10
        })
    );
    let refused = opened_after(SHORT_ROW, |txn| {
        txn.open_table(HISTORY)
            .unwrap()
            .insert(11, [1].as_slice())
            .unwrap();
    });
    assert_eq!(
        refused,
        Err(RedoError::History {
            expected: 11,
            found: 12
        })
    );
}

#[test]
fn a_database_without_its_counters_or_its_sweep_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let pace = Options {
        rows_per_slice: 1,
        ..Options::default()
    };
    let (mut store, _) = RedbStore::open(directory.path(), pace).unwrap();
    // More rows than two rounds have slices: everything is written, redo is empty.
    let rows = (0..200_u32).map(|number| RowChange {
        table: Table::Images,
        key: RowKey::from(number),
        value: Some(vec![1]),
    });
    let rows = rows.collect();
    store
        .commit(Batch {
            rows,
            ..Batch::default()
        })
        .unwrap();
    drop(store);
    let file = directory.path().join(DATABASE_FILE);
    change(&file, |txn| {
        let mut counters = txn.open_table(COUNTERS).unwrap();
        assert!(counters.pop_first().unwrap().is_some());
    });
    let refused = RedbStore::open(directory.path(), Options::default());
    assert!(
        matches!(
            &refused,
            Err(OpenError::Inconsistent {
                source: RedoError::NoCounters,
                ..
            })
        ),
        "{refused:?}"
    );
    change(&file, |txn| {
        txn.open_table(SWEEP).unwrap().remove(()).unwrap();
    });
    let refused = RedbStore::open(directory.path(), Options::default());
    assert!(
        matches!(
            &refused,
            Err(OpenError::Inconsistent {
                source: RedoError::NoSweep,
                ..
            })
        ),
        "{refused:?}"
    );
}

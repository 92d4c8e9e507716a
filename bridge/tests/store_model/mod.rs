//! The plain truth that the store is compared with: a sorted map, a list, and random batches.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "tests fail by panicking; each test file uses a part of this"
)]

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use rollcall::store::{
    Batch, HistoryEntry, Options, Recovered, RedbStore, RowChange, RowKey, Table,
};

/// A pace at which a few hundred changes make a whole round of the sweep.
pub fn quick_sweep() -> Options {
    Options {
        rows_per_slice: 3,
        ..Options::default()
    }
}

/// How many rounds a test makes: `ROLLCALL_LONG=1` asks for fifty times as many.
pub fn rounds(usual: u64) -> u64 {
    let long = std::env::var("ROLLCALL_LONG").is_ok_and(|long| long == "1");
    if long { usual * 50 } else { usual }
}

/// Everything that a database should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub rows: BTreeMap<(Table, RowKey), Vec<u8>>,
    /// The entry with number 1 first.
    pub history: Vec<Vec<u8>>,
    pub at_ms: u64,
    pub counters: Vec<u8>,
}

impl Model {
    pub fn apply(&mut self, batch: &Batch) {
        for entry in &batch.history {
            self.history.push(entry.bytes.clone());
        }
        for row in &batch.rows {
            let key = (row.table, row.key);
            match &row.value {
                Some(value) => self.rows.insert(key, value.clone()),
                None => self.rows.remove(&key),
            };
        }
        self.at_ms = batch.at_ms;
        self.counters.clone_from(&batch.counters);
    }

    /// What the database holds, read back in full.
    pub fn read(store: &RedbStore, recovered: &Recovered) -> Self {
        let mut rows = BTreeMap::new();
        for table in Table::ALL {
            let mut last = None;
            for row in store.rows(table).unwrap() {
                let row = row.unwrap();
                assert!(last < Some(row.key), "rows of {table:?} in key order");
                last = Some(row.key);
                rows.insert((table, row.key), row.value().to_vec());
            }
        }
        let history = store.history().page(.., usize::MAX).unwrap();
        for (seq, entry) in (1..).zip(&history) {
            assert_eq!(entry.seq, seq, "history without a gap");
        }
        assert_eq!(recovered.next_history, history.len() as u64 + 1);
        Self {
            rows,
            history: history.into_iter().map(|entry| entry.bytes).collect(),
            at_ms: recovered.at_ms,
            counters: recovered.counters.clone(),
        }
    }

    /// A batch that fits behind this state.
    pub fn random_batch(&self, rng: &mut ChaCha8Rng) -> Batch {
        let next = self.history.len() as u64 + 1;
        let entries = rng.random_range(0..6);
        let rows = rng.random_range(0..12);
        Batch {
            at_ms: self.at_ms + rng.random_range(0..3),
            history: (next..next + entries)
                .map(|seq| HistoryEntry {
                    seq,
                    bytes: bytes(rng, 60),
                })
                .collect(),
            rows: (0..rows).map(|_| random_row(rng)).collect(),
            counters: bytes(rng, 20),
        }
    }
}

fn random_row(rng: &mut ChaCha8Rng) -> RowChange {
    // Few keys, so that rows are changed again, deleted and made anew all the time.
    let number = rng.random_range(0_u32..40);
    let table = Table::ALL[rng.random_range(0..Table::ALL.len())];
    let key = match table {
        Table::Members => RowKey::from((number % 3, number)),
        Table::Artifacts => RowKey::from_bytes(&vec![7; (number % 13) as usize]).unwrap(),
        _ => RowKey::from(number),
    };
    let value = match rng.random_range(0..20) {
        0..6 => None,
        // Longer than one chunk of a frame.
        6 => Some(bytes(rng, 70_000)),
        _ => Some(bytes(rng, 120)),
    };
    RowChange { table, key, value }
}

fn bytes(rng: &mut ChaCha8Rng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=longest)];
    rng.fill_bytes(&mut bytes);
    bytes
}

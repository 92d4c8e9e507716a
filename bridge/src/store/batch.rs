//! What one commit makes durable, all of it or none.

use super::{RowKey, Table};

/// One input, as it is kept in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its number: one more than that of the entry before it, the first ever is 1.
    pub seq: u64,
    /// Its encoding, which the store never looks into.
    pub bytes: Vec<u8>,
}

/// A row's new value, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The table the row lives in.
    pub table: Table,
    /// The row's key in that table.
    pub key: RowKey,
    /// The whole row after the change; `None` deletes it.
    pub value: Option<Vec<u8>>,
}

/// One commit's worth of inputs and their effect.
///
/// It is handed over by value: the rows' bytes move into the store without a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The engine's time after this batch, in milliseconds since the Unix epoch. It never falls.
    pub at_ms: u64,
    /// The inputs, with consecutive numbers. May be empty.
    pub history: Vec<HistoryEntry>,
    /// The changed rows. When a row occurs twice, the later one holds.
    pub rows: Vec<RowChange>,
    /// The whole of the state that has no row of its own (next numbers and the like), as it is
    /// after this batch. The store never looks into it; keep it below a few kilobytes, since it
    /// is written with every commit.
    pub counters: Vec<u8>,
}

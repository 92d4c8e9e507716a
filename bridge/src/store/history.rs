//! Reading and trimming the history.
//!
//! Invariant: no read transaction outlives one call, since an open one keeps every page that
//! commits replace and makes the file grow.

use std::ops::RangeBounds;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::batch::HistoryEntry;
use super::commit::RedbStore;
use super::error::{CommitError, ReadError};
use super::format::HISTORY;
use super::open::Opened;

/// Reads committed history, from any thread.
///
/// It keeps the database open, and the data directory locked, as long as it lives.
#[derive(Clone, Debug)]
pub struct History {
    opened: Arc<Opened>,
}

impl History {
    /// The entry with this number; `None` if it was trimmed or never written.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn read(&self, seq: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let history = self.opened.db.begin_read()?.open_table(HISTORY)?;
        let entry = history.get(seq)?;
        Ok(entry.map(|bytes| bytes.value().to_vec()))
    }

    /// Up to `limit` entries of `range`, oldest first. Ask again behind the last one for more.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn page(
        &self,
        range: impl RangeBounds<u64>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, ReadError> {
        let history = self.opened.db.begin_read()?.open_table(HISTORY)?;
        let mut page = Vec::new();
        for entry in history.range(range)?.take(limit) {
            let (seq, bytes) = entry?;
            page.push(HistoryEntry {
                seq: seq.value(),
                bytes: bytes.value().to_vec(),
            });
        }
        Ok(page)
    }

    /// The number of the oldest entry that is still kept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn oldest(&self) -> Result<Option<u64>, ReadError> {
        let history = self.opened.db.begin_read()?.open_table(HISTORY)?;
        Ok(history.first()?.map(|(seq, _)| seq.value()))
    }
}

impl RedbStore {
    /// A reader of the history for other threads.
    #[must_use]
    pub fn history(&self) -> History {
        History {
            opened: Arc::clone(&self.opened),
        }
    }

    /// Removes up to `max_entries` of the history entries before number `before`, in a commit of
    /// its own, and returns how many went. The last entry always stays: it shows where the
    /// history ends.
    ///
    /// # Errors
    /// As [`commit`](super::Store::commit); it is fatal in the same way.
    pub fn trim_history(&mut self, before: u64, max_entries: usize) -> Result<usize, CommitError> {
        let before = before.min(self.counters.next_history.saturating_sub(1));
        self.guarded(|store| store.try_trim_history(before, max_entries))
    }

    fn try_trim_history(&mut self, before: u64, max_entries: usize) -> Result<usize, CommitError> {
        let txn = self.begin()?;
        let mut removed = 0;
        {
            let mut history = txn.open_table(HISTORY)?;
            while removed < max_entries {
                match history.first()? {
                    Some((seq, _)) if seq.value() < before => {}
                    _ => break,
                }
                history.pop_first()?;
                removed += 1;
            }
        }
        if removed == 0 {
            txn.abort()?;
        } else {
            txn.commit()?;
        }
        Ok(removed)
    }
}

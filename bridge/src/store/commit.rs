//! The commit: append history and redo, write the slices that are due, trim, sync.

use std::ops::Bound;
use std::sync::Arc;

use redb::{Durability, WriteTransaction};

use super::batch::{Batch, HistoryEntry};
use super::error::CommitError;
use super::format::{self, Counters, HISTORY, REDO, SWEEP};
use super::open::{Opened, Options};
use super::pending::{Pending, SLICES, Value};
use super::recover::Overlay;
use super::redo::{FrameWriter, RowTooLong};
use super::table::Slot;

/// Something that makes batches durable, in order.
pub trait Store {
    /// Makes `batch` durable: when this returns `Ok`, it survives a kill and a loss of power.
    ///
    /// # Errors
    /// When it is not known to be durable. The store accepts nothing after that: the caller
    /// must stop without acknowledging, and open the database again.
    fn commit(&mut self, batch: Batch) -> Result<CommitStats, CommitError>;
}

/// What one commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitStats {
    /// The commit's number.
    pub commit: u64,
    /// Bytes of history entries.
    pub history_bytes: usize,
    /// Bytes of after-images.
    pub redo_bytes: usize,
    /// Rows that reached their tables in this commit.
    pub written_rows: usize,
    /// Rows that are durable in `redo` only.
    pub pending_rows: usize,
    /// Commits that the next start would have to lay over the rows.
    pub redo_commits: u64,
}

/// The store on a redb file. It belongs to one writer thread.
#[derive(Debug)]
pub struct RedbStore {
    pub(super) opened: Arc<Opened>,
    pub(super) pending: Pending,
    pub(super) counters: Counters,
    frame: FrameWriter,
    options: Options,
    /// Changed rows since the last slice.
    rows_since_slice: usize,
    /// The first failure's message.
    poison: Option<String>,
}

impl Store for RedbStore {
    fn commit(&mut self, batch: Batch) -> Result<CommitStats, CommitError> {
        self.guarded(|store| store.try_commit(batch))
    }
}

impl RedbStore {
    pub(super) fn new(opened: Arc<Opened>, overlay: Overlay, options: Options) -> Self {
        Self {
            opened,
            pending: overlay.pending,
            counters: overlay.counters,
            frame: FrameWriter::default(),
            options,
            rows_since_slice: overlay.rows_since_slice,
            poison: None,
        }
    }

    /// Runs a write, unless one failed before; a failure ends the store.
    pub(super) fn guarded<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        if let Some(first) = &self.poison {
            return Err(CommitError::Poisoned(first.clone()));
        }
        write(self).inspect_err(|error| {
            let cause = std::error::Error::source(error);
            self.poison = Some(match cause {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            });
        })
    }

    /// A write transaction with the durability of the promise.
    pub(super) fn begin(&self) -> Result<WriteTransaction, CommitError> {
        let mut txn = self.opened.db.begin_write()?;
        txn.set_durability(Durability::Immediate)?;
        // Else reopening after a kill walks the whole file.
        txn.set_quick_repair(true);
        Ok(txn)
    }

    fn try_commit(&mut self, batch: Batch) -> Result<CommitStats, CommitError> {
        self.check(&batch)?;
        let Batch {
            at_ms,
            history,
            rows,
            counters,
        } = batch;
        self.counters = Counters {
            commit: self.counters.commit + 1,
            next_history: self.counters.next_history + history.len() as u64,
            at_ms,
            callers: counters,
        };
        let commit = self.counters.commit;
        let counters = self.counters.encode();
        self.frame.clear();
        self.frame.add(Slot::COUNTERS, Some(&counters))?;
        self.pending.put(Slot::COUNTERS, Some(counters.into()));
        let changed = rows.len();
        for row in rows {
            let slot = Slot::new(row.table, row.key);
            self.frame.add(slot, row.value.as_deref())?;
            self.pending.put(slot, row.value.map(Vec::into_boxed_slice));
        }

        let txn = self.begin()?;
        append_history(&txn, &history)?;
        self.append_redo(&txn, commit)?;
        let written_rows = self.write_due_slices(&txn, commit, changed)?;
        txn.commit()?;
        Ok(CommitStats {
            commit,
            history_bytes: history.iter().map(|entry| entry.bytes.len()).sum(),
            redo_bytes: self.frame.len(),
            written_rows,
            pending_rows: self.pending.len(),
            redo_commits: commit - self.pending.written_up_to(),
        })
    }

    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        for (expected, entry) in (self.counters.next_history..).zip(&batch.history) {
            if entry.seq != expected {
                return Err(CommitError::Sequence {
                    expected,
                    found: entry.seq,
                });
            }
        }
        if batch.at_ms < self.counters.at_ms {
            return Err(CommitError::Time {
                last: self.counters.at_ms,
                found: batch.at_ms,
            });
        }
        Ok(())
    }

    fn append_redo(&mut self, txn: &WriteTransaction, commit: u64) -> Result<(), CommitError> {
        let mut redo = txn.open_table(REDO)?;
        self.frame.for_each_chunk(commit, |part, chunk| {
            redo.insert((commit, part), chunk).map(|_| ())
        })?;
        Ok(())
    }

    /// Writes as many slices as the changed rows call for, and trims `redo` by them.
    fn write_due_slices(
        &mut self,
        txn: &WriteTransaction,
        commit: u64,
        changed: usize,
    ) -> Result<usize, CommitError> {
        let pace = usize::try_from(self.options.rows_per_slice.max(1)).unwrap_or(usize::MAX);
        self.rows_since_slice += changed;
        // After two rounds a further slice finds nothing to write.
        let due = (self.rows_since_slice / pace).min(2 * SLICES);
        self.rows_since_slice %= pace;
        let mut written = 0;
        let needed_before = self.pending.written_up_to() + 1;
        for _ in 0..due {
            let slice = self.pending.take_slice(commit);
            written += slice.len();
            write_rows(txn, &slice)?;
        }
        let needed = self.pending.written_up_to() + 1;
        if needed > needed_before {
            let mut redo = txn.open_table(REDO)?;
            redo.retain_in(..(needed, 0), |_, _| false)?;
        }
        if due > 0 {
            let sweep = self.pending.encode_sweep();
            txn.open_table(SWEEP)?.insert((), sweep.as_slice())?;
        }
        Ok(written)
    }
}

impl From<RowTooLong> for CommitError {
    fn from(RowTooLong: RowTooLong) -> Self {
        Self::RowTooLong
    }
}

fn append_history(txn: &WriteTransaction, entries: &[HistoryEntry]) -> Result<(), CommitError> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut history = txn.open_table(HISTORY)?;
    // At the end of the table, where a cursor fills page after page.
    let mut end = history.upper_bound_mut(Bound::<u64>::Unbounded)?;
    for entry in entries {
        end.insert_before(entry.seq, entry.bytes.as_slice())?;
    }
    end.close()?;
    Ok(())
}

/// Writes rows, which come in slot order, to their tables.
fn write_rows(txn: &WriteTransaction, rows: &[(Slot, Value)]) -> Result<(), CommitError> {
    for rows in rows.chunk_by(|a, b| a.0.table_number() == b.0.table_number()) {
        let Some(table) = rows
            .first()
            .and_then(|(slot, _)| format::row_table(slot.table_number()))
        else {
            continue;
        };
        let mut table = txn.open_table(table)?;
        for (slot, value) in rows {
            let key = slot.key().to_bytes();
            match value {
                Some(value) => table.insert(key.as_ref(), value.as_ref())?,
                None => table.remove(key.as_ref())?,
            };
        }
    }
    Ok(())
}

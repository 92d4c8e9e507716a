//! The live rows of one table: what is stored, with the unwritten rows laid over it.

use std::collections::btree_map;
use std::iter::Peekable;

use redb::{AccessGuard, Range, ReadableDatabase, StorageError};

use super::commit::RedbStore;
use super::error::ReadError;
use super::format;
use super::pending::Value;
use super::table::{RowKey, Slot, Table};

/// One live row.
#[derive(Debug)]
pub struct Row<'s> {
    /// The row's key.
    pub key: RowKey,
    value: Source<'s>,
}

enum Source<'s> {
    Stored(AccessGuard<'static, &'static [u8]>),
    Pending(&'s [u8]),
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stored(_) => "Stored",
            Self::Pending(_) => "Pending",
        })
    }
}

impl Row<'_> {
    /// The row's bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match &self.value {
            Source::Stored(guard) => guard.value(),
            Source::Pending(value) => value,
        }
    }
}

type Stored = (RowKey, AccessGuard<'static, &'static [u8]>);

/// The live rows of one table in key order.
///
/// It holds a read transaction, which makes the file grow while commits go on: read to the end
/// at once.
pub struct Rows<'s> {
    stored: Range<'static, &'static [u8], &'static [u8]>,
    next_stored: Option<Stored>,
    pending: Peekable<btree_map::Range<'s, Slot, Value>>,
    failed: bool,
}

impl std::fmt::Debug for Rows<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl RedbStore {
    /// The live rows of `table` in key order, as of the last commit.
    ///
    /// # Errors
    /// When the database cannot be read; the iterator's items too.
    pub fn rows(&self, table: Table) -> Result<Rows<'_>, ReadError> {
        let txn = self.opened.db.begin_read()?;
        let stored = txn.open_table(format::definition(table))?;
        let mut rows = Rows {
            stored: stored.range::<&[u8]>(..)?,
            next_stored: None,
            pending: self.pending.range(Slot::range_of(table)).peekable(),
            failed: false,
        };
        rows.advance()?;
        Ok(rows)
    }
}

impl Rows<'_> {
    /// Reads the stored row that comes next and returns the one read before.
    fn advance(&mut self) -> Result<Option<Stored>, StorageError> {
        let next = match self.stored.next() {
            None => None,
            Some(row) => {
                let (key, value) = row?;
                let key = RowKey::from_bytes(key.value())
                    .map_err(|error| StorageError::Corrupted(error.to_string()))?;
                Some((key, value))
            }
        };
        Ok(std::mem::replace(&mut self.next_stored, next))
    }
}

impl<'s> Iterator for Rows<'s> {
    type Item = Result<Row<'s>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        loop {
            let stored_key = self.next_stored.as_ref().map(|(key, _)| *key);
            let pending = match (stored_key, self.pending.peek()) {
                (Some(stored), Some((slot, _))) if slot.key() > stored => None,
                (_, Some(_)) => self.pending.next(),
                (_, None) => None,
            };
            let shadowed = pending.map(|(slot, _)| slot.key()) == stored_key;
            let stored = if pending.is_none() || shadowed {
                match self.advance() {
                    Ok(stored) => stored,
                    Err(error) => {
                        self.failed = true;
                        return Some(Err(error.into()));
                    }
                }
            } else {
                None
            };
            match (pending, stored) {
                (Some((slot, Some(value))), _) => {
                    let (key, value) = (slot.key(), Source::Pending(value));
                    return Some(Ok(Row { key, value }));
                }
                // Deleted; whatever is stored under this key does not count.
                (Some((_, None)), _) => {}
                (None, Some((key, value))) => {
                    let value = Source::Stored(value);
                    return Some(Ok(Row { key, value }));
                }
                (None, None) => return None,
            }
        }
    }
}

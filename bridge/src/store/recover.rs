//! Rebuilding the unwritten rows from `redo`, newest frame first.
//!
//! Invariant: either every row gets the value of the newest commit, or opening fails. A missing,
//! cut or displaced frame is an error, never an older value.

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::error::RedoError;
use super::format::{COUNTERS, Counters, HISTORY, REDO, SWEEP};
use super::pending::Pending;
use super::redo::{self, Chunk};
use super::table::Slot;

/// What an opened database holds besides its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Whether the database is a new one.
    pub created: bool,
    /// The schema it was written with.
    pub schema_version: u64,
    /// The number that the next history entry must have.
    pub next_history: u64,
    /// The time of the last batch, in milliseconds since the Unix epoch; 0 before the first.
    pub at_ms: u64,
    /// The last batch's counters; empty before the first.
    pub counters: Vec<u8>,
    /// How many commits were laid over the rows.
    pub redo_commits: u64,
    /// How many rows came from them.
    pub redo_rows: usize,
}

/// Why recovery failed.
#[derive(Debug)]
pub(super) enum Failure {
    Redb(redb::Error),
    Redo(RedoError),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

/// The overlay and the counters.
#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) pending: Pending,
    pub(super) counters: Counters,
    /// Rows changed since the last slice.
    pub(super) rows_since_slice: usize,
    pub(super) redo_commits: u64,
}

pub(super) fn overlay(db: &Database) -> Result<Overlay, Failure> {
    let txn = db.begin_read()?;
    let mut pending = txn
        .open_table(SWEEP)?
        .get(())?
        .and_then(|sweep| Pending::resume(sweep.value()))
        .ok_or(Failure::Redo(RedoError::NoSweep))?;
    let floor = pending.written_up_to().saturating_add(1);
    let (frames, rows_since_slice) = read_frames(&txn, &mut pending)?;
    let counters = read_counters(&txn, &pending, floor)?;
    // Both ends must fit: a frame missing at the front was trimmed too early, one missing at the
    // end would take an acknowledged batch with it.
    let (first, newest) = match frames {
        Some((first, newest)) => (first, newest),
        None => (counters.commit + 1, counters.commit),
    };
    if first != floor {
        return Err(Failure::Redo(RedoError::Missing {
            expected: floor,
            found: frames.map(|(first, _)| first),
        }));
    }
    if newest != counters.commit {
        return Err(Failure::Redo(RedoError::Missing {
            expected: counters.commit,
            found: Some(newest),
        }));
    }
    check_history(&txn, &counters)?;
    Ok(Overlay {
        pending,
        rows_since_slice,
        redo_commits: counters.commit + 1 - first,
        counters,
    })
}

/// The first and the newest commit in `redo`, if any, and how many rows changed since the last
/// slice.
type Read = (Option<(u64, u64)>, usize);

/// Lays all frames over nothing.
fn read_frames(txn: &ReadTransaction, pending: &mut Pending) -> Result<Read, Failure> {
    let mut frames = Frames::default();
    for chunk in txn.open_table(REDO)?.range::<(u64, u32)>(..)?.rev() {
        let (key, value) = chunk?;
        let (commit, part) = key.value();
        let chunk = redo::read_chunk(commit, part, value.value()).map_err(Failure::Redo)?;
        frames
            .add(commit, part, &chunk, pending)
            .map_err(Failure::Redo)?;
    }
    match frames.partial {
        Some(Partial { commit, .. }) => Err(Failure::Redo(RedoError::Incomplete { commit })),
        None => Ok((frames.ends, frames.rows_since_slice)),
    }
}

/// Puts frames together from chunks that come last one first.
#[derive(Default)]
struct Frames {
    /// The oldest and the newest commit whose frames are complete.
    ends: Option<(u64, u64)>,
    rows_since_slice: usize,
    partial: Option<Partial>,
}

struct Partial {
    commit: u64,
    /// The part read last; the one before it comes next.
    part: u32,
    /// Last part first.
    pieces: Vec<Vec<u8>>,
}

impl Frames {
    fn add(
        &mut self,
        commit: u64,
        part: u32,
        chunk: &Chunk<'_>,
        pending: &mut Pending,
    ) -> Result<(), RedoError> {
        let mut frame = match self.partial.take() {
            Some(frame) if frame.commit != commit => {
                return Err(RedoError::Incomplete {
                    commit: frame.commit,
                });
            }
            Some(frame) => frame,
            None => self.begin(commit, chunk.parts)?,
        };
        if part.checked_add(1) != Some(frame.part) {
            return Err(RedoError::Incomplete { commit });
        }
        frame.part = part;
        frame.pieces.push(chunk.piece.to_vec());
        if part > 0 {
            self.partial = Some(frame);
            return Ok(());
        }
        let rows = lay(commit, &frame.pieces, pending)?;
        if commit > pending.last_slice() {
            // The counters do not count: they change with every commit.
            self.rows_since_slice += rows.saturating_sub(1);
        }
        self.ends = Some((commit, self.ends.map_or(commit, |(_, newest)| newest)));
        Ok(())
    }

    fn begin(&self, commit: u64, parts: u32) -> Result<Partial, RedoError> {
        let expected = self.ends.map(|(oldest, _)| oldest.saturating_sub(1));
        match expected {
            Some(expected) if expected != commit => Err(RedoError::Missing {
                expected,
                found: Some(commit),
            }),
            _ => Ok(Partial {
                commit,
                part: parts,
                pieces: Vec::new(),
            }),
        }
    }
}

/// Lays one frame under what newer frames have put in, as far as its rows are not in their
/// tables, and returns how many rows it has.
fn lay(commit: u64, pieces: &[Vec<u8>], pending: &mut Pending) -> Result<usize, RedoError> {
    let mut body = Vec::with_capacity(pieces.iter().map(Vec::len).sum());
    for piece in pieces.iter().rev() {
        body.extend_from_slice(piece);
    }
    let mut rows: Vec<(Slot, Option<&[u8]>)> = Vec::new();
    redo::for_each_row(commit, &body, |slot, value| rows.push((slot, value)))?;
    // A row may change twice in one commit; the later value holds.
    for (slot, value) in rows.iter().rev() {
        pending.put_older(commit, *slot, *value);
    }
    Ok(rows.len())
}

fn read_counters(
    txn: &ReadTransaction,
    pending: &Pending,
    floor: u64,
) -> Result<Counters, Failure> {
    let table = txn.open_table(COUNTERS)?;
    let stored = table.get([].as_slice())?;
    let row = match (pending.get(Slot::COUNTERS), &stored) {
        (Some(row), _) => row.as_deref(),
        (None, Some(row)) => Some(row.value()),
        // Only a database without any commit has none.
        (None, None) if floor == 1 && pending.len() == 0 => {
            return Ok(Counters::of_an_empty_database());
        }
        (None, None) => None,
    };
    row.and_then(Counters::decode)
        .ok_or(Failure::Redo(RedoError::NoCounters))
}

/// The history always keeps its last entry, so its end is known.
fn check_history(txn: &ReadTransaction, counters: &Counters) -> Result<(), Failure> {
    let history = txn.open_table(HISTORY)?;
    let found = history
        .last()?
        .map_or(1, |(seq, _)| seq.value().saturating_add(1));
    if found == counters.next_history {
        return Ok(());
    }
    Err(Failure::Redo(RedoError::History {
        expected: counters.next_history,
        found,
    }))
}

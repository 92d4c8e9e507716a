//! The durable store: rows and history as bytes, nothing of robots.
//!
//! A commit appends every input to the sequential `history` table and the after-images of the
//! changed rows to the sequential `redo` table. The rows themselves stay in memory and reach
//! their own tables later, one key range at a time, inside some following commit. Opening loads
//! the rows and lays what is left of `redo` over them.
//!
//! Invariants:
//! - When [`Store::commit`] returns `Ok`, the batch survives a kill and a loss of power.
//! - A redo frame is trimmed only when every row in it has been written to its own table, with
//!   that value or a newer one.
//! - After one failed commit the store accepts nothing more.
//!
//! The bytes on disk are described in `docs/database.md`.

mod batch;
mod commit;
mod error;
#[doc(hidden)]
pub mod fault;
mod format;
mod history;
mod lock;
mod open;
mod peek;
mod pending;
mod recover;
mod redo;
mod rows;
pub mod space;
mod table;

pub use batch::{Batch, HistoryEntry, RowChange};
pub use commit::{CommitStats, RedbStore, Store};
pub use error::{CommitError, OpenError, ReadError, RedoError};
pub use format::{DATABASE_FILE, LOCK_FILE, MIN_READER_VERSION, SCHEMA_VERSION};
pub use history::History;
pub use open::Options;
pub use recover::Recovered;
pub use rows::{Row, Rows};
pub use table::{KeyTooLong, RowKey, Table};

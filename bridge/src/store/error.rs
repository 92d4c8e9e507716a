//! What can go wrong, one enum per operation.
//!
//! Each message of [`OpenError`] says what to do next, since an operator reads it.

use std::io;
use std::path::PathBuf;

/// Why a database was not opened. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another handle of this one, has it open.
    #[error(
        "data directory {} is in use{}; stop that process or choose another directory",
        path.display(),
        pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Who holds it, if that could be read.
        pid: Option<u32>,
    },
    /// A newer build wrote it in a way that this one cannot keep.
    #[error(
        "database {} has schema {found}, which needs a build of schema {min_reader} or later, \
         this one has {supported}; start the newer build again or restore a backup",
        path.display()
    )]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// The schema it was written with.
        found: u64,
        /// The oldest schema that may open it.
        min_reader: u64,
        /// The schema of this build.
        supported: u64,
    },
    /// A file of another kind has the database's name.
    #[error("{} is not a database of this program; move it away or choose another data directory", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is shortened or overwritten, or the disk returns wrong bytes.
    #[error("database {} is damaged: {detail}; restore a backup", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The parts of the database contradict each other.
    #[error("database {} is inconsistent; restore a backup and report this", path.display())]
    Inconsistent {
        /// The database file.
        path: PathBuf,
        /// The contradiction.
        source: RedoError,
    },
    /// The operating system refused.
    #[error("{action} {}{}", path.display(), hint(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; let the user that runs this own the data directory"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space on this disk"
        }
        io::ErrorKind::NotFound => "; create the data directory",
        _ => "",
    }
}

/// A contradiction inside the database, found before anything was used from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedoError {
    /// A chunk's checksum or length is wrong.
    #[error("redo chunk {part} of commit {commit} is damaged")]
    Damaged {
        /// The commit it belongs to.
        commit: u64,
        /// Its part number.
        part: u32,
    },
    /// A frame lacks a chunk or has one too many.
    #[error("redo frame of commit {commit} is not complete")]
    Incomplete {
        /// The commit it belongs to.
        commit: u64,
    },
    /// A frame's rows cannot be read although its chunks are whole.
    #[error("redo frame of commit {commit} cannot be read")]
    Malformed {
        /// The commit it belongs to.
        commit: u64,
    },
    /// A frame is missing at the front, between two others or at the end.
    #[error("redo frame of commit {expected} is missing, the next one found is {found:?}")]
    Missing {
        /// The commit whose frame should be there.
        expected: u64,
        /// The one found in its place, if any.
        found: Option<u64>,
    },
    /// The counters are absent or cannot be read.
    #[error("counters are missing")]
    NoCounters,
    /// The state of the sweep is absent or impossible.
    #[error("state of the sweep is missing")]
    NoSweep,
    /// History and counters disagree.
    #[error("history ends before number {found}, the counters say {expected}")]
    History {
        /// The next number by the counters.
        expected: u64,
        /// The next number by the history itself.
        found: u64,
    },
}

/// Why a batch is not durable. The store accepts nothing after it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The batch's history does not continue where the last one ended.
    #[error("history number {found} where {expected} must follow")]
    Sequence {
        /// The number that must come next.
        expected: u64,
        /// The number in the batch.
        found: u64,
    },
    /// The batch's time lies before that of the last one.
    #[error("batch at {found} ms is older than the last one at {last} ms")]
    Time {
        /// The last batch's time in milliseconds.
        last: u64,
        /// This batch's time in milliseconds.
        found: u64,
    },
    /// A row of 4 GiB or more.
    #[error("row is too long for the database")]
    RowTooLong,
    /// The database or the disk failed.
    #[error("write to the database")]
    Database(#[from] Box<redb::Error>),
    /// An earlier commit failed; its message.
    #[error("database takes no more commits after one failed: {0}")]
    Poisoned(String),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read from the database")]
pub struct ReadError(#[from] Box<redb::Error>);

/// redb has one error type per call; callers here need only one.
macro_rules! from_redb {
    ($($target:ty: $($source:ty),+;)+) => {
        $($(
            impl From<$source> for $target {
                fn from(error: $source) -> Self {
                    Self::from(Box::new(redb::Error::from(error)))
                }
            }
        )+)+
    };
}

from_redb! {
    CommitError: redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError,
        redb::SetDurabilityError, redb::CursorError;
    ReadError: redb::StorageError, redb::TableError, redb::TransactionError;
}

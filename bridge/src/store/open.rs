//! Opening a database: one process, the right kind of file, a schema that this build knows.
//!
//! Invariant: a database that is refused is left as it was, byte for byte; schema and kind are
//! checked by reading only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{
    Builder, Database, ReadableDatabase, StorageBackend, StorageError, TableError, TableHandle,
    WriteTransaction,
};

use super::commit::RedbStore;
use super::error::OpenError;
use super::format::{
    self, DATABASE_FILE, HISTORY, META, META_MIN_READER, META_SCHEMA, MIN_READER_VERSION,
    NEW_DATABASE_FILE, REDB_MAGIC, REDO, SCHEMA_VERSION, SWEEP,
};
use super::lock::{DirectoryLock, Refused};
use super::peek::Peek;
use super::pending::Pending;
use super::recover::{self, Failure, Recovered};
use super::table::Table;

/// How the store uses memory and how fast it writes rows to their tables.
#[derive(Clone, Debug)]
pub struct Options {
    /// redb's page cache in bytes. Rows live in the caller's memory, so a small one is enough.
    pub cache_bytes: usize,
    /// After how many changed rows another slice of rows is written to their tables. Fewer mean
    /// a shorter `redo` and a faster restart, more mean fewer bytes written per change.
    pub rows_per_slice: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 8 << 20,
            rows_per_slice: 7_800,
        }
    }
}

/// The open database; the lock is given back after the file is closed.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Database,
    _lock: Option<DirectoryLock>,
}

impl RedbStore {
    /// Opens the database in `directory`, which must exist; makes one if there is none.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing is changed then.
    pub fn open(directory: &Path, options: Options) -> Result<(Self, Recovered), OpenError> {
        let lock = DirectoryLock::take(directory).map_err(|refused| match refused {
            Refused::Held(pid) => OpenError::InUse {
                path: directory.into(),
                pid,
            },
            Refused::Io(source) => OpenError::Io {
                action: "lock data directory",
                path: directory.into(),
                source,
            },
        })?;
        let path = directory.join(DATABASE_FILE);
        let exists = looks_like_a_database(&path)?;
        without_panic(&path, || {
            if exists {
                peek_at_schema(&path, &options)?;
            } else {
                create(directory, &path, &options)?;
            }
            let db = builder(&options)
                .open(&path)
                .map_err(|error| from_redb(&path, error.into()))?;
            Self::finish(&path, db, Some(lock), options, !exists)
        })
    }

    /// Opens the database on `backend`; makes one if it is empty.
    ///
    /// # Errors
    /// See [`OpenError`]; its path is a placeholder.
    pub fn open_with_backend(
        backend: impl StorageBackend,
        options: Options,
    ) -> Result<(Self, Recovered), OpenError> {
        let path = PathBuf::from("(storage backend)");
        without_panic(&path, || {
            let db = builder(&options)
                .create_with_backend(backend)
                .map_err(|error| from_redb(&path, error.into()))?;
            let created = is_empty(&db).map_err(|error| from_redb(&path, error))?;
            if created {
                initialise(&db).map_err(|error| from_redb(&path, error))?;
            }
            Self::finish(&path, db, None, options, created)
        })
    }

    fn finish(
        path: &Path,
        db: Database,
        lock: Option<DirectoryLock>,
        options: Options,
        created: bool,
    ) -> Result<(Self, Recovered), OpenError> {
        let schema_version = check_schema(path, &db)?;
        if schema_version < SCHEMA_VERSION {
            upgrade(&db).map_err(|error| from_redb(path, error))?;
        }
        let overlay = recover::overlay(&db).map_err(|failure| match failure {
            Failure::Redb(error) => from_redb(path, error),
            Failure::Redo(source) => OpenError::Inconsistent {
                path: path.into(),
                source,
            },
        })?;
        let recovered = Recovered {
            created,
            schema_version,
            next_history: overlay.counters.next_history,
            at_ms: overlay.counters.at_ms,
            counters: overlay.counters.callers.clone(),
            redo_commits: overlay.redo_commits,
            redo_rows: overlay.pending.len(),
        };
        let opened = Arc::new(Opened { db, _lock: lock });
        Ok((Self::new(opened, overlay, options), recovered))
    }
}

fn builder(options: &Options) -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    builder
}

/// Whether there is a database at `path`. A file without a byte is none yet.
fn looks_like_a_database(path: &Path) -> Result<bool, OpenError> {
    let failed = |source| open_failed(path, source);
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    if file.metadata().map_err(failed)?.len() == 0 {
        return Ok(false);
    }
    let mut magic = [0; REDB_MAGIC.len()];
    match file.read_exact(&mut magic) {
        Ok(()) if magic == REDB_MAGIC => Ok(true),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(failed(error)),
        Ok(()) | Err(_) => Err(OpenError::NotADatabase { path: path.into() }),
    }
}

/// Refuses a database that this build may not open, without changing a byte of it.
fn peek_at_schema(path: &Path, options: &Options) -> Result<(), OpenError> {
    let file = File::open(path)
        .and_then(Peek::new)
        .map_err(|source| open_failed(path, source))?;
    let db = builder(options)
        .create_with_backend(file)
        .map_err(|error| from_redb(path, error.into()))?;
    check_schema(path, &db).map(|_| ())
}

/// Builds an empty database beside its place and moves it there once it is durable.
fn create(directory: &Path, path: &Path, options: &Options) -> Result<(), OpenError> {
    let new = directory.join(NEW_DATABASE_FILE);
    let failed = |source| OpenError::Io {
        action: "create database",
        path: new.clone(),
        source,
    };
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    // Nobody else's business: it holds digests of credentials.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(failed)?;
    let db = builder(options)
        .create_file(file)
        .map_err(|error| from_redb(&new, error.into()))?;
    initialise(&db).map_err(|error| from_redb(&new, error))?;
    drop(db);
    File::open(&new)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    fs::rename(&new, path).map_err(failed)?;
    // The name must outlive a loss of power as well as the bytes.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

fn is_empty(db: &Database) -> Result<bool, redb::Error> {
    Ok(db.begin_read()?.list_tables()?.next().is_none())
}

/// Makes every table, so that readers never meet a missing one.
fn initialise(db: &Database) -> Result<(), redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    {
        txn.open_table(HISTORY)?;
        txn.open_table(REDO)?;
        let sweep = Pending::before_the_first_commit().encode_sweep();
        txn.open_table(SWEEP)?.insert((), sweep.as_slice())?;
        txn.open_table(format::COUNTERS)?;
    }
    write_schema(&txn)?;
    txn.commit()?;
    Ok(())
}

/// Makes a database of an older schema one of this build's: rows of the old form can be read, so nothing is rewritten.
fn upgrade(db: &Database) -> Result<(), redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_quick_repair(true);
    write_schema(&txn)?;
    txn.commit()?;
    Ok(())
}

/// Makes the tables of rows that are missing, and says what may open the database from now on.
fn write_schema(txn: &WriteTransaction) -> Result<(), redb::Error> {
    let mut meta = txn.open_table(META)?;
    meta.insert(META_SCHEMA, SCHEMA_VERSION)?;
    meta.insert(META_MIN_READER, MIN_READER_VERSION)?;
    for table in Table::ALL {
        txn.open_table(format::definition(table))?;
    }
    Ok(())
}

/// The schema the database was written with, if this build may open it.
fn check_schema(path: &Path, db: &impl ReadableDatabase) -> Result<u64, OpenError> {
    let read = || -> Result<Option<(u64, u64)>, redb::Error> {
        let txn = db.begin_read()?;
        if !txn.list_tables()?.any(|table| table.name() == META.name()) {
            return Ok(None);
        }
        let meta = match txn.open_table(META) {
            Err(TableError::Storage(error)) => return Err(error.into()),
            // Somebody else's table of that name.
            Err(_) => return Ok(None),
            Ok(meta) => meta,
        };
        let number = |name| -> Result<Option<u64>, StorageError> {
            Ok(meta.get(name)?.map(|number| number.value()))
        };
        Ok(number(META_SCHEMA)?.zip(number(META_MIN_READER)?))
    };
    match read().map_err(|error| from_redb(path, error))? {
        None => Err(OpenError::NotADatabase { path: path.into() }),
        Some((found, min_reader)) if min_reader > SCHEMA_VERSION => Err(OpenError::NewerSchema {
            path: path.into(),
            found,
            min_reader,
            supported: SCHEMA_VERSION,
        }),
        Some((found, _)) => Ok(found),
    }
}

/// redb panics on some damaged files; an operator should read which file it was.
fn without_panic<T>(
    path: &Path,
    open: impl FnOnce() -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    // Nothing that a panic leaves half done is looked at again.
    panic::catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
        Err(OpenError::Damaged {
            path: path.into(),
            detail: "the storage library gave up on it".into(),
        })
    })
}

fn from_redb(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse {
            path: path.into(),
            pid: None,
        },
        redb::Error::Io(source)
            if !matches!(
                source.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            open_failed(path, source)
        }
        error => OpenError::Damaged {
            path: path.into(),
            detail: error.to_string(),
        },
    }
}

fn open_failed(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io {
        action: "open database",
        path: path.into(),
        source,
    }
}

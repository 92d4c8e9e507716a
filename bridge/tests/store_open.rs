//! What is refused at opening, with which words, and that a refused database stays as it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod store_model;

use std::fs;
use std::io;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use redb::{Database, StorageBackend, TableDefinition};
use rollcall::store::{
    DATABASE_FILE, LOCK_FILE, OpenError, Options, RedbStore, SCHEMA_VERSION, Store, Table,
};
use store_model::{Model, quick_sweep};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

fn refusal(directory: &Path) -> OpenError {
    RedbStore::open(directory, Options::default()).expect_err("it must be refused")
}

/// A directory with a database of some batches.
fn filled(seed: u64) -> (tempfile::TempDir, Model) {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = RedbStore::open(directory.path(), quick_sweep()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut model = Model::default();
    for _ in 0..30 {
        let batch = model.random_batch(&mut rng);
        model.apply(&batch);
        store.commit(batch).unwrap();
    }
    (directory, model)
}

fn set_meta(file: &Path, name: &str, value: u64) {
    let db = Database::open(file).unwrap();
    let mut txn = db.begin_write().unwrap();
    txn.set_quick_repair(true);
    txn.open_table(META).unwrap().insert(name, value).unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_database_of_a_newer_schema_is_refused_and_left_byte_for_byte() {
    let (directory, _) = filled(1);
    let file = directory.path().join(DATABASE_FILE);
    set_meta(&file, "schema_version", SCHEMA_VERSION + 2);
    set_meta(&file, "min_reader_version", SCHEMA_VERSION + 1);
    let before = fs::read(&file).unwrap();
    let error = refusal(directory.path());
    assert!(
        matches!(error, OpenError::NewerSchema { found, min_reader, .. }
            if found == SCHEMA_VERSION + 2 && min_reader == SCHEMA_VERSION + 1),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(message.contains(file.to_str().unwrap()), "{message}");
    let found = format!("schema {}", SCHEMA_VERSION + 2);
    assert!(message.contains(&found), "{message}");
    assert!(message.contains("start the newer build"), "{message}");
    assert!(
        fs::read(&file).unwrap() == before,
        "the refused file was changed"
    );
}

#[test]
fn a_database_of_a_newer_schema_that_was_never_closed_is_left_byte_for_byte_too() {
    let (directory, _) = filled(2);
    let file = directory.path().join(DATABASE_FILE);
    set_meta(&file, "min_reader_version", SCHEMA_VERSION + 1);
    // As a kill leaves it: copied while it is open.
    let db = Database::open(&file).unwrap();
    let mut txn = db.begin_write().unwrap();
    txn.set_quick_repair(true);
    txn.open_table(META).unwrap().insert("other", 1).unwrap();
    txn.commit().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let copy = killed.path().join(DATABASE_FILE);
    fs::copy(&file, &copy).unwrap();
    let before = fs::read(&copy).unwrap();
    assert!(matches!(
        refusal(killed.path()),
        OpenError::NewerSchema { .. }
    ));
    assert!(
        fs::read(&copy).unwrap() == before,
        "the refused file was changed"
    );
}

#[test]
fn a_newer_schema_that_still_admits_this_build_is_opened() {
    let (directory, model) = filled(3);
    let file = directory.path().join(DATABASE_FILE);
    set_meta(&file, "schema_version", SCHEMA_VERSION + 1);
    let (store, recovered) = RedbStore::open(directory.path(), Options::default()).unwrap();
    assert_eq!(recovered.schema_version, SCHEMA_VERSION + 1);
    assert_eq!(Model::read(&store, &recovered), model);
}

#[test]
fn a_database_of_an_older_schema_is_opened_and_raised_to_this_one() {
    let directory = tempfile::tempdir().unwrap();
    drop(RedbStore::open(directory.path(), Options::default()).unwrap());
    let file = directory.path().join(DATABASE_FILE);
    set_meta(&file, "schema_version", 1);
    set_meta(&file, "min_reader_version", 1);
    // Schema 1 had no such table.
    let db = Database::open(&file).unwrap();
    let mut txn = db.begin_write().unwrap();
    txn.set_quick_repair(true);
    let gone: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pairing_tokens");
    assert!(txn.delete_table(gone).unwrap());
    txn.commit().unwrap();
    drop(db);
    let (store, recovered) = RedbStore::open(directory.path(), Options::default()).unwrap();
    assert_eq!(recovered.schema_version, 1, "what was found");
    assert_eq!(store.rows(Table::PairingTokens).unwrap().count(), 0);
    drop(store);
    let (_, recovered) = RedbStore::open(directory.path(), Options::default()).unwrap();
    assert_eq!(recovered.schema_version, SCHEMA_VERSION);
}

#[test]
fn a_second_opening_is_refused_with_the_holders_process_id_until_the_first_ends() {
    let (directory, model) = filled(4);
    let (store, _) = RedbStore::open(directory.path(), Options::default()).unwrap();
    let error = refusal(directory.path());
    assert!(
        matches!(error, OpenError::InUse { pid, .. } if pid == Some(std::process::id())),
        "{error:?}"
    );
    let message = error.to_string();
    let holder = format!("in use by process {}", std::process::id());
    assert!(message.contains(&holder), "{message}");
    // A reader in another thread keeps it open.
    let history = store.history();
    drop(store);
    assert!(matches!(refusal(directory.path()), OpenError::InUse { .. }));
    drop(history);
    let (store, recovered) = RedbStore::open(directory.path(), Options::default()).unwrap();
    assert_eq!(Model::read(&store, &recovered), model);
}

#[test]
fn a_database_opened_past_the_lock_file_is_refused_as_in_use() {
    let (directory, _) = filled(5);
    let _other = Database::open(directory.path().join(DATABASE_FILE)).unwrap();
    let error = refusal(directory.path());
    assert!(
        matches!(error, OpenError::InUse { pid: None, .. }),
        "{error:?}"
    );
}

#[test]
fn a_lock_file_left_by_a_killed_process_does_not_matter() {
    let (directory, _) = filled(6);
    fs::write(directory.path().join(LOCK_FILE), "4194999\n").unwrap();
    RedbStore::open(directory.path(), Options::default()).unwrap();
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_alone() {
    for content in [b"#!/bin/sh\nexit 1\n".as_slice(), b"red", &[0; 5_000]] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(DATABASE_FILE);
        fs::write(&file, content).unwrap();
        let error = refusal(directory.path());
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn somebody_elses_redb_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(DATABASE_FILE);
    let db = Database::create(&file).unwrap();
    let txn = db.begin_write().unwrap();
    let theirs: TableDefinition<'_, u64, u64> = TableDefinition::new("meta");
    txn.open_table(theirs).unwrap().insert(1, 1).unwrap();
    txn.commit().unwrap();
    drop(db);
    let before = fs::read(&file).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert!(
        fs::read(&file).unwrap() == before,
        "the refused file was changed"
    );
}

#[test]
fn an_empty_file_and_a_half_made_new_database_become_a_database() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(DATABASE_FILE), b"").unwrap();
    fs::write(directory.path().join("rollcall.redb.new"), b"half of one").unwrap();
    let (_, recovered) = RedbStore::open(directory.path(), Options::default()).unwrap();
    assert!(recovered.created);
    assert!(!directory.path().join("rollcall.redb.new").exists());
}

#[test]
fn only_its_owner_may_read_a_new_database() {
    use std::os::unix::fs::PermissionsExt;
    let (directory, _) = filled(9);
    let file = directory.path().join(DATABASE_FILE).metadata().unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_cut_at_any_length_is_refused_with_a_message_that_names_it() {
    let (directory, _) = filled(7);
    let whole = fs::read(directory.path().join(DATABASE_FILE)).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..40 {
        let cut = rng.random_range(1..whole.len());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(DATABASE_FILE);
        fs::write(&file, &whole[..cut]).unwrap();
        let error = refusal(directory.path());
        let right_kind = matches!(
            error,
            OpenError::Damaged { .. } | OpenError::NotADatabase { .. }
        );
        assert!(right_kind, "cut at {cut}: {error:?}");
        assert!(
            error.to_string().contains(file.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_file_with_overwritten_bytes_is_opened_or_refused_but_never_a_panic() {
    let (directory, _) = filled(8);
    let whole = fs::read(directory.path().join(DATABASE_FILE)).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for round in 0..60 {
        let mut damaged = whole.clone();
        // The header first, where lengths and roots are; then anywhere.
        let longest = if round < 30 { 320 } else { whole.len() };
        for _ in 0..rng.random_range(1..20) {
            damaged[rng.random_range(9..longest)] = rng.random();
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(DATABASE_FILE), &damaged).unwrap();
        match RedbStore::open(directory.path(), Options::default()) {
            Ok(_)
            | Err(
                OpenError::Damaged { .. }
                | OpenError::NotADatabase { .. }
                | OpenError::Inconsistent { .. },
            ) => {}
            Err(other) => panic!("round {round}: {other:?}"),
        }
    }
}

/// A disk at which the storage library panics.
#[derive(Debug)]
struct Panicking;

impl StorageBackend for Panicking {
    fn len(&self) -> io::Result<u64> {
        panic!("as redb does with some files");
    }

    fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        unreachable!("the length is asked for first")
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        unreachable!("the length is asked for first")
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        unreachable!("the length is asked for first")
    }
}

#[test]
fn a_panic_of_the_storage_library_while_opening_is_an_error() {
    let refused = RedbStore::open_with_backend(Panicking, Options::default());
    assert!(
        matches!(&refused, Err(OpenError::Damaged { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_missing_directory_and_one_without_permission_name_the_path_and_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let error = refusal(&missing);
    let message = error.to_string();
    assert!(message.contains(missing.to_str().unwrap()), "{message}");
    assert!(message.contains("create the data directory"), "{message}");

    let not_a_directory = directory.path().join("file");
    fs::write(&not_a_directory, b"").unwrap();
    assert!(matches!(refusal(&not_a_directory), OpenError::Io { .. }));

    // Root may do anything, so the answer itself is checked, not a real refusal.
    let error = OpenError::Io {
        action: "open database",
        path: missing,
        source: std::io::ErrorKind::PermissionDenied.into(),
    };
    assert!(
        error.to_string().contains("own the data directory"),
        "{error}"
    );
}

#[test]
fn available_space_of_a_directory_is_known_and_of_a_missing_one_is_an_error() {
    use rollcall::store::space::{DiskSpace, Space, available};
    let directory = tempfile::tempdir().unwrap();
    assert!(available(directory.path()).unwrap() > 0);
    assert!(DiskSpace::of(directory.path()).available().unwrap() > 0);
    assert!(available(&directory.path().join("missing")).is_err());
}

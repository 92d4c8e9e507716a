//! A process killed with SIGKILL at random moments: what it acknowledged is there.
//!
//! The killed process is this test program itself, running [`child`] only.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod store_model;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollcall::store::{DATABASE_FILE, RedbStore, Store};
use store_model::{Model, quick_sweep, rounds};

const DIRECTORY: &str = "ROLLCALL_STORE_KILL_DIRECTORY";
const SEED: u64 = 5;

/// The state after so many batches of the one sequence that every life continues.
fn state_after(batches: u64) -> Model {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut model = Model::default();
    for _ in 0..batches {
        let batch = model.random_batch(&mut rng);
        model.apply(&batch);
    }
    model
}

/// Commits the sequence from where the database stands, and tells each commit's number.
#[test]
#[ignore = "run by the test below, as a process of its own"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        // Somebody runs all ignored tests.
        return;
    };
    let (mut store, recovered) = RedbStore::open(Path::new(&directory), quick_sweep()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut model = Model::default();
    while model.history.len() as u64 + 1 < recovered.next_history
        || model.at_ms < recovered.at_ms
        || model.counters != recovered.counters
    {
        let batch = model.random_batch(&mut rng);
        model.apply(&batch);
    }
    loop {
        let batch = model.random_batch(&mut rng);
        model.apply(&batch);
        let stats = store.commit(batch).unwrap();
        // Past the test harness, which keeps what goes through `println`.
        writeln!(std::io::stdout(), "acknowledged {}", stats.commit).unwrap();
    }
}

#[test]
fn what_a_killed_process_acknowledged_is_there_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let mut acknowledged = 0;
    for kill in 0..rounds(12) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut wanted = rng.random_range(1..25);
        for line in lines {
            let Some(number) = line
                .unwrap()
                .strip_prefix("acknowledged ")
                .map(str::to_owned)
            else {
                continue;
            };
            acknowledged = number.parse().unwrap();
            wanted -= 1;
            if wanted == 0 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(wanted <= 0, "kill {kill}: the child ended by itself");

        let (store, recovered) = RedbStore::open(directory.path(), quick_sweep()).unwrap();
        let found = Model::read(&store, &recovered);
        // One more commit may have ended before the kill, its line unwritten.
        assert!(
            found == state_after(acknowledged) || found == state_after(acknowledged + 1),
            "kill {kill} after commit {acknowledged}"
        );
    }
}

#[test]
fn a_killed_database_needs_no_walk_through_the_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = RedbStore::open(directory.path(), quick_sweep()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut model = Model::default();
    for round in 0..10 {
        let batch = model.random_batch(&mut rng);
        model.apply(&batch);
        store.commit(batch).unwrap();
        if round % 2 == 1 {
            store.trim_history(round, 1).unwrap();
        }
        // What a kill leaves is what the file holds now.
        let killed = directory.path().join("killed");
        std::fs::copy(directory.path().join(DATABASE_FILE), &killed).unwrap();
        let walked = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&walked);
        redb::Database::builder()
            .set_repair_callback(move |_| seen.store(true, Ordering::Relaxed))
            .open(&killed)
            .unwrap();
        assert!(!walked.load(Ordering::Relaxed), "round {round}");
    }
}

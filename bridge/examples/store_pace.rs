//! How fast the store takes events, what it writes for them, and how soon it is back after a
//! kill in mid-load.
//!
//! ```text
//! cargo run --release -p rollcall --example store_pace [-- EVENTS BATCH [DIRECTORY]]
//! ```
//!
//! A second process loads 100,000 robots, their cursors and one rollout's members, then commits
//! events that change 2.5 rows each at random. It is killed with SIGKILL after EVENTS of them
//! (default 1,500,000), and this process opens what it left behind. `open DIRECTORY` instead of
//! EVENTS opens a database of an earlier run once more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement that cannot run has nothing better to do than stop"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollcall::store::{
    Batch, DATABASE_FILE, HistoryEntry, Options, RedbStore, RowChange, RowKey, Store, Table,
};

const ROBOTS: u32 = 100_000;
const ROBOT_BYTES: usize = 250;
const CURSOR_BYTES: usize = 40;
const MEMBER_BYTES: usize = 120;
const HISTORY_BYTES: usize = 150;

fn main() {
    let mut args = std::env::args().skip(1);
    let first = args.next();
    if first.as_deref() == Some("load") {
        let directory = args.next().unwrap();
        load(Path::new(&directory), args.next().unwrap().parse().unwrap());
        return;
    }
    if first.as_deref() == Some("open") {
        reopen(Path::new(&args.next().unwrap()), 0);
        return;
    }
    let events: u64 = first.map_or(1_500_000, |text| text.parse().unwrap());
    let batch: String = args.next().unwrap_or_else(|| "1000".into());
    let scratch = tempfile::tempdir().unwrap();
    let directory = args
        .next()
        .map_or(scratch.path().into(), std::path::PathBuf::from);

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["load", directory.to_str().unwrap(), &batch])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let reports = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut committed = 0;
    let mut last = String::new();
    for report in reports {
        let report = report.unwrap();
        committed = report.split(' ').next().unwrap().parse().unwrap();
        last = report;
        if committed >= events {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    say(&format!("load: {last}"));
    reopen(&directory, committed);
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
}

/// Opens after the kill, counts the rows, and says how long each took.
fn reopen(directory: &Path, committed: u64) {
    let start = Instant::now();
    let (store, recovered) = RedbStore::open(directory, Options::default()).unwrap();
    let opened = start.elapsed();
    let (mut rows, mut bytes) = (0_u64, 0_usize);
    for table in Table::ALL {
        for row in store.rows(table).unwrap() {
            rows += 1;
            bytes += row.unwrap().value().len();
        }
    }
    let all = start.elapsed();
    assert!(
        recovered.next_history > committed,
        "acknowledged events are missing"
    );
    assert_eq!(rows, u64::from(ROBOTS) * 3);
    let file = directory.join(DATABASE_FILE).metadata().unwrap().len();
    say(&format!(
        "restart: open {opened:.0?} ({} redo commits, {} rows), all {rows} rows ({} MB) in {all:.0?}; file {} MB",
        recovered.redo_commits,
        recovered.redo_rows,
        bytes >> 20,
        file >> 20,
    ));
}

/// Fills the tables, then commits events for ever, with a report every 100,000.
fn load(directory: &Path, batch_events: u64) {
    let (mut store, _) = RedbStore::open(directory, Options::default()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for chunk in 0..(ROBOTS / 1_000) {
        let rows = (chunk * 1_000..(chunk + 1) * 1_000)
            .flat_map(|robot| {
                [
                    (Table::Robots, RowKey::from(robot), ROBOT_BYTES),
                    (Table::Cursors, RowKey::from(robot), CURSOR_BYTES),
                    (Table::Members, RowKey::from((1, robot)), MEMBER_BYTES),
                ]
            })
            .map(|(table, key, len)| change(&mut rng, table, key, len))
            .collect();
        store
            .commit(Batch {
                rows,
                ..Batch::default()
            })
            .unwrap();
    }

    let mut seq = 1;
    let (start, cpu, written) = (Instant::now(), cpu_ms(), written_bytes());
    let mut commit_us: Vec<u128> = Vec::new();
    loop {
        let batch = event_batch(&mut rng, seq, batch_events);
        seq += batch_events;
        let begin = Instant::now();
        store.commit(batch).unwrap();
        commit_us.push(begin.elapsed().as_micros());
        let events = seq - 1;
        if events % 100_000 < batch_events {
            commit_us.sort_unstable();
            let at = |share: usize| commit_us[(commit_us.len() - 1) * share / 1000];
            let seconds = start.elapsed().as_secs_f64();
            say(&format!(
                "{events} events in {seconds:.1} s: {:.0} events/s, {} bytes/event, {:.2} us CPU/event, commit p50 {} us, p99 {} us, max {} us",
                f64::from(u32::try_from(events).unwrap()) / seconds,
                (written_bytes() - written) / events,
                f64::from(u32::try_from(cpu_ms() - cpu).unwrap()) * 1e3
                    / f64::from(u32::try_from(events).unwrap()),
                at(500),
                at(990),
                at(1000),
            ));
        }
    }
}

fn event_batch(rng: &mut ChaCha8Rng, first: u64, events: u64) -> Batch {
    let mut batch = Batch {
        counters: vec![0; 64],
        ..Batch::default()
    };
    for seq in first..first + events {
        let mut bytes = vec![0; HISTORY_BYTES];
        rng.fill_bytes(&mut bytes);
        batch.history.push(HistoryEntry { seq, bytes });
        let robot = rng.random_range(0..ROBOTS);
        let member = RowKey::from((1, robot));
        batch
            .rows
            .push(change(rng, Table::Members, member, MEMBER_BYTES));
        batch
            .rows
            .push(change(rng, Table::Cursors, robot.into(), CURSOR_BYTES));
        if rng.random() {
            batch
                .rows
                .push(change(rng, Table::Robots, robot.into(), ROBOT_BYTES));
        }
    }
    batch
}

fn change(rng: &mut ChaCha8Rng, table: Table, key: RowKey, len: usize) -> RowChange {
    let mut value = vec![0; len];
    rng.fill_bytes(&mut value);
    RowChange {
        table,
        key,
        value: Some(value),
    }
}

/// User and system time of this process; the kernel counts it in hundredths of a second.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap() * 10)
        .sum()
}

/// What this process has caused to be written to the disk.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

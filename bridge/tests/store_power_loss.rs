//! A loss of power at any write or sync: every batch whose commit returned is there in full, the
//! one in flight is there whole or not at all. A kill cannot show a missing sync; this can.
//!
//! `ROLLCALL_LONG=1` runs fifty times as many crashes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

mod store_model;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rollcall::store::fault::{FaultDisk, Tearing};
use rollcall::store::{RedbStore, Store};
use store_model::{Model, quick_sweep, rounds};

/// What a run of crashes showed.
#[derive(Debug, Default)]
struct Seen {
    crashes: u64,
    in_flight_kept: u64,
    in_flight_lost: u64,
}

/// Runs one database through `crashes` losses of power; the error says which promise broke.
fn run(disk: &FaultDisk, seed: u64, crashes: u64) -> Result<Seen, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut seen = Seen::default();
    let mut acknowledged = Model::default();
    // The state with the batch whose commit did not return.
    let mut in_flight: Option<Model> = None;
    for crash in 0..crashes {
        let place = format!("seed {seed}, crash {crash}");
        let (mut store, recovered) = RedbStore::open_with_backend(disk.backend(), quick_sweep())
            .map_err(|error| {
                format!("{place}: {error}: {:?}", std::error::Error::source(&error))
            })?;
        let found = Model::read(&store, &recovered);
        match in_flight.take() {
            Some(with_in_flight) if found == with_in_flight => {
                seen.in_flight_kept += 1;
                acknowledged = with_in_flight;
            }
            _ if found == acknowledged => seen.in_flight_lost += 1,
            _ => {
                return Err(format!(
                    "{place}: neither with nor without the batch in flight"
                ));
            }
        }
        if rng.random_bool(0.9) {
            disk.power_off_after(rng.random_range(0..300));
        }
        for _ in 0..rng.random_range(0..30) {
            let batch = acknowledged.random_batch(&mut rng);
            let mut after = acknowledged.clone();
            after.apply(&batch);
            if store.commit(batch).is_err() {
                in_flight = Some(after);
                break;
            }
            acknowledged = after;
        }
        let tearing = [Tearing::Whole, Tearing::Sectors][rng.random_range(0..2)];
        let share = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        disk.crash(tearing, || rng.random_bool(share));
        seen.crashes += 1;
    }
    Ok(seen)
}

#[test]
fn no_acknowledged_batch_is_lost_and_none_is_there_in_part_after_power_losses() {
    let mut total = Seen::default();
    for seed in 0..rounds(8) {
        let disk = FaultDisk::default();
        // The first start is not what is tested: nothing is acknowledged before it ends.
        drop(RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap());
        let seen = run(&disk, seed, 60).unwrap_or_else(|broken| panic!("{broken}"));
        total.crashes += seen.crashes;
        total.in_flight_kept += seen.in_flight_kept;
        total.in_flight_lost += seen.in_flight_lost;
    }
    // Otherwise the crashes would not fall where it hurts.
    assert!(total.in_flight_kept > total.crashes / 100, "{total:?}");
    assert!(total.in_flight_lost > total.crashes / 10, "{total:?}");
}

#[test]
fn a_disk_that_does_not_sync_is_caught() {
    let disk = FaultDisk::default();
    drop(RedbStore::open_with_backend(disk.backend(), quick_sweep()).unwrap());
    disk.ignore_syncs();
    let broken = run(&disk, 1, 60);
    assert!(
        broken.is_err(),
        "a commit without a sync went unnoticed: {broken:?}"
    );
}

//! The disk of a simulated server in worlds in which the power goes: the real store on a disk that loses what was not
//! synced.
//!
//! **Invariant**: after each opening it holds what the rows in memory say, which follow what was acknowledged: rows,
//! counters, time and history byte for byte, and each acknowledged event.

use super::Broken;
use super::dice::Dice;
use super::rows::Rows;
use super::server::{Publish, Record, is_native};
use rollcall::history::{self, Entry};
use rollcall::records;
use rollcall::store::fault::{FaultDisk, Tearing};
use rollcall::store::{Batch, CommitError, HistoryEntry, Options, Recovered, RedbStore, Store};
use rollcall_engine::{State, Timestamp};
use std::collections::{HashMap, HashSet};

/// Writes and syncs of an opening, about.
const OPERATIONS_OF_AN_OPENING: u64 = 12;
/// Percent of openings during which the power goes once more.
const LOST_WHILE_OPENING: u32 = 15;

/// A disk, and the store on it.
#[derive(Debug)]
pub(super) struct RealDisk {
    disk: FaultDisk,
    opened: Option<(RedbStore, Recovered)>,
    /// The power goes during the next commit, or soon after its last write.
    armed: bool,
    /// Writes and syncs of the last commit.
    operations: u64,
    dice: Dice,
    /// Losses of power.
    pub(super) losses: u64,
}

impl RealDisk {
    /// A new database. A disk that is not honest reports syncs from then on, and does none.
    pub(super) fn new(seed: u64, honest: bool) -> Result<Self, Broken> {
        let mut new = Self {
            disk: FaultDisk::default(),
            opened: None,
            armed: false,
            operations: 0,
            dice: Dice::new(seed, 5 << 40),
            losses: 0,
        };
        new.opened = Some(new.try_open()?);
        if !honest {
            new.disk.ignore_syncs();
        }
        Ok(new)
    }

    /// Lets the power go during the next commit.
    pub(super) fn arm(&mut self) {
        self.armed = true;
    }

    /// A commit as the writer makes it. `false`: the power went, and nobody knows yet what of it is there.
    pub(super) fn commit(
        &mut self,
        (at, counters): (Timestamp, Vec<u8>),
        rows: Vec<rollcall::store::RowChange>,
        records: &[Record],
    ) -> Result<bool, Broken> {
        let armed = std::mem::take(&mut self.armed);
        if armed {
            // Half of the times about its end, where it is decided whether the batch is there.
            let usual = self.operations;
            let sooner = *self.dice.pick(&[usual, 2]);
            let operations = (usual + 1).saturating_sub(self.dice.within(0, sooner));
            self.disk.power_off_after(operations);
        }
        let before = self.disk.operations();
        let Some((store, recovered)) = &mut self.opened else {
            return Err(Broken("a commit without a store".to_owned()));
        };
        let bytes = records.iter().map(|record| record.bytes.clone());
        let history: Vec<_> = (recovered.next_history..)
            .zip(bytes)
            .map(|(seq, bytes)| HistoryEntry { seq, bytes })
            .collect();
        let next = recovered.next_history + history.len() as u64;
        let batch = Batch {
            at_ms: at.0,
            history,
            rows,
            counters,
        };
        match store.commit(batch) {
            Ok(_) => {
                recovered.next_history = next;
                self.operations = self.disk.operations() - before;
                self.disk.power_off_after(u64::MAX);
                Ok(true)
            }
            Err(CommitError::Database(_)) if armed => Ok(false),
            Err(error) => Err(Broken(format!("a commit failed: {error:?}"))),
        }
    }

    /// Makes the time durable, and nothing else.
    pub(super) fn beat(&mut self, rows: &mut Rows, at: Timestamp) -> Result<(), Broken> {
        let armed = std::mem::take(&mut self.armed);
        self.commit((at, rows.counters.clone()), Vec::new(), &[])?;
        self.armed = armed;
        rows.at = at;
        Ok(())
    }

    /// The power goes, comes back, and the store is opened. Returns how many records it has.
    pub(super) fn lose_power(&mut self) -> Result<u64, Broken> {
        self.crash();
        if self.dice.chance(LOST_WHILE_OPENING) {
            let operations = self.dice.within(0, OPERATIONS_OF_AN_OPENING);
            self.disk.power_off_after(operations);
            // Whether it was opened in time or not: nobody has heard anything from it.
            self.opened = self.try_open().ok();
            self.crash();
        }
        let (store, recovered) = self.try_open()?;
        let records = recovered.next_history - 1;
        self.opened = Some((store, recovered));
        Ok(records)
    }

    fn crash(&mut self) {
        let tearing = *self.dice.pick(&[Tearing::Whole, Tearing::Sectors]);
        let share = *self.dice.pick(&[0, 10, 50, 90, 100]);
        self.disk.crash(tearing, || self.dice.chance(share));
        // Only now: a store that is closed while there is power would tidy up.
        self.opened = None;
        self.armed = false;
        self.losses += 1;
    }

    fn try_open(&self) -> Result<(RedbStore, Recovered), Broken> {
        // A pace at which a world makes many rounds of the sweep.
        let options = Options {
            rows_per_slice: 3,
            ..Options::default()
        };
        RedbStore::open_with_backend(self.disk.backend(), options).map_err(|error| {
            let cause = std::error::Error::source(&error);
            Broken(format!("the database cannot be opened: {error}: {cause:?}"))
        })
    }

    /// What a server loads from it.
    pub(super) fn load(&self) -> Result<State, Broken> {
        let (store, recovered) = self.opened()?;
        if recovered.counters.is_empty() {
            return Ok(State::default());
        }
        let loaded = records::load(store, recovered);
        let (state, _) = loaded.map_err(|error| Broken(format!("it cannot be loaded: {error}")))?;
        Ok(state)
    }

    fn opened(&self) -> Result<&(RedbStore, Recovered), Broken> {
        let opened = self.opened.as_ref();
        opened.ok_or_else(|| Broken("the store is not open".to_owned()))
    }

    /// Holds what was found against what was acknowledged.
    pub(super) fn check(
        &self,
        rows: &Rows,
        records: &[Record],
        acknowledged: &HashSet<Publish>,
    ) -> Result<(), Broken> {
        let (store, recovered) = self.opened()?;
        if recovered.at_ms != rows.at.0 {
            return Err(Broken(format!(
                "after a loss of power: time {} instead of {}",
                recovered.at_ms, rows.at.0
            )));
        }
        Rows::read(store, recovered)?.check_same("after a loss of power", rows)?;
        let found = store.history().page(.., usize::MAX);
        let found = found.map_err(|error| Broken(format!("history cannot be read: {error}")))?;
        let same = found.len() == records.len()
            && (1..).zip(&found).all(|(seq, entry)| entry.seq == seq)
            && found.iter().zip(records).all(|(a, b)| a.bytes == b.bytes);
        if !same {
            return Err(Broken(format!(
                "after a loss of power: other history, {} records instead of {}",
                found.len(),
                records.len()
            )));
        }
        each_is_recorded(found, acknowledged)
    }
}

/// Design 2: what was acknowledged to a robot is in the history, native events exactly once. Those of Edgehog have no
/// number, so equal ones may follow each other.
fn each_is_recorded(
    history: Vec<HistoryEntry>,
    acknowledged: &HashSet<Publish>,
) -> Result<(), Broken> {
    let mut counts: HashMap<Publish, u64> = HashMap::new();
    for HistoryEntry { seq, bytes } in history {
        let record = history::Record::decode(seq, bytes.into());
        let record = record.map_err(|error| Broken(format!("record {seq}: {error}")))?;
        if let Entry::Publish { topic, payload } = record.entry {
            *counts.entry((topic, payload.to_vec())).or_default() += 1;
        }
    }
    for event in acknowledged {
        let count = counts.get(event).copied().unwrap_or(0);
        if count == 0 || (count > 1 && is_native(event)) {
            return Err(Broken(format!(
                "design 2: after a loss of power an acknowledged event is recorded {count} times: {}",
                event.0
            )));
        }
    }
    Ok(())
}

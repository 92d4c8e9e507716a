//! Rows that are durable in `redo` only, and the sweep that writes them to their own tables.
//!
//! The sweep goes through all slots in order, one slice after the other and round again. Behind
//! it lie *strips*: ranges of slots, each with the commit up to which every change in the range
//! has been written. Invariants:
//!
//! - the strips cover all slots, first the one at the cursor, round to the one behind it;
//! - their commits rise in that order, so the first strip's is the smallest;
//! - a row that is not in the map has in its table the value of the newest commit.
//!
//! Hence the frames up to the first strip's commit hold nothing that is not in a table.
//!
//! The sweep is written down with each slice and goes on after a restart where it was. Began each
//! start a new round, a server that is restarted often would never finish one, and its `redo`
//! would grow for ever.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeBounds;

use super::table::Slot;

/// In how many slices one round of the sweep is written.
pub(super) const SLICES: usize = 64;

/// A row's newest value; `None` is a deleted row.
pub(super) type Value = Option<Box<[u8]>>;

const STRIP_BYTES: usize = 24;

/// The unwritten rows.
#[derive(Debug)]
pub(super) struct Pending {
    rows: BTreeMap<Slot, Value>,
    /// Where the next slice starts.
    cursor: Slot,
    /// How many of `rows` lie at the cursor or behind it in order.
    ahead: usize,
    slices_left: usize,
    strips: VecDeque<Strip>,
}

#[derive(Clone, Copy, Debug)]
struct Strip {
    /// The strip's last slot.
    last: Slot,
    /// Every change up to this commit has been written.
    written_up_to: u64,
}

impl Strip {
    fn decode(bytes: &[u8; STRIP_BYTES]) -> Self {
        let mut last = [0; 16];
        let mut written_up_to = [0; 8];
        last.copy_from_slice(&bytes[..16]);
        written_up_to.copy_from_slice(&bytes[16..]);
        Self {
            last: Slot::from_bytes(last),
            written_up_to: u64::from_be_bytes(written_up_to),
        }
    }
}

impl Pending {
    /// Nothing pending before the first commit.
    pub(super) fn before_the_first_commit() -> Self {
        Self {
            rows: BTreeMap::new(),
            cursor: Slot::FIRST,
            ahead: 0,
            slices_left: SLICES,
            strips: VecDeque::from([Strip {
                last: Slot::LAST,
                written_up_to: 0,
            }]),
        }
    }

    /// Where the sweep stands, for the next start: how many slices are left of its round, then
    /// each strip from the one at the cursor.
    pub(super) fn encode_sweep(&self) -> Vec<u8> {
        let mut sweep = Vec::with_capacity(1 + self.strips.len() * STRIP_BYTES);
        // At most [`SLICES`].
        sweep.push(u8::try_from(self.slices_left).unwrap_or(u8::MAX));
        for strip in &self.strips {
            sweep.extend_from_slice(&strip.last.to_bytes());
            sweep.extend_from_slice(&strip.written_up_to.to_be_bytes());
        }
        sweep
    }

    /// Nothing pending yet, the sweep being where it was; `None` if that cannot be.
    pub(super) fn resume(sweep: &[u8]) -> Option<Self> {
        let (slices_left, strips) = sweep.split_first()?;
        let slices_left = usize::from(*slices_left);
        let (strips, rest) = strips.as_chunks::<STRIP_BYTES>();
        let strips: VecDeque<Strip> = strips.iter().map(Strip::decode).collect();
        let (front, back) = (strips.front()?, strips.back()?);
        let rise = |a: &Strip, b: &Strip| {
            a.written_up_to <= b.written_up_to && (a.last < b.last || a.last == Slot::LAST)
        };
        let pairs = strips.iter().zip(strips.iter().skip(1));
        let rounds = strips
            .iter()
            .filter(|strip| strip.last == Slot::LAST)
            .count();
        let closed = back.last == Slot::LAST || back.last < front.last;
        let fits = (1..=SLICES).contains(&slices_left) && rest.is_empty() && rounds == 1 && closed;
        if !fits || !pairs.into_iter().all(|(a, b)| rise(a, b)) {
            return None;
        }
        let cursor = match back.last {
            Slot::LAST => Slot::FIRST,
            last => last.next(),
        };
        Some(Self {
            rows: BTreeMap::new(),
            cursor,
            ahead: 0,
            slices_left,
            strips,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Puts a newer value in.
    pub(super) fn put(&mut self, slot: Slot, value: Value) {
        if self.rows.insert(slot, value).is_none() && slot >= self.cursor {
            self.ahead += 1;
        }
    }

    /// Puts the value of `commit` in, unless a newer one is there or it has been written:
    /// recovery goes from the newest frame to the oldest.
    pub(super) fn put_older(&mut self, commit: u64, slot: Slot, value: Option<&[u8]>) {
        if commit <= self.slot_written_up_to(slot) {
            return;
        }
        if let std::collections::btree_map::Entry::Vacant(entry) = self.rows.entry(slot) {
            entry.insert(value.map(Into::into));
            if slot >= self.cursor {
                self.ahead += 1;
            }
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Value> {
        self.rows.get(&slot)
    }

    pub(super) fn range(
        &self,
        slots: impl RangeBounds<Slot>,
    ) -> std::collections::btree_map::Range<'_, Slot, Value> {
        self.rows.range(slots)
    }

    /// Takes the next slice out, in slot order; the caller writes it within commit `commit`,
    /// whose own rows were put in before.
    ///
    /// Each slice takes its share of what lies ahead, so that a round ends after [`SLICES`]
    /// slices whatever is put in meanwhile.
    pub(super) fn take_slice(&mut self, commit: u64) -> Vec<(Slot, Value)> {
        let share = self.ahead.div_ceil(self.slices_left);
        let slots: Vec<Slot> = self
            .rows
            .range(self.cursor..)
            .take(share)
            .map(|(slot, _)| *slot)
            .collect();
        let slice = slots
            .into_iter()
            .filter_map(|slot| self.rows.remove_entry(&slot))
            .collect::<Vec<_>>();
        self.ahead -= slice.len();
        self.slices_left -= 1;
        // The round's last slice takes all that is ahead.
        let end = match slice.last() {
            Some((last, _)) if self.ahead > 0 => *last,
            _ => Slot::LAST,
        };
        self.pass(end, commit);
        slice
    }

    /// Notes that everything from the cursor to `last` has been written up to `commit`.
    fn pass(&mut self, last: Slot, commit: u64) {
        while let Some(front) = self.strips.front() {
            if front.last > last {
                break;
            }
            let round_ends = front.last == Slot::LAST;
            self.strips.pop_front();
            if round_ends {
                break;
            }
        }
        self.strips.push_back(Strip {
            last,
            written_up_to: commit,
        });
        if last == Slot::LAST {
            self.cursor = Slot::FIRST;
            self.ahead = self.rows.len();
            self.slices_left = SLICES;
        } else {
            self.cursor = last.next();
        }
    }

    /// The newest commit whose frame, and every older one, is no longer needed.
    pub(super) fn written_up_to(&self) -> u64 {
        self.strips.front().map_or(0, |strip| strip.written_up_to)
    }

    /// Every change of this slot up to this commit is in its table.
    fn slot_written_up_to(&self, slot: Slot) -> u64 {
        // From the cursor to the end of everything, then from its beginning to the cursor.
        let is_ahead = |slot: Slot| slot >= self.cursor;
        let strip =
            self.strips
                .partition_point(|strip| match (is_ahead(strip.last), is_ahead(slot)) {
                    (true, false) => true,
                    (false, true) => false,
                    (true, true) | (false, false) => strip.last < slot,
                });
        self.strips
            .get(strip)
            .map_or(0, |strip| strip.written_up_to)
    }

    /// The commit in which the last slice was written; 0 before the first.
    pub(super) fn last_slice(&self) -> u64 {
        self.strips.back().map_or(0, |strip| strip.written_up_to)
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::table::{RowKey, Table};
    use super::*;

    /// A row's value here is the number of the commit that changed it.
    fn value(commit: u64) -> Value {
        Some(commit.to_be_bytes().into())
    }

    /// Commits `rows` new keys each at random places, a slice in some of them, and checks the
    /// rule of trimming after each.
    fn sweep(seed: u64, keys: u32, slice_share: f64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pending = Pending::before_the_first_commit();
        let mut tables: BTreeMap<Slot, u64> = BTreeMap::new();
        let mut newest: BTreeMap<Slot, u64> = BTreeMap::new();
        let mut rounds = 0;
        for commit in 1..600 {
            for _ in 0..rng.random_range(0..8) {
                let slot = Slot::new(Table::Robots, RowKey::from(rng.random_range(0..keys)));
                pending.put(slot, value(commit));
                newest.insert(slot, commit);
            }
            pending.put(Slot::COUNTERS, value(commit));
            newest.insert(Slot::COUNTERS, commit);
            if rng.random_bool(slice_share) {
                for (slot, value) in pending.take_slice(commit) {
                    let commit = value.unwrap().as_ref().try_into().unwrap();
                    tables.insert(slot, u64::from_be_bytes(commit));
                }
                rounds += u32::from(pending.cursor == Slot::FIRST);
            }
            let trimmed = pending.written_up_to();
            for (slot, changed_at) in &newest {
                let stored = tables.get(slot).copied().unwrap_or(0);
                assert!(
                    stored == *changed_at || *changed_at > trimmed,
                    "seed {seed}: {slot:?} of commit {changed_at} trimmed up to {trimmed}"
                );
                assert!(pending.get(*slot).is_some() || stored == *changed_at);
            }
            let ahead = pending.range(pending.cursor..).count();
            assert_eq!(ahead, pending.ahead, "seed {seed}, commit {commit}");
        }
        assert!(rounds > 3, "seed {seed}: only {rounds} rounds");
        assert!(pending.written_up_to() > 0);
    }

    #[test]
    fn a_commit_counts_as_written_only_when_all_its_rows_are_in_their_tables() {
        for seed in 0..3 {
            sweep(seed, 40, 0.9);
            sweep(seed, 600, 0.5);
        }
    }

    #[test]
    fn a_round_ends_after_its_slices_whatever_is_put_in_meanwhile() {
        let mut pending = Pending::before_the_first_commit();
        let mut key = 0_u32;
        for commit in 1..=SLICES as u64 {
            for _ in 0..1_000 {
                pending.put(Slot::new(Table::Robots, RowKey::from(key)), value(commit));
                key += 1;
            }
            let written = pending.take_slice(commit).len();
            assert!(written < 5_000, "slice {commit} wrote {written} rows");
        }
        assert_eq!(pending.cursor, Slot::FIRST);
        assert_eq!(pending.len(), 0);
        assert_eq!(pending.written_up_to(), 1);
    }

    #[test]
    fn recovery_keeps_the_value_that_was_put_in_first() {
        let slot = Slot::new(Table::Images, RowKey::from(1_u32));
        let mut pending = Pending::before_the_first_commit();
        pending.put_older(2, slot, None);
        pending.put_older(1, slot, Some(b"older"));
        assert_eq!(pending.get(slot), Some(&None));
    }

    #[test]
    fn a_sweep_goes_on_where_it_was_and_one_that_cannot_be_is_refused() {
        let mut pending = Pending::before_the_first_commit();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut newest: BTreeMap<Slot, u64> = BTreeMap::new();
        for commit in 1..=200 {
            for _ in 0..40 {
                let slot = Slot::new(Table::Robots, RowKey::from(rng.random_range(0..97_u32)));
                pending.put(slot, value(commit));
                newest.insert(slot, commit);
            }
            pending.take_slice(commit);
            let sweep = pending.encode_sweep();
            let resumed = Pending::resume(&sweep).unwrap();
            assert_eq!(resumed.encode_sweep(), sweep);
            assert_eq!(resumed.cursor, pending.cursor);
            let mut resumed = resumed;
            for (slot, commit) in newest.iter().map(|(slot, commit)| (*slot, *commit)) {
                resumed.put_older(commit, slot, value(commit).as_deref());
            }
            assert!(resumed.rows == pending.rows, "commit {commit}");
            assert_eq!(resumed.ahead, pending.ahead);
            assert_eq!(resumed.written_up_to(), pending.written_up_to());
            assert_eq!(resumed.last_slice(), commit);
            assert!(Pending::resume(&sweep[..sweep.len() - 1]).is_none());
            assert!(Pending::resume(&sweep[..1]).is_none());
            let mut swapped = sweep.clone();
            if swapped.len() > 2 * STRIP_BYTES {
                swapped[1..=2 * STRIP_BYTES].rotate_left(STRIP_BYTES);
                assert!(Pending::resume(&swapped).is_none(), "commit {commit}");
            }
        }
    }
}

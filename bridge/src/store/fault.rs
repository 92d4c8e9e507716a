//! A disk in memory that loses what was not synced. For tests, here and of the whole server.
//!
//! Invariant: after [`FaultDisk::crash`] the disk holds everything that was written before the
//! last sync that returned, and of what was written since exactly the pieces that the test let
//! survive. A real disk promises no more: it may write in any order and tear a write between
//! sectors.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// How much of an unsynced write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tearing {
    /// Each write survives whole or not at all.
    Whole,
    /// Each sector of a write survives or not, for itself.
    Sectors,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What a running process reads.
    live: Vec<u8>,
    /// What is sure to survive.
    durable: Vec<u8>,
    /// What happened since, in order.
    unsynced: Vec<Change>,
    /// Changes and syncs ever asked for.
    operations: u64,
    /// Nothing works from this operation on.
    off_at: Option<u64>,
    /// Nothing grows beyond this length.
    capacity: Option<u64>,
    ignores_syncs: bool,
    /// Rises with each crash; backends of an older life are dead.
    life: u64,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl FaultDisk {
    /// Access for one life of a process: it ends with the next crash.
    #[must_use]
    pub fn backend(&self) -> FaultBackend {
        let life = self.state().life;
        FaultBackend {
            disk: self.clone(),
            life,
        }
    }

    /// Lets the power go after so many more changes and syncs: whatever comes then fails.
    pub fn power_off_after(&self, operations: u64) {
        let mut state = self.state();
        state.off_at = Some(state.operations.saturating_add(operations));
    }

    /// Changes and syncs so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Lets writes fail that would make the disk hold more than `bytes`; `None` ends that.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Makes the disk a liar that reports a sync and does none, so that a test can show that it
    /// would notice a commit without one.
    pub fn ignore_syncs(&self) {
        self.state().ignores_syncs = true;
    }

    /// The disk's length in bytes, as a running process sees it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.state().live.len() as u64
    }

    /// Whether nothing was ever written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts the power and turns it on again. `survives` is asked for each unsynced piece.
    pub fn crash(&self, tearing: Tearing, mut survives: impl FnMut() -> bool) {
        let mut state = self.state();
        let state = &mut *state;
        let mut image = std::mem::take(&mut state.durable);
        for change in state.unsynced.drain(..) {
            match (change, tearing) {
                (Change::Write { offset, data }, Tearing::Sectors) => {
                    for (start, piece) in sectors(offset, &data) {
                        if survives() {
                            write(&mut image, start, piece);
                        }
                    }
                }
                (change, _) => {
                    if survives() {
                        apply(&mut image, change);
                    }
                }
            }
        }
        state.live.clone_from(&image);
        state.durable = image;
        state.off_at = None;
        state.life += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has said why.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a write where sectors of the disk end.
fn sectors(offset: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = data.len().min(SECTOR_BYTES - offset % SECTOR_BYTES);
    let (head, rest) = data.split_at(first);
    let rest = rest.chunks(SECTOR_BYTES);
    let starts = (offset + first..).step_by(SECTOR_BYTES);
    std::iter::once((offset, head)).chain(starts.zip(rest))
}

fn apply(image: &mut Vec<u8>, change: Change) {
    match change {
        Change::Write { offset, data } => write(image, offset, &data),
        Change::Length(len) => image.resize(len, 0),
    }
}

fn write(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if end > image.len() {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

/// One process's access to a [`FaultDisk`].
#[derive(Clone, Debug)]
pub struct FaultBackend {
    disk: FaultDisk,
    life: u64,
}

impl FaultBackend {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        let off = state.off_at.is_some_and(|at| state.operations >= at);
        if off || state.life != self.life {
            return Err(io::Error::other("the power is off"));
        }
        Ok(state)
    }

    /// As [`alive`](Self::alive), counting a change or sync that makes the disk `len` long.
    fn operate(&self, len: Option<usize>) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.alive()?;
        state.operations += 1;
        let too_long = |len: usize| {
            let capacity = state.capacity.unwrap_or(u64::MAX);
            len > state.live.len() && len as u64 > capacity
        };
        if len.is_some_and(too_long) {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(state)
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| ErrorKind::InvalidInput.into())
}

impl StorageBackend for FaultBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = position(offset)?;
        let state = self.alive()?;
        let read = state.live.get(start..start + out.len());
        out.copy_from_slice(read.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = position(len)?;
        let mut state = self.operate(Some(len))?;
        state.live.resize(len, 0);
        state.unsynced.push(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.operate(None)?;
        let state = &mut *state;
        if !state.ignores_syncs {
            for change in state.unsynced.drain(..) {
                apply(&mut state.durable, change);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = position(offset)?;
        let mut state = self.operate(Some(offset + data.len()))?;
        write(&mut state.live, offset, data);
        state.unsynced.push(Change::Write {
            offset,
            data: data.to_vec(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(disk: &FaultDisk) -> Vec<u8> {
        disk.state().live.clone()
    }

    #[test]
    fn synced_bytes_survive_and_unsynced_ones_do_as_chosen() {
        let disk = FaultDisk::default();
        let backend = disk.backend();
        backend.write(0, b"synced").unwrap();
        backend.sync_data().unwrap();
        backend.write(0, b"SY").unwrap();
        backend.write(4, b"ED").unwrap();
        let mut turn = [false, true].into_iter();
        disk.crash(Tearing::Whole, || turn.next().unwrap());
        assert_eq!(content(&disk), b"syncED");
    }

    #[test]
    fn torn_writes_are_cut_at_the_disks_sectors() {
        let disk = FaultDisk::default();
        let backend = disk.backend();
        backend.set_len(2048).unwrap();
        backend.sync_data().unwrap();
        backend.write(500, &[1; 1000]).unwrap();
        let mut turn = [true, false, true].into_iter();
        disk.crash(Tearing::Sectors, || turn.next().unwrap());
        let image = content(&disk);
        assert!(image[500..512].iter().all(|byte| *byte == 1));
        assert!(image[512..1024].iter().all(|byte| *byte == 0));
        assert!(image[1024..1500].iter().all(|byte| *byte == 1));
        assert!(turn.next().is_none());
    }

    #[test]
    fn a_backend_is_dead_after_power_off_and_after_a_crash() {
        let disk = FaultDisk::default();
        let backend = disk.backend();
        disk.power_off_after(1);
        backend.write(0, b"a").unwrap();
        assert!(backend.sync_data().is_err());
        disk.crash(Tearing::Whole, || false);
        assert!(backend.write(0, b"b").is_err());
        assert!(disk.is_empty());
        disk.backend().write(0, b"c").unwrap();
    }

    #[test]
    fn a_full_disk_takes_changes_within_its_length_only() {
        let disk = FaultDisk::default();
        let backend = disk.backend();
        backend.write(0, b"abcd").unwrap();
        disk.set_capacity(Some(4));
        backend.write(2, b"xy").unwrap();
        let full = backend.write(3, b"zz").unwrap_err();
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        disk.set_capacity(None);
        backend.write(3, b"zz").unwrap();
    }
}

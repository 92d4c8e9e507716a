//! How many downloads run at one time, and who may wait for one.

use crate::api::MAX_CONNECTIONS;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Downloads that may wait. Each holds a connection of the listener, which has so many for everything.
const WAITING: usize = 512;

/// Connections of the listener that downloads leave to pairing.
const PAIRING: usize = 512;

/// Downloads that may run at one time.
pub(crate) const MAX_DOWNLOADS: usize = MAX_CONNECTIONS - WAITING - PAIRING;

/// Lets downloads in, in the order in which they came.
#[derive(Debug)]
pub(super) struct Gate {
    slots: Arc<Semaphore>,
    capacity: usize,
    waiting: AtomicUsize,
    wait: Duration,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Gate {
    pub(super) fn new(capacity: usize, wait: Duration) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(capacity.min(Semaphore::MAX_PERMITS))),
            capacity,
            waiting: AtomicUsize::new(0),
            wait,
        }
    }

    /// A slot, perhaps after a wait; `None` when the wait was too long, or too many wait already.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        let room = |waiting: usize| (waiting < WAITING).then_some(waiting + 1);
        self.waiting.fetch_update(Relaxed, Relaxed, room).ok()?;
        let _waiting = Waiting(&self.waiting);
        let slot = tokio::time::timeout(self.wait, Arc::clone(&self.slots).acquire_owned()).await;
        slot.ok()?.ok()
    }

    /// Slots that are taken.
    pub(super) fn taken(&self) -> usize {
        self.capacity.saturating_sub(self.slots.available_permits())
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_finds_no_slot_waits_for_one() {
        let gate = Gate::new(1, LONG);
        let first = gate.enter().await.unwrap();
        let release = async {
            while gate.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(gate.taken(), 1);
            drop(first);
        };
        let (second, ()) = tokio::join!(gate.enter(), release);
        assert!(second.is_some());
        assert_eq!((gate.taken(), gate.waiting()), (1, 0));
    }

    #[tokio::test]
    async fn a_wait_ends() {
        let gate = Gate::new(1, Duration::ZERO);
        let _first = gate.enter().await.unwrap();
        assert!(gate.enter().await.is_none());
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let gate = Arc::new(Gate::new(1, LONG));
        let first = gate.enter().await.unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.enter().await.is_some() })
            })
            .collect();
        while gate.waiting() < WAITING {
            tokio::task::yield_now().await;
        }
        assert!(gate.enter().await.is_none(), "one more than may wait");
        drop(first);
        for waiting in waiting {
            assert!(waiting.await.unwrap());
        }
    }
}

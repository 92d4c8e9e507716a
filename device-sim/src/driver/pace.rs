//! The pace of connecting: so many attempts per second, so many at once.
//!
//! A fleet that comes back after a broker's restart would otherwise overrun its listen queue.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// How fast a fleet connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Attempts per second, at least 1.
    pub per_second: u32,
    /// Attempts at once, at least 1.
    pub at_once: u16,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            per_second: 2_000,
            at_once: 200,
        }
    }
}

#[derive(Debug)]
pub(super) struct Gate {
    interval: Duration,
    next: Mutex<Instant>,
    at_once: Semaphore,
}

impl Gate {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            interval: Duration::from_secs(1) / pace.per_second.max(1),
            next: Mutex::new(Instant::now()),
            at_once: Semaphore::new(usize::from(pace.at_once.max(1))),
        }
    }

    /// Waits for a turn. The attempt is over when the permit is dropped.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.at_once.acquire().await.ok();
        let turn = {
            let mut next = self.next.lock();
            let turn = (*next).max(Instant::now());
            *next = turn + self.interval;
            turn
        };
        tokio::time::sleep_until(turn).await;
        permit
    }
}

//! What the writer counts: read by `/v1/status` and `/metrics` from any thread.

use super::histogram::{Distribution, Histogram};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bounds of commit times, microseconds: from a quiet disk to a stall that people notice.
const COMMIT_MICROS: [u64; 10] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 2_000_000,
];

/// Bounds of batches, inputs.
const COMMIT_INPUTS: [u64; 9] = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000];

/// Counters since the server's start, and the state of intake.
#[derive(Debug)]
pub struct Status {
    pub(crate) commits: AtomicU64,
    pub(crate) inputs_committed: AtomicU64,
    pub(crate) events_committed: AtomicU64,
    pub(crate) largest_batch: AtomicU64,
    pub(crate) commit_micros: Histogram<{ COMMIT_MICROS.len() }>,
    pub(crate) commit_inputs: Histogram<{ COMMIT_INPUTS.len() }>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    intake_stopped: Mutex<Option<String>>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            commits: AtomicU64::default(),
            inputs_committed: AtomicU64::default(),
            events_committed: AtomicU64::default(),
            largest_batch: AtomicU64::default(),
            commit_micros: Histogram::new(&COMMIT_MICROS),
            commit_inputs: Histogram::new(&COMMIT_INPUTS),
            refusals: Mutex::default(),
            intake_stopped: Mutex::default(),
        }
    }
}

/// A copy of the counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusSnapshot {
    /// Commits.
    pub commits: u64,
    /// Inputs that a commit has made durable.
    pub inputs_committed: u64,
    /// Those of them that are OTAEvents.
    pub events_committed: u64,
    /// Inputs in the largest batch.
    pub largest_batch: u64,
    /// Microseconds spent in commits.
    pub commit_micros: u64,
    /// Refused and ignored inputs by reason.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Why nothing is taken in, if so.
    pub intake_stopped: Option<String>,
}

impl Status {
    /// A copy of all counters.
    #[must_use]
    pub fn snapshot(&self) -> StatusSnapshot {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatusSnapshot {
            commits: load(&self.commits),
            inputs_committed: load(&self.inputs_committed),
            events_committed: load(&self.events_committed),
            largest_batch: load(&self.largest_batch),
            commit_micros: self.commit_micros.read().sum,
            refusals: self.refusals.lock().clone(),
            intake_stopped: self.intake_stopped.lock().clone(),
        }
    }

    /// How long commits took, microseconds, and how many inputs they held.
    pub(crate) fn distributions(&self) -> (Distribution, Distribution) {
        (self.commit_micros.read(), self.commit_inputs.read())
    }

    /// Why nothing is taken in, if so.
    #[must_use]
    pub fn intake_stopped(&self) -> Option<String> {
        self.intake_stopped.lock().clone()
    }

    pub(crate) fn refuse(&self, reason: &'static str) {
        *self.refusals.lock().entry(reason).or_default() += 1;
    }

    pub(crate) fn set_intake_stopped(&self, why: Option<String>) {
        *self.intake_stopped.lock() = why;
    }
}

//! Counters and latencies of a run, shared by its tasks and its watchers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::model::Totals;

/// Longest latency that is told apart, in microseconds.
const LATENCY_MAX: u64 = 600_000_000;

/// What a run counts.
#[derive(Debug, Default)]
pub struct Stats {
    pub(super) connected: Gauge,
    pub(super) settled: Gauge,
    pub(super) connects: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) tls_handshakes: AtomicU64,
    pub(super) pairing_registrations: AtomicU64,
    pub(super) pairing_credentials: AtomicU64,
    pub(super) pairing_verifications: AtomicU64,
    pub(super) pairing_infos: AtomicU64,
    pub(super) connections_lost: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) downloads: AtomicU64,
    pub(super) downloads_failed: AtomicU64,
    pub(super) downloaded_bytes: AtomicU64,
    pub(super) operations_started: AtomicU64,
    pub(super) operations_ended: AtomicU64,
    pub(super) operations_installed: AtomicU64,
    pub(super) violations: AtomicU64,
    pub(super) pairing_time: Latency,
    pub(super) connect_time: Latency,
    pub(super) arrival_time: Latency,
    pub(super) publish_time: Latency,
    pub(super) request_time: Latency,
    last_error: Mutex<Option<String>>,
    refusals: Mutex<BTreeMap<String, u64>>,
}

/// Most reasons that are told apart.
const REASONS_MAX: usize = 64;

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Snapshot {
    /// Robots that are connected.
    pub connected: u64,
    /// Robots that are connected, idle and have nothing left to say.
    pub settled: u64,
    /// Connections that the broker accepted.
    pub connects: u64,
    /// Attempts that failed, in pairing or at the broker.
    pub connect_failures: u64,
    /// TLS handshakes with the broker that succeeded.
    pub tls_handshakes: u64,
    /// Robots that were registered with a pairing token.
    pub pairing_registrations: u64,
    /// Certificates that were issued.
    pub pairing_credentials: u64,
    /// Certificates that were looked at by the server, valid or not.
    pub pairing_verifications: u64,
    /// Answers that named the broker.
    pub pairing_infos: u64,
    /// Connections that ended without the robot's doing.
    pub connections_lost: u64,
    /// Messages published.
    pub published: u64,
    /// Of those, acknowledged by PUBACK or PUBCOMP.
    pub acknowledged: u64,
    /// Of those, acknowledged as refused (MQTT 5).
    pub refused: u64,
    /// Messages received.
    pub received: u64,
    /// Downloads that brought the whole artifact.
    pub downloads: u64,
    /// Downloads that failed.
    pub downloads_failed: u64,
    /// Bytes of complete downloads.
    pub downloaded_bytes: u64,
    /// Operations that robots were asked for.
    pub operations_started: u64,
    /// Of those, over.
    pub operations_ended: u64,
    /// Of those, the image runs.
    pub operations_installed: u64,
    /// Things a server must not do.
    pub violations: u64,
}

impl Snapshot {
    /// Operations that are not over.
    #[must_use]
    pub fn operations_running(&self) -> u64 {
        self.operations_started
            .saturating_sub(self.operations_ended)
    }
}

impl Stats {
    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            connected: self.connected.0.load(Relaxed),
            settled: self.settled.0.load(Relaxed),
            connects: self.connects.load(Relaxed),
            connect_failures: self.connect_failures.load(Relaxed),
            tls_handshakes: self.tls_handshakes.load(Relaxed),
            pairing_registrations: self.pairing_registrations.load(Relaxed),
            pairing_credentials: self.pairing_credentials.load(Relaxed),
            pairing_verifications: self.pairing_verifications.load(Relaxed),
            pairing_infos: self.pairing_infos.load(Relaxed),
            connections_lost: self.connections_lost.load(Relaxed),
            published: self.published.load(Relaxed),
            acknowledged: self.acknowledged.load(Relaxed),
            refused: self.refused.load(Relaxed),
            received: self.received.load(Relaxed),
            downloads: self.downloads.load(Relaxed),
            downloads_failed: self.downloads_failed.load(Relaxed),
            downloaded_bytes: self.downloaded_bytes.load(Relaxed),
            operations_started: self.operations_started.load(Relaxed),
            operations_ended: self.operations_ended.load(Relaxed),
            operations_installed: self.operations_installed.load(Relaxed),
            violations: self.violations.load(Relaxed),
        }
    }

    /// Why the newest connection failed or ended, for people who wonder.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().clone()
    }

    pub(super) fn failed(&self, error: String) {
        *self.last_error.lock() = Some(error);
    }

    /// How often attempts to connect failed, by reason.
    #[must_use]
    pub fn refusals(&self) -> BTreeMap<String, u64> {
        self.refusals.lock().clone()
    }

    pub(super) fn refused_for(&self, reason: String) {
        let mut refusals = self.refusals.lock();
        let known = refusals.len() < REASONS_MAX || refusals.contains_key(&reason);
        let reason = if known { reason } else { "other".to_owned() };
        *refusals.entry(reason).or_default() += 1;
    }

    /// Adds what happened to one robot between two of its steps.
    pub(super) fn advance(&self, before: Totals, after: Totals) {
        self.operations_started
            .fetch_add(after.started - before.started, Relaxed);
        self.operations_ended
            .fetch_add(after.ended - before.ended, Relaxed);
        self.operations_installed
            .fetch_add(after.installed - before.installed, Relaxed);
        self.violations
            .fetch_add(after.violations - before.violations, Relaxed);
    }
}

/// How many robots are in some state.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU64);

impl Gauge {
    /// One robot's part, when it changes.
    pub(super) fn change(&self, was: bool, is: bool) {
        match (was, is) {
            (false, true) => self.0.fetch_add(1, Relaxed),
            (true, false) => self.0.fetch_sub(1, Relaxed),
            _ => return,
        };
    }
}

/// How long something took, as a distribution of microseconds with two significant digits.
#[derive(Debug)]
pub(super) struct Latency(Mutex<Option<Histogram<u64>>>);

impl Default for Latency {
    fn default() -> Self {
        Self(Mutex::new(
            Histogram::new_with_bounds(1, LATENCY_MAX, 2).ok(),
        ))
    }
}

impl Latency {
    pub(super) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros())
            .unwrap_or(u64::MAX)
            .clamp(1, LATENCY_MAX);
        if let Some(histogram) = self.0.lock().as_mut() {
            histogram.saturating_record(micros);
        }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Histogram<u64>) -> T) -> Option<T> {
        self.0.lock().as_ref().map(read)
    }
}

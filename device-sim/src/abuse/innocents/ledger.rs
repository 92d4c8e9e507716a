//! What innocent clients noticed.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// The longest time that is told apart from longer ones, in microseconds.
const LONGEST: u64 = 600_000_000;
/// Complaints that are kept; a server that is dead has many.
const COMPLAINTS_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Content>);

#[derive(Debug)]
struct Content {
    attacked: bool,
    before: Histogram<u64>,
    during: Histogram<u64>,
    beats: BTreeMap<&'static str, u64>,
    complaints: Vec<String>,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            attacked: false,
            before: histogram(),
            during: histogram(),
            beats: BTreeMap::new(),
            complaints: Vec::new(),
        }
    }
}

#[expect(clippy::expect_used, reason = "the bounds are constants that fit")]
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 2).expect("bounds in order")
}

/// Round trips of innocent clients: from a publish to its acknowledgement or arrival, whichever is later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct RoundTrips {
    /// How many were measured.
    pub count: u64,
    /// Median, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 are shorter, in milliseconds.
    pub p99_ms: f64,
    /// The longest, in milliseconds.
    pub max_ms: f64,
}

impl RoundTrips {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1e3;
        Self {
            count: histogram.len(),
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            max_ms: ms(histogram.max()),
        }
    }
}

/// How innocent clients fared.
#[derive(Debug, Clone)]
pub(in crate::abuse) struct Conduct {
    pub(in crate::abuse) before: RoundTrips,
    pub(in crate::abuse) during: RoundTrips,
    pub(in crate::abuse) complaints: Vec<String>,
}

impl Ledger {
    pub(super) fn beat(&self, name: &'static str, took: Duration) {
        let mut content = self.0.lock();
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST);
        if content.attacked {
            content.during.saturating_record(micros);
        } else {
            content.before.saturating_record(micros);
        }
        *content.beats.entry(name).or_default() += 1;
    }

    pub(super) fn beats(&self, name: &str) -> u64 {
        self.0.lock().beats.get(name).copied().unwrap_or(0)
    }

    pub(super) fn attack_begins(&self) {
        self.0.lock().attacked = true;
    }

    pub(super) fn complain(&self, complaint: String) {
        let mut content = self.0.lock();
        if content.complaints.len() < COMPLAINTS_MAX {
            content.complaints.push(complaint);
        }
    }

    pub(super) fn has_complaints(&self) -> bool {
        !self.0.lock().complaints.is_empty()
    }

    pub(super) fn conduct(&self) -> Conduct {
        let content = self.0.lock();
        Conduct {
            before: RoundTrips::of(&content.before),
            during: RoundTrips::of(&content.during),
            complaints: content.complaints.clone(),
        }
    }
}

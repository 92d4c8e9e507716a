//! How long inputs take, by what they are.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use std::time::Duration;

/// What is measured one by one, in the order in which a rollout meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Register,
    Connected,
    Subscribed,
    Manifest,
    Image,
    TimerForNothing,
    TimerResend,
    TimerMoved,
    Acknowledged,
    Downloading,
    Downloaded,
    Deploying,
    Deployed,
    Rebooting,
    Success,
    ImageEnds,
    Disconnected,
    NextEcu,
    NextRobot,
    WhyWaiting,
    WhyUnderWay,
    Clock,
}

impl Kind {
    pub(super) const ALL: [(Self, &'static str); 22] = [
        (Self::Clock, "reading the clock twice, contained in each"),
        (Self::Register, "register a robot"),
        (Self::Connected, "connected"),
        (Self::Subscribed, "subscribed"),
        (Self::Manifest, "manifest"),
        (Self::Image, "image, nothing under way"),
        (Self::Disconnected, "disconnected, operation under way"),
        (Self::TimerForNothing, "timer with nothing to do"),
        (Self::TimerMoved, "timer that is set anew"),
        (Self::TimerResend, "timer: request timeout, resend"),
        (Self::Acknowledged, "event Acknowledged"),
        (Self::Downloading, "event Downloading"),
        (Self::Downloaded, "event Downloading 100"),
        (Self::Deploying, "event Deploying"),
        (Self::Deployed, "event Deployed"),
        (Self::Rebooting, "event Rebooting"),
        (Self::Success, "event Success"),
        (Self::ImageEnds, "image that proves success"),
        (Self::NextEcu, "cap 100: the same, next ECU told"),
        (Self::NextRobot, "cap 100: the same, next robot told"),
        (Self::WhyWaiting, "why: waits for a slot"),
        (Self::WhyUnderWay, "why: under way"),
    ];
}

/// Longest span that is told from longer ones.
const LONGEST_NS: u64 = 60_000_000_000;

/// Spans by kind. It has its memory from the start, so that it does not disturb what is counted.
#[derive(Debug)]
pub(super) struct Pace(Vec<Histogram<u64>>);

impl Pace {
    pub(super) fn new() -> Result<Self> {
        let empty = || Histogram::new_with_bounds(1, LONGEST_NS, 2);
        let histograms: Result<_, _> = Kind::ALL.iter().map(|_| empty()).collect();
        histograms.map(Self).context("no histogram")
    }

    pub(super) fn record(&mut self, kind: Kind, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(LONGEST_NS);
        self.0[kind as usize].saturating_record(nanoseconds);
    }

    /// Median and 99th percentile in ns, of those kinds that happened.
    pub(super) fn quantiles(&self) -> impl Iterator<Item = (&'static str, [f64; 2])> {
        Kind::ALL.into_iter().filter_map(|(kind, name)| {
            let spans = &self.0[kind as usize];
            let at = |quantile| spans.value_at_quantile(quantile);
            let values = [precise(at(0.5)), precise(at(0.99))];
            (!spans.is_empty()).then_some((name, values))
        })
    }
}

/// Takes the CPU time of this thread, for what takes so long that the scheduler lets others in between.
#[derive(Debug)]
pub(super) struct Stopwatch(Duration);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(cpu_time())
    }

    pub(super) fn took(&self) -> Duration {
        cpu_time().saturating_sub(self.0)
    }
}

fn cpu_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(used.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(used.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a span of 2^52 ns would be 52 days"
)]
const fn precise(nanoseconds: u64) -> f64 {
    nanoseconds as f64
}

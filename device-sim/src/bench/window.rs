//! A stretch of time in which messages are counted, and what became of the queue in it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::BenchError;
use super::fan_in::{Load, STOPPED};
use super::process::{Meter, Process, Usage};
use super::report::{IntervalReport, LatencyReport};

/// Between two looks at the queue.
const LOOK: Duration = Duration::from_millis(50);

/// A queue of so many seconds of messages is not looked at any longer: nothing brings it back.
const HOPELESS_SECONDS: f64 = 2.0;

/// A queue may vary by as much as comes within this time: commits and slices of the disk take tens of milliseconds.
const SLACK_SECONDS: f64 = 0.1;

/// Longest time for what is under way to arrive after the last publish.
const DRAIN: Duration = Duration::from_secs(5);

/// What was counted.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) seconds: f64,
    pub(super) sent: u64,
    /// Refusals are not among them.
    pub(super) acknowledged: u64,
    pub(super) delivered: u64,
    pub(super) latency: LatencyReport,
    pub(super) queue_before: u64,
    pub(super) queue_after: u64,
    pub(super) grows: bool,
    pub(super) usage: Usage,
}

impl Window {
    /// Messages per second that went all the way.
    pub(super) fn throughput(&self, subscribers: u64) -> f64 {
        let acknowledged = self.acknowledged as f64 / self.seconds;
        if subscribers == 0 {
            return acknowledged;
        }
        acknowledged.min(self.delivered as f64 / self.seconds / subscribers as f64)
    }
}

/// Counts of one moment.
#[derive(Debug, Clone, Copy)]
struct Counts {
    due: u64,
    sent: u64,
    acknowledged: u64,
    /// They leave the queue, and count as nothing else.
    refused: u64,
    delivered: u64,
}

impl Counts {
    fn of(load: &Load) -> Self {
        let crew = &load.crew;
        // What comes later in a message's life is read first, so that no difference is negative for long.
        let delivered = crew.sum(|tally| &tally.delivered);
        Self {
            delivered,
            acknowledged: crew.sum(|tally| &tally.acknowledged),
            refused: crew.sum(|tally| &tally.refused),
            sent: crew.sum(|tally| &tally.sent),
            due: crew.sum(|tally| &tally.due),
        }
    }

    /// Messages that have not gone all the way, beyond those at the beginning of a rate.
    fn queue(&self, begin: &Self, rated: bool, subscribers: u64) -> u64 {
        let offered = if rated {
            self.due.saturating_sub(begin.due)
        } else {
            self.sent - begin.sent
        };
        let acknowledged = self.acknowledged - begin.acknowledged;
        let delivered = (self.delivered - begin.delivered).checked_div(subscribers);
        let taken = delivered.map_or(acknowledged, |delivered| acknowledged.min(delivered));
        offered.saturating_sub(taken + (self.refused - begin.refused))
    }
}

/// Who hears of intervals.
pub(super) type Tell<'a> = dyn FnMut(&IntervalReport) -> Result<(), BenchError> + 'a;

/// Counts for `duration`, or until the queue is hopeless.
pub(super) fn measure(
    load: &Load,
    rate: Option<u64>,
    duration: Duration,
) -> Result<Window, BenchError> {
    count(load, rate, duration, None)
}

/// Counts for `duration`, whatever becomes of the queue, and tells every interval.
pub(super) fn measure_telling(
    load: &Load,
    rate: Option<u64>,
    duration: Duration,
    every: Duration,
    tell: &mut Tell<'_>,
) -> Result<Window, BenchError> {
    count(load, rate, duration, Some((every, tell)))
}

fn count(
    load: &Load,
    rate: Option<u64>,
    duration: Duration,
    mut telling: Option<(Duration, &mut Tell<'_>)>,
) -> Result<Window, BenchError> {
    let (began, begin) = (Instant::now(), Counts::of(load));
    let meter = Meter::begin(load.server)?;
    load.crew.take_latency();
    let mut latencies = None;
    let (mut interval, mut intervals) = (Interval::begin(&begin)?, 0);
    let mut queues = Vec::new();
    while began.elapsed() < duration {
        std::thread::sleep(LOOK.min(duration));
        let queue = Counts::of(load).queue(&begin, rate.is_some(), load.subscribers);
        queues.push(queue);
        if let Some((every, tell)) = &mut telling {
            // By the clock of the whole window, so that late looks do not add up and the last interval ends with it.
            if began.elapsed() >= *every * (intervals + 1) {
                intervals += 1;
                tell(&interval.end(load, queue, &mut latencies)?)?;
            }
            continue;
        }
        if rate.is_some_and(|rate| queue as f64 > rate as f64 * HOPELESS_SECONDS) {
            break;
        }
    }
    let (end, seconds) = (Counts::of(load), began.elapsed().as_secs_f64());
    let usage = meter.read()?;
    merge(&mut latencies, load.crew.take_latencies());
    let latency = latencies
        .as_ref()
        .map(LatencyReport::of)
        .unwrap_or_default();
    let acknowledged = end.acknowledged - begin.acknowledged;
    let pace = rate.map_or(acknowledged as f64 / seconds, |rate| rate as f64);
    let slack = (pace * SLACK_SECONDS).max(load.publishers as f64);
    Ok(Window {
        seconds,
        sent: end.sent - begin.sent,
        acknowledged,
        delivered: end.delivered - begin.delivered,
        latency,
        queue_before: queues.first().copied().unwrap_or(0),
        queue_after: queues.last().copied().unwrap_or(0),
        grows: grows(&queues, slack),
        usage,
    })
}

/// A part of a window.
struct Interval {
    began: Instant,
    acknowledged: u64,
    own_cpu: Duration,
}

impl Interval {
    fn begin(counts: &Counts) -> Result<Self, BenchError> {
        Ok(Self {
            began: Instant::now(),
            acknowledged: counts.acknowledged,
            own_cpu: Process::own().cpu()?,
        })
    }

    /// What it brought; the next one begins.
    fn end(
        &mut self,
        load: &Load,
        queue: u64,
        latencies: &mut Option<Histogram<u64>>,
    ) -> Result<IntervalReport, BenchError> {
        let counts = Counts::of(load);
        let next = Self::begin(&counts)?;
        let seconds = (next.began - self.began).as_secs_f64();
        let own_cpu = next.own_cpu.saturating_sub(self.own_cpu);
        let taken = load.crew.take_latencies();
        let report = IntervalReport {
            seconds,
            acknowledged: counts.acknowledged,
            acknowledged_per_second: (counts.acknowledged - self.acknowledged) as f64 / seconds,
            ack_latency: taken.as_ref().map(LatencyReport::of).unwrap_or_default(),
            queue,
            refused: counts.refused,
            lost: load.crew.sum(|tally| &tally.lost),
            own_cores: own_cpu.as_secs_f64() / seconds,
        };
        merge(latencies, taken);
        *self = next;
        Ok(report)
    }
}

fn merge(all: &mut Option<Histogram<u64>>, more: Option<Histogram<u64>>) {
    match (all.as_mut(), more) {
        // Both have the same bounds, so that nothing is left out.
        (Some(all), Some(more)) => drop(all.add(more)),
        (None, more) => *all = more,
        (Some(_), None) => {}
    }
}

/// Whether the last quarter's queue is longer than that of the second, by more than `slack` messages. The first quarter
/// is the beginning.
fn grows(queues: &[u64], slack: f64) -> bool {
    let quarter = queues.len() / 4;
    if quarter == 0 {
        return false;
    }
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len() as f64;
    let (early, late) = (
        &queues[quarter..2 * quarter],
        &queues[queues.len() - quarter..],
    );
    mean(late) > mean(early) + slack
}

/// Stops publishing and waits for what is under way; returns how many acknowledged messages were not delivered.
pub(super) fn drain(load: &Load) -> u64 {
    load.rate.store(STOPPED, Relaxed);
    let missing = |crew: &super::crew::Crew| {
        let acknowledged = crew.sum(|tally| &tally.acknowledged);
        let delivered = crew.sum(|tally| &tally.delivered);
        (acknowledged * load.subscribers).saturating_sub(delivered)
    };
    load.crew.look(DRAIN, |crew| {
        let answered = crew.sum(|tally| &tally.acknowledged) + crew.sum(|tally| &tally.refused);
        answered >= crew.sum(|tally| &tally.sent) && missing(crew) == 0
    });
    missing(&load.crew)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_leaves_the_queue() {
        let counts = |sent, acknowledged, refused, delivered| Counts {
            due: sent,
            sent,
            acknowledged,
            refused,
            delivered,
        };
        let begin = counts(10, 5, 1, 5);
        let end = counts(110, 75, 21, 75);
        assert_eq!(end.queue(&begin, true, 1), 10);
        assert_eq!(end.queue(&begin, false, 0), 10);
    }

    #[test]
    fn a_queue_grows_when_its_end_is_longer_than_its_beginning_by_more_than_the_slack() {
        let rising: Vec<_> = (0..40).map(|look| look * 100).collect();
        assert!(grows(&rising, 500.0));
        assert!(!grows(&rising, 5_000.0));
        let saw: Vec<_> = (0..40).map(|look| look % 5 * 100).collect();
        assert!(!grows(&saw, 50.0));
        let start: Vec<_> = (0..40)
            .map(|look| if look < 10 { 9_000 } else { 10 })
            .collect();
        assert!(!grows(&start, 0.0));
        assert!(!grows(&[1, 2, 3], 0.0));
    }
}

//! The search for the highest rate that is held without a growing queue, a refusal or a lost connection.
//!
//! From what went through with full windows it steps up until a rate is not held, or down until one is, and then halves
//! the gap between the two. Short tries come first, so that only rates that have a chance cost the whole time.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::BenchError;
use super::fan_in::Load;
use super::report::{PeakReport, TryReport};
use super::window;

/// From one rate to the next, until the peak is between two of them.
const STEP: f64 = 1.25;

/// The peak is found when the least rate that was not held is no more than this times the highest that was.
const NEAR: f64 = 1.05;

/// Rates that are held for the whole time at most, and rates that are tried at most.
const HOLDS: usize = 6;
const RATES: usize = 12;

/// A short try takes so much of the whole time, and not less than the other.
const SHORT: f64 = 0.1;
const SHORTEST: Duration = Duration::from_secs(1);

/// Of what is asked for, so much must have been acknowledged.
const ENOUGH: f64 = 0.98;

/// Time for a new rate to settle before it is looked at.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) fn find(load: &Load, open: f64, hold: Duration) -> Result<PeakReport, BenchError> {
    let short = hold.mul_f64(SHORT).max(SHORTEST).min(hold);
    let mut search = Search {
        load,
        tries: Vec::new(),
    };
    let mut gap = Gap::default();
    let (mut rate, mut holds) = (open, 0);
    for _ in 0..RATES {
        let mut held = search.is_held(rate, short)?;
        if held {
            holds += 1;
            held = search.is_held(rate, hold)?;
        }
        match gap.narrow(rate, held) {
            Some(next) if holds < HOLDS => rate = next,
            _ => break,
        }
    }
    Ok(PeakReport {
        held_per_second: gap.held.map(whole),
        hold_seconds: hold.as_secs_f64(),
        tries: search.tries,
    })
}

/// What is known of the peak.
#[derive(Debug, Default)]
struct Gap {
    /// The highest rate that was held.
    held: Option<f64>,
    /// The least rate above it that was not.
    broke: Option<f64>,
}

impl Gap {
    /// Takes in how a rate went; returns which one to try next, or nothing if the peak is found.
    fn narrow(&mut self, rate: f64, held: bool) -> Option<f64> {
        if held {
            self.held = Some(rate);
        } else {
            self.broke = Some(rate);
        }
        match (self.held, self.broke) {
            (Some(held), Some(broke)) => {
                (broke > held * NEAR).then_some(f64::midpoint(held, broke))
            }
            (Some(held), None) => Some(held * STEP),
            (None, broke) => broke.map(|broke| broke / STEP),
        }
    }
}

struct Search<'a> {
    load: &'a Load,
    tries: Vec<TryReport>,
}

impl Search<'_> {
    fn is_held(&mut self, rate: f64, duration: Duration) -> Result<bool, BenchError> {
        window::drain(self.load);
        let rate = whole(rate);
        let harm = |load: &Load| {
            load.crew.sum(|tally| &tally.lost) + load.crew.sum(|tally| &tally.refused)
        };
        let before = harm(self.load);
        self.load.rate.store(rate, Relaxed);
        std::thread::sleep(SETTLE.min(duration));
        let window = window::measure(self.load, Some(rate), duration)?;
        let unharmed = harm(self.load) == before;
        let went = window.throughput(self.load.subscribers);
        let held = unharmed && !window.grows && went >= rate as f64 * ENOUGH;
        self.tries.push(TryReport {
            rate,
            seconds: window.seconds,
            held,
            own_busiest_thread: window.usage.busiest_thread,
            ack_latency: window.latency,
        });
        Ok(held)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^53"
)]
fn whole(rate: f64) -> u64 {
    (rate as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates that are tried for a server whose peak is this, from 1,000 on.
    fn search(peak: f64) -> (Gap, usize) {
        let (mut gap, mut rate, mut tries) = (Gap::default(), 1_000.0, 0);
        loop {
            tries += 1;
            match gap.narrow(rate, rate <= peak) {
                Some(next) => rate = next,
                None => return (gap, tries),
            }
        }
    }

    #[test]
    fn the_peak_is_found_within_5_percent_below_and_above_the_first_rate() {
        for peak in [300.0, 640.0, 870.0, 999.0, 1_000.0, 1_300.0, 4_000.0] {
            let (gap, tries) = search(peak);
            let held = gap.held.unwrap();
            assert!(held <= peak && peak <= held * NEAR, "{peak}: {gap:?}");
            assert!(tries <= RATES, "{peak}: {tries}");
        }
        // Where it is, as a rule: just below what went through with full windows.
        for peak in [810.0, 870.0, 999.0] {
            assert!(search(peak).1 <= HOLDS, "{peak}");
        }
    }
}

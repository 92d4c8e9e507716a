//! The search for the highest rate that is held without a growing queue, a refusal or a lost connection.
//!
//! It begins just below what went through with full windows. Short tries come first, so that only rates that have a
//! chance cost the whole time.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::BenchError;
use super::fan_in::Load;
use super::report::{PeakReport, TryReport};
use super::window;

/// Of the throughput with full windows: where the search begins, how far it goes down after a failure, and up after a
/// success.
const FIRST: f64 = 0.95;
const DOWN: f64 = 0.92;
const UP: f64 = 1.05;

/// Rates that are tried at most; the last ones are then far below what went through.
const TRIES: usize = 20;

/// Tries above one that was held.
const RAISES: usize = 2;

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
    let mut held = None;
    let (mut rate, mut raises) = (open * FIRST, 0);
    while search.tries.len() < TRIES {
        let goes = search.is_held(rate, short)? && search.is_held(rate, hold)?;
        if goes {
            held = Some(whole(rate));
            if raises == RAISES {
                break;
            }
            raises += 1;
            rate *= UP;
        } else if held.is_some() {
            break;
        } else {
            raises = RAISES;
            rate *= DOWN;
        }
    }
    Ok(PeakReport {
        held_per_second: held,
        hold_seconds: hold.as_secs_f64(),
        tries: search.tries,
    })
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

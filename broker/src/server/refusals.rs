//! A log that anonymous peers cannot flood.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// At most one line in this time goes to the log for all refused handshakes together; the counters have them all.
const PAUSE: Duration = Duration::from_secs(1);

/// When a refusal was logged last.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

impl Refusals {
    /// Whether this one may be logged, and how many were not since the last that was.
    pub(crate) fn may_log(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| now < last + PAUSE) {
            state.unsaid += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_a_second_that_says_how_many() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.at(start), Some(0));
        for _ in 0..1_000 {
            assert_eq!(refusals.at(start + PAUSE / 2), None);
        }
        assert_eq!(refusals.at(start + PAUSE), Some(1_000));
        assert_eq!(refusals.at(start + PAUSE * 3), Some(0));
    }
}

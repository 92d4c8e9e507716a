//! A log that anonymous peers cannot flood.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// At most one line in this time goes to the log for all refusals of one kind together; the counters have them all.
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

/// Characters of what a client says that go to the log: enough for every name that was not made to fill a disk.
const SAID: usize = 80;

/// The beginning of what a client says.
pub(crate) fn cut(said: &str) -> &str {
    let end = said.char_indices().nth(SAID);
    end.map_or(said, |(end, _)| &said[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_does_not_fill_the_log() {
        assert_eq!(cut("fleet/r1"), "fleet/r1");
        assert_eq!(cut(&"\u{e4}".repeat(65_535)), "\u{e4}".repeat(80));
    }

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

//! The time that inputs get: the wall clock, but never back and never standing still.
//!
//! A wall clock that is set back would freeze every deadline until it has caught up; one that jumped ahead and back
//! again would freeze them for as long as it had jumped.

use rollcall_engine::Timestamp;
use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A clock that goes on from its latest time, at least as fast as time passes.
#[derive(Debug)]
pub(crate) struct Clock {
    anchor: Cell<(Timestamp, Instant)>,
}

impl Clock {
    /// A clock that shows at least `at`.
    pub(crate) fn from(at: Timestamp) -> Self {
        Self {
            anchor: Cell::new((at.max(wall_clock()), Instant::now())),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(wall_clock(), Instant::now())
    }

    fn at(&self, wall: Timestamp, now: Instant) -> Timestamp {
        let (then, anchored) = self.anchor.get();
        let elapsed = now.saturating_duration_since(anchored).as_millis();
        let passed = then.after(u64::try_from(elapsed).unwrap_or(u64::MAX));
        if wall > passed {
            self.anchor.set((wall, now));
        }
        wall.max(passed)
    }
}

/// The wall clock.
pub(crate) fn wall_clock() -> Timestamp {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn time_passes_whatever_the_wall_clock_does() {
        let start = Instant::now();
        let clock = Clock {
            anchor: Cell::new((Timestamp(10_000), start)),
        };
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(clock.at(Timestamp(10_005), after(5)), Timestamp(10_005));
        assert_eq!(
            clock.at(Timestamp(4_000), after(9)),
            Timestamp(10_009),
            "set back"
        );
        assert_eq!(
            clock.at(Timestamp(90_000), after(10)),
            Timestamp(90_000),
            "set ahead"
        );
        assert_eq!(
            clock.at(Timestamp(10_020), after(20)),
            Timestamp(90_010),
            "and back again"
        );
    }
}

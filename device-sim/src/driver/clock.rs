//! The robots' time: the wall clock, run faster.

use std::time::Duration;

use tokio::time::Instant;

/// How many times faster than the wall clock robots live; above 0, at most 1,000,000.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeScale(f64);

impl TimeScale {
    /// As fast as the wall clock.
    pub const REAL: Self = Self(1.0);

    /// `None` when out of bounds.
    #[must_use]
    pub fn new(factor: f64) -> Option<Self> {
        (factor > 0.0 && factor <= 1e6).then_some(Self(factor))
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
    scale: f64,
}

impl Clock {
    pub(super) fn start(scale: TimeScale) -> Self {
        Self {
            origin: Instant::now(),
            scale: scale.0,
        }
    }

    /// Now, in the robots' milliseconds.
    pub(super) fn now_ms(&self) -> u64 {
        let scaled = self.origin.elapsed().as_secs_f64() * self.scale * 1000.0;
        Duration::try_from_secs_f64(scaled).map_or(u64::MAX, |ms| ms.as_secs())
    }

    /// When a time of the robots comes. Late by up to a robot's millisecond, never early.
    pub(super) fn instant_of(&self, at_ms: u64) -> Instant {
        // Exact up to 2^53 ms, which is 285,000 years.
        #[expect(clippy::cast_precision_loss, reason = "robots do not live that long")]
        let seconds = (at_ms as f64 / self.scale + 1.0) / 1000.0;
        let far = Duration::from_secs(86_400 * 365);
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(far).min(far);
        self.origin + wait
    }
}

//! How fast bytes may flow in all: a token bucket that is told the time.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// What may flow at once after a rest.
const BURST: Duration = Duration::from_millis(250);

/// A token bucket. Each of those who use it has one claim at a time and claims are met in order, so all get the same.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// When everything claimed so far has flowed; in time since the start.
    paid: Duration,
}

impl Bucket {
    const fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            paid: Duration::ZERO,
        }
    }

    /// Claims `bytes` at `now`, and returns when they may flow.
    fn claim(&mut self, now: Duration, bytes: usize) -> Duration {
        let nanos = u128::try_from(bytes).unwrap_or(u128::MAX) * 1_000_000_000
            / u128::from(self.bytes_per_second.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let from = self.paid.max(now.saturating_sub(BURST));
        self.paid = from.saturating_add(cost);
        from
    }
}

/// Slows several streams down together.
#[derive(Debug)]
pub(super) struct Pace {
    bucket: Option<Mutex<Bucket>>,
    start: Instant,
}

impl Pace {
    /// At most so many bytes in a second, in all; `None` is as fast as it goes.
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        Self {
            bucket: bytes_per_second.map(|rate| Mutex::new(Bucket::new(rate))),
            start: Instant::now(),
        }
    }

    /// Returns when `bytes` may flow.
    pub(super) async fn wait(&self, bytes: usize) {
        let Some(bucket) = &self.bucket else {
            return;
        };
        let at = bucket.lock().claim(self.start.elapsed(), bytes);
        tokio::time::sleep_until(self.start + at).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_claimed_never_flows_faster_than_the_rate_and_a_short_burst() {
        let mut bucket = Bucket::new(1_000);
        let (mut now, mut last) = (10 * SECOND, Duration::ZERO);
        for _ in 0..100 {
            now = bucket.claim(now, 100).max(now);
            last = now;
        }
        // 99 claims of 0.1 s lie before the last; the burst is 0.25 s.
        assert_eq!(last, 10 * SECOND + 99 * (SECOND / 10) - BURST);
    }

    #[test]
    fn a_rest_is_not_saved_up_beyond_the_burst() {
        let mut bucket = Bucket::new(1_000);
        bucket.claim(Duration::ZERO, 1_000);
        let after = 3_600 * SECOND;
        assert!(bucket.claim(after, 1_000) <= after);
        assert_eq!(bucket.claim(after, 1_000), after - BURST + SECOND);
    }

    #[test]
    fn those_who_want_bytes_at_the_same_time_get_the_same_share() {
        let mut bucket = Bucket::new(1_000);
        let mut next = [Duration::ZERO; 4];
        let mut got = [0_u64; 4];
        // Each claims again as soon as its claim is met; one of them began a little earlier.
        for step in 0..400 {
            let who = (0..4).min_by_key(|who| next[*who]).unwrap();
            let now = next[who];
            next[who] = bucket.claim(now, 50).max(now) + Duration::from_nanos(step);
            got[who] += 50;
        }
        assert!(
            got.iter().all(|bytes| bytes.abs_diff(5_000) <= 50),
            "{got:?}"
        );
    }

    #[test]
    fn absurd_numbers_do_not_overflow() {
        let mut bucket = Bucket::new(0);
        bucket.claim(Duration::MAX, usize::MAX);
        bucket.claim(Duration::MAX, usize::MAX);
        assert_eq!(bucket.claim(Duration::ZERO, 0), Duration::MAX);
    }
}

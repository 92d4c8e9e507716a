//! The waits of Astarte's SDK between attempts to connect: 0, 1, 2, 4, … 256 s, each by up to half
//! shorter or longer (device-contract 1.7).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Longest wait before the jitter, in milliseconds.
const WAIT_MAX: u64 = 256_000;
/// After so many milliseconds without an attempt the waits begin anew.
const STABLE: u64 = 1_024_000;

#[derive(Debug, Clone, Default)]
pub(super) struct Backoff {
    waits: u32,
    last: Option<u64>,
}

impl Backoff {
    /// The next wait in milliseconds.
    pub(super) fn next(&mut self, now: u64, rng: &mut ChaCha8Rng) -> u64 {
        if self.last.is_some_and(|last| now - last > STABLE) {
            self.waits = 0;
        }
        self.last = Some(now);
        let wait = match self.waits {
            0 => 0,
            waits => (1_000 << (waits - 1).min(16)).min(WAIT_MAX),
        };
        if wait < WAIT_MAX {
            self.waits += 1;
        }
        rng.random_range(wait - wait / 2..=wait + wait / 2)
    }
}

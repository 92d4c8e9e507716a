//! All chance of a simulation comes from one seed, in streams that do not disturb each other.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of chance.
#[derive(Debug, Clone)]
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream `stream` of `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// True in `percent` of the cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn within(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// An index below `length`, which is not 0.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }

    /// One of `choices`, which is not empty.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// One of some words.
    pub(super) fn word(&mut self, choices: &[&'static str]) -> &'static str {
        choices[self.index(choices.len())]
    }

    /// Some of `choices`, each in `percent` of the cases.
    pub(super) fn some<T: Clone>(&mut self, choices: &[T], percent: u32) -> Vec<T> {
        choices
            .iter()
            .filter(|_| self.chance(percent))
            .cloned()
            .collect()
    }
}

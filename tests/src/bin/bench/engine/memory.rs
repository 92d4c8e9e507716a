//! Bytes that live on the heap, when the feature `count-memory` has them counted; and how long the machine takes to read
//! any of so many.

use super::pace::Stopwatch;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;
use std::time::Duration;

/// A line of the caches: no two reads share one.
#[derive(Clone, Copy)]
struct Line([usize; 8]);

/// Reads of [`walk`].
pub(super) const STEPS: u32 = 1_000_000;

/// CPU time of [`STEPS`] reads over `bytes`, each of which says where the next one is, in an order of chance.
pub(super) fn walk(bytes: usize) -> Duration {
    let lines = (bytes / size_of::<Line>()).max(2);
    let mut memory: Vec<_> = (0..lines).map(|index| Line([index; 8])).collect();
    let mut chance = ChaCha8Rng::seed_from_u64(9);
    // Sattolo's shuffle: one circle through all lines.
    for index in (1..lines).rev() {
        memory.swap(index, chance.random_range(0..index));
    }
    let watch = Stopwatch::start();
    let mut at = 0;
    for _ in 0..STEPS {
        at = memory[at].0[0];
    }
    black_box(at);
    watch.took()
}

#[cfg(feature = "count-memory")]
#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// What is allocated now.
#[cfg(feature = "count-memory")]
pub(super) fn live() -> Option<usize> {
    Some(ALLOCATOR.current_usage())
}

/// The most that was allocated since the last [`reset_peak`].
#[cfg(feature = "count-memory")]
pub(super) fn peak() -> Option<usize> {
    Some(ALLOCATOR.peak_usage())
}

#[cfg(feature = "count-memory")]
pub(super) fn reset_peak() {
    ALLOCATOR.reset_peak_usage();
}

#[cfg(not(feature = "count-memory"))]
pub(super) const fn live() -> Option<usize> {
    None
}

#[cfg(not(feature = "count-memory"))]
pub(super) const fn peak() -> Option<usize> {
    None
}

#[cfg(not(feature = "count-memory"))]
pub(super) const fn reset_peak() {}

//! Counts by size, as Prometheus reads them; written by one thread, read by any.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many values there were up to each bound.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    bounds: &'static [u64; N],
    counts: [AtomicU64; N],
    /// Values above the last bound.
    beyond: AtomicU64,
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Distribution {
    /// Upper bounds, included, each with the number of values up to it.
    pub(crate) buckets: Vec<(u64, u64)>,
    /// All values.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: u64,
}

impl<const N: usize> Histogram<N> {
    /// `bounds` rise.
    pub(crate) fn new(bounds: &'static [u64; N]) -> Self {
        Self {
            bounds,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    pub(crate) fn add(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        let count = self.counts.get(bucket).unwrap_or(&self.beyond);
        count.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub(crate) fn read(&self) -> Distribution {
        let mut count = 0;
        let counts = self.bounds.iter().zip(&self.counts);
        let buckets = counts.map(|(bound, own)| {
            count += own.load(Relaxed);
            (*bound, count)
        });
        Distribution {
            buckets: buckets.collect(),
            count: count + self.beyond.load(Relaxed),
            sum: self.sum.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_every_bucket_that_holds_it() {
        let histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 1_000] {
            histogram.add(value);
        }
        let read = histogram.read();
        assert_eq!(read.buckets, [(1, 2), (10, 4), (100, 5)]);
        assert_eq!((read.count, read.sum), (6, 1_024));
    }
}

//! A histogram of durations in the buckets the HTTP semantic conventions advise.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Number of buckets, the unbounded one included.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// Inclusive upper bounds.
pub const BOUNDS: [Duration; 14] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(75),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_millis(7500),
    Duration::from_secs(10),
];

/// Durations counted; the number of observations is the buckets' sum, so the two always agree.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    // Microseconds: nanoseconds would overflow within a few million hour-long watches.
    sum_us: AtomicU64,
}

/// A histogram at one moment, or the sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Observations per bucket, not cumulative.
    pub buckets: [u64; BUCKETS],
    /// Sum of all durations in microseconds.
    pub sum_us: u64,
}

/// The bucket a duration belongs to.
pub(super) fn bucket(duration: Duration) -> usize {
    BOUNDS.partition_point(|bound| *bound < duration)
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        if let Some(bucket) = self.buckets.get(bucket(duration)) {
            bucket.fetch_add(1, Relaxed);
        }
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// Adds what is counted here to `snapshot`.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        for (total, bucket) in snapshot.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.load(Relaxed);
        }
        snapshot.sum_us = snapshot.sum_us.wrapping_add(self.sum_us.load(Relaxed));
    }
}

impl Snapshot {
    /// Number of observations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        for (duration, bucket) in [
            (Duration::ZERO, 0),
            (Duration::from_millis(5), 0),
            (Duration::from_nanos(5_000_001), 1),
            (Duration::from_secs(1), 9),
            (Duration::from_secs(10), 13),
            (Duration::from_nanos(10_000_000_001), 14),
            (Duration::MAX, 14),
        ] {
            let histogram = Histogram::default();
            histogram.observe(duration);
            let mut snapshot = Snapshot::default();
            histogram.add_to(&mut snapshot);
            assert_eq!(snapshot.buckets[bucket], 1, "{duration:?}");
            assert_eq!(snapshot.count(), 1, "{duration:?}");
        }
    }

    #[test]
    fn half_a_billion_hour_long_watches_do_not_overflow_the_sum() {
        let hours = 500_000_000;
        let histogram = Histogram::default();
        histogram.observe(Duration::from_secs(hours * 3600));
        let mut snapshot = Snapshot::default();
        histogram.add_to(&mut snapshot);
        assert_eq!(snapshot.sum_us, hours * 3600 * 1_000_000);
    }
}

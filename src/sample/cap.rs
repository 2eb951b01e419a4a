//! A cap per second in one atomic: the generic cell rate algorithm.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Nanoseconds since some moment fixed for the life of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);
}

/// Admits at most `per_second` a second on the long run, and a burst of one second's worth:
/// in any stretch of t seconds at most `per_second × (t + 1)`.
///
/// On cache lines of its own: the rates that every decision reads shouldn't share one with a
/// word that workers write.
#[derive(Debug)]
#[repr(align(128))]
pub struct Cap {
    /// When the bucket would be full again if nothing more came ("theoretical arrival time").
    ///
    /// Relaxed everywhere: the word is all there is, no other memory hangs on it, and every
    /// atomic has one order of modifications whatever the ordering.
    next: AtomicU64,
    /// Nanoseconds one admission takes, rounded up; 0: nothing is ever admitted.
    interval: u64,
    /// How far ahead of now `next` may be.
    tolerance: u64,
}

impl Cap {
    /// A cap per second; 0 admits nothing.
    pub fn new(per_second: u32) -> Self {
        Self::with_burst(per_second, per_second)
    }

    /// The same with another burst.
    pub(super) fn with_burst(per_second: u32, burst: u32) -> Self {
        let interval = match u64::from(per_second) {
            0 => 0,
            rate => Nanos::SECOND.0.div_ceil(rate),
        };
        Self::of(interval, burst)
    }

    /// One that fills so many times more slowly.
    pub(super) fn slowed(&self, times: u32, burst: u32) -> Self {
        Self::of(self.interval.saturating_mul(times.into()), burst)
    }

    fn of(interval: u64, burst: u32) -> Self {
        Self {
            next: AtomicU64::new(0),
            interval,
            tolerance: interval.saturating_mul(u64::from(burst).saturating_sub(1)),
        }
    }

    /// What admissions there is room for now, in the nanoseconds they take.
    pub(super) fn left(&self, now: Nanos) -> u64 {
        let used = self.next.load(Relaxed).saturating_sub(now.0);
        let whole = self.tolerance.saturating_add(self.interval);
        whole.saturating_sub(used)
    }

    /// Leaves room for nothing.
    pub(super) fn empty(&self, now: Nanos) {
        let whole = self.tolerance.saturating_add(self.interval);
        self.next.fetch_max(now.0.saturating_add(whole), Relaxed);
    }

    /// Whether one more is admitted now; if so, it is counted.
    ///
    /// `now` may differ a little between callers; going backwards admits nothing extra.
    #[inline]
    pub fn admit(&self, now: Nanos) -> bool {
        self.admit_beyond(now, 0)
    }

    /// The same, if room is left afterwards for what takes `due` nanoseconds.
    pub(super) fn admit_beyond(&self, now: Nanos, due: u64) -> bool {
        let Some(tolerance) = self.tolerance.checked_sub(due) else {
            return false;
        };
        if self.interval == 0 {
            return false;
        }
        let mut next = self.next.load(Relaxed);
        loop {
            if next > now.0.saturating_add(tolerance) {
                return false;
            }
            let after = next.max(now.0).saturating_add(self.interval);
            match self
                .next
                .compare_exchange_weak(next, after, Relaxed, Relaxed)
            {
                Ok(_) => return true,
                Err(seen) => next = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn admitted(cap: &Cap, times: impl IntoIterator<Item = u64>) -> u64 {
        times
            .into_iter()
            .map(|now| u64::from(cap.admit(Nanos(now))))
            .sum()
    }

    #[test]
    fn a_burst_of_one_second_is_admitted_and_no_more() {
        let cap = Cap::new(100);
        assert_eq!(admitted(&cap, [0; 1000]), 100);
        assert_eq!(admitted(&cap, [10_000_000; 10]), 1, "one interval later");
        assert_eq!(
            admitted(&cap, [9_000_000_000; 1000]),
            100,
            "idle time isn't saved up"
        );
    }

    #[test]
    fn a_steady_flow_gets_its_rate() {
        let cap = Cap::new(1000);
        // 10 000 a second for 10 seconds.
        let got = admitted(&cap, (0..100_000).map(|i| i * 100_000));
        assert!(
            (10_990..=11_000).contains(&got),
            "{got}: 10 seconds and the burst"
        );
    }

    #[test]
    fn zero_admits_nothing() {
        assert_eq!(admitted(&Cap::new(0), [0, 1, u64::MAX]), 0);
    }

    #[test]
    fn the_ends_of_time_and_rate_do_not_overflow() {
        let cap = Cap::new(u32::MAX);
        assert!(cap.admit(Nanos(u64::MAX)));
        assert!(Cap::new(1).admit(Nanos(0)));
    }

    #[test]
    fn workers_together_get_no_more_than_one_would() {
        let cap = Cap::new(5_000);
        let total = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| admitted(&cap, [7; 10_000])))
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap())
                .sum::<u64>()
        });
        assert_eq!(total, 5_000);
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_admits_more_than_rate_and_burst(
            rate in 1..2_000_u32,
            gaps in proptest::collection::vec(0..5_000_000_u64, 1..400),
            skip in 0..100_usize,
        ) {
            let cap = Cap::new(rate);
            let times: Vec<u64> = gaps.iter().scan(0, |now, gap| { *now += gap; Some(*now) }).collect();
            let skip = skip.min(times.len() - 1);
            admitted(&cap, times[..skip].iter().copied());
            let got = admitted(&cap, times[skip..].iter().copied());
            let stretch = (times[times.len() - 1] - times[skip]) as f64 / 1e9;
            prop_assert!(got as f64 <= f64::from(rate) * (stretch + 1.0) + 1e-6);
        }
    }
}

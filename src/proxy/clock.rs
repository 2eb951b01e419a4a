//! A clock that is read for every request: it tells the kernel's last tick.
//!
//! Reading the processor's counter costs several times as much. The tick is behind by as long as
//! ticks are apart, 1–10 ms, which is enough to tell whether an answer took seconds.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Makes moments of ticks; both are of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct Clock {
    base: Instant,
    ticks: Tick,
}

/// A moment that may be a little before its time.
#[derive(Clone, Copy, Debug)]
pub struct Tick(Timespec);

impl Tick {
    /// The last one.
    #[inline]
    pub fn last() -> Self {
        Self(clock_gettime(ClockId::MonotonicCoarse))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            ticks: Tick(clock_gettime(ClockId::Monotonic)),
        }
    }
}

impl Clock {
    /// The moment of a tick.
    pub fn moment(&self, tick: Tick) -> Instant {
        let (then, base) = (tick.0, self.ticks.0);
        let seconds = u64::try_from(then.tv_sec.saturating_sub(base.tv_sec)).unwrap_or(0);
        let nanos = |time: Timespec| Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0));
        let whole = self.base + Duration::from_secs(seconds) + nanos(then);
        whole.checked_sub(nanos(base)).unwrap_or(self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_behind_and_not_by_much() {
        let clock = Clock::default();
        std::thread::sleep(Duration::from_millis(20));
        let before = Instant::now();
        let tick = clock.moment(Tick::last());
        let after = Instant::now();
        let behind = before.saturating_duration_since(tick);
        assert!(behind < Duration::from_millis(20), "{behind:?} behind");
        assert!(tick <= after + Duration::from_millis(1), "not ahead");
    }

    #[test]
    fn seconds_and_nanoseconds_are_both_counted() {
        let base = Instant::now();
        let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        let clock = Clock {
            base,
            ticks: Tick(time(100, 900_000_000)),
        };
        let after = |tick| clock.moment(Tick(tick)).duration_since(base);
        assert_eq!(after(time(102, 100_000_000)), Duration::from_millis(1200));
        assert_eq!(after(time(100, 900_000_001)), Duration::from_nanos(1));
    }
}

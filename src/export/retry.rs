//! When a failed batch is tried again.

use std::time::Duration;

/// Exponential backoff with jitter, bounded in delay and in attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts for one batch, the first included; then it is dropped.
    pub attempts: u32,
    /// Longest wait before the second attempt; doubles from there.
    pub initial: Duration,
    /// Longest wait at all, also when the collector asks for more.
    pub max: Duration,
}

impl Default for Retry {
    /// About half a minute of trying, so that a collector may restart in between.
    fn default() -> Self {
        Self {
            attempts: 8,
            initial: Duration::from_millis(500),
            max: Duration::from_secs(10),
        }
    }
}

impl Retry {
    /// How long to wait after `failures` failed attempts, or `None` to give up.
    ///
    /// `asked` is the collector's own wish (Retry-After, RetryInfo): never less than that unless
    /// it exceeds [`Retry::max`]. `random` is uniform in 0..=`u32::MAX`; half of the wait is
    /// jittered, so that proxies which failed together don't come back together.
    pub fn after(&self, failures: u32, asked: Option<Duration>, random: u32) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.initial.saturating_mul(1 << doublings).min(self.max);
        let half = ceiling / 2;
        let jitter = half.mul_f64(f64::from(random) / f64::from(u32::MAX));
        let wait = half.saturating_add(jitter);
        Some(asked.map_or(wait, |asked| wait.max(asked)).min(self.max))
    }
}

/// Jitter needs no secrecy, only difference between processes.
pub(super) fn random() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(()) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry {
        attempts: 5,
        initial: Duration::from_millis(100),
        max: Duration::from_millis(300),
    };

    #[test]
    fn waits_double_within_bounds_and_end() {
        for (failures, low, high, why) in [
            (1, 50, 100, "the first wait"),
            (2, 100, 200, "twice that"),
            (3, 150, 300, "capped at the maximum"),
            (4, 150, 300, "still capped"),
        ] {
            let millis = |random| RETRY.after(failures, None, random).map(|d| d.as_millis());
            assert_eq!(millis(0), Some(low), "{why}, least jitter");
            assert_eq!(millis(u32::MAX), Some(high), "{why}, most jitter");
        }
        assert_eq!(RETRY.after(5, None, 0), None, "attempts are used up");
        assert_eq!(RETRY.after(u32::MAX, None, 0), None);
    }

    #[test]
    fn the_collectors_wish_is_respected_within_the_maximum() {
        let wish = |ms| {
            RETRY
                .after(1, Some(Duration::from_millis(ms)), 0)
                .map(|d| d.as_millis())
        };
        assert_eq!(wish(250), Some(250), "longer than ours");
        assert_eq!(wish(1), Some(50), "shorter than ours");
        assert_eq!(wish(60_000), Some(300), "longer than the maximum");
    }

    #[test]
    fn a_policy_without_attempts_gives_up_at_once() {
        let none = Retry {
            attempts: 1,
            ..RETRY
        };
        assert_eq!(none.after(1, None, 0), None);
    }
}

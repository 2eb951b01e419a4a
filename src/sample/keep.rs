//! Requests that weren't sampled and are exported all the same: they failed, or they were slow.
//!
//! No probability stands behind such a span, so it carries no `th`, and nobody may count it for
//! more than itself. It has a cap of its own: what callers can make fail they could flood with.

use std::time::Duration;

use super::cap::{Cap, Nanos};
use super::settings::Keep as Settings;

/// Why a request was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It failed: what would give its span the status of an error.
    Error,
    /// Its response was long in coming.
    Slow,
}

impl Kept {
    /// The value of the span's attribute.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow => "slow",
        }
    }
}

/// What is kept; shared by all workers.
#[derive(Debug)]
pub struct Keep {
    errors: bool,
    slower_than: Option<Duration>,
    cap: Cap,
}

impl Keep {
    /// With a bucket of its own, which is full.
    pub fn new(settings: &Settings) -> Self {
        Self {
            errors: settings.errors,
            slower_than: settings.slower_than,
            cap: Cap::new(settings.max_per_second),
        }
    }

    /// Whether it matters when a response's head came.
    pub const fn is_timed(&self) -> bool {
        self.slower_than.is_some()
    }

    /// Whether a request is to be kept, and why; free of side effects.
    ///
    /// `whole` is the time from the request's head to the end, `waited` that to the response's
    /// head, or to the end if there was none: it is asked for only if the whole was long. What
    /// failed and was slow is kept as an error.
    #[inline]
    pub fn judge(
        &self,
        failed: bool,
        whole: Duration,
        waited: impl FnOnce() -> Duration,
    ) -> Option<Kept> {
        if self.errors && failed {
            return Some(Kept::Error);
        }
        let slow = (self.slower_than).is_some_and(|least| whole > least && waited() > least);
        slow.then_some(Kept::Slow)
    }

    /// Whether one more may be kept now; if so, it is counted.
    pub fn admit(&self, now: Nanos) -> bool {
        self.cap.admit(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keep(errors: bool, slower_than: Option<Duration>) -> Keep {
        Keep::new(&Settings {
            errors,
            slower_than,
            max_per_second: 1,
        })
    }

    #[test]
    fn what_failed_or_was_slow_is_kept_and_nothing_else() {
        let over = SECOND + Duration::from_nanos(1);
        let long = SECOND * 100;
        for (errors, slower_than, failed, waited, expected, why) in [
            (true, None, true, SECOND, Some(Kept::Error), "it failed"),
            (true, None, false, SECOND * 99, None, "nobody asks for time"),
            (false, Some(SECOND), true, SECOND, None, "nor for errors"),
            (false, Some(SECOND), false, SECOND, None, "not over it"),
            (false, Some(SECOND), false, over, Some(Kept::Slow), "over"),
            (false, Some(SECOND), true, over, Some(Kept::Slow), "slow"),
            (true, Some(SECOND), true, over, Some(Kept::Error), "both"),
            (true, Some(SECOND), false, Duration::ZERO, None, "all well"),
        ] {
            let keep = keep(errors, slower_than);
            let got = keep.judge(failed, long, || waited);
            assert_eq!(got, expected, "{why}");
            assert_eq!(keep.judge(failed, waited, || waited), expected, "{why}");
        }
    }

    #[test]
    fn the_cap_is_its_own_and_comes_back_with_time() {
        let keep = keep(true, None);
        assert!(keep.admit(Nanos(0)));
        assert!(!keep.admit(Nanos(0)));
        assert!(keep.admit(Nanos::SECOND));
    }
}

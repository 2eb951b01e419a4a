//! One cap for several rules, shared fairly: no rule's flood takes from another what is its due.
//!
//! Every rule has a bucket of its own beside the common one, which is filled with an equal share of
//! the cap. A request that finds its rule's bucket filled is within its share, and takes from both.
//! One that finds it empty borrows: it takes from the common bucket alone, and only if what is left
//! covers all that the other rules have in theirs. So the common bucket always holds at least what
//! all shares hold together, a request within its share is never refused, and what a rule doesn't
//! use goes to whoever asks: one rule alone gets the whole cap.
//!
//! All of it is atomics without a lock. Workers that borrow at the very same moment may see each
//! other half-done and be refused once; the cap itself is one word and can't be exceeded.

use super::cap::{Cap, Nanos};

/// A cap per second that rules share.
#[derive(Debug)]
pub struct SharedCap {
    all: Cap,
    /// One per rule; empty if there is but one to share among.
    shares: Box<[Cap]>,
}

impl SharedCap {
    /// Shared equally among that many rules.
    ///
    /// In any stretch of t seconds at most `per_second × t` are admitted and a burst of
    /// `per_second`, or of `rules` if those are more: each may always have one.
    pub fn new(per_second: u32, rules: usize) -> Self {
        let rules = u32::try_from(rules).unwrap_or(u32::MAX).max(1);
        let burst = per_second.max(rules);
        if per_second == 0 || rules == 1 {
            return Self {
                all: Cap::new(per_second),
                shares: Box::default(),
            };
        }
        let all = Cap::with_burst(per_second, burst);
        // A share takes exactly so many times longer to fill, and all of them fit the whole.
        let share = || all.slowed(rules, burst / rules);
        let shares = (0..rules).map(|_| share()).collect();
        Self { all, shares }
    }

    /// Whether a request of this rule is admitted now; if so, it is counted.
    pub fn admit(&self, rule: usize, now: Nanos) -> bool {
        let Some(own) = self.shares.get(rule) else {
            return self.all.admit(now);
        };
        if own.admit(now) {
            return self.all.admit(now);
        }
        let rules = self.shares.len() as u64;
        let others = self.shares.iter().enumerate();
        let due: u64 = others
            .filter(|(other, _)| *other != rule)
            // Rounded up, so that nobody's share is short of a nanosecond.
            .map(|(_, share)| share.left(now).div_ceil(rules))
            .sum();
        let borrowed = self.all.admit_beyond(now, due);
        if borrowed {
            // The part of a request it has saved is part of what it borrows.
            own.empty(now);
        }
        borrowed
    }
}

#[cfg(test)]
mod tests;

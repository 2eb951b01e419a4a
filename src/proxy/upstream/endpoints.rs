//! Which of an upstream's members a new connection goes to, and which are passed over for now.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

/// How long a member is passed over after its first failure; doubles with each further one.
const FIRST_COOLDOWN: Duration = Duration::from_secs(1);

/// Longest cooldown.
const MAX_COOLDOWN: Duration = Duration::from_secs(30);

/// The members of one upstream as one worker sees them.
#[derive(Debug)]
pub struct Endpoints {
    next: Cell<usize>,
    members: Box<[Member]>,
}

#[derive(Debug, Default)]
struct Member {
    health: Cell<Health>,
    /// A task looks after it until it is healthy.
    watched: Cell<bool>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Health {
    /// Since the last success.
    failures: u32,
    /// End of the cooldown; `None`: healthy.
    until: Option<Instant>,
}

impl Endpoints {
    /// All of them healthy; the first connection goes to number `start`, counted round.
    pub fn new(count: usize, start: usize) -> Self {
        Self {
            next: Cell::new(start),
            members: (0..count).map(|_| Member::default()).collect(),
        }
    }

    /// The same with a random start, so that workers and pods don't all begin with one member.
    pub fn shuffled(count: usize) -> Self {
        let random = RandomState::new().build_hasher().finish();
        Self::new(count, usize::try_from(random >> 33).unwrap_or(0))
    }

    /// The members in the order to try them for one new connection, each once: the healthy ones
    /// in turn, then those in cooldown, soonest over first.
    pub fn order(&self) -> Vec<usize> {
        let count = self.members.len();
        let start = self.next.get();
        self.next.set(start.wrapping_add(1));
        let mut order: Vec<usize> = (0..count)
            .map(|step| start.wrapping_add(step) % count)
            .collect();
        // Stable, and `None` comes first.
        order.sort_by_key(|&index| self.until(index));
        order
    }

    /// When a member's cooldown ends; `None`: it is healthy.
    pub fn until(&self, index: usize) -> Option<Instant> {
        self.members.get(index)?.health.get().until
    }

    /// A connection was made.
    pub fn connected(&self, index: usize) {
        if let Some(member) = self.members.get(index) {
            member.health.set(Health::default());
        }
    }

    /// No connection could be made. True if somebody has to look after the member from now on,
    /// and say so by [`Endpoints::unwatch`] when it is healthy again.
    pub fn failed(&self, index: usize, now: Instant) -> bool {
        // Nobody is preferred where there is no other.
        let Some(member) = self.members.get(index).filter(|_| self.members.len() > 1) else {
            return false;
        };
        let failures = member.health.get().failures;
        let cooldown = FIRST_COOLDOWN.saturating_mul(1 << failures.min(5));
        member.health.set(Health {
            failures: failures.saturating_add(1),
            until: Some(now + cooldown.min(MAX_COOLDOWN)),
        });
        !member.watched.replace(true)
    }

    /// Nobody looks after the member any more.
    pub fn unwatch(&self, index: usize) {
        if let Some(member) = self.members.get(index) {
            member.watched.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_connections_go_round_from_the_start() {
        let endpoints = Endpoints::new(3, 2);
        assert_eq!(endpoints.order(), [2, 0, 1]);
        assert_eq!(endpoints.order(), [0, 1, 2]);
        assert_eq!(endpoints.order(), [1, 2, 0]);
        let last = Endpoints::new(3, usize::MAX);
        for _ in 0..3 {
            assert_eq!(last.order().len(), 3, "the count may overflow");
        }
        assert!(Endpoints::new(0, 1).order().is_empty());
    }

    #[test]
    fn a_failed_member_is_tried_last_until_it_connects() {
        let (endpoints, now) = (Endpoints::new(3, 0), Instant::now());
        assert!(endpoints.failed(0, now));
        assert_eq!(endpoints.order(), [1, 2, 0]);
        assert_eq!(endpoints.order(), [1, 2, 0]);
        endpoints.failed(2, now + Duration::from_millis(1));
        endpoints.failed(1, now + Duration::from_millis(2));
        assert_eq!(endpoints.order(), [0, 2, 1], "soonest over first");
        endpoints.connected(1);
        assert_eq!(endpoints.order()[0], 1);
    }

    #[test]
    fn cooldowns_double_to_half_a_minute_and_begin_anew_after_a_success() {
        let (endpoints, now) = (Endpoints::new(2, 0), Instant::now());
        let cooldown = || {
            endpoints.failed(0, now);
            (endpoints.until(0).unwrap() - now).as_secs()
        };
        let seen: Vec<_> = (0..8).map(|_| cooldown()).collect();
        assert_eq!(seen, [1, 2, 4, 8, 16, 30, 30, 30]);
        endpoints.connected(0);
        assert_eq!(endpoints.until(0), None);
        assert_eq!(cooldown(), 1);
    }

    #[test]
    fn one_looks_after_a_failed_member_and_none_after_an_only_one() {
        let (endpoints, now) = (Endpoints::new(2, 0), Instant::now());
        assert!(endpoints.failed(1, now));
        assert!(!endpoints.failed(1, now));
        endpoints.unwatch(1);
        assert!(endpoints.failed(1, now));
        let only = Endpoints::new(1, 0);
        assert!(!only.failed(0, now));
        assert_eq!(only.until(0), None);
    }
}

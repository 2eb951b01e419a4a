//! How long the exporter thread leaves the rings alone. Pure.
//!
//! A push wakes nobody, so a pause must be short enough that no ring fills in it, and long enough
//! that an idle process stays asleep.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(5);
const USUAL: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(200);

/// How fast a worker may fill its ring out of the blue without a drop: one record in this time.
const PER_SLOT: Duration = Duration::from_micros(100);

/// The pace of looking at the rings.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
    longest: Duration,
    many: usize,
}

impl Pace {
    /// For `rings` rings of `slots` records each.
    pub(super) fn new(rings: usize, slots: usize) -> Self {
        let slots_time = PER_SLOT.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX));
        Self {
            pause: USUAL,
            longest: slots_time.clamp(SHORTEST, LONGEST),
            // A ring that was a quarter full may overflow before the next look.
            many: (slots / 4).saturating_mul(rings.max(1)).max(1),
        }
    }

    /// The pause after a look that found `moved` records.
    pub(super) fn after(&mut self, moved: usize) -> Duration {
        let pause = match moved {
            0 => self.pause * 2,
            many if many >= self.many => self.pause / 2,
            _ => self.pause.min(USUAL),
        };
        self.pause = pause.clamp(SHORTEST, self.longest);
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_process_is_left_asleep() {
        let mut pace = Pace::new(2, 16_384);
        let pauses: Vec<_> = (0..5).map(|_| pace.after(0).as_millis()).collect();
        assert_eq!(pauses, [40, 80, 160, 200, 200]);
        assert_eq!(pace.after(1), USUAL, "until something comes");
    }

    #[test]
    fn a_burst_is_met_with_shorter_pauses() {
        let mut pace = Pace::new(1, 1000);
        let pauses: Vec<_> = (0..3).map(|_| pace.after(250)).collect();
        assert_eq!(pauses, [SHORTEST * 2, SHORTEST, SHORTEST]);
    }

    #[test]
    fn small_rings_are_never_left_alone_for_long() {
        let mut pace = Pace::new(16, 64);
        for _ in 0..10 {
            assert!(pace.after(0) <= Duration::from_micros(6400));
        }
        let mut tiny = Pace::new(1, 0);
        assert_eq!(tiny.after(0), SHORTEST);
    }
}

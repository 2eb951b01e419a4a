//! A rate as one word, so that a decision reads it with one load and a change is one store.

use super::ratio::Bound;
use super::settings::{PerMillion, RatioRule};
use super::threshold::Threshold;
use crate::context::ot::U56;

/// A rate ready for decisions. What the bits mean depends on the rule, which never changes
/// while the sampler lives:
///
/// - consistent: the threshold's upper 36 bits, 8 unused, the rate per million in the lowest 20.
///   The threshold's lower 20 bits are always zero, as it is rounded to at most nine digits. A
///   rate of 0 is "never".
/// - Kubernetes' rule: the [`Bound`], 0 to 2^63; 0 keeps nothing, which is "never".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rate(u64);

/// Bits of the word that hold the rate per million.
const RATE_BITS: u32 = 20;
const RATE_MASK: u64 = (1 << RATE_BITS) - 1;
/// Bits between a 56-bit threshold and the word's upper end.
const SHIFT: u32 = 8;

impl Rate {
    pub fn new(rule: RatioRule, rate: PerMillion) -> Self {
        match rule {
            RatioRule::Consistent => {
                let threshold = Threshold::of(rate).map_or(0, |threshold| threshold.get().get());
                Self(threshold << SHIFT & !RATE_MASK | u64::from(rate.get()))
            }
            RatioRule::TraceIdRatio => Self(Bound::of(rate).bits()),
        }
    }

    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The decision on 64 bits of luck, of which the consistent rule takes the low 56.
    #[inline]
    pub fn keeps(self, rule: RatioRule, luck: u64) -> bool {
        match rule {
            RatioRule::Consistent => self
                .threshold(rule)
                .is_some_and(|threshold| threshold.keeps(U56::low(luck))),
            RatioRule::TraceIdRatio => Bound::from_bits(self.0).keeps(luck),
        }
    }

    /// `None` for "never" and for Kubernetes' rule, which has none.
    #[inline]
    pub fn threshold(self, rule: RatioRule) -> Option<Threshold> {
        let rate = self.0 & RATE_MASK;
        if rule != RatioRule::Consistent || rate == 0 {
            return None;
        }
        Some(Threshold::new(U56::low((self.0 & !RATE_MASK) >> SHIFT)))
    }

    /// The rate this was made of, exactly.
    pub fn per_million(self, rule: RatioRule) -> PerMillion {
        match rule {
            RatioRule::Consistent => {
                PerMillion::new((self.0 & RATE_MASK) as u32).unwrap_or_default()
            }
            RatioRule::TraceIdRatio => Bound::from_bits(self.0).rate(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_holds_every_rate_and_its_threshold_exactly() {
        for rate in (0..=PerMillion::MAX).filter_map(PerMillion::new) {
            let word = Rate::new(RatioRule::Consistent, rate);
            assert_eq!(word.per_million(RatioRule::Consistent), rate);
            assert_eq!(
                word.threshold(RatioRule::Consistent),
                Threshold::of(rate),
                "{rate:?}"
            );
        }
    }

    #[test]
    fn never_keeps_nothing_and_one_million_keeps_everything() {
        for rule in [RatioRule::Consistent, RatioRule::TraceIdRatio] {
            let never = Rate::new(rule, PerMillion::default());
            assert!(!never.keeps(rule, u64::MAX) && !never.keeps(rule, 0));
            let always = Rate::new(rule, PerMillion::new(PerMillion::MAX).unwrap());
            assert!(always.keeps(rule, u64::MAX) && always.keeps(rule, 0));
        }
    }
}

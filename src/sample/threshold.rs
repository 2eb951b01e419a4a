//! The rejection threshold of consistent probability sampling (OpenTelemetry, TraceState:
//! Probability Sampling, Development): a trace is kept iff its randomness R is at least T.

use super::settings::PerMillion;
use crate::context::ot::U56;

/// T: how many of 2^56 traces are dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Threshold(U56);

impl Threshold {
    /// Keeps everything; written `0`.
    pub const ALWAYS: Self = Self(U56::low(0));

    /// Hexadecimal digits beyond the leading run of `f`s. The specification recommends four
    /// and allows more; with five, 1 % reads `fd70a4`, as where it defines the threshold.
    const PRECISION: u32 = 5;

    /// A threshold as it came over the wire.
    pub const fn new(value: U56) -> Self {
        Self(value)
    }

    /// The threshold of a rate, `None` for "never", which isn't a probability and has none.
    ///
    /// It is rounded to five hexadecimal digits beyond the leading `f`s, and the rounded value is
    /// what decides: so `th` tells the truth.
    pub fn of(rate: PerMillion) -> Option<Self> {
        const MILLION: u64 = PerMillion::MAX as u64;
        let rate = u64::from(rate.get());
        if rate == 0 {
            return None;
        }
        // In whole numbers: every rate below 16^-k has k leading `f`s.
        let leading = (1..).take_while(|k| rate << (4 * k) < MILLION).count() as u32;
        let bits = 4 * (Self::PRECISION + leading);
        let rounded = (((MILLION - rate) << bits) + MILLION / 2) / MILLION;
        Some(Self(U56::low(rounded << (56 - bits))))
    }

    /// The decision.
    #[inline]
    pub const fn keeps(self, randomness: U56) -> bool {
        randomness.get() >= self.0.get()
    }

    /// The number, as `th` carries it.
    pub const fn get(self) -> U56 {
        self.0
    }

    /// The share of traces kept, above 0 and at most 1.
    pub fn probability(self) -> f64 {
        const ALL: u64 = 1 << 56;
        (ALL - self.0.get()) as f64 / ALL as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ot::Ot;

    fn of(rate: u32) -> Threshold {
        Threshold::of(PerMillion::new(rate).unwrap()).unwrap()
    }

    fn text(rate: u32) -> String {
        let ot = Ot {
            th: Some(of(rate).get()),
            rv: None,
        };
        ot.text().as_str().trim_start_matches("ot=th:").to_owned()
    }

    #[test]
    fn rates_have_the_thresholds_the_specification_prints() {
        for (rate, expected) in [
            (1_000_000, "0"),
            (500_000, "8"),
            (250_000, "c"),
            (200_000, "ccccd"),
            (125_000, "e"),
            (100_000, "e6666"),
            (62_500, "f"),
            (10_000, "fd70a4"),
            (1_000, "ffbe76d"),
            (100, "fff97247"),
            (10, "ffff583a5"),
            (1, "ffffef391"),
        ] {
            assert_eq!(text(rate), expected, "{rate} per million");
        }
    }

    #[test]
    fn adjusted_counts_are_those_the_specification_prints() {
        for (rate, expected) in [
            (1_000_000, 1.0),
            (500_000, 2.0),
            (250_000, 4.0),
            (200_000, 5.000_004_768_376_129_5),
            (125_000, 8.0),
            (100_000, 9.999_961_853_172_863),
            (62_500, 16.0),
            (10_000, 100.000_095_367_522_59),
            (1_000, 1_000.001_698_735_261_8),
            (100, 9_999.993_704_263_36),
            (10, 99_999.966_146_435_88),
            (1, 1_000_006.937_469_986_5),
        ] {
            let got = 1.0 / of(rate).probability();
            assert!((got / expected - 1.0).abs() < 1e-12, "{rate}: {got}");
        }
    }

    #[test]
    fn never_has_no_threshold() {
        assert_eq!(Threshold::of(PerMillion::default()), None);
    }

    #[test]
    fn every_rate_is_met_closely_and_in_order() {
        let mut last = None;
        for rate in 1..=PerMillion::MAX {
            let threshold = of(rate);
            let (wanted, got) = (f64::from(rate) / 1e6, threshold.probability());
            assert!((got / wanted - 1.0).abs() < 1.0 / 65_536.0, "{rate}: {got}");
            assert!(
                last.is_none_or(|last| threshold <= last),
                "{rate} keeps less than {}",
                rate - 1
            );
            last = Some(threshold);
        }
    }

    #[test]
    fn randomness_equal_to_the_threshold_is_kept() {
        let threshold = of(10_000);
        assert!(threshold.keeps(threshold.get()));
        assert!(!threshold.keeps(U56::low(threshold.get().get() - 1)));
        assert!(Threshold::ALWAYS.keeps(U56::low(0)));
        assert_eq!(of(1_000_000), Threshold::ALWAYS);
    }
}

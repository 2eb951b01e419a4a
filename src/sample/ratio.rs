//! Kubernetes' ratio rule, bit for bit: OpenTelemetry Go's `TraceIDRatioBased`.
//!
//! The last eight bytes of the trace id, big-endian, shifted right by one, are compared with
//! fraction × 2^63.

use super::settings::PerMillion;

/// The numbers below this one are kept; 0 to 2^63.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bound(u64);

const SCALE: f64 = (1_u64 << 63) as f64;

impl Bound {
    /// The bound of a rate. The fraction is a double and the product truncated, as there.
    pub fn of(rate: PerMillion) -> Self {
        Self((f64::from(rate.get()) / f64::from(PerMillion::MAX) * SCALE) as u64)
    }

    /// A bound that was stored as a number.
    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bound as a number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The rate this is the bound of.
    pub fn rate(self) -> PerMillion {
        let rate = (self.0 as f64 / SCALE * f64::from(PerMillion::MAX)).round();
        PerMillion::new(rate as u32).unwrap_or_default()
    }

    /// The decision, on the low 64 bits of a trace id or on a hash that stands for them.
    #[inline]
    pub const fn keeps(self, low: u64) -> bool {
        low >> 1 < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rate: u32) -> Bound {
        Bound::of(PerMillion::new(rate).unwrap())
    }

    #[test]
    fn bounds_are_those_of_the_original() {
        for (rate, bound) in [
            (0, 0),
            (1, 0x0000_0863_7bd0_5af6),
            (100, 0x0003_46dc_5d63_8865),
            (10_000, 0x0147_ae14_7ae1_47b0),
            (500_000, 0x4000_0000_0000_0000),
            (1_000_000, 0x8000_0000_0000_0000),
        ] {
            assert_eq!(of(rate).bits(), bound, "{rate} per million");
        }
    }

    #[test]
    fn the_lowest_bit_of_the_trace_id_has_no_say() {
        let bound = of(500_000);
        assert!(bound.keeps(0x7fff_ffff_ffff_fffe) && bound.keeps(0x7fff_ffff_ffff_ffff));
        assert!(!bound.keeps(0x8000_0000_0000_0000) && !bound.keeps(0x8000_0000_0000_0001));
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        assert!(!of(0).keeps(0));
        assert!(of(1_000_000).keeps(u64::MAX));
    }

    #[test]
    fn a_bound_remembers_its_rate() {
        for rate in 0..=PerMillion::MAX {
            assert_eq!(of(rate).rate().get(), rate);
        }
    }
}

//! New trace and span ids.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::context::ids::{SpanId, TraceId};

/// Makes ids that nobody outside can foresee. One per worker, seeded from the system's
/// randomness.
///
/// All 128 bits of a trace id are uniformly random, so roots made here carry
/// [`Flags::RANDOM`](crate::context::ids::Flags::RANDOM) (W3C Trace Context Level 2).
#[derive(Debug)]
pub struct IdGenerator(ChaCha8Rng);

impl IdGenerator {
    /// The same seed gives the same ids.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// A new trace id, never zero.
    pub fn trace_id(&mut self) -> TraceId {
        loop {
            let value = u128::from(self.0.next_u64()) << 64 | u128::from(self.0.next_u64());
            if let Some(id) = TraceId::new(value) {
                return id;
            }
        }
    }

    /// A new span id, never zero.
    pub fn span_id(&mut self) -> SpanId {
        loop {
            if let Some(id) = SpanId::new(self.0.next_u64()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_and_follow_from_the_seed() {
        let ids = |seed| {
            let mut generator = IdGenerator::new([seed; 32]);
            (0..1000)
                .map(|_| (generator.trace_id(), generator.span_id()))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(1), ids(1));
        let all: HashSet<_> = ids(1).into_iter().chain(ids(2)).collect();
        assert_eq!(all.len(), 2000);
    }

    #[test]
    fn every_bit_of_a_trace_id_is_used_evenly() {
        const DRAWS: u32 = 20_000;
        let mut generator = IdGenerator::new([7; 32]);
        let mut ones = [0_u32; 128];
        for _ in 0..DRAWS {
            let id = generator.trace_id().get();
            for (bit, count) in ones.iter_mut().enumerate() {
                *count += (id >> bit & 1) as u32;
            }
        }
        // Five standard deviations of a fair coin: with a fixed seed this never flickers.
        let tolerance = 5.0 * (f64::from(DRAWS) / 4.0).sqrt();
        for (bit, count) in ones.iter().enumerate() {
            let off = f64::from(*count) - f64::from(DRAWS) / 2.0;
            assert!(off.abs() < tolerance, "bit {bit}: {count} of {DRAWS}");
        }
    }
}

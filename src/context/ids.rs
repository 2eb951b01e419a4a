//! The integers a trace is made of. `Copy`, comparable, never zero.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// A 16-byte trace id; never all zeros (W3C Trace Context, section 3.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(NonZeroU128);

/// An 8-byte span (parent) id; never all zeros (W3C Trace Context, section 3.2.2.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(NonZeroU64);

/// The trace-flags octet, reduced to the bits the specification defines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl TraceId {
    /// `None` for the invalid all-zero id.
    pub const fn new(value: u128) -> Option<Self> {
        match NonZeroU128::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The id as a big-endian integer.
    pub const fn get(self) -> u128 {
        self.0.get()
    }
}

impl SpanId {
    /// `None` for the invalid all-zero id.
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The id as a big-endian integer.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Flags {
    /// `sampled` (bit 0).
    pub const SAMPLED: Self = Self(0x01);
    /// `random-trace-id` (bit 1, Level 2).
    pub const RANDOM: Self = Self(0x02);

    /// Keeps the defined bits, clears the rest.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x03)
    }

    /// The octet as it goes on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the caller recorded this trace.
    pub const fn sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Whether the right-most 56 bits of the trace id are uniformly random.
    pub const fn random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// These flags with `sampled` set to the given value.
    #[must_use]
    pub const fn with_sampled(self, sampled: bool) -> Self {
        Self((self.0 & !Self::SAMPLED.0) | sampled as u8)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

//! Lifecycle: when the proxy is ready, how it drains, and the signals that ask for it.

pub mod broadcast;
pub mod drain;
pub mod readiness;
pub mod signals;

pub use broadcast::{Broadcast, Wait};
pub use drain::{Drain, Report, Stage, Token};
pub use readiness::{Latch, Readiness};
pub use signals::{Event, Signal, Signals};

//! HTTP/2 by its frames: how a stream is read, written, served and tunnelled through.
//!
//! The `h2` crate speaks the protocol; nothing stands between its streams and the pipeline, so a
//! request costs one task and no channel, interim responses pass, and reset codes arrive as they
//! were sent.

pub mod authority;
pub mod duplex;
pub mod frames;
pub mod pump;
pub mod serve;

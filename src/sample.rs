//! Sampling: pure decisions on time and randomness given as arguments.

pub mod cap;
pub mod decision;
pub mod generator;
pub mod glob;
pub mod keep;
mod rate;
pub mod ratio;
pub mod rules;
pub mod sampler;
pub mod settings;
pub mod share;
pub mod threshold;

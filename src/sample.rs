//! Sampling: pure decisions on time and randomness given as arguments.

pub mod settings;

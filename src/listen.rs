//! Listeners: from an address to a byte stream whose protocol and peer are known.

pub mod settings;

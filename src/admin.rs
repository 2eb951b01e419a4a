//! Health and admin servers.

pub mod settings;

//! Export: ring → exporter thread → batches → the collector. Never at the cost of a request.

pub mod settings;

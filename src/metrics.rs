//! Metrics: counted per worker with relaxed atomics, summed when somebody asks.
//!
//! Every worker counts into a [`Shard`] of its own, so that no cache line is fought over on the
//! way of a request. Counting from another thread is correct, only slower. Label sets are fixed
//! when the registry is made: nothing a caller sends can mint a series.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::span::record::Direction;

pub mod exposition;
pub mod histogram;
pub mod labels;
mod negotiate;
mod render;
pub mod shard;
mod verdicts;

pub use exposition::{Exposition, Format};
pub use labels::{Decision, MethodClass, Refusal, RequestRefusal, StatusClass};
pub use shard::{Connection, InFlight, ListenerShard, Shard};

/// Adds families that somebody else counts, the exporter's for example, to every scrape.
pub type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// All metrics of one process.
pub struct Registry {
    listeners: Box<[(Arc<str>, Direction)]>,
    shards: Box<[Arc<Shard>]>,
    collectors: Mutex<Vec<Collector>>,
    started: SystemTime,
}

impl Registry {
    /// Metrics for these listeners, in this order, counted by that many workers (at least one).
    pub fn new(listeners: &[(Arc<str>, Direction)], workers: usize) -> Arc<Self> {
        let shards = (0..workers.max(1))
            .map(|_| Arc::new(Shard::new(listeners.len())))
            .collect();
        Arc::new(Self {
            listeners: listeners.into(),
            shards,
            collectors: Mutex::default(),
            started: SystemTime::now(),
        })
    }

    /// The shard of one worker; numbers beyond the last worker share the others' shards.
    pub fn shard(&self, worker: usize) -> Arc<Shard> {
        // `new` makes at least one shard, so the remainder is defined and in range.
        Arc::clone(&self.shards[worker % self.shards.len()])
    }

    /// Has `collector` called at every scrape, after the built-in families, in order.
    pub fn register(&self, collector: Collector) {
        self.collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(collector);
    }

    /// Everything, as text.
    pub fn render(&self, format: Format) -> String {
        let mut exposition = Exposition::new(format);
        render::process(&mut exposition, self.started);
        render::listeners(&mut exposition, &self.listeners, &self.shards);
        for collector in self
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            collector(&mut exposition);
        }
        exposition.finish()
    }
}

#[cfg(test)]
mod tests;

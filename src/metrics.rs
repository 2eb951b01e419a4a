//! Metrics: counted per worker with relaxed atomics, summed when somebody asks.
//!
//! Every worker counts into a [`Shard`] of its own, so that no cache line is fought over on the
//! way of a request. Counting from another thread is correct, only slower. Labels are of closed
//! sets and the series of a listener are bounded: nothing a caller sends can mint one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;

use crate::span::known_rpc::KnownMethods;
use crate::span::record::Direction;

mod exemplar;
pub mod exposition;
pub mod histogram;
pub mod labels;
mod negotiate;
mod otlp;
mod render;
mod series;
pub mod shard;
mod table;
mod text;
mod verdicts;

pub use exposition::Exposition;
pub use labels::{Decision, MethodClass, Refusal, RequestRefusal};
pub use series::Call;
pub use shard::{Connection, InFlight, ListenerShard, Shard};
pub use table::MAX_SERIES;
pub use text::Format;

/// Adds families that somebody else counts, the exporter's for example, to every scrape.
pub type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// All metrics of one process.
pub struct Registry {
    listeners: Box<[(Arc<str>, Direction)]>,
    known_rpc: Arc<KnownMethods>,
    keys: Box<[Arc<table::Keys>]>,
    shards: Box<[Arc<Shard>]>,
    collectors: Mutex<Vec<Collector>>,
    started: SystemTime,
}

impl Registry {
    /// Metrics for these listeners, in this order, counted by that many workers (at least one);
    /// of gRPC methods those that are built in have series of their own.
    pub fn new(listeners: &[(Arc<str>, Direction)], workers: usize) -> Arc<Self> {
        Self::knowing(Arc::default(), listeners, workers)
    }

    /// [`Registry::new`] with other known gRPC methods.
    pub fn knowing(
        known_rpc: Arc<KnownMethods>,
        listeners: &[(Arc<str>, Direction)],
        workers: usize,
    ) -> Arc<Self> {
        let keys: Box<[_]> = listeners.iter().map(|_| Arc::default()).collect();
        let shards = (0..workers.max(1))
            .map(|_| Arc::new(Shard::new(&keys, &known_rpc)))
            .collect();
        Arc::new(Self {
            listeners: listeners.into(),
            known_rpc,
            keys,
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
        text::write(&self.gather(), format)
    }

    /// Everything as OTLP, cumulative since the process started.
    pub fn otlp(&self) -> ScopeMetrics {
        otlp::scope(&self.gather(), self.started)
    }

    fn gather(&self) -> Exposition {
        let mut exposition = Exposition::default();
        render::process(&mut exposition, self.started);
        render::listeners(&mut exposition, self);
        for collector in self
            .collectors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            collector(&mut exposition);
        }
        exposition
    }
}

#[cfg(test)]
mod tests;

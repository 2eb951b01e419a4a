//! One worker's counters. Gauges fall by guard, also when a task is cancelled.

use std::array;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::labels::{Correlation, Decision, Kept, Label, Refusal, RequestRefusal};
use super::series::{Call, Key};
use super::table::{Keys, Table};
use super::verdicts::Verdicts;
use crate::context::ids::{SpanId, TraceId};
use crate::context::trust::Verdict;
use crate::span::known_rpc::KnownMethods;

/// The counters of one worker.
pub struct Shard {
    pub(super) listeners: Box<[Arc<ListenerShard>]>,
}

/// The counters of one listener on one worker. Resolve it once and keep it.
// Aligned so that two workers' counters never share a cache line (nor a prefetched pair).
#[repr(align(128))]
pub struct ListenerShard {
    known_rpc: Arc<KnownMethods>,
    pub(super) durations: Table,
    pub(super) requests_in_flight: AtomicI64,
    pub(super) connections: AtomicI64,
    pub(super) connections_accepted: AtomicU64,
    pub(super) connections_refused: Counters<Refusal, { Refusal::COUNT }>,
    pub(super) requests_refused: Counters<RequestRefusal, { RequestRefusal::COUNT }>,
    pub(super) trust_verdicts: Verdicts,
    pub(super) sampling: Counters<Decision, { Decision::COUNT }>,
    pub(super) kept: Counters<Kept, { Kept::COUNT }>,
    pub(super) context_restarted: AtomicU64,
    pub(super) correlation: Counters<Correlation, { Correlation::COUNT }>,
    pub(super) upstream_connections: AtomicU64,
    pub(super) upstream_connect_errors: AtomicU64,
    pub(super) upstream_retries: AtomicU64,
    pub(super) panics: AtomicU64,
}

/// One counter per value of a label.
pub(super) struct Counters<L, const N: usize> {
    counts: [AtomicU64; N],
    label: PhantomData<fn(L)>,
}

/// A request that is being served; it isn't any more when this is dropped.
#[must_use = "the gauge falls when this is dropped"]
pub struct InFlight(Arc<ListenerShard>);

/// An open connection; it is closed when this is dropped.
#[must_use = "the gauge falls when this is dropped"]
pub struct Connection(Arc<ListenerShard>);

impl Shard {
    /// Counters for listeners whose series are these.
    pub(super) fn new(keys: &[Arc<Keys>], known_rpc: &Arc<KnownMethods>) -> Self {
        let listener = |keys| Arc::new(ListenerShard::new(Arc::clone(keys), known_rpc));
        Self {
            listeners: keys.iter().map(listener).collect(),
        }
    }

    /// The counters of the listener at this position of the registry's list.
    ///
    /// An index beyond the list gives counters nobody reads.
    pub fn listener(&self, index: usize) -> Arc<ListenerShard> {
        let nobodys = || Arc::new(ListenerShard::new(Arc::default(), &Arc::default()));
        self.listeners.get(index).cloned().unwrap_or_else(nobodys)
    }
}

impl ListenerShard {
    fn new(keys: Arc<Keys>, known_rpc: &Arc<KnownMethods>) -> Self {
        Self {
            known_rpc: Arc::clone(known_rpc),
            durations: Table::new(keys),
            requests_in_flight: AtomicI64::default(),
            connections: AtomicI64::default(),
            connections_accepted: AtomicU64::default(),
            connections_refused: Counters::default(),
            requests_refused: Counters::default(),
            trust_verdicts: Verdicts::default(),
            sampling: Counters::default(),
            kept: Counters::default(),
            context_restarted: AtomicU64::default(),
            correlation: Counters::default(),
            upstream_connections: AtomicU64::default(),
            upstream_connect_errors: AtomicU64::default(),
            upstream_retries: AtomicU64::default(),
            panics: AtomicU64::default(),
        }
    }

    /// The gRPC methods that have series of their own.
    pub fn known_rpc(&self) -> &KnownMethods {
        &self.known_rpc
    }

    /// A request began; keep the guard until it ends.
    pub fn request(self: &Arc<Self>) -> InFlight {
        self.requests_in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// A request ended, `at` this moment. Its `duration` runs from the complete head to
    /// the end of the response; `span` is the one it was recorded as.
    pub fn finished(
        &self,
        call: &Call,
        duration: Duration,
        at: Instant,
        span: Option<(TraceId, SpanId)>,
    ) {
        self.durations.observe(Key::of(call), duration, at, span);
    }

    /// A connection was accepted; keep the guard until it is closed.
    pub fn connection(self: &Arc<Self>) -> Connection {
        self.connections_accepted.fetch_add(1, Relaxed);
        self.connections.fetch_add(1, Relaxed);
        Connection(Arc::clone(self))
    }

    /// A connection was refused before any request of it was read.
    pub fn connection_refused(&self, why: Refusal) {
        self.connections_refused.add(why);
    }

    /// A request was answered here instead of being forwarded.
    pub fn request_refused(&self, why: RequestRefusal) {
        self.requests_refused.add(why);
    }

    /// A caller was judged.
    pub fn trust(&self, verdict: Verdict) {
        self.trust_verdicts.add(verdict);
    }

    /// The sampler decided.
    pub fn sampling(&self, decision: Decision) {
        self.sampling.add(decision);
    }

    /// An unsampled request failed or was slow.
    pub fn kept(&self, why: Kept) {
        self.kept.add(why);
    }

    /// A context that came along was discarded and the trace restarted.
    pub fn context_restarted(&self) {
        self.context_restarted.fetch_add(1, Relaxed);
    }

    /// A request was looked for by a field the component copies, or could not be put down.
    pub fn correlated(&self, outcome: Correlation) {
        self.correlation.add(outcome);
    }

    /// A connection to an upstream was made.
    pub fn upstream_connected(&self) {
        self.upstream_connections.fetch_add(1, Relaxed);
    }

    /// A connection to an upstream could not be made.
    pub fn upstream_connect_failed(&self) {
        self.upstream_connect_errors.fetch_add(1, Relaxed);
    }

    /// A request was sent to an upstream again.
    pub fn upstream_retried(&self) {
        self.upstream_retries.fetch_add(1, Relaxed);
    }

    /// A connection's task panicked.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Relaxed);
    }
}

impl<L: Label, const N: usize> Counters<L, N> {
    fn add(&self, label: L) {
        if let Some(count) = self.counts.get(label.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn get(&self, label: L) -> u64 {
        self.counts
            .get(label.index())
            .map_or(0, |count| count.load(Relaxed))
    }
}

impl<L, const N: usize> Default for Counters<L, N> {
    fn default() -> Self {
        Self {
            counts: array::from_fn(|_| AtomicU64::new(0)),
            label: PhantomData,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests_in_flight.fetch_sub(1, Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

//! What became of the spans: counters and the state of every sink.
//!
//! Every recorded span is in exactly one place. Before the sinks:
//! `recorded = queue_full + shutdown + drained + waiting in a ring`; then, for every sink,
//! `offered = exported + dropped + in flight`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use super::ring;

/// Why a span didn't arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No room: more spans came than the collector took.
    QueueFull,
    /// The collector couldn't be reached, or stayed unwell through every retry.
    ExportFailed,
    /// The collector said no.
    Rejected,
    /// The process stopped before they could be sent.
    Shutdown,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] = [
        Self::QueueFull,
        Self::ExportFailed,
        Self::Rejected,
        Self::Shutdown,
    ];

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::ExportFailed => "export_failed",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Whether a sink takes spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The last attempt succeeded, or none was made yet.
    Ok,
    /// The last attempt failed.
    Failing {
        /// When the first of the failures in a row was seen.
        since: SystemTime,
        /// The latest of them; never text the collector sent, which may echo credentials.
        error: Arc<str>,
    },
}

/// Counters of the whole way.
#[derive(Debug, Default)]
pub struct Status {
    rings: Vec<Arc<ring::Counters>>,
    drained: AtomicU64,
    left_behind: AtomicU64,
    sinks: RwLock<Vec<Arc<SinkStatus>>>,
}

impl Status {
    pub(super) fn new(rings: Vec<Arc<ring::Counters>>) -> Self {
        Self {
            rings,
            ..Self::default()
        }
    }

    /// Spans made by the workers.
    pub fn recorded(&self) -> u64 {
        self.rings.iter().map(|ring| ring.recorded()).sum()
    }

    /// Spans dropped before any sink saw them: only [`Reason::QueueFull`] and
    /// [`Reason::Shutdown`] happen here.
    pub fn dropped(&self, reason: Reason) -> u64 {
        match reason {
            Reason::QueueFull => self.rings.iter().map(|ring| ring.full()).sum(),
            Reason::Shutdown => {
                self.left_behind.load(Ordering::Relaxed)
                    + self.rings.iter().map(|ring| ring.closed()).sum::<u64>()
            }
            Reason::ExportFailed | Reason::Rejected => 0,
        }
    }

    /// Spans the exporter thread has taken over.
    pub fn drained(&self) -> u64 {
        self.drained.load(Ordering::Relaxed)
    }

    /// Spans not yet taken over by the exporter thread.
    pub fn waiting(&self) -> u64 {
        // Outflows first: what comes in meanwhile only makes the difference larger.
        let gone =
            self.dropped(Reason::QueueFull) + self.dropped(Reason::Shutdown) + self.drained();
        self.recorded().saturating_sub(gone)
    }

    /// Every sink, past ones (by reconfiguration) included so that no counter falls.
    pub fn sinks(&self) -> Vec<Arc<SinkStatus>> {
        self.sinks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The status of the sink of that name, made if it isn't there yet.
    pub(super) fn sink(&self, name: &str) -> Arc<SinkStatus> {
        let mut sinks = self.sinks.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sinks.iter().find(|sink| &*sink.name == name) {
            return Arc::clone(known);
        }
        let sink = Arc::new(SinkStatus::new(name));
        sinks.push(Arc::clone(&sink));
        sink
    }

    pub(super) fn count_drained(&self, spans: u64) {
        self.drained.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn count_left_behind(&self, spans: u64) {
        self.left_behind.fetch_add(spans, Ordering::Relaxed);
    }
}

/// Counters and state of one sink.
#[derive(Debug)]
pub struct SinkStatus {
    name: Box<str>,
    offered: AtomicU64,
    exported: AtomicU64,
    dropped: [AtomicU64; Reason::ALL.len()],
    backlog: AtomicUsize,
    state: Mutex<State>,
}

impl SinkStatus {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            offered: AtomicU64::new(0),
            exported: AtomicU64::new(0),
            dropped: Default::default(),
            backlog: AtomicUsize::new(0),
            state: Mutex::new(State::Ok),
        }
    }

    /// Transport and endpoint, without credentials.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Spans that reached this sink's queue.
    pub fn offered(&self) -> u64 {
        self.offered.load(Ordering::Acquire)
    }

    /// Spans the collector took.
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Acquire)
    }

    /// Spans this sink lost.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.counter(reason).load(Ordering::Acquire)
    }

    /// Spans this sink holds.
    pub fn in_flight(&self) -> u64 {
        let dropped: u64 = Reason::ALL.iter().map(|r| self.dropped(*r)).sum();
        let gone = dropped + self.exported();
        self.offered().saturating_sub(gone)
    }

    /// Whether the sink takes spans.
    pub fn state(&self) -> State {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    const fn counter(&self, reason: Reason) -> &AtomicU64 {
        let [full, failed, rejected, shutdown] = &self.dropped;
        match reason {
            Reason::QueueFull => full,
            Reason::ExportFailed => failed,
            Reason::Rejected => rejected,
            Reason::Shutdown => shutdown,
        }
    }

    /// Takes `spans` into the backlog if they fit under `limit`; else counts them as dropped.
    pub(super) fn admit(&self, spans: usize, limit: usize) -> bool {
        self.offered.fetch_add(spans as u64, Ordering::Release);
        // One thread admits and settles, so nothing can come between the check and the addition.
        if self.backlog() + spans > limit {
            self.count_dropped(Reason::QueueFull, spans as u64);
            return false;
        }
        self.backlog.fetch_add(spans, Ordering::Relaxed);
        true
    }

    pub(super) fn settle(&self, spans: usize) {
        self.backlog.fetch_sub(spans, Ordering::Relaxed);
    }

    pub(super) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    pub(super) fn count_exported(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::Release);
    }

    pub(super) fn count_dropped(&self, reason: Reason, spans: u64) {
        self.counter(reason).fetch_add(spans, Ordering::Release);
    }

    /// Notes a failed attempt; only the first in a row is logged.
    pub(super) fn failed(&self, error: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match &*state {
            State::Failing { since, .. } => *since,
            State::Ok => {
                tracing::warn!(target: "tracegate::export", sink = %self.name, error, "export is failing");
                SystemTime::now()
            }
        };
        *state = State::Failing {
            since,
            error: error.into(),
        };
    }

    /// Notes a successful attempt; logged only if the one before failed.
    pub(super) fn succeeded(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Failing { .. }) {
            *state = State::Ok;
            tracing::info!(target: "tracegate::export", sink = %self.name, "export has recovered");
        }
    }
}

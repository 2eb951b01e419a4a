//! What became of the spans: counters and the state of every sink.
//!
//! Every recorded span is in exactly one place. Before the sinks:
//! `recorded = queue_full + shutdown + waiting + offered`: a span waits in a ring and then in the
//! batch that is being filled, which is offered to every sink when it is complete or due; and for
//! every sink
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
    batched: AtomicU64,
    left_behind: AtomicU64,
    sinks: Sinks,
    metrics: Sinks,
}

/// The sinks of one signal.
#[derive(Debug, Default)]
pub(super) struct Sinks(RwLock<Vec<Arc<SinkStatus>>>);

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

    /// Spans not yet offered to the sinks: in a ring, or in a batch that is being filled.
    pub fn waiting(&self) -> u64 {
        let batched = self.batched.load(Ordering::Relaxed);
        // Outflows first: what comes in meanwhile only makes the difference larger.
        let gone =
            self.dropped(Reason::QueueFull) + self.dropped(Reason::Shutdown) + self.drained();
        self.recorded().saturating_sub(gone) + batched
    }

    /// Every sink, past ones (by reconfiguration) included so that no counter falls.
    pub fn sinks(&self) -> Vec<Arc<SinkStatus>> {
        self.sinks.all()
    }

    /// Every collector metrics were sent to; its counters speak of data points.
    pub fn metric_sinks(&self) -> Vec<Arc<SinkStatus>> {
        self.metrics.all()
    }

    /// The sinks metrics go to.
    pub(super) const fn metrics(&self) -> &Sinks {
        &self.metrics
    }

    /// The status of the sink of that name; a new one is shown once it is [adopted](Self::adopt).
    pub(super) fn sink(&self, name: &str) -> Arc<SinkStatus> {
        self.sinks.sink(name)
    }

    /// Shows a sink's status from now on.
    pub(super) fn adopt(&self, sink: &Arc<SinkStatus>) {
        self.sinks.adopt(sink);
    }

    pub(super) fn count_drained(&self, spans: u64) {
        self.drained.fetch_add(spans, Ordering::Relaxed);
    }

    pub(super) fn set_batched(&self, spans: usize) {
        self.batched.store(spans as u64, Ordering::Relaxed);
    }

    pub(super) fn count_left_behind(&self, spans: u64) {
        self.left_behind.fetch_add(spans, Ordering::Relaxed);
    }
}

impl Sinks {
    fn all(&self) -> Vec<Arc<SinkStatus>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The status of the sink of that name; a new one is shown once it is [adopted](Self::adopt).
    pub(super) fn sink(&self, name: &str) -> Arc<SinkStatus> {
        let sinks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = sinks.iter().find(|sink| &*sink.name == name);
        known.map_or_else(|| Arc::new(SinkStatus::new(name)), Arc::clone)
    }

    /// Shows a sink's status from now on.
    pub(super) fn adopt(&self, sink: &Arc<SinkStatus>) {
        let mut sinks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !sinks.iter().any(|known| Arc::ptr_eq(known, sink)) {
            sinks.push(Arc::clone(sink));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `act` and returns what it logged.
    fn logged(act: impl FnOnce()) -> String {
        let buffer = Arc::new(Mutex::new(Vec::<u8>::new()));
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer({
                let buffer = Arc::clone(&buffer);
                move || Shared(Arc::clone(&buffer))
            })
            .finish();
        tracing::subscriber::with_default(subscriber, act);
        String::from_utf8(buffer.lock().unwrap().clone()).unwrap()
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_change_of_state_is_one_line_in_the_log() {
        let sink = SinkStatus::new("otlp/grpc http://collector");
        let lines = logged(|| {
            sink.succeeded();
            sink.failed("refused");
            sink.failed("refused again");
            sink.succeeded();
            sink.succeeded();
        });
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("export is failing") && lines[0].contains("refused"));
        assert!(lines[1].contains("export has recovered"));
        assert!(lines.iter().all(|line| line.contains("tracegate::export")));
    }

    #[test]
    fn a_failing_sink_keeps_its_beginning_and_shows_its_latest_error() {
        let sink = SinkStatus::new("console");
        sink.failed("first");
        let State::Failing { since: begin, .. } = sink.state() else {
            panic!("must fail");
        };
        sink.failed("second");
        let expected = State::Failing {
            since: begin,
            error: "second".into(),
        };
        assert_eq!(sink.state(), expected);
    }

    #[test]
    fn a_sink_admits_up_to_its_limit_and_drops_the_rest() {
        let sink = SinkStatus::new("console");
        assert!(sink.admit(6, 10));
        assert!(!sink.admit(5, 10), "would be one too many");
        assert!(sink.admit(4, 10), "exactly full");
        assert_eq!(sink.dropped(Reason::QueueFull), 5);
        assert_eq!((sink.offered(), sink.in_flight()), (15, 10));
    }

    #[test]
    fn a_sink_of_the_same_name_keeps_its_counters() {
        let status = Status::default();
        let first = status.sink("a");
        status.adopt(&first);
        first.count_exported(3);
        status.adopt(&status.sink("a"));
        assert_eq!(status.sinks().len(), 1);
        assert_eq!(status.sink("a").exported(), 3);
        assert_eq!(status.sink("b").exported(), 0);
        assert_eq!(
            status.sinks().len(),
            1,
            "one that was never adopted isn't shown"
        );
    }
}

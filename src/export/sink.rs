//! A sink: its own bounded queue, its own task, one export at a time.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::console::Console;
use super::memory;
use super::metrics::{Push, Sources};
use super::otlp::Exporter;
use super::retry::Retry;
use super::settings::{Metrics, Settings, Sink as SinkSettings};
use super::status::{Reason, SinkStatus, Status};
use super::{BuildError, otlp, resource};
use crate::span::record::Record;
use crate::span::semconv::{Anchor, Converter};

/// Records in a row.
#[allow(
    clippy::vec_box,
    reason = "records stay in the boxes the ring handed over: moving them would copy each"
)]
pub(super) type Records = Vec<Box<Record>>;

/// Records that travel together, shared by the sinks.
pub(super) struct Batch {
    pub(super) records: Records,
    pub(super) anchor: Anchor,
}

/// When the process has to be done; `None` while it runs.
pub(super) type Deadline = watch::Receiver<Option<Instant>>;

/// What became of a batch, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) exported: u64,
    pub(super) rejected: u64,
    pub(super) failed: u64,
}

impl Outcome {
    const fn known(&self) -> u64 {
        self.exported + self.rejected + self.failed
    }
}

enum Kind {
    Otlp(Box<Exporter>),
    Console(Console),
    Memory(memory::Sender),
}

impl Kind {
    /// Adds to `outcome` whatever becomes known, also if it is dropped half-way.
    async fn export(&mut self, batch: &Batch, deadline: &Deadline, outcome: &mut Outcome) {
        match self {
            Self::Otlp(exporter) => exporter.export(batch, deadline, outcome).await,
            Self::Console(console) => console.export(batch, outcome).await,
            Self::Memory(memory) => memory.export(batch, outcome).await,
        }
    }
}

/// Everything a reconfiguration swaps.
pub(super) struct Plan {
    pub(super) sinks: Vec<Sink>,
    pub(super) metrics: Option<Box<Push>>,
    pub(super) max_batch: usize,
    pub(super) schedule_delay: Duration,
}

/// Builds sinks inside the exporter's runtime, from any thread.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) runtime: Handle,
    pub(super) status: Arc<Status>,
    pub(super) converter: Arc<Converter>,
    pub(super) retry: Retry,
    pub(super) sources: Sources,
}

impl Builder {
    pub(super) fn plan(&self, settings: &Settings) -> Result<Plan, BuildError> {
        let _inside = self.runtime.enter();
        let resource = resource::build(&settings.resource);
        let limit = (settings.queue_spans / 2 / settings.sinks.len().max(1)).max(1);
        let mut sinks: Vec<Sink> = Vec::with_capacity(settings.sinks.len());
        for sink in &settings.sinks {
            let name = match sink {
                SinkSettings::Otlp(settings) => otlp::name(settings),
                SinkSettings::Console => "console".to_owned(),
                SinkSettings::Memory(_) => "memory".to_owned(),
            };
            let twin = sinks.iter().find(|sink| sink.status.name() == name);
            let status =
                twin.map_or_else(|| self.status.sink(&name), |twin| Arc::clone(&twin.status));
            let converter = Arc::clone(&self.converter);
            let told = Arc::clone(&status);
            let kind = match sink {
                SinkSettings::Otlp(settings) => Kind::Otlp(Box::new(Exporter::new(
                    settings, &resource, converter, self.retry, told,
                )?)),
                SinkSettings::Console => Kind::Console(Console::stdout(converter, &resource, told)),
                SinkSettings::Memory(reader) => Kind::Memory(memory::Sender::new(
                    reader.clone(),
                    converter,
                    resource.clone(),
                    told,
                )),
            };
            sinks.push(Sink {
                kind,
                status,
                limit,
            });
        }
        let metrics = match &settings.metrics {
            Some(metrics) => Some(Box::new(self.push(metrics, &resource)?)),
            None => None,
        };
        for sink in &sinks {
            self.status.adopt(&sink.status);
        }
        if let Some(push) = &metrics {
            self.status.metrics().adopt(&push.status);
        }
        Ok(Plan {
            sinks,
            metrics,
            max_batch: settings.max_batch.clamp(1, limit),
            schedule_delay: settings.schedule_delay,
        })
    }
}

impl Builder {
    fn push(&self, metrics: &Metrics, resource: &Resource) -> Result<Push, BuildError> {
        let status = self.status.metrics().sink(&otlp::name(&metrics.otlp));
        let told = Arc::clone(&status);
        Ok(Push {
            pusher: otlp::Pusher::new(&metrics.otlp, resource, self.retry, told)?,
            interval: metrics.interval,
            sources: self.sources.clone(),
            status,
        })
    }
}

/// A sink that isn't running yet.
pub(super) struct Sink {
    kind: Kind,
    status: Arc<SinkStatus>,
    limit: usize,
}

impl Sink {
    /// Splits it into the end that takes batches and the task that sends them.
    pub(super) fn split(
        self,
        deadline: Deadline,
        freed: Arc<Notify>,
    ) -> (Inlet, impl Future<Output = ()> + Send + 'static) {
        let (sender, batches) = mpsc::unbounded_channel();
        let inlet = Inlet {
            // Bounded by `admit`, in spans rather than in batches.
            sender,
            status: Arc::clone(&self.status),
            limit: self.limit,
        };
        (inlet, run(self.kind, self.status, batches, deadline, freed))
    }
}

/// The end of a sink that takes batches; never waits.
pub(super) struct Inlet {
    sender: mpsc::UnboundedSender<Arc<Batch>>,
    status: Arc<SinkStatus>,
    limit: usize,
}

impl Inlet {
    /// Spans this sink can still take.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.status.backlog())
    }

    /// Queues a batch, or drops it for this sink alone.
    pub(super) fn offer(&self, batch: &Arc<Batch>) {
        let spans = batch.records.len();
        if self.status.admit(spans, self.limit) && self.sender.send(Arc::clone(batch)).is_err() {
            // Only if the task has panicked.
            self.status.settle(spans);
            self.status
                .count_dropped(Reason::ExportFailed, spans as u64);
        }
    }
}

async fn run(
    mut kind: Kind,
    status: Arc<SinkStatus>,
    mut batches: mpsc::UnboundedReceiver<Arc<Batch>>,
    deadline: Deadline,
    freed: Arc<Notify>,
) {
    let mut gave_up = false;
    while let Some(batch) = batches.recv().await {
        let spans = batch.records.len();
        let mut outcome = Outcome::default();
        if !gave_up {
            tokio::select! {
                biased;
                () = passed(deadline.clone()) => {}
                () = kind.export(&batch, &deadline, &mut outcome) => {}
            }
        }
        // A collector that fails now won't get well within the deadline: don't spend it on it.
        gave_up = gave_up || (deadline.borrow().is_some() && outcome.failed > 0);
        status.count_exported(outcome.exported);
        status.count_dropped(Reason::Rejected, outcome.rejected);
        status.count_dropped(Reason::ExportFailed, outcome.failed);
        let unsent = (spans as u64).saturating_sub(outcome.known());
        status.count_dropped(Reason::Shutdown, unsent);
        drop(batch);
        status.settle(spans);
        freed.notify_one();
    }
}

/// Ends when the deadline, once there is one, has passed.
pub(super) async fn passed(mut deadline: Deadline) {
    let until = match deadline.wait_for(Option::is_some).await {
        Ok(until) => *until,
        // Whoever sets the deadline is gone: there will be none.
        Err(_) => None,
    };
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

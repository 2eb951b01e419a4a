//! Export: ring → exporter thread → batches → the collector. Never at the cost of a request.
//!
//! Workers push finished records into a bounded ring each. One thread with a runtime of its own
//! drains them by polling (a push wakes nobody), batches them and hands every batch to each sink.
//! Half of `queue_spans` is room in the rings, the other half is room behind them, shared by the
//! sinks; whatever doesn't fit is dropped and counted.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::span::known_rpc::KnownMethods;
use crate::span::semconv::Converter;

pub mod batch;
mod console;
mod memory;
pub mod metrics;
mod otlp;
mod pace;
mod resource;
mod retry;
pub mod ring;
pub mod settings;
mod sink;
pub mod status;
mod thread;

pub use retry::Retry;
pub use status::{Reason, SinkStatus, State, Status};

use metrics::{Source, Sources};
use settings::Settings;

/// Why an exporter couldn't be built. All of these are faults of the configuration.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The endpoint isn't a URL this transport can use.
    Endpoint {
        /// As configured, without credentials.
        endpoint: String,
        /// What was expected.
        reason: String,
    },
    /// A header's name or value isn't allowed in HTTP; the value isn't shown, it may be a secret.
    Header {
        /// The name as configured.
        name: String,
    },
    /// A certificate or key can't be read or used.
    Tls {
        /// The file, or what stands for it.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The OTLP library refused its settings.
    Otlp(String),
    /// The thread or its runtime couldn't be made.
    Thread(io::Error),
    /// Export was off when the process started; switching it on needs a restart.
    Restart,
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint { endpoint, reason } => {
                write!(f, "export endpoint {endpoint:?}: {reason}")
            }
            Self::Header { name } => {
                write!(
                    f,
                    "export header {name:?}: not a valid HTTP header name and value"
                )
            }
            Self::Tls { file, reason } => write!(f, "export tls {file}: {reason}"),
            Self::Otlp(reason) => write!(f, "OTLP exporter: {reason}"),
            Self::Thread(error) => write!(f, "exporter thread: {error}"),
            Self::Restart => f.write_str(
                "export was off at the start: switching it on needs a restart of the process",
            ),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            _ => None,
        }
    }
}

/// Starts the exporter: a producer for each of `workers`, and the handle that ends it.
///
/// With no sinks nothing is started, the producers take nothing and [`Handle::enabled`] is false.
///
/// # Errors
/// Anything in `settings` that can be known to be wrong without talking to a collector; an absent
/// collector is no error.
pub fn start(
    settings: &Settings,
    known_rpc: Arc<KnownMethods>,
    workers: usize,
) -> Result<(Vec<ring::Producer>, Handle), BuildError> {
    start_with(settings, known_rpc, workers, Retry::default())
}

/// [`start`] with another retry policy.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    settings: &Settings,
    known_rpc: Arc<KnownMethods>,
    workers: usize,
    retry: Retry,
) -> Result<(Vec<ring::Producer>, Handle), BuildError> {
    if settings.sinks.is_empty() {
        let producers = (0..workers).map(|_| ring::Producer::disabled()).collect();
        let handle = Handle {
            status: Arc::default(),
            running: None,
        };
        return Ok((producers, handle));
    }
    let per_ring = settings.queue_spans / 2 / workers.max(1);
    let mut producers = Vec::with_capacity(workers);
    let mut consumers = Vec::with_capacity(workers);
    let mut counters = Vec::with_capacity(workers);
    for _ in 0..workers {
        let (producer, consumer, counter) = ring::ring(per_ring);
        producers.push(producer);
        consumers.push(consumer);
        counters.push(counter);
    }
    let status = Arc::new(Status::new(counters));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BuildError::Thread)?;
    let builder = sink::Builder {
        runtime: runtime.handle().clone(),
        status: Arc::clone(&status),
        converter: Arc::new(Converter::new(known_rpc)),
        retry,
        sources: Sources::default(),
    };
    let plan = match builder.plan(settings) {
        Ok(plan) => plan,
        Err(error) => {
            // A plain drop would panic if the caller is inside a runtime of its own.
            runtime.shutdown_background();
            return Err(error);
        }
    };
    let (control, orders) = mpsc::unbounded_channel();
    let exporter = thread::Exporter::new(consumers, Arc::clone(&status), plan);
    let thread = std::thread::Builder::new()
        .name("tracegate-export".to_owned())
        .spawn(move || exporter.run(runtime, orders))
        .map_err(BuildError::Thread)?;
    let running = Running {
        builder,
        control,
        thread,
    };
    let handle = Handle {
        status,
        running: Some(running),
    };
    Ok((producers, handle))
}

/// The exporter, seen from the rest of the process. Dropping it stops the export without a flush.
#[derive(Debug)]
pub struct Handle {
    status: Arc<Status>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    builder: sink::Builder,
    control: mpsc::UnboundedSender<thread::Order>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Whether spans go anywhere.
    pub const fn enabled(&self) -> bool {
        self.running.is_some()
    }

    /// Counters and sink states; keeps reading right after the handle is gone.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Says where metrics are gathered; only the first source counts.
    pub fn gather_from(&self, source: Source) {
        if let Some(running) = &self.running {
            running.builder.sources.set(source);
        }
    }

    /// Swaps sinks, resource and batching for those of `settings`. Batches already handed to the
    /// old sinks are finished there. `queue_spans` keeps its value from the start for the rings.
    ///
    /// # Errors
    /// As [`start`], and [`BuildError::Restart`] if export was off; nothing has changed then.
    pub fn reconfigure(&self, settings: &Settings) -> Result<(), BuildError> {
        let Some(running) = &self.running else {
            return if settings.sinks.is_empty() {
                Ok(())
            } else {
                Err(BuildError::Restart)
            };
        };
        let plan = running.builder.plan(settings)?;
        // A thread that is gone takes no orders; there is nothing to swap then.
        let _ = running.control.send(thread::Order::Reconfigure(plan));
        Ok(())
    }

    /// Sends what is left within `deadline`, counts the rest under [`Reason::Shutdown`] and ends
    /// the thread. Blocks: call it where no runtime is driven, after the workers have stopped.
    pub fn shutdown(self, deadline: Duration) {
        let Some(running) = self.running else { return };
        let until = Instant::now() + deadline;
        let _ = running.control.send(thread::Order::Stop(until));
        if running.thread.join().is_err() {
            tracing::error!(target: "tracegate::export", "the exporter thread panicked");
        }
    }
}

//! A worker: one thread, one runtime, nothing shared with the others but atomics.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::clock::Clock;
use super::connection;
use super::correlation;
use super::correlation::held::Correlation;
use super::exchange::segments::Segments;
use super::keep;
use super::listener::{Plan, Slot};
use super::local;
use super::values::Values;
use crate::access_log::{self, Entry};
use crate::context::ids::Flags;
use crate::context::traceparent::TraceParent;
use crate::export::ring::Producer;
use crate::lifecycle::Token;
use crate::listen::accept::Accepted;
use crate::metrics::Shard;
use crate::metrics::shard;
use crate::sample::cap::Nanos;
use crate::sample::generator::IdGenerator;
use crate::span::record::Record;

/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// What a worker is made from.
pub struct Seed {
    /// Position among the workers.
    pub index: usize,
    /// One plan per listener, in the registry's order.
    pub plans: Vec<Plan>,
    /// Its counters.
    pub shard: Arc<Shard>,
    /// Its way to the exporter.
    pub ring: Producer,
    /// Its way to the access log.
    pub access_log: access_log::Producer,
    /// Randomness of its ids.
    pub seed: [u8; 32],
    /// Open requests of all workers, by the fields of `propagation.correlateBy`.
    pub open_requests: Arc<correlation::Table>,
}

/// What a worker is told.
pub enum Job {
    /// Serve a connection.
    Connection {
        /// Position of its listener.
        listener: usize,
        /// The socket.
        accepted: Accepted,
        /// What falls when the connection ends.
        admission: Admission,
        /// What a drain waits for.
        token: Token,
    },
    /// Settings have changed.
    Plans(Arc<[Plan]>),
}

/// Counts a connection, towards its worker's load and its listener's limit, until dropped.
pub struct Admission(Vec<Arc<AtomicUsize>>);

impl Admission {
    /// Counts a connection in each of the counters.
    pub fn new(counters: Vec<Arc<AtomicUsize>>) -> Self {
        for counter in &counters {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Self(counters)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        for counter in &self.0 {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What must live as long as a connection.
pub struct Guards {
    /// What a drain waits for.
    pub token: Token,
    _admission: Admission,
    _gauge: shard::Connection,
}

impl Guards {
    /// Held by one connection.
    pub fn new(token: Token, admission: Admission, gauge: shard::Connection) -> Self {
        Self {
            token,
            _admission: admission,
            _gauge: gauge,
        }
    }
}

/// The handle the acceptor keeps.
pub struct Handle {
    jobs: UnboundedSender<Job>,
    load: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// What the requests of one worker share.
pub struct Worker {
    /// Time zero of the sampler's clock.
    epoch: Instant,
    /// What ticks are moments of.
    pub clock: Clock,
    /// New ids.
    pub ids: RefCell<IdGenerator>,
    /// Header values made here.
    pub values: RefCell<Values>,
    /// Memory for what may have to be kept.
    pub held: keep::Pool,
    /// Its access to all workers' open requests.
    pub correlation: Correlation,
    /// Open spans that may become too old.
    pub segments: Segments,
    ring: RefCell<Producer>,
    records: bool,
    access_log: RefCell<access_log::Producer>,
}

impl Worker {
    /// A worker on the thread that calls.
    pub fn new(seed: [u8; 32], epoch: Instant, ring: Producer, log: access_log::Producer) -> Self {
        Self {
            epoch,
            clock: Clock::default(),
            ids: RefCell::new(IdGenerator::new(seed)),
            values: RefCell::default(),
            held: keep::Pool::default(),
            correlation: Correlation::default(),
            segments: Segments::default(),
            records: ring.enabled(),
            ring: RefCell::new(ring),
            access_log: RefCell::new(log),
        }
    }

    /// The same worker beside others: what they serve may be found.
    #[must_use]
    pub fn beside(self, open_requests: Arc<correlation::Table>) -> Self {
        Self {
            correlation: Correlation::new(open_requests),
            ..self
        }
    }

    /// A worker nobody reads from, on the thread that calls; `records`: it makes them all the same.
    pub fn unread(seed: [u8; 32], records: bool) -> Self {
        let (ring, log) = (Producer::unread(records), access_log::Producer::unread());
        Self::new(seed, Instant::now(), ring, log)
    }

    /// Whether anybody reads records.
    pub const fn records(&self) -> bool {
        self.records
    }

    /// A moment on the sampler's clock.
    pub fn nanos(&self, now: Instant) -> Nanos {
        Nanos(u64::try_from(now.duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX))
    }

    /// Ids for a record whose ids nobody sees.
    pub fn unseen(&self) -> TraceParent {
        let mut ids = self.ids.borrow_mut();
        TraceParent {
            trace_id: ids.trace_id(),
            parent_id: ids.span_id(),
            flags: Flags::default(),
        }
    }

    /// Hands a finished record to the exporter; a full ring drops and counts it.
    pub fn export(&self, record: Box<Record>) {
        self.ring.borrow_mut().push(record);
    }

    /// Hands an entry to the access log; a full ring drops and counts it.
    pub fn log(&self, entry: Entry) {
        self.access_log.borrow_mut().push(entry);
    }
}

impl Handle {
    /// Starts a worker's thread.
    ///
    /// # Errors
    /// When the thread or its runtime can't be made.
    pub fn start(seed: Seed, epoch: Instant) -> io::Result<Self> {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name(format!("worker-{}", seed.index))
            .spawn(move || {
                match Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default())
                {
                    Ok(runtime) => runtime.block_on(run(seed, epoch, receiver)),
                    Err(error) => tracing::error!(%error, "a worker could not start"),
                }
            })?;
        Ok(Self {
            jobs,
            load: Arc::default(),
            thread,
        })
    }

    /// Connections it serves.
    pub fn load(&self) -> &Arc<AtomicUsize> {
        &self.load
    }

    /// Tells the worker; a worker that has ended drops what it is told.
    pub fn tell(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Ends the worker once its connections have ended or were cut.
    pub fn join(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}

async fn run(seed: Seed, epoch: Instant, mut jobs: UnboundedReceiver<Job>) {
    let counters: Vec<_> = (0..seed.plans.len())
        .map(|listener| seed.shard.listener(listener))
        .collect();
    let slots: Vec<Rc<Slot>> = seed
        .plans
        .iter()
        .zip(&counters)
        .map(|(plan, counters)| Slot::new(plan, counters))
        .collect();
    let worker = Worker::new(seed.seed, epoch, seed.ring, seed.access_log);
    let worker = Rc::new(worker.beside(seed.open_requests));
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let job = tokio::select! {
            job = jobs.recv() => job,
            _ = sweep.tick() => {
                for slot in &slots {
                    slot.current().upstreams().for_each(|upstream| upstream.sweep());
                }
                continue;
            }
        };
        match job {
            None => return,
            Some(Job::Plans(plans)) => {
                for (slot, plan) in slots.iter().zip(plans.iter()) {
                    slot.replace(plan);
                }
            }
            Some(Job::Connection {
                listener,
                accepted,
                admission,
                token,
            }) => {
                let (Some(slot), Some(counters)) = (slots.get(listener), counters.get(listener))
                else {
                    continue;
                };
                let guards = Guards::new(token, admission, counters.connection());
                let served =
                    connection::serve(Rc::clone(&worker), Rc::clone(slot), accepted, guards);
                local::spawn(counters, served);
            }
        }
    }
}

//! The composition root: builds every part from the configuration and runs them to their end.
//!
//! The main thread runs the control runtime: it accepts for all workers, serves health and
//! admin, watches files and signals, and drains. Requests never touch it.

mod accept;
mod error;
mod observe;
mod plan;
mod reload;
mod sampling;
mod servers;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::{Builder, LocalOptions};

pub use self::error::StartError;
use self::sampling::CurrentSampler;
use crate::access_log;
use crate::config::{Config, Source};
use crate::export;
use crate::export::ring::Producer;
use crate::lifecycle::{Drain, Event, Latch, Readiness, Report, Signals};
use crate::listen::accept::Acceptor;
use crate::listen::bind::{Bound, Inherited};
use crate::metrics::Registry;
use crate::proxy::correlation;
use crate::proxy::listener::Plan;
use crate::proxy::worker;
use crate::span::known_rpc::KnownMethods;

/// Time for the last spans to leave when draining has used up its own.
const MIN_FLUSH: Duration = Duration::from_secs(1);

/// A proxy whose sockets are bound and whose workers run; it accepts once [`App::run`] is called.
pub struct App {
    config: Config,
    source: Source,
    /// Digest of the configuration's files as they were when they were put to use.
    files: u64,
    secrets: plan::Secrets,
    bound: Vec<Bound>,
    admin: Option<Bound>,
    health: Option<Bound>,
    registry: Arc<Registry>,
    workers: Vec<worker::Handle>,
    exporter: export::Handle,
    access_log: access_log::Handle,
    sampler: Arc<CurrentSampler>,
    drain: Drain,
    readiness: Arc<Readiness>,
    listening: Latch,
    effective: Arc<Mutex<Value>>,
}

/// Where a proxy listens, ports chosen by the kernel included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// In the configuration's order; `None`: a unix socket.
    pub listeners: Vec<Option<SocketAddr>>,
    /// The admin server's, if it listens on TCP.
    pub admin: Option<SocketAddr>,
    /// The health server's.
    pub health: Option<SocketAddr>,
}

/// How a proxy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were still open at the deadline.
    pub cut: usize,
}

impl App {
    /// Loads certificates, binds every address and starts workers and exporter.
    ///
    /// `source` is read again on reload.
    ///
    /// # Errors
    /// What could not be loaded or bound.
    pub fn start(
        config: Config,
        source: Source,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let files = reload::digest(&config.files);
        let secrets = plan::Secrets::random()?;
        let plans = plan::plans(&config, &secrets)?;
        let bound = bind_all(&config, inherited)?;
        let admin = match &config.admin {
            Some(admin) => Some(Bound::bind(&plan::admin_bind(&admin.bind), inherited)?),
            None => None,
        };
        let health = match &config.health {
            Some(health) => Some(Bound::bind(&plan::tcp_bind(health.bind), inherited)?),
            None => None,
        };
        for name in inherited.unclaimed() {
            tracing::warn!(name, "a descriptor was passed that no listener asks for");
        }
        let known = Arc::new(KnownMethods::new(plan::known_methods(&config)));
        let names = plan::names(&config);
        let registry = Registry::knowing(Arc::clone(&known), &names, config.workers);
        let (rings, exporter) = export::start(&config.export, known, config.workers)?;
        let (logs, access_log) = access_log::stdout(config.workers);
        access_log
            .prepare(config.access_log)
            .map_err(StartError::Runtime)?;
        let ways = rings.into_iter().zip(logs);
        let workers = start_workers(&plans, ways, &registry, &secrets)?;
        let sampler = Arc::new(CurrentSampler::new(&config.sampling, &plans));
        observe::register(&registry, &exporter.status(), &sampler);
        observe::push(&registry, &exporter);
        observe::access_log(&registry, access_log.status());

        let drain = Drain::new();
        let mut readiness = Readiness::builder(drain.clone());
        let listening = readiness.required("listeners");
        Ok(Self {
            effective: Arc::new(Mutex::new(config.effective.clone())),
            config,
            source,
            files,
            secrets,
            bound,
            admin,
            health,
            registry,
            workers,
            exporter,
            access_log,
            sampler,
            drain,
            readiness: readiness.build(),
            listening,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        let address = |bound: &Bound| bound.local_addr().ok().flatten();
        Addresses {
            listeners: self.bound.iter().map(address).collect(),
            admin: self.admin.as_ref().and_then(address),
            health: self.health.as_ref().and_then(address),
        }
    }

    /// Counters and sink states of the exporter.
    pub fn export_status(&self) -> Arc<export::Status> {
        self.exporter.status()
    }

    /// Asks it to drain, from any thread.
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Serves until drained. Blocks.
    ///
    /// # Errors
    /// When the control runtime can't be made, or a socket can't be used by it.
    pub fn run(self, signals: impl FnOnce() -> io::Result<Signals>) -> Result<Ended, StartError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .map_err(StartError::Runtime)?;
        let stopped = runtime.block_on(async {
            let signals = signals().map_err(StartError::Runtime)?;
            self.control(signals).await
        })?;
        // Acceptors and servers go with the runtime; workers hold nothing but cut connections.
        drop(runtime);
        for worker in Rc::into_inner(stopped.workers).unwrap_or_default() {
            worker.join();
        }
        let report = stopped.report;
        stopped.access_log.shutdown(MIN_FLUSH);
        stopped.exporter.shutdown(report.remaining.max(MIN_FLUSH));
        tracing::info!(cut = report.cut, "stopped");
        Ok(Ended { cut: report.cut })
    }

    async fn control(mut self, mut signals: Signals) -> Result<Stopped, StartError> {
        let workers = Rc::new(std::mem::take(&mut self.workers));
        self.accept(&workers)?;
        let servers = servers::spawn(&mut self)?;
        self.listening.set();
        tracing::info!(workers = workers.len(), "ready");
        let mut reload = reload::Reload::new(&self.source, &self.config, self.files);
        let mut requested = pin!(self.drain.requested());
        loop {
            tokio::select! {
                event = signals.next() => match event {
                    Some(Event::Reload) => reload.now(&self, &workers),
                    Some(Event::Quit) => self.drain.cut_short(),
                    Some(Event::Drain) | None => break,
                },
                () = &mut requested => break,
                () = reload.changed() => reload.now(&self, &workers),
            }
        }
        let report = self.finish(&mut signals).await;
        drop(servers);
        Ok(Stopped {
            report,
            workers,
            exporter: self.exporter,
            access_log: self.access_log,
        })
    }

    /// One task per listener; each ends when the drain closes listeners.
    fn accept(&mut self, workers: &Rc<Vec<worker::Handle>>) -> Result<(), StartError> {
        for (index, bound) in std::mem::take(&mut self.bound).into_iter().enumerate() {
            let listener = &self.config.listeners[index].listen;
            servers::announce(&listener.name, &bound);
            let door = accept::Door {
                index,
                limit: listener.limits.max_connections,
                workers: Rc::clone(workers),
                counters: self.registry.shard(0).listener(index),
                token: self.drain.token(),
            };
            let acceptor = Acceptor::new(bound).map_err(StartError::Runtime)?;
            tokio::task::spawn_local(door.keep(acceptor));
        }
        Ok(())
    }

    /// Drains; a second signal cuts it short.
    async fn finish(&self, signals: &mut Signals) -> Report {
        tracing::info!(
            connections = self.drain.tokens(),
            timeout = ?self.config.drain_timeout,
            "draining"
        );
        let (delay, timeout) = (self.config.drain_delay, self.config.drain_timeout);
        let mut sequence = pin!(self.drain.sequence(delay, timeout));
        loop {
            tokio::select! {
                report = &mut sequence => return report,
                Some(Event::Quit) = signals.next() => self.drain.cut_short(),
            }
        }
    }
}

/// What is left to end when nothing accepts any more.
struct Stopped {
    report: Report,
    workers: Rc<Vec<worker::Handle>>,
    exporter: export::Handle,
    access_log: access_log::Handle,
}

fn bind_all(config: &Config, inherited: &mut Inherited) -> Result<Vec<Bound>, StartError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        bound.push(Bound::bind(&listener.listen.bind, inherited)?);
    }
    Ok(bound)
}

fn start_workers(
    plans: &[Plan],
    ways: impl Iterator<Item = (Producer, access_log::Producer)>,
    registry: &Registry,
    secrets: &plan::Secrets,
) -> Result<Vec<worker::Handle>, StartError> {
    let epoch = Instant::now();
    // As old as the workers: a reload changes which fields are looked at, not what is open.
    let open_requests = Arc::new(correlation::Table::new(secrets.correlation_key));
    ways.enumerate()
        .map(|(index, (ring, access_log))| {
            let seed = worker::Seed {
                index,
                plans: plans.to_vec(),
                shard: registry.shard(index),
                ring,
                access_log,
                seed: secrets.seed()?,
                open_requests: Arc::clone(&open_requests),
            };
            worker::Handle::start(seed, epoch).map_err(StartError::Runtime)
        })
        .collect()
}

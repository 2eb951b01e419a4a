//! A whole tracegate beside a sample component, configured as a user would.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Error;
use crate::app::{Addresses, App, Ended, StartError};
use crate::config::{self, FileText, Flags, Source, Strictness};
use crate::export::settings::{Memory, Sink};
use crate::export::{Reason, Status};
use crate::lifecycle::{Drain, Signal, Signals};
use crate::listen::bind::Inherited;

/// Spans should be seen soon; a collector would be spared with the usual 5 s.
const SCHEDULE_DELAY: Duration = Duration::from_millis(100);

/// The frontend's: `in` for requests from outside, `out` for its calls to the backend.
pub fn frontend(component: SocketAddr, backend: SocketAddr) -> String {
    document(&format!(
        "service: {{name: frontend}}
admin: {{bind: 127.0.0.1:0}}
listeners:
- name: in
  bind: 127.0.0.1:0
  direction: ingress                   # trust: {{default: drop}} is the default of an ingress
  upstream: {{url: \"http://{component}\"}}
- name: out
  bind: 127.0.0.1:0
  direction: egress
  upstream: {{url: \"http://{backend}\"}}
"
    ))
}

/// The backend's: it believes the frontend's tracegate, by its network.
pub fn backend(component: SocketAddr) -> String {
    document(&format!(
        "service: {{name: backend}}
listeners:
- name: in
  bind: 127.0.0.1:0
  direction: ingress
  trust:
    rules:
    - from: {{cidrs: [127.0.0.0/8]}}
      as: full
  upstream: {{url: \"http://{component}\"}}
"
    ))
}

fn document(rest: &str) -> String {
    format!(
        "apiVersion: tracegate.dev/v1alpha1
kind: TracegateConfiguration
tracing:
  samplingRatePerMillion: 1000000
  export: {{protocol: none}}
workers: 1
drainTimeout: 2s
{rest}"
    )
}

/// A tracegate that runs in this process; drained when dropped.
pub struct Sidecar {
    addresses: Addresses,
    status: Arc<Status>,
    drain: Drain,
    thread: JoinHandle<Result<Ended, StartError>>,
    /// Held, for an end of the signals would end the proxy.
    _signals: mpsc::Sender<Signal>,
}

impl Sidecar {
    /// Starts it; its spans go to `reader`.
    ///
    /// # Errors
    /// As a proxy that was started by hand.
    pub fn start(yaml: String, reader: &Memory) -> Result<Self, Error> {
        // The environment isn't asked: the demo is the same everywhere.
        let source = Source {
            file: Some(FileText {
                path: PathBuf::from("demo.yaml"),
                text: yaml,
            }),
            environment: BTreeMap::new(),
            flags: Flags::default(),
        };
        let loaded = config::load(&source, Strictness::Check).map_err(Error::Config)?;
        let mut config = loaded.config;
        config.export.sinks = vec![Sink::Memory(reader.clone())];
        config.export.schedule_delay = SCHEDULE_DELAY;
        // There is no file to look at again.
        config.files.clear();
        let app = App::start(config, source, &mut Inherited::default()).map_err(Error::Start)?;
        let (addresses, status, drain) = (app.addresses(), app.export_status(), app.drain());
        let (sender, signals) = mpsc::channel(1);
        let name = "demo-control".to_owned();
        let run = move || app.run(|| Ok(Signals::of_channel(signals)));
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Self {
            addresses,
            status,
            drain,
            thread,
            _signals: sender,
        })
    }

    /// Address of a listener, by its place in the configuration.
    ///
    /// # Errors
    /// If it has none; the demo's configurations have.
    pub fn listener(&self, place: usize) -> Result<SocketAddr, Error> {
        let address = self.addresses.listeners.get(place).copied().flatten();
        address.ok_or_else(|| std::io::Error::other("a listener without an address").into())
    }

    /// Address of the admin server, if there is one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.addresses.admin
    }

    /// Stops accepting; what is in flight may end.
    pub fn drain(&self) {
        self.drain.request();
    }

    /// Ends at once.
    pub fn cut_short(&self) {
        self.drain.cut_short();
    }

    /// Waits for the end; returns how many spans were lost.
    ///
    /// # Errors
    /// What ended the proxy before its time.
    pub fn join(self) -> Result<u64, Error> {
        match self.thread.join() {
            Ok(ended) => ended.map_err(Error::Start)?,
            Err(_) => return Err(std::io::Error::other("a proxy panicked").into()),
        };
        let sinks = self.status.sinks();
        let by_sinks = sinks.iter().flat_map(|s| Reason::ALL.map(|r| s.dropped(r)));
        let before = Reason::ALL.map(|reason| self.status.dropped(reason));
        Ok(by_sinks.chain(before).sum())
    }
}

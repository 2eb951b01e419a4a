//! A whole proxy, started in-process from YAML as a user would write it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::mpsc;
use tracegate::app::{Addresses, App, Ended};
use tracegate::config::{self, FileText, Flags, Source, Strictness};
use tracegate::lifecycle::{Drain, Signal, Signals};
use tracegate::listen::bind::Inherited;

use super::component::PATIENCE;
use super::receiver::Receiver;

/// A running proxy; drained when dropped.
pub struct Proxy {
    addresses: Addresses,
    drain: Drain,
    status: std::sync::Arc<tracegate::export::Status>,
    signals: mpsc::Sender<Signal>,
    thread: Option<JoinHandle<Ended>>,
}

impl Proxy {
    /// Starts from the part of a configuration that follows `kind`.
    pub fn start(yaml: &str) -> Self {
        Self::start_file(PathBuf::from("test.yaml"), yaml)
    }

    /// The same, with an environment.
    pub fn start_in(environment: &[(&str, &str)], yaml: &str) -> Self {
        Self::launch(PathBuf::from("test.yaml"), document(yaml), environment)
    }

    /// The same, from a file that exists, so that it can be changed and reloaded.
    pub fn start_file(path: PathBuf, yaml: &str) -> Self {
        Self::launch(path, document(yaml), &[])
    }

    /// From a complete document.
    pub fn start_text(path: PathBuf, text: String) -> Self {
        Self::launch(path, text, &[])
    }

    fn launch(path: PathBuf, text: String, environment: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let source = Source {
            file: Some(FileText { path, text }),
            environment: environment.iter().map(owned).collect(),
            flags: Flags::default(),
        };
        let loaded = match config::load(&source, Strictness::Check) {
            Ok(loaded) => loaded,
            Err(faults) => panic!("{faults}"),
        };
        let app = match App::start(loaded.config, source, &mut Inherited::default()) {
            Ok(app) => app,
            Err(error) => panic!("{error}"),
        };
        let (signals, receiver) = mpsc::channel(4);
        let (addresses, drain, status) = (app.addresses(), app.drain(), app.export_status());
        let thread = std::thread::spawn(move || {
            let ended = app.run(|| Ok(Signals::of_channel(receiver)));
            ended.unwrap_or_else(|error| panic!("{error}"))
        });
        Self {
            addresses,
            drain,
            status,
            signals,
            thread: Some(thread),
        }
    }

    /// Address of the listener at this place.
    pub fn at(&self, index: usize) -> SocketAddr {
        self.addresses.listeners[index].expect("a TCP listener")
    }

    /// Address of the admin server.
    pub fn admin(&self) -> SocketAddr {
        self.addresses.admin.expect("an admin server on TCP")
    }

    /// Address of the health server.
    pub fn health(&self) -> SocketAddr {
        self.addresses.health.expect("a health server")
    }

    /// The exporter's counters.
    pub fn export(&self) -> &tracegate::export::Status {
        &self.status
    }

    /// Sends a signal, as the system would.
    pub fn signal(&self, signal: Signal) {
        self.signals.blocking_send(signal).expect("it runs");
    }

    /// Drains, waits for the end and returns the exporter's last figures.
    pub fn stop_with_status(self) -> std::sync::Arc<tracegate::export::Status> {
        let status = std::sync::Arc::clone(&self.status);
        self.stop();
        status
    }

    /// Stops it; everything it recorded, which must be that many spans. Quicker than waiting
    /// for the exporter's next batch.
    pub fn spans(self, receiver: &Receiver, count: usize) -> Vec<Span> {
        let until = Instant::now() + PATIENCE;
        while self.export().recorded() < count as u64 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stop();
        let spans = receiver.wait_for_spans(count);
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }

    /// Drains and waits for the end.
    pub fn stop(mut self) -> Ended {
        self.drain.request();
        let thread = self.thread.take().expect("it runs until now");
        thread.join().expect("it doesn't panic")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.drain.cut_short();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the proxy panicked");
        }
    }
}

/// A complete document.
pub fn document(yaml: &str) -> String {
    format!("apiVersion: tracegate.dev/v1alpha1\nkind: TracegateConfiguration\n{yaml}")
}

/// One ingress listener in front of `upstream`, spans to `collector` (an OTLP/gRPC endpoint),
/// everything sampled. `more` is added to the listener, indented by two spaces.
pub fn ingress(upstream: &str, collector: &str, more: &str) -> String {
    listener("ingress", upstream, collector, more)
}

/// The same for one egress listener.
pub fn egress(upstream: &str, collector: &str, more: &str) -> String {
    listener("egress", upstream, collector, more)
}

/// Any listeners, any `tracing`: both as they stand in a file, with their own indentation.
pub fn custom(tracing: &str, listeners: &str) -> String {
    format!(
        "service: {{name: test}}
tracing:
{tracing}
workers: 1
drainTimeout: 5s
listeners:
{listeners}"
    )
}

/// One ingress listener in front of `upstream` (the value of that key) whose spans nobody wants.
pub fn quiet(upstream: &str, more: &str) -> String {
    format!(
        "tracing: {{export: {{protocol: none}}}}
workers: 1
drainTimeout: 5s
listeners:
- name: quiet
  bind: 127.0.0.1:0
  upstream: {upstream}
{more}"
    )
}

/// Adds keys to the (only) listener's upstream.
pub fn with_upstream(yaml: &str, keys: &str) -> String {
    yaml.replacen("upstream: {", &format!("upstream: {{{keys}, "), 1)
}

/// Adds keys to the top of a document.
pub fn with_top(yaml: &str, keys: &str) -> String {
    format!("{keys}\n{yaml}")
}

fn listener(direction: &str, upstream: &str, collector: &str, more: &str) -> String {
    let upstream = format!("{{url: \"{upstream}\"}}");
    listening(direction, "127.0.0.1:0", &upstream, collector, more)
}

/// One listener with an address of its own; `upstream` is YAML in one line.
pub fn listening(
    direction: &str,
    bind: &str,
    upstream: &str,
    collector: &str,
    more: &str,
) -> String {
    format!(
        "service: {{name: test}}
tracing:
  samplingRatePerMillion: 1000000
  export: {{endpoint: \"{collector}\"}}
workers: 1
drainTimeout: 5s
listeners:
- name: {direction}
  bind: {bind}
  direction: {direction}
  upstream: {upstream}
{more}"
    )
}

//! What `tracing.keep` adds to a request that isn't sampled, ends well and is not kept: shared by
//! the benchmark and by the test that counts allocations and instructions.

use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use http::{Method, Uri, Version};
use tracegate::config::{self, FileText, Source, Strictness};
use tracegate::metrics::Registry;
use tracegate::proxy::caller::Caller;
use tracegate::proxy::connection::Connection;
use tracegate::proxy::exchange::Exchange;
use tracegate::proxy::head::Line;
use tracegate::proxy::listener::{Plan, Slot};
use tracegate::proxy::pipeline;
use tracegate::proxy::relay::fields::Fields;
use tracegate::proxy::worker::Worker;
use tracegate::sample::sampler::Sampler;
use tracegate::span::record::{Direction, Outcome};

/// The keys of `tracing` without and with it.
pub const OFF: &str = "samplingRatePerMillion: 0";
/// Errors and slowness: the most there is to look at.
pub const ON: &str = "keep: {errors: true, slowerThan: 2s, maxPerSecond: 50}";

const CONFIG: &str = "apiVersion: tracegate.dev/v1alpha1
kind: TracegateConfiguration
listeners:
- {name: public, bind: 127.0.0.1:0, forwarded: off, upstream: {url: http://127.0.0.1:1}}
tracing: {export: {protocol: console}, ";

/// One connection of HTTP/1, without a socket, in front of the pipeline that serves requests.
pub struct Pipeline {
    connection: Connection,
    method: Method,
    uri: Uri,
    fields: Fields,
}

/// A listener with these keys of `tracing`.
pub fn plan(tracing: &str) -> Plan {
    let source = Source {
        file: Some(FileText {
            path: "bench.yaml".into(),
            text: format!("{CONFIG}{tracing}}}\n"),
        }),
        ..Source::default()
    };
    let loaded = config::load(&source, Strictness::Check);
    let config = loaded.unwrap_or_else(|faults| panic!("{faults}")).config;
    let listener = &config.listeners[0];
    let sampler = Sampler::new(&config.sampling, [7; 16]);
    Plan::unconnected(&listener.listen, &listener.proxy, sampler)
}

impl Pipeline {
    /// Of such a listener.
    pub fn new(plan: &Plan) -> Self {
        let registry = Registry::new(&[("public".into(), Direction::Ingress)], 1);
        let counters = registry.shard(0).listener(0);
        let worker = Rc::new(Worker::unread([7; 32], true));
        let slot = Slot::new(plan, &counters);
        let caller = Caller::known(Some([127, 0, 0, 1].into()), None, Vec::new());
        Self {
            connection: Connection::unconnected(worker, slot, caller, (false, false)),
            method: Method::GET,
            uri: Uri::from_static("/api/v1/namespaces/default/pods?limit=500"),
            fields: Fields::default(),
        }
    }

    /// Goes on with another listener's settings, in the same memory.
    pub fn change(&self, plan: &Plan) {
        self.connection.slot.replace(plan);
    }

    /// A request from its head to its end.
    #[inline(never)]
    pub fn request(&mut self) {
        let connection = &self.connection;
        let listener = connection.slot.current();
        let start = Instant::now();
        let mut exchange =
            Exchange::begin(&connection.worker, &listener.counters, &self.method, start);
        let line = Line {
            method: &self.method,
            uri: &self.uri,
            version: Version::HTTP_11,
        };
        self.fields.load(black_box(&REQUEST));
        let passed =
            pipeline::request(connection, &listener, line, &mut self.fields, &mut exchange);
        assert!(passed.is_ok(), "forwarded");
        self.fields.load(black_box(&RESPONSE));
        exchange.answered(200, &self.fields);
        exchange.end(Outcome::Done);
    }
}

const fn header(name: &'static str, value: &'static [u8]) -> httparse::Header<'static> {
    httparse::Header { name, value }
}

const REQUEST: [httparse::Header<'static>; 5] = [
    header("Host", b"kubernetes.default.svc"),
    header(
        "User-Agent",
        b"kubectl/v1.36.2 (linux/amd64) kubernetes/0123456",
    ),
    header("Accept", b"application/json"),
    header("Accept-Encoding", b"gzip"),
    header("Authorization", b"Bearer 0123456789abcdef0123456789abcdef"),
];

const RESPONSE: [httparse::Header<'static>; 3] = [
    header("Content-Type", b"application/json"),
    header("Content-Length", b"108"),
    header("Date", b"Wed, 25 Nov 2026 08:00:00 GMT"),
];

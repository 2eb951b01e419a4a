//! A request without a socket: it goes through the pipeline that serves requests, on a worker of
//! its own, and ends where it would leave for the upstream. Nothing is sent, listened to or kept.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::Version;
use http::request::Parts;

use super::caller::Caller;
use super::connection::Connection;
use super::exchange::Exchange;
use super::head::Line;
use super::judged::Judged;
use super::listener::{Listener, Plan, Slot};
use super::pipeline;
use super::settings::{UpstreamProtocol, UpstreamSettings};
use super::target;
use super::worker::Worker;
use crate::metrics::Registry;
use crate::span::record::{Fault, Record};

/// A listener, and a caller connected to it.
pub struct Rehearsal {
    connection: Connection,
    listener: Rc<Listener>,
}

/// What became of a request.
pub struct Rehearsed {
    /// The head as it would leave; as far as the pipeline came, if the request was refused.
    pub head: Parts,
    /// What was found and decided.
    pub judged: Option<Judged>,
    /// Where it would go.
    pub upstream: Option<UpstreamSettings>,
    /// Why it isn't forwarded.
    pub refused: Option<Fault>,
    /// The span's record as it begins, if there is a span.
    pub record: Option<Record>,
}

impl Rehearsal {
    /// `seed` makes the ids; `records`: whether spans go anywhere.
    pub fn new(plan: &Plan, caller: Caller, http2: bool, seed: [u8; 32], records: bool) -> Self {
        let name = Arc::clone(&plan.proxy.name);
        let registry = Registry::new(&[(name, plan.proxy.direction)], 1);
        let counters = registry.shard(0).listener(0);
        let worker = Rc::new(Worker::unread(seed, records));
        let slot = Slot::new(plan, &counters);
        let listener = slot.current();
        let spoken = (plan.listen.tls.is_some(), http2);
        Self {
            connection: Connection::unconnected(worker, slot, caller, spoken),
            listener,
        }
    }

    /// Rehearses one request.
    pub fn request(&self, mut head: Parts) -> Rehearsed {
        let (connection, listener) = (&self.connection, &self.listener);
        let start = Instant::now();
        let mut exchange =
            Exchange::begin(&connection.worker, &listener.counters, &head.method, start);
        let mut judged = None;
        let (line, headers) = Line::split(&mut head);
        let passed =
            pipeline::observed(connection, listener, line, headers, &mut exchange, |seen| {
                judged = Some(*seen);
            });
        let mut record = None;
        exchange.record(|begun| record = Some(begun.clone()));
        let upstream = passed
            .as_ref()
            .ok()
            .map(|passed| passed.upstream.settings().clone());
        let refused = match passed {
            Ok(passed) => self.address(&mut head, passed.upstream.settings()).err(),
            Err(fault) => Some(fault),
        };
        Rehearsed {
            head,
            judged,
            upstream,
            refused,
            record,
        }
    }

    /// Puts the target into the form its upstream reads.
    fn address(&self, head: &mut Parts, upstream: &UpstreamSettings) -> Result<(), Fault> {
        let like_caller = upstream.tls.is_none() && self.connection.http2;
        let version = match upstream.protocol {
            UpstreamProtocol::Http2 => Version::HTTP_2,
            UpstreamProtocol::Auto if like_caller => Version::HTTP_2,
            UpstreamProtocol::Auto | UpstreamProtocol::Http1 => Version::HTTP_11,
        };
        let tls = upstream.tls.is_some();
        target::rewrite(head, version, tls, upstream.host.as_ref()).map_err(|_| Fault::BadTarget)
    }
}

//! One listener on one worker: its settings as they are now, and what they stand on.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderName;
use rustls::ServerConfig;

use super::settings::{Settings, UpstreamSettings};
use super::upstream::Upstream;
use super::upstream::connect::{HeadLimits, UpstreamTls};
use crate::access_log::Mode;
use crate::listen;
use crate::listen::client_auth::Authorities;
use crate::metrics::shard::ListenerShard;
use crate::sample::sampler::Sampler;

/// What every worker needs to know of one listener; made anew when the configuration changes.
#[derive(Clone)]
pub struct Plan {
    /// The socket's side.
    pub listen: listen::settings::Settings,
    /// The pipeline's side.
    pub proxy: Settings,
    /// TLS towards callers.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whose certificates callers may present.
    pub clients: Option<Arc<Authorities>>,
    /// TLS towards the upstream, in the order of [`Settings::ways`].
    pub upstream_tls: Vec<Option<Arc<UpstreamTls>>>,
    /// Decides for all workers.
    pub sampler: Arc<Sampler>,
    /// Which requests are logged.
    pub access_log: Mode,
}

impl Plan {
    /// Without TLS and log: of a listener nobody connects to.
    pub fn unconnected(
        listen: &listen::settings::Settings,
        proxy: &Settings,
        sampler: Sampler,
    ) -> Self {
        Self {
            listen: listen.clone(),
            proxy: proxy.clone(),
            tls: None,
            clients: None,
            upstream_tls: Vec::new(),
            sampler: Arc::new(sampler),
            access_log: Mode::Off,
        }
    }
}

/// A plan put to work on one worker.
pub struct Listener {
    /// The socket's side.
    pub listen: listen::settings::Settings,
    /// The pipeline's side.
    pub settings: Settings,
    /// TLS towards callers.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whose certificates callers may present.
    pub clients: Option<Arc<Authorities>>,
    /// Name of the response field that tells the trace id.
    pub trace_id_header: Option<Rc<HeaderName>>,
    /// Decides.
    pub sampler: Arc<Sampler>,
    /// Which requests are logged.
    pub access_log: Mode,
    /// Where requests go.
    ways: Box<[Rc<Upstream>]>,
    /// This worker's counters.
    pub counters: Arc<ListenerShard>,
}

/// Where the current settings of a listener are found: connections outlive them.
pub struct Slot {
    current: RefCell<Rc<Listener>>,
    counters: Arc<ListenerShard>,
}

impl Slot {
    /// Puts a plan to work.
    pub fn new(plan: &Plan, counters: &Arc<ListenerShard>) -> Rc<Self> {
        Rc::new(Self {
            current: RefCell::new(Rc::new(Listener::new(plan, counters, None))),
            counters: Arc::clone(counters),
        })
    }

    /// The settings for a new request.
    pub fn current(&self) -> Rc<Listener> {
        Rc::clone(&self.current.borrow())
    }

    /// This worker's counters.
    pub const fn counters(&self) -> &Arc<ListenerShard> {
        &self.counters
    }

    /// Replaces the settings; requests under way keep theirs.
    pub fn replace(&self, plan: &Plan) {
        let old = self.current();
        let new = Listener::new(plan, &self.counters, Some(&old));
        *self.current.borrow_mut() = Rc::new(new);
    }
}

impl Listener {
    /// All ways, in the order of [`Settings::ways`].
    pub fn upstreams(&self) -> impl Iterator<Item = &Rc<Upstream>> {
        self.ways.iter()
    }

    /// The way to a destination that presents a certificate for the caller, or none.
    pub fn way(&self, destination: u16, presents: Option<usize>) -> Option<&Rc<Upstream>> {
        self.ways.get(self.settings.way(destination, presents))
    }

    /// Whether callers of HTTP/1 are always served over HTTP/1: then the relay may serve them.
    pub fn speaks_http1(&self) -> bool {
        self.ways.iter().all(|way| way.speaks_http1())
    }

    fn new(plan: &Plan, counters: &Arc<ListenerShard>, old: Option<&Self>) -> Self {
        let limits = HeadLimits {
            bytes: plan.proxy.limits.max_header_bytes,
            fields: plan.proxy.limits.max_headers,
        };
        let way = |(at, settings): (usize, UpstreamSettings)| {
            let tls = plan.upstream_tls.get(at).cloned().flatten();
            let mut kept = old.into_iter().flat_map(Self::upstreams);
            let kept = kept.find(|kept| kept.serves(&settings, tls.as_ref()));
            kept.map_or_else(|| Upstream::new(settings, limits, tls, counters), Rc::clone)
        };
        let ways = plan.proxy.ways().into_iter().enumerate();
        Self {
            listen: plan.listen.clone(),
            settings: plan.proxy.clone(),
            tls: plan.tls.clone(),
            clients: plan.clients.clone(),
            // A copy of its own: clones of one name share a count that workers would fight over.
            trace_id_header: plan
                .proxy
                .trace_id_header
                .as_ref()
                .and_then(|name| HeaderName::from_bytes(name.as_str().as_bytes()).ok())
                .map(Rc::new),
            sampler: Arc::clone(&plan.sampler),
            access_log: plan.access_log,
            ways: ways.map(way).collect(),
            counters: Arc::clone(counters),
        }
    }
}

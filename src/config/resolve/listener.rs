//! `listeners`: sockets and pipelines.

use std::sync::Arc;

use http::HeaderName;
use ipnet::IpNet;

use crate::config::reader::{Field, Map};
use crate::config::{Listener, address, values};
use crate::context::propagation::Propagation;
use crate::listen::settings::{Bind, Limits, Protocol, Settings};
use crate::proxy::settings::{Forwarded, Orphans, Propagate};
use crate::span::record::Direction;

use super::server::Bound;
use super::trust::Reach;
use super::{identity, routes, span, tls, trace_id_header, trust, upstream};

const MOST_LISTENERS: usize = 256;

/// All listeners, as far as they could be read.
pub(super) struct Listeners<'a> {
    /// Names, faulty listeners' too.
    pub names: Vec<Arc<str>>,
    /// Addresses, faulty listeners' too.
    pub binds: Vec<Bound<'a>>,
    /// `None` if any is faulty.
    pub complete: Option<Vec<Listener>>,
}

pub(super) fn read_all<'a>(
    field: &Field<'a>,
    propagation: Propagation,
    correlate_by: &Arc<[HeaderName]>,
) -> Listeners<'a> {
    let field = field.clone().required();
    let items = field.list();
    let mut all = Listeners {
        names: Vec::new(),
        binds: Vec::new(),
        complete: None,
    };
    if items.len() > MOST_LISTENERS {
        field.fault(format!("expected at most {MOST_LISTENERS} listeners"));
        return all;
    }
    let listeners: Vec<_> = items
        .iter()
        .map(|item| read(item, propagation, correlate_by, &mut all))
        .collect();
    if listeners.is_empty() && field.is_list() {
        field.fault("expected at least one listener");
    }
    all.complete = listeners.into_iter().collect();
    all
}

fn read<'a>(
    field: &Field<'a>,
    propagation: Propagation,
    correlate_by: &Arc<[HeaderName]>,
    all: &mut Listeners<'a>,
) -> Option<Listener> {
    let map = field.map()?;
    let name = name(&map, all);
    let bind = bind(&map, all);
    let direction = direction(&map.get("direction"));
    let protocol = protocol(&map.get("protocol"));
    let proxy_protocol = map
        .get("proxyProtocol")
        .map()
        .map_or_else(Vec::new, |from| cidrs(&from.get("from").required()));
    let tls_field = map.get("tls");
    let tls = tls::read(&tls_field);
    let reach = Reach {
        direction,
        bind: bind.as_ref(),
        no_certificates: tls.no_certificates,
    };
    let trust_map = map.get("trust").map_or_empty();
    let trust = trust::read(&trust_map, &reach);
    let stripper = trust::also_context(&trust_map, direction, correlate_by);
    let limits = limits(&map.get("limits").map_or_empty());
    let forwarded = forwarded(&map.get("forwarded"));
    let allow_connect = map.get("allowConnect").boolean().unwrap_or(false);
    let trace_id_header = map.get("traceIdHeader").read(trace_id_header::read);
    let propagate = map
        .get("propagate")
        .one_of(&[("w3c", Propagate::W3c), ("none", Propagate::None)], &[]);
    let orphans = orphans(&map.get("orphans"), direction);
    let upstream = upstream::read(&map.get("upstream").required());
    let identity_field = map.get("identity");
    let routes = routes::read(&map.get("routes"), tls_field.is_present());
    let others = routes.iter().flat_map(|all| all.iter());
    let upstreams = upstream.iter().chain(others.map(|one| &one.upstream));
    let identity = identity::read(&identity_field, &reach, upstreams);
    let span = span::read(&map.get("span").map_or_empty(), identity.as_ref());
    if identity_field.is_present() && allow_connect {
        map.get("allowConnect").fault(
            "can't be true beside identity: what is in the tunnel would be taken for this proxy's word",
        );
    }
    // TLS that couldn't be read must not become cleartext.
    let tls = match (tls_field.is_present(), tls.settings) {
        (false, _) => None,
        (true, tls) => Some(tls?),
    };
    // Nor a listener that forwards identities one that doesn't.
    if identity_field.is_present() && identity.is_none() {
        return None;
    }
    let name = name?;
    Some(Listener {
        listen: Settings {
            name: Arc::clone(&name),
            bind: bind?,
            protocol,
            proxy_protocol,
            tls,
            limits,
        },
        proxy: crate::proxy::settings::Settings {
            name,
            direction,
            trust,
            stripper,
            forwarded,
            identity,
            allow_connect,
            trace_id_header,
            upstream: upstream?,
            destinations: routes?,
            propagate: propagate.unwrap_or(Propagate::W3c),
            propagation,
            correlate_by: Arc::clone(correlate_by),
            orphans,
            known_rpc_methods: span.known_rpc_methods,
            routes: span.routes,
            capture: span.capture,
            protocol,
            limits,
        },
    })
}

fn direction(field: &Field<'_>) -> Direction {
    let words = [
        ("ingress", Direction::Ingress),
        ("egress", Direction::Egress),
    ];
    field.one_of(&words, &[]).unwrap_or(Direction::Ingress)
}

fn protocol(field: &Field<'_>) -> Protocol {
    let words = [
        ("auto", Protocol::Auto),
        ("http1", Protocol::Http1),
        ("http2", Protocol::Http2),
    ];
    let read = field.one_of(&words, &["tcp", "detect"]);
    read.unwrap_or(Protocol::Auto)
}

fn name(map: &Map<'_>, all: &mut Listeners<'_>) -> Option<Arc<str>> {
    let field = map.get("name").required();
    let name: Arc<str> = field.read(values::name)?.into();
    if all.names.contains(&name) {
        field.fault(format!("another listener is called {name:?} already"));
    }
    all.names.push(Arc::clone(&name));
    Some(name)
}

fn bind<'a>(map: &Map<'a>, all: &mut Listeners<'a>) -> Option<Bind> {
    let field = map.get("bind").required();
    let bind = field.read(address::listener_bind)?;
    all.binds.push(Bound::listener(&bind, &field));
    Some(bind)
}

fn cidrs(field: &Field<'_>) -> Vec<IpNet> {
    let items = field.list();
    items
        .iter()
        .filter_map(|item| item.read(values::cidr))
        .collect()
}

fn forwarded(field: &Field<'_>) -> Forwarded {
    let words = [
        ("auto", Forwarded::Auto),
        ("replace", Forwarded::Replace),
        ("append", Forwarded::Append),
        ("off", Forwarded::Off),
    ];
    field.one_of(&words, &[]).unwrap_or(Forwarded::Auto)
}

fn orphans(field: &Field<'_>, direction: Direction) -> Orphans {
    let words = [("start", Orphans::Start), ("pass", Orphans::Pass)];
    let orphans = field.one_of(&words, &[]).unwrap_or(Orphans::Start);
    if orphans == Orphans::Pass && direction == Direction::Ingress {
        field.fault("pass needs direction: egress");
    }
    orphans
}

fn limits(map: &Map<'_>) -> Limits {
    let default = Limits::default();
    // hyper needs 8 KiB to read a head; a header map holds at most 24,576 names.
    let max_header_bytes = map
        .get("maxHeaderBytes")
        .read(values::size(8 << 10..=16 << 20));
    let max_headers = map.get("maxHeaders").read_plain(values::count(1..=16_384));
    let max_connections = map
        .get("maxConnections")
        .read_plain(values::count(1..=10_000_000));
    let max_concurrent_streams = map
        .get("maxConcurrentStreams")
        .read_plain(values::small(1..=1_000_000));
    Limits {
        max_header_bytes: max_header_bytes.unwrap_or(default.max_header_bytes),
        max_headers: max_headers.unwrap_or(default.max_headers),
        header_timeout: super::bound(map, "headerTimeout", default.header_timeout),
        idle_timeout: super::bound(map, "idleTimeout", default.idle_timeout),
        max_connections: max_connections.unwrap_or(default.max_connections),
        max_concurrent_streams: max_concurrent_streams.unwrap_or(default.max_concurrent_streams),
    }
}

//! `listeners`: sockets and pipelines.

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::reader::{Field, Map};
use crate::config::{Listener, address, files, values};
use crate::context::trust::{Policy, Rule, Trust};
use crate::listen::settings::{
    Bind, CertificateFiles, Limits, Protocol, Settings, TlsSettings, TlsVersion,
};
use crate::proxy::settings::{Forwarded, Orphans, Propagate};
use crate::span::record::Direction;

use super::server::Bound;
use super::{span, upstream};

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

pub(super) fn read_all<'a>(field: &Field<'a>) -> Listeners<'a> {
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
    let listeners: Vec<_> = items.iter().map(|item| read(item, &mut all)).collect();
    if listeners.is_empty() && field.is_list() {
        field.fault("expected at least one listener");
    }
    all.complete = listeners.into_iter().collect();
    all
}

fn read<'a>(field: &Field<'a>, all: &mut Listeners<'a>) -> Option<Listener> {
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
    let tls = tls_field.map().map(|map| tls(&map));
    let trust = trust(&map.get("trust").map_or_empty(), direction);
    let limits = limits(&map.get("limits").map_or_empty());
    let span = span::read(&map.get("span").map_or_empty());
    let forwarded = forwarded(&map.get("forwarded"));
    let allow_connect = map.get("allowConnect").boolean().unwrap_or(false);
    let propagate = map
        .get("propagate")
        .one_of(&[("w3c", Propagate::W3c), ("none", Propagate::None)], &[]);
    let orphans = orphans(&map.get("orphans"), direction);
    let upstream = upstream::read(&map.get("upstream").required());
    not_yet(&map);
    // TLS that couldn't be read must not become cleartext.
    let tls = match (tls_field.is_present(), tls) {
        (false, _) => None,
        (true, tls) => Some(tls??),
    };
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
            forwarded,
            allow_connect,
            upstream: upstream?,
            propagate: propagate.unwrap_or(Propagate::W3c),
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

fn not_yet(map: &Map<'_>) {
    map.get("identity").not_yet();
    map.get("traceIdHeader").not_yet();
    let routes = map.get("routes");
    if !routes.list().is_empty() {
        routes.not_yet();
    }
}

fn cidrs(field: &Field<'_>) -> Vec<IpNet> {
    let items = field.list();
    items
        .iter()
        .filter_map(|item| item.read(values::cidr))
        .collect()
}

fn tls(map: &Map<'_>) -> Option<TlsSettings> {
    let min_version = map
        .get("minVersion")
        .one_of(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)], &[]);
    map.get("clientCAFile").not_yet();
    map.get("clientAuth")
        .one_of(&[("none", ())], &["request", "require"]);
    let field = map.get("certificates").required();
    let items = field.list();
    if items.is_empty() && field.is_list() {
        field.fault("expected at least one certificate");
    }
    let certificates: Vec<_> = items.iter().map(certificate).collect();
    Some(TlsSettings {
        min_version: min_version.unwrap_or(TlsVersion::V1_2),
        certificates: certificates.into_iter().collect::<Option<_>>()?,
    })
}

fn certificate(field: &Field<'_>) -> Option<CertificateFiles> {
    let map = field.map()?;
    let cert_file: Option<PathBuf> = files::certificates(&map.get("certFile").required());
    let key_file = files::private_key(&map.get("keyFile").required());
    Some(CertificateFiles {
        cert_file: cert_file?,
        key_file: key_file?,
    })
}

const TRUST: [(&str, Trust); 3] = [
    ("drop", Trust::Drop),
    ("ids", Trust::Ids),
    ("full", Trust::Full),
];

fn trust(map: &Map<'_>, direction: Direction) -> Policy {
    let default = map.get("default").one_of(&TRUST, &[]);
    let default = default.unwrap_or(match direction {
        Direction::Ingress => Trust::Drop,
        Direction::Egress => Trust::Full,
    });
    let rules = map.get("rules").list();
    let rules = rules.iter().filter_map(trust_rule).collect();
    Policy { default, rules }
}

fn trust_rule(field: &Field<'_>) -> Option<Rule> {
    let map = field.map()?;
    let trust = map.get("as").required().one_of(&TRUST, &[]);
    let from = map.get("from").required().map()?;
    for later in ["clientCert", "unixPeer"] {
        from.get(later).not_yet();
    }
    let cidrs_field = from.get("cidrs");
    let other = from.get("clientCert").is_present() || from.get("unixPeer").is_present();
    let cidrs_field = if other {
        cidrs_field
    } else {
        cidrs_field.required()
    };
    let cidrs = cidrs(&cidrs_field);
    if cidrs_field.is_list() && cidrs_field.list().is_empty() {
        cidrs_field.fault("expected at least one network");
    }
    Some(Rule {
        cidrs,
        trust: trust?,
    })
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

//! `tracing.export`: where spans go.

use std::time::Duration;

use crate::config::address::Url;
use crate::config::fault::Origin;
use crate::config::files;
use crate::config::otel_env::{self, Batching};
use crate::config::reader::{Field, Map};
use crate::config::values;
use crate::export::settings::{Compression, Otlp, Settings, Sink, Tls, Transport};

/// OpenTelemetry's default for gRPC.
const GRPC_ENDPOINT: &str = "http://localhost:4317";
/// OpenTelemetry's default for HTTP.
const HTTP_ENDPOINT: &str = "http://localhost:4318/v1/traces";
pub(super) const TRACES_PATH: &str = "/v1/traces";
const MOST_QUEUED: usize = 1 << 24;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    Otlp(Transport),
    Console,
    None,
}

pub(super) fn read(
    field: &Field<'_>,
    resource: Vec<(String, String)>,
    batching: &Batching,
) -> Option<Settings> {
    let map = field.map_or_empty();
    let protocols = protocols(&map.get("protocol"));
    let transports: Vec<Transport> = protocols
        .iter()
        .filter_map(|protocol| match protocol {
            Protocol::Otlp(transport) => Some(*transport),
            Protocol::Console | Protocol::None => None,
        })
        .collect();
    let otlp = otlp(&map, &transports, batching);
    let queue = map.get("queueSpans");
    let queue_spans = queue
        .read_plain(values::count(1..=MOST_QUEUED))
        .unwrap_or(65_536);
    let mut otlp = otlp.into_iter();
    let mut sinks = Vec::new();
    for protocol in &protocols {
        match protocol {
            Protocol::Otlp(_) => sinks.push(Sink::Otlp(otlp.next()??)),
            Protocol::Console => sinks.push(Sink::Console),
            Protocol::None => {}
        }
    }
    Some(Settings {
        sinks,
        metrics: None,
        resource,
        queue_spans,
        max_batch: max_batch(&queue, queue_spans, batching),
        schedule_delay: batching.schedule_delay.unwrap_or(Duration::from_secs(5)),
    })
}

/// The batch can't be longer than the queue; only one that somebody asked for is a fault.
fn max_batch(queue: &Field<'_>, queue_spans: usize, batching: &Batching) -> usize {
    if let Some((size, at)) = &batching.max_batch {
        if *size > queue_spans {
            let message = format!("expected at most the queue's {queue_spans}; got \"{size}\"");
            queue.report().fault(at, "", message);
        }
        return *size;
    }
    queue_spans.min(512)
}

fn protocols(field: &Field<'_>) -> Vec<Protocol> {
    let words = [
        ("grpc", Protocol::Otlp(Transport::Grpc)),
        ("http/protobuf", Protocol::Otlp(Transport::HttpProtobuf)),
        ("console", Protocol::Console),
        ("none", Protocol::None),
    ];
    if !field.is_present() {
        return vec![Protocol::Otlp(Transport::Grpc)];
    }
    let items = field.one_or_list();
    let mut protocols = Vec::new();
    for item in &items {
        let Some(protocol) = item.one_of(&words, &["memory"]) else {
            continue;
        };
        if protocols.contains(&protocol) {
            item.fault("stands here twice");
        }
        protocols.push(protocol);
    }
    if items.len() > 1 && protocols.contains(&Protocol::None) {
        field.fault("none can't stand beside others");
    }
    protocols
}

/// One sink's settings for every transport; a fault makes it `None`.
fn otlp(map: &Map<'_>, transports: &[Transport], batching: &Batching) -> Vec<Option<Otlp>> {
    let field = map.get("endpoint");
    if field.is_present() && transports.len() > 1 {
        field.fault("one endpoint can't take both grpc and http/protobuf");
    }
    if field.is_present() && transports.is_empty() {
        let path = field.path();
        let note = format!("{path} has no effect: nothing is exported by OTLP");
        field.report().note(note);
    }
    // The file is checked even where nothing uses it.
    let fallback = [Transport::Grpc];
    let unused = transports.is_empty();
    let read_for = if unused { &fallback } else { transports };
    let endpoints: Vec<_> = read_for
        .iter()
        .map(|transport| endpoint(&field, *transport, unused))
        .collect();
    let headers = headers(&map.get("headers"));
    let compression = map.get("compression").one_of(
        &[
            ("none", Compression::None),
            ("gzip", Compression::Gzip),
            ("zstd", Compression::Zstd),
        ],
        &[],
    );
    let timeout = super::bound(map, "timeout", Duration::from_secs(10));
    let timeout = batching
        .export_timeout
        .map_or(timeout, |whole| whole.min(timeout));
    let tls = tls(&map.get("tls"), &field, &endpoints);
    if unused {
        return Vec::new();
    }
    let make = |(endpoint, transport): (Option<String>, &Transport)| {
        Some(Otlp {
            transport: *transport,
            endpoint: endpoint?,
            headers: headers.clone(),
            compression: compression.unwrap_or_default(),
            tls: tls.clone(),
            timeout,
        })
    };
    endpoints.into_iter().zip(transports).map(make).collect()
}

/// The full endpoint. An HTTP endpoint without a path is a base, to which `/v1/traces` is added,
/// but for `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, which is taken as it is, and
/// `OTEL_EXPORTER_OTLP_ENDPOINT`, which is always a base (OTLP exporter specification,
/// "Endpoint URLs for OTLP/HTTP").
fn endpoint(field: &Field<'_>, transport: Transport, unused: bool) -> Option<String> {
    if !field.is_present() {
        return Some(match transport {
            Transport::Grpc => GRPC_ENDPOINT.to_owned(),
            Transport::HttpProtobuf => HTTP_ENDPOINT.to_owned(),
        });
    }
    if unused {
        return field.read(any_endpoint);
    }
    if transport == Transport::HttpProtobuf && matches!(*field.at().origin, Origin::Kubernetes(_)) {
        field.fault("a Kubernetes file's endpoint is gRPC; expected tracing.export.endpoint too");
        return None;
    }
    match transport {
        Transport::Grpc => field.read(grpc_endpoint),
        Transport::HttpProtobuf => {
            let variable = field.at().variable();
            field.read(|text| http_endpoint(text, variable, TRACES_PATH))
        }
    }
}

fn any_endpoint(text: &str) -> values::Expected<String> {
    grpc_endpoint(text)
        .or_else(|expected| http_endpoint(text, None, TRACES_PATH).map_err(|_| expected))
}

/// unix(7): `sun_path` has 108 bytes.
const MAX_ABSTRACT_NAME: usize = 107;

/// A collector that speaks gRPC; abstract sockets as gRPC names them ("gRPC Name Resolution").
pub(super) fn grpc_endpoint(text: &str) -> values::Expected<String> {
    const EXPECTED: &str =
        "http://host:port, https://host:port, unix:///path or unix-abstract:name";
    if let Some(name) = text.strip_prefix("unix-abstract:") {
        // What a socket's address has room for, but for the byte that makes it abstract.
        return (1..=MAX_ABSTRACT_NAME)
            .contains(&name.len())
            .then(|| text.to_owned())
            .ok_or_else(|| format!("unix-abstract:name with 1 to {MAX_ABSTRACT_NAME} bytes"));
    }
    if let Some(path) = text.strip_prefix("unix://") {
        return (path.starts_with('/') && path.len() > 1)
            .then(|| text.to_owned())
            .ok_or_else(|| EXPECTED.to_owned());
    }
    let url = collector(text).ok_or(EXPECTED)??;
    if !url.rest.is_empty() && url.rest != "/" {
        return Err("a gRPC endpoint without path, query and fragment".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `signal_path`: what is added to a base.
pub(super) fn http_endpoint(
    text: &str,
    variable: Option<&str>,
    signal_path: &str,
) -> values::Expected<String> {
    let url = collector(text).ok_or("http://host:port[/path] or https://host:port[/path]")??;
    if url.rest.contains('#') {
        return Err("a URL without fragment".to_owned());
    }
    let path = url.path();
    let base = &text[..text.len() - url.rest.len()];
    let query = &url.rest[path.len()..];
    let path = match variable {
        Some(otel_env::TRACES_ENDPOINT | otel_env::METRICS_ENDPOINT) => {
            if path.is_empty() { "/" } else { path }.to_owned()
        }
        Some(otel_env::ENDPOINT) => format!("{}{signal_path}", path.trim_end_matches('/')),
        _ if path.is_empty() || path == "/" => signal_path.to_owned(),
        _ => path.to_owned(),
    };
    Ok(format!("{base}{path}{query}"))
}

/// `None` if that is no `http` or `https` URL.
fn collector(text: &str) -> Option<values::Expected<Url<'_>>> {
    let url = Url::parse(text).filter(|url| matches!(url.scheme, "http" | "https"))?;
    if url.userinfo {
        return Some(Err(
            "a URL without user and password (they go into headers)".to_owned(),
        ));
    }
    Some(Ok(url))
}

fn headers(field: &Field<'_>) -> Vec<(String, String)> {
    let Some(mut map) = field.map() else {
        return Vec::new();
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for (key, field) in map.fields() {
        let Ok(name) = values::header_name(key) else {
            field.fault("expected a header name");
            continue;
        };
        if headers.iter().any(|(other, _)| *other == name.as_str()) {
            field.fault("this header stands here twice: case doesn't count");
        }
        let valid = |text: &str| values::header_value(text).map(|_| text.to_owned());
        if let Some(value) = field.read_secret(valid) {
            headers.push((name.as_str().to_owned(), value));
        }
    }
    headers
}

fn tls(field: &Field<'_>, endpoint: &Field<'_>, endpoints: &[Option<String>]) -> Tls {
    let map = field.map_or_empty();
    let tls = Tls {
        ca_file: files::certificates(&map.get("caFile")),
        identity: identity(&map),
    };
    let clear = endpoints.iter().flatten().any(|e| !e.starts_with("https:"));
    if clear && field.is_present() {
        // Where an override chose the endpoint, or the environment brought the material, both
        // may be right for themselves.
        let overridden = [endpoint.at(), field.at()]
            .iter()
            .any(|at| !matches!(*at.origin, Origin::File(_)));
        if overridden {
            let note = format!("{} has no effect: the endpoint isn't https", field.path());
            field.report().note(note);
        } else {
            field.fault("expected an https endpoint beside it");
        }
    }
    tls
}

/// A client certificate and its key: both or neither.
pub(super) fn identity(map: &Map<'_>) -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    let (cert, key) = (map.get("certFile"), map.get("keyFile"));
    match (cert.is_present(), key.is_present()) {
        (true, false) => cert.fault("expected keyFile beside it"),
        (false, true) => key.fault("expected certFile beside it"),
        _ => {}
    }
    let cert = files::certificates(&cert);
    let key = files::private_key(&key);
    Some((cert?, key?))
}

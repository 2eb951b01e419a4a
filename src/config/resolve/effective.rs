//! The effective configuration, as the file would write it, for people to look at.
//!
//! Secrets are masked: values of headers, queries of URLs. Tokens and keys never get here.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use serde_json::{Map, Value, json};

use super::Sources;
use crate::access_log::Mode;
use crate::config::address::{mask, show_admin_bind, show_listener_bind, show_upstream};
use crate::config::resolve::{API_VERSION, KIND};
use crate::config::values::{show_duration, show_size};
use crate::config::{Config, Listener};
use crate::context::callers::{Callers, ClientCert, UnixPeers};
use crate::context::formats::Format;
use crate::context::trust::{Policy, Trust};
use crate::export::settings::{Compression, Otlp, Settings as Export, Sink, Transport};
use crate::listen::settings::{
    CertificateFiles, ClientAuth, Limits, Protocol, TlsSettings, TlsVersion,
};
use crate::proxy::settings::{
    Forwarded, Orphans, Propagate, Settings as Proxy, UpstreamProtocol, UpstreamSettings,
};
use crate::sample::settings::{Action, RatioRule, Rule, Settings as Sampling, UnsampledRoot};
use crate::span::record::Direction;

const MASK: &str = "***";

pub(super) fn effective(config: &Config, sources: &Sources) -> Value {
    let mut resource = config.export.resource.iter();
    let name = resource.next().map(|(_, value)| value);
    let attributes: Map<_, _> = resource.map(|(k, v)| (k.clone(), json!(v))).collect();
    let admin = config.admin.as_ref().map(|admin| {
        present(json!({
            "bind": show_admin_bind(&admin.bind),
            "tokenFile": admin.token_file,
            "allowRemote": sources.allow_remote,
        }))
    });
    present(json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "service": {"name": name, "attributes": attributes},
        "tracing": tracing(&config.sampling, &config.export, sources),
        "metrics": {"otlp": config.export.metrics.is_some()},
        "accessLog": {"mode": match config.access_log {
            Mode::Off => "off",
            Mode::Sampled => "sampled",
            Mode::All => "all",
        }},
        "admin": admin,
        "health": config.health.as_ref().map(|health| json!({"bind": health.bind.to_string()})),
        "workers": config.workers,
        "drainDelay": show_duration(config.drain_delay),
        "drainTimeout": show_duration(config.drain_timeout),
        "listeners": config.listeners.iter().map(listener).collect::<Vec<_>>(),
        "propagation": {
            "extract": formats(sources.propagation.extract()),
            "inject": formats(sources.propagation.inject()),
            "correlateBy": sources.correlate_by.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
        },
    }))
}

/// An object without the keys that have no value.
fn present(value: Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().filter(|(_, v)| !v.is_null()).collect(),
        other => other,
    }
}

fn formats(formats: &[Format]) -> Vec<&'static str> {
    formats.iter().map(|format| format.as_str()).collect()
}

fn tracing(sampling: &Sampling, export_settings: &Export, sources: &Sources) -> Value {
    let fleet_key = sources.fleet_key_file.as_ref();
    present(json!({
        "kubernetesFile": sources.kubernetes_file,
        "samplingRatePerMillion": sampling.rate.get(),
        "ratioRule": match sampling.ratio_rule {
            RatioRule::Consistent => "consistent",
            RatioRule::TraceIdRatio => "traceidratio",
        },
        "maxTracesPerSecond": sampling.max_traces_per_second,
        "maxTrustedTracesPerSecond": sampling.max_trusted_traces_per_second,
        "unsampledRoot": match sampling.unsampled_root {
            UnsampledRoot::Propagate => "propagate",
            UnsampledRoot::Omit => "omit",
        },
        "fleetKey": fleet_key.map(|file| json!({"file": file})),
        "rules": sampling.rules.iter().map(rule).collect::<Vec<_>>(),
        "maxSpanDuration": sampling.max_span_duration.map(show_duration),
        "keep": sampling.keep.map(|keep| present(json!({
            "errors": keep.errors,
            "slowerThan": keep.slower_than.map(show_duration),
            "maxPerSecond": keep.max_per_second,
        }))),
        "export": export(export_settings),
    }))
}

fn rule(rule: &Rule) -> Value {
    let matches = &rule.matches;
    let headers: Map<_, _> = matches
        .headers
        .iter()
        .map(|(name, pattern)| (name.to_string(), json!(pattern.as_str())))
        .collect();
    let conditions = present(json!({
        "path": matches.path.as_ref().map(|p| p.as_str()),
        "method": matches.method.as_ref().map(|m| m.as_str()),
        "host": matches.host.as_ref().map(|p| p.as_str()),
        "grpcService": matches.grpc_service.as_ref().map(|p| p.as_str()),
        "listener": matches.listener.as_ref().map(|p| p.as_str()),
        "header": (!headers.is_empty()).then_some(headers),
    }));
    match rule.action {
        Action::Drop => json!({"match": conditions, "drop": true}),
        Action::Sample {
            rate,
            max_traces_per_second,
        } => present(json!({
            "match": conditions,
            "samplingRatePerMillion": rate.get(),
            "maxTracesPerSecond": max_traces_per_second,
        })),
    }
}

fn export(settings: &Export) -> Value {
    let protocol = |sink: &Sink| match sink {
        Sink::Console => "console",
        Sink::Memory(_) => "memory",
        Sink::Otlp(otlp) => match otlp.transport {
            Transport::Grpc => "grpc",
            Transport::HttpProtobuf => "http/protobuf",
        },
    };
    let protocols: Vec<_> = settings.sinks.iter().map(protocol).collect();
    let collectors: Vec<&Otlp> = settings
        .sinks
        .iter()
        .filter_map(|sink| match sink {
            Sink::Otlp(otlp) => Some(otlp),
            Sink::Console | Sink::Memory(_) => None,
        })
        .collect();
    let mut shown = json!({
        "protocol": protocol_words(&protocols),
        "queueSpans": settings.queue_spans,
    });
    if let (Some(otlp), Some(map)) = (collectors.first(), shown.as_object_mut()) {
        let headers: Map<_, _> = otlp
            .headers
            .iter()
            .map(|(name, _)| (name.clone(), json!(MASK)))
            .collect();
        // Several have their defaults: one endpoint can't serve them.
        if collectors.len() == 1 {
            map.insert("endpoint".to_owned(), json!(mask(&otlp.endpoint)));
        }
        map.insert("headers".to_owned(), Value::Object(headers));
        map.insert(
            "compression".to_owned(),
            json!(compression(otlp.compression)),
        );
        map.insert("timeout".to_owned(), json!(show_duration(otlp.timeout)));
        let tls = client_tls(&otlp.tls.ca_file, otlp.tls.identity.as_ref(), None);
        if tls != json!({}) {
            map.insert("tls".to_owned(), tls);
        }
    }
    shown
}

fn protocol_words(words: &[&str]) -> Value {
    match words {
        [] => json!("none"),
        [one] => json!(one),
        several => json!(several),
    }
}

const fn compression(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    }
}

fn client_tls(
    ca_file: &Option<PathBuf>,
    identity: Option<&(PathBuf, PathBuf)>,
    server_name: Option<&str>,
) -> Value {
    present(json!({
        "caFile": ca_file,
        "certFile": identity.map(|(cert, _)| cert),
        "keyFile": identity.map(|(_, key)| key),
        "serverName": server_name,
    }))
}

fn listener(listener: &Listener) -> Value {
    let (listen, proxy) = (&listener.listen, &listener.proxy);
    let from: Vec<_> = listen
        .proxy_protocol
        .iter()
        .map(ToString::to_string)
        .collect();
    present(json!({
        "name": &*listen.name,
        "bind": show_listener_bind(&listen.bind),
        "direction": match proxy.direction {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        },
        "protocol": match listen.protocol {
            Protocol::Auto => "auto",
            Protocol::Http1 => "http1",
            Protocol::Http2 => "http2",
        },
        "proxyProtocol": (!from.is_empty()).then(|| json!({"from": from})),
        "tls": listen.tls.as_ref().map(tls),
        "trust": trust(&proxy.trust),
        "forwarded": match proxy.forwarded {
            Forwarded::Auto => "auto",
            Forwarded::Replace => "replace",
            Forwarded::Append => "append",
            Forwarded::Off => "off",
        },
        "allowConnect": proxy.allow_connect,
        "traceIdHeader": proxy.trace_id_header.as_ref().map(ToString::to_string),
        "upstream": upstream(&proxy.upstream),
        "span": span(proxy),
        "limits": limits(&listen.limits),
        "propagate": match proxy.propagate {
            Propagate::W3c => "w3c",
            Propagate::None => "none",
        },
        "orphans": match proxy.orphans {
            Orphans::Start => "start",
            Orphans::Pass => "pass",
        },
    }))
}

fn span(proxy: &Proxy) -> Value {
    let names =
        |names: &[HeaderName]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
    let (capture, source) = (&proxy.capture, &proxy.routes.source);
    json!({
        "capture": {
            "requestHeaders": names(&capture.request),
            "responseHeaders": names(&capture.response),
        },
        "knownRpcMethods": &*proxy.known_rpc_methods,
        "templates": present(json!({
            "kubernetes": proxy.routes.kubernetes.is_some(),
            "customResources": source.custom_resources,
            "patterns": source.patterns,
            "openapi": source.openapi,
        })),
    })
}

fn tls(tls: &TlsSettings) -> Value {
    let certificate =
        |files: &CertificateFiles| json!({"certFile": files.cert_file, "keyFile": files.key_file});
    let (asked, ca_file) = match &tls.client_auth {
        ClientAuth::None => ("none", None),
        ClientAuth::Request { ca_file } => ("request", Some(ca_file)),
        ClientAuth::Require { ca_file } => ("require", Some(ca_file)),
    };
    present(json!({
        "minVersion": match tls.min_version {
            TlsVersion::V1_2 => "1.2",
            TlsVersion::V1_3 => "1.3",
        },
        "certificates": tls.certificates.iter().map(certificate).collect::<Vec<_>>(),
        "clientCAFile": ca_file,
        "clientAuth": asked,
    }))
}

fn trust(policy: &Policy) -> Value {
    let word = |trust: Trust| match trust {
        Trust::Drop => "drop",
        Trust::Ids => "ids",
        Trust::Full => "full",
    };
    let rules: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| {
            let from = callers(&rule.from);
            json!({"from": from, "as": word(rule.trust)})
        })
        .collect();
    json!({"default": word(policy.default), "rules": rules})
}

fn callers(from: &Callers) -> Value {
    let cidrs: Vec<_> = from.cidrs.iter().map(ToString::to_string).collect();
    let certificate = |wanted: &ClientCert| {
        present(json!({
            "commonNames": given(&wanted.common_names),
            "groups": given(&wanted.groups),
            "dnsSANs": given(&wanted.dns_sans),
            "uriSANs": given(&wanted.uri_sans),
        }))
    };
    let process = |wanted: &UnixPeers| {
        present(json!({"uids": given(&wanted.uids), "gids": given(&wanted.gids)}))
    };
    present(json!({
        "cidrs": given(&cidrs),
        "clientCert": from.client_cert.as_ref().map(certificate),
        "unixPeer": from.unix_peer.as_ref().map(process),
    }))
}

/// A list, unless it is empty.
fn given<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn upstream(upstream: &UpstreamSettings) -> Value {
    let optional = |d: Option<Duration>| d.map_or_else(|| "none".to_owned(), show_duration);
    let tls = upstream.tls.as_ref().map(|tls| {
        let identity = tls.identity.as_ref();
        let identity = identity.map(|files| (files.cert_file.clone(), files.key_file.clone()));
        client_tls(&tls.ca_file, identity.as_ref(), tls.server_name.as_deref())
    });
    let host = upstream.host.as_ref().and_then(|host| host.to_str().ok());
    let show = |target| show_upstream(target, upstream.tls.is_some());
    let members = std::iter::once(&upstream.target).chain(&upstream.further);
    let endpoints = given(&upstream.further).map(|_| members.map(show).collect::<Vec<_>>());
    present(json!({
        "url": upstream.further.is_empty().then(|| show(&upstream.target)),
        "endpoints": endpoints,
        "protocol": match upstream.protocol {
            UpstreamProtocol::Auto => "auto",
            UpstreamProtocol::Http1 => "http1",
            UpstreamProtocol::Http2 => "http2",
        },
        "host": host,
        "keepalive": {
            "tcp": optional(upstream.tcp_keepalive),
            "http2Ping": optional(upstream.http2_ping),
            "timeout": show_duration(upstream.ping_timeout),
        },
        "tls": tls,
        "share": "worker",
        "connectTimeout": show_duration(upstream.connect_timeout),
        "responseHeaderTimeout": optional(upstream.response_header_timeout),
    }))
}

fn limits(limits: &Limits) -> Value {
    json!({
        "maxHeaderBytes": show_size(limits.max_header_bytes),
        "maxHeaders": limits.max_headers,
        "headerTimeout": show_duration(limits.header_timeout),
        "idleTimeout": show_duration(limits.idle_timeout),
        "maxConnections": limits.max_connections,
        "maxConcurrentStreams": limits.max_concurrent_streams,
    })
}

//! One listener of the effective configuration.

use std::time::Duration;

use http::HeaderName;
use serde_json::{Value, json};

use super::{client_tls, present};
use crate::config::Listener;
use crate::config::address::{show_listener_bind, show_upstream};
use crate::config::values::{show_duration, show_size};
use crate::context::callers::{Callers, ClientCert, UnixPeers};
use crate::context::trust::{Policy, Trust};
use crate::context::untrusted::Stripper;
use crate::listen::settings::{
    CertificateFiles, ClientAuth, Limits, Protocol, TlsSettings, TlsVersion,
};
use crate::proxy::destination::Destination;
use crate::proxy::settings::{
    Forwarded, Identity, Orphans, Propagate, Reoriginate, Settings as Proxy, Share,
    UpstreamProtocol, UpstreamSettings,
};
use crate::sample::settings::Glob;
use crate::span::record::Direction;

pub(super) fn listener(listener: &Listener) -> Value {
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
        "trust": trust(&proxy.trust, &proxy.stripper),
        "identity": proxy.identity.as_ref().map(identity),
        "forwarded": match proxy.forwarded {
            Forwarded::Auto => "auto",
            Forwarded::Replace => "replace",
            Forwarded::Append => "append",
            Forwarded::Off => "off",
        },
        "allowConnect": proxy.allow_connect,
        "traceIdHeader": proxy.trace_id_header.as_ref().map(ToString::to_string),
        "upstream": upstream(&proxy.upstream),
        "routes": proxy.destinations.iter().map(route).collect::<Vec<_>>(),
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

fn identity(identity: &Identity) -> Value {
    match identity {
        Identity::RequestHeader(fields) => json!({"requestHeader": {
            "username": fields.username.as_str(),
            "uid": fields.uid.as_str(),
            "group": fields.group.as_str(),
            "extraPrefix": fields.extra_prefix,
            "tls": certificate(&fields.certificate),
        }}),
        Identity::Reoriginate(mapped) => {
            let entry = |one: &Reoriginate| json!({"from": callers(&one.from), "tls": certificate(&one.certificate)});
            json!({"reoriginate": mapped.iter().map(entry).collect::<Vec<_>>()})
        }
    }
}

fn route(route: &Destination) -> Value {
    let glob = |glob: &Option<Glob>| glob.as_ref().map(|glob| glob.as_str().to_owned());
    let matches = &route.matches;
    json!({
        "match": present(json!({
            "host": glob(&matches.host),
            "sni": glob(&matches.sni),
            "path": glob(&matches.path),
        })),
        "upstream": upstream(&route.upstream),
    })
}

fn certificate(files: &CertificateFiles) -> Value {
    json!({"certFile": files.cert_file, "keyFile": files.key_file})
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

fn trust(policy: &Policy, stripper: &Stripper) -> Value {
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
    present(json!({
        "default": word(policy.default),
        "rules": rules,
        "alsoContext": given(stripper.extra()),
    }))
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
    let members = || upstream.targets().map(show).collect::<Vec<_>>();
    let endpoints = (!upstream.further.is_empty()).then(members);
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
        "share": match upstream.share {
            Share::Worker => "worker",
            Share::Connection => "connection",
        },
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

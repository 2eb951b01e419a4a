//! The effective configuration, as the file would write it, for people to look at.
//!
//! Secrets are masked: values of headers, queries of URLs. Tokens and keys never get here.

mod listener;

use std::path::PathBuf;

use http::HeaderName;
use serde_json::{Map, Value, json};

use super::Sources;
use crate::access_log::Mode;
use crate::config::Config;
use crate::config::address::{mask, show_admin_bind};
use crate::config::resolve::{API_VERSION, KIND};
use crate::config::values::show_duration;
use crate::context::formats::Format;
use crate::export::settings::{Compression, Otlp, Settings as Export, Sink, Transport};
use crate::sample::settings::{Action, RatioRule, Rule, Settings as Sampling, UnsampledRoot};

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
        "listeners": config.listeners.iter().map(listener::listener).collect::<Vec<_>>(),
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

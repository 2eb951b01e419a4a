//! `metrics.otlp`: where metrics go beside `/metrics`.

use std::time::Duration;

use crate::config::fault::Origin;
use crate::config::otel_env::{Batching, MetricsEnv};
use crate::config::reader::Field;
use crate::export::settings::{Metrics, Otlp, Settings, Sink, Transport};

use super::export::{TRACES_PATH, grpc_endpoint, http_endpoint};

const METRICS_PATH: &str = "/v1/metrics";

/// What OpenTelemetry's periodic reader has.
const INTERVAL: Duration = Duration::from_secs(60);

/// Metrics travel as spans do, to the first OTLP collector of theirs; only endpoint and headers
/// can be others, by the environment.
pub(super) fn read(field: &Field<'_>, export: Option<&mut Settings>, batching: &Batching) {
    if field.boolean() != Some(true) {
        return;
    }
    let Some(export) = export else {
        return;
    };
    let otlp = export.sinks.iter().find_map(|sink| match sink {
        Sink::Otlp(otlp) => Some(otlp.clone()),
        _ => None,
    });
    let Some(otlp) = otlp else {
        nowhere(field, batching);
        return;
    };
    let env = &batching.metrics;
    let Some(endpoint) = endpoint(field, &otlp, env) else {
        return;
    };
    export.metrics = Some(Metrics {
        otlp: Otlp {
            endpoint,
            headers: env.headers.clone().unwrap_or_else(|| otlp.headers.clone()),
            ..otlp
        },
        interval: env.interval.unwrap_or(INTERVAL),
    });
}

/// There is no OTLP that metrics could travel by. Where the environment chose that, or chose
/// metrics, both may be right for themselves.
fn nowhere(field: &Field<'_>, batching: &Batching) {
    let file = matches!(*field.at().origin, Origin::File(_));
    if file && !batching.protocol_of_environment {
        field.fault("expected grpc or http/protobuf among tracing.export.protocol");
    } else {
        let note = format!(
            "{} has no effect: nothing is exported by OTLP",
            field.path()
        );
        field.report().note(note);
    }
}

/// The variable's endpoint, or else that of spans for the other signal (OTLP exporter
/// specification, "Endpoint URLs for OTLP/HTTP").
fn endpoint(field: &Field<'_>, otlp: &Otlp, env: &MetricsEnv) -> Option<String> {
    if let Some((text, at)) = &env.endpoint {
        let parsed = match otlp.transport {
            Transport::Grpc => grpc_endpoint(text),
            Transport::HttpProtobuf => http_endpoint(text, at.variable(), METRICS_PATH),
        };
        return parsed
            .map_err(|expected| {
                let message = format!(
                    "expected {expected}; got {}",
                    crate::config::words::show(text)
                );
                field.report().fault(at, "", message);
            })
            .ok();
    }
    if otlp.transport == Transport::Grpc {
        return Some(otlp.endpoint.clone());
    }
    let (before, query) = match otlp.endpoint.split_once('?') {
        Some((before, query)) => (before, format!("?{query}")),
        None => (&*otlp.endpoint, String::new()),
    };
    let Some(base) = before.strip_suffix(TRACES_PATH) else {
        field.fault(
            "expected an endpoint of spans that ends with /v1/traces, or \
             OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        );
        return None;
    };
    Some(format!("{base}{METRICS_PATH}{query}"))
}

//! `OTEL_METRICS_EXPORTER`, `OTEL_METRIC_EXPORT_INTERVAL` and `OTEL_EXPORTER_OTLP_METRICS_*`.

use std::time::Duration;

use super::exporter::scheme;
use super::{ENDPOINT, Env, METRICS_ENDPOINT, TRACES_ENDPOINT, lists};
use crate::config::fault::At;
use crate::config::raw::{Node, Value};
use crate::config::words::show;

/// What only the environment says of metrics.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct MetricsEnv {
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, else `OTEL_EXPORTER_OTLP_ENDPOINT` where spans have
    /// one of their own.
    pub endpoint: Option<(String, At)>,
    /// `OTEL_EXPORTER_OTLP_METRICS_HEADERS`, else `OTEL_EXPORTER_OTLP_HEADERS`; values are secrets.
    pub headers: Option<Vec<(String, String)>>,
    /// `OTEL_METRIC_EXPORT_INTERVAL`
    pub interval: Option<Duration>,
}

/// Variables of metrics alone that aren't read: metrics travel as spans do.
const IGNORED: [&str; 7] = [
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
];

/// Reads them; whether metrics are exported goes into the tree.
pub(super) fn overlay(env: &Env<'_>, root: &mut Node, grpc: bool) -> MetricsEnv {
    exporter(env, root);
    if !is_on(root) {
        return MetricsEnv::default();
    }
    for variable in IGNORED.into_iter().filter_map(|name| env.get(name)) {
        let name = variable.name;
        env.report
            .warn(format!("{name} has no effect: metrics travel as spans do"));
    }
    // What applies to both signals is found at the spans'.
    let general = env.get(TRACES_ENDPOINT).and_then(|_| env.get(ENDPOINT));
    let endpoint = env.get(METRICS_ENDPOINT).or(general).map(|variable| {
        let insecure = "OTEL_EXPORTER_OTLP_METRICS_INSECURE";
        let scheme = scheme(env, &variable, insecure, grpc);
        (format!("{scheme}{}", variable.value), variable.at)
    });
    let headers = env.first([
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
        "OTEL_EXPORTER_OTLP_HEADERS",
    ]);
    let headers = headers.and_then(|variable| match lists::headers(variable.value) {
        Ok(headers) => Some(headers),
        // Values are secrets, so a fault doesn't repeat them.
        Err(expected) => {
            variable.fault(format!("expected {expected}"));
            None
        }
    });
    let interval = env.get("OTEL_METRIC_EXPORT_INTERVAL");
    if let Some(variable) = &interval {
        // No key of the file says this, so the effective configuration can't show it.
        let (name, value) = (variable.name, show(variable.value));
        env.report.note(format!("{name}={value} applies"));
    }
    MetricsEnv {
        endpoint,
        headers,
        interval: interval.and_then(|variable| variable.milliseconds()),
    }
}

/// `OTEL_METRICS_EXPORTER`: Prometheus is always there, so only `otlp` makes a difference.
fn exporter(env: &Env<'_>, root: &mut Node) {
    let Some(variable) = env.get("OTEL_METRICS_EXPORTER") else {
        return;
    };
    let lower = variable.value.to_ascii_lowercase();
    let names: Vec<&str> = lower.split(',').map(str::trim).collect();
    let known = |name: &&str| matches!(*name, "otlp" | "prometheus" | "none");
    if !names.iter().all(known) {
        let got = show(variable.value);
        variable.fault(format!("expected otlp, prometheus or none; got {got}"));
    } else if names.len() > 1 && names.contains(&"none") {
        variable.fault("none can't stand beside others");
    } else {
        let otlp = names.contains(&"otlp");
        variable.put_plain(root, &["metrics", "otlp"], otlp.to_string());
    }
}

/// Whether metrics are to be exported, as far as the tree says so.
fn is_on(root: &Node) -> bool {
    let node = root.get(&["metrics", "otlp"]);
    node.is_some_and(|node| matches!(&node.value, Value::Scalar { text, .. } if text == "true"))
}

//! The tree becomes settings: every key of the schema is read here or in a submodule.
//!
//! Everything is read even after a fault, so that all of them come to light; a missing value then
//! makes the whole `None`. A key whose feature doesn't exist yet is refused unless it is at its
//! default, never ignored.

mod correlate_by;
mod effective;
mod export;
mod identity;
mod listener;
mod metrics;
mod propagation;
mod routes;
mod server;
mod span;
mod tls;
mod trace_id_header;
mod tracing;
mod trust;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::Config;
use super::fault::Report;
use super::otel_env::Batching;
use super::raw::{Node, Value};
use super::reader::{Field, Map};
use super::values;
use crate::access_log::Mode;
use crate::context::propagation::Propagation;

pub(super) const API_VERSION: &str = "tracegate.dev/v1alpha1";
pub(super) const KIND: &str = "TracegateConfiguration";

const HOUR: Duration = Duration::from_secs(3600);

/// What the effective configuration shows beyond the settings themselves.
#[derive(Default)]
struct Sources {
    kubernetes_file: Option<PathBuf>,
    fleet_key_file: Option<PathBuf>,
    allow_remote: bool,
    propagation: Propagation,
    correlate_by: Arc<[HeaderName]>,
}

/// Reads the whole tree. `None` if anything needed is missing; faults are in the report.
pub(super) fn resolve(root: &Node, batching: &Batching, report: &Report) -> Option<Config> {
    if root.value == Value::Null {
        report.fault(&root.at, "", "expected a configuration; the file is empty");
        return None;
    }
    let root = Field::root(root, report).map()?;
    let mut sources = Sources::default();
    header(&root);
    let resource = service(&root.get("service").map_or_empty());
    let formats = root.get("propagation").map_or_empty();
    let propagation = propagation::read(&formats);
    let correlate_by_field = formats.get("correlateBy");
    let correlate_by = correlate_by::read(&correlate_by_field);
    let listeners = listener::read_all(&root.get("listeners"), propagation, &correlate_by);
    correlate_by::check(&correlate_by_field, listeners.complete.as_deref());
    drop(formats);
    let tracing = root.get("tracing").map_or_empty();
    let sampling = tracing::read(&tracing, &listeners.names, &mut sources);
    let mut export = export::read(&tracing.get("export"), resource, batching);
    drop(tracing);
    let metrics = root.get("metrics").map_or_empty();
    metrics::read(&metrics.get("otlp"), export.as_mut(), batching);
    drop(metrics);
    let admin = server::admin(&root.get("admin"), &mut sources);
    let health = server::health(&root.get("health"));
    server::check_binds(&listeners.binds, &admin, &health);
    let access_log = access_log(&root);
    let workers = read_workers(&root);
    let drain_delay = duration(&root, "drainDelay", Duration::ZERO, HOUR);
    let drain_timeout = duration(&root, "drainTimeout", Duration::from_secs(30), 24 * HOUR);
    let mut config = Config {
        export: export?,
        sampling: sampling?,
        access_log,
        admin: admin.map(|(admin, _)| admin),
        health: health.map(|(health, _)| health),
        workers,
        drain_delay,
        drain_timeout,
        listeners: listeners.complete?,
        effective: serde_json::Value::Null,
        files: Vec::new(),
        notes: Vec::new(),
    };
    sources.propagation = propagation;
    sources.correlate_by = correlate_by;
    config.effective = effective::effective(&config, &sources);
    Some(config)
}

fn header(root: &Map<'_>) {
    let exactly = |expected: &'static str| {
        move |text: &str| {
            (text == expected)
                .then_some(())
                .ok_or_else(|| expected.to_owned())
        }
    };
    root.get("apiVersion").required().read(exactly(API_VERSION));
    root.get("kind").required().read(exactly(KIND));
}

/// The resource: `service.name`, then further attributes.
fn service(map: &Map<'_>) -> Vec<(String, String)> {
    let name = map.get("name").read(values::text);
    // What OpenTelemetry's resource conventions ask for where no name was given.
    let name = name.unwrap_or_else(|| "unknown_service:tracegate".to_owned());
    let mut resource = vec![("service.name".to_owned(), name)];
    if let Some(mut attributes) = map.get("attributes").map() {
        for (key, field) in attributes.fields() {
            if key == "service.name" {
                field.fault("expected under service.name");
            } else if values::text(key).is_err() {
                field.fault("expected a key of 1 to 4096 bytes without control characters");
            } else if let Some(value) = field.read(values::text) {
                resource.push((key.to_owned(), value));
            }
        }
    }
    resource
}

fn access_log(root: &Map<'_>) -> Mode {
    let words = [
        ("off", Mode::Off),
        ("sampled", Mode::Sampled),
        ("all", Mode::All),
    ];
    let map = root.get("accessLog").map_or_empty();
    map.get("mode").one_of(&words, &[]).unwrap_or_default()
}

fn read_workers(root: &Map<'_>) -> usize {
    match root.get("workers").read_plain(values::count(0..=1024)) {
        Some(0) | None => std::thread::available_parallelism().map_or(1, usize::from),
        Some(count) => count,
    }
}

/// A duration that may be zero.
fn duration(map: &Map<'_>, key: &'static str, default: Duration, most: Duration) -> Duration {
    map.get(key)
        .read(values::duration(Duration::ZERO..=most))
        .unwrap_or(default)
}

/// A duration that bounds something, so it can't be zero.
fn bound(map: &Map<'_>, key: &'static str, default: Duration) -> Duration {
    map.get(key)
        .read(values::duration(Duration::from_millis(1)..=24 * HOUR))
        .unwrap_or(default)
}

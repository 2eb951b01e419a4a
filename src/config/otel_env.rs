//! The `OTEL_*` variables, by OpenTelemetry's environment variable and OTLP exporter
//! specifications: laid over the file's tree, under the flags.
//!
//! Signal-specific variables (`…_TRACES_…`) beat general ones; an empty variable is unset; words
//! are read without regard to case. Where the specification and the proxy differ:
//! - **Samplers.** The proxy is always parent-based, so `OTEL_TRACES_SAMPLER` sets the rate of
//!   roots alone, `tracing.samplingRatePerMillion`: `parentbased_always_on` is 1000000,
//!   `parentbased_always_off` 0, `parentbased_traceidratio` a million times its argument (1 if
//!   absent). The same three without `parentbased_` set the same rates, with a warning.
//! - **Propagators** become `propagation.extract` and `inject`. Of several contexts the first of the
//!   list wins. Either name of B3 reads both of its encodings and writes its own. `none` is
//!   `propagate: none` on every listener.
//! - **`OTEL_BSP_EXPORT_TIMEOUT`** bounds an export, `OTEL_EXPORTER_OTLP_TIMEOUT` one attempt: the
//!   smaller of both applies.
//! - **Metrics.** `OTEL_METRICS_EXPORTER` is `metrics.otlp`: whether `otlp` is in it (Prometheus is
//!   always there); they travel as spans do, but for the variables in `otel_env/metrics.rs`.
//! - **Resource attributes** are merged with the file's, key by key; headers replace the file's.

mod exporter;
mod lists;
mod metrics;
mod propagators;

pub(super) use metrics::MetricsEnv;

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::{At, Origin, Report};
use super::raw::Node;
use super::values::{self, Expected};
use super::words::{alternatives, show};

/// Taken as it is.
pub(super) const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// A base, to which `v1/traces` is added for HTTP.
pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Metrics' own endpoint, taken as it is.
pub(super) const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

/// The longest bound a variable may set: a day, in milliseconds.
const DAY_MS: u64 = 24 * 3600 * 1000;

/// Settings of the batcher that only the environment has.
#[derive(Clone, Debug, Default)]
pub(super) struct Batching {
    /// `OTEL_BSP_SCHEDULE_DELAY`
    pub schedule_delay: Option<Duration>,
    /// `OTEL_BSP_EXPORT_TIMEOUT`
    pub export_timeout: Option<Duration>,
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`
    pub max_batch: Option<(usize, At)>,
    /// Whether a variable chose how spans travel.
    pub protocol_of_environment: bool,
    /// Of metrics alone.
    pub metrics: MetricsEnv,
}

/// Lays the variables over the tree.
pub(super) fn overlay(
    variables: &BTreeMap<String, String>,
    root: &mut Node,
    report: &Report,
) -> Batching {
    let env = Env { variables, report };
    service(&env, root);
    sampler(&env, root);
    propagators::overlay(&env, root);
    let travel = exporter::overlay(&env, root);
    Batching {
        protocol_of_environment: travel.chosen,
        metrics: metrics::overlay(&env, root, travel.grpc),
        ..batching(&env, root)
    }
}

/// The environment, as OpenTelemetry reads it.
struct Env<'a> {
    variables: &'a BTreeMap<String, String>,
    report: &'a Report,
}

/// A variable that is set.
struct Variable<'a> {
    name: &'static str,
    value: &'a str,
    at: At,
    report: &'a Report,
}

impl<'a> Env<'a> {
    fn get(&self, name: &'static str) -> Option<Variable<'a>> {
        let value = self.variables.get(name)?.trim();
        (!value.is_empty()).then(|| Variable {
            name,
            value,
            at: At::origin(Origin::Environment(name.to_owned())),
            report: self.report,
        })
    }

    /// The first of several names that is set.
    fn first<const N: usize>(&self, names: [&'static str; N]) -> Option<Variable<'a>> {
        names.into_iter().find_map(|name| self.get(name))
    }
}

impl Variable<'_> {
    fn fault(&self, message: impl Into<String>) {
        self.report.fault(&self.at, "", message);
    }

    fn read<T>(&self, parse: impl Fn(&str) -> Expected<T>) -> Option<T> {
        parse(self.value)
            .map_err(|expected| {
                self.fault(format!("expected {expected}; got {}", show(self.value)));
            })
            .ok()
    }

    fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let lower = self.value.to_ascii_lowercase();
        self.read(|_| {
            let found = words.iter().find(|(word, _)| *word == lower);
            found
                .map(|(_, value)| *value)
                .ok_or_else(|| alternatives(words.iter().map(|(word, _)| *word)))
        })
    }

    fn boolean(&self) -> Option<bool> {
        self.word(&[("true", true), ("false", false)])
    }

    fn milliseconds(&self) -> Option<Duration> {
        self.read(|text| {
            values::integer(1..=DAY_MS)(text)
                .map(Duration::from_millis)
                .map_err(|expected| format!("{expected} (milliseconds)"))
        })
    }

    /// Lays a value over the tree, and says so where it hides another.
    fn put(&self, root: &mut Node, path: &[&str], node: Node) {
        put(root, path, node, self.report);
    }

    fn put_plain(&self, root: &mut Node, path: &[&str], text: impl Into<String>) {
        self.put(root, path, Node::plain(&self.at, text));
    }
}

/// Lays a value over the tree, and says so where it hides another.
pub(super) fn put(root: &mut Node, path: &[&str], node: Node, report: &Report) {
    if let Some(hidden) = root.get(path) {
        report.note(format!(
            "{} wins over {} of {}",
            node.at,
            path.join("."),
            hidden.at
        ));
    }
    root.set(path, node);
}

fn service(env: &Env<'_>, root: &mut Node) {
    if let Some(variable) = env.get("OTEL_RESOURCE_ATTRIBUTES")
        && let Some(attributes) = variable.read(lists::attributes)
    {
        for (key, value) in attributes {
            let node = Node::quoted(&variable.at, value);
            if key == "service.name" {
                variable.put(root, &["service", "name"], node);
            } else {
                variable.put(root, &["service", "attributes", &key], node);
            }
        }
    }
    if let Some(variable) = env.get("OTEL_SERVICE_NAME")
        && let Some(name) = variable.read(values::text)
    {
        let node = Node::quoted(&variable.at, name);
        variable.put(root, &["service", "name"], node);
    }
}

fn sampler(env: &Env<'_>, root: &mut Node) {
    #[derive(Clone, Copy)]
    enum Rate {
        Fixed(u32),
        Argument,
    }
    const WORDS: [(&str, (Rate, bool)); 6] = [
        ("parentbased_always_on", (Rate::Fixed(1_000_000), true)),
        ("parentbased_always_off", (Rate::Fixed(0), true)),
        ("parentbased_traceidratio", (Rate::Argument, true)),
        ("always_on", (Rate::Fixed(1_000_000), false)),
        ("always_off", (Rate::Fixed(0), false)),
        ("traceidratio", (Rate::Argument, false)),
    ];
    let argument = env.get("OTEL_TRACES_SAMPLER_ARG");
    let Some(variable) = env.get("OTEL_TRACES_SAMPLER") else {
        if let Some(argument) = argument {
            let name = argument.name;
            env.report
                .warn(format!("{name} has no effect without OTEL_TRACES_SAMPLER"));
        }
        return;
    };
    let Some((rate, parent_based)) = variable.word(&WORDS) else {
        return;
    };
    if !parent_based {
        let (name, value) = (variable.name, show(variable.value));
        env.report.warn(format!(
            "{name}={value} sets the rate of roots only: a trusted parent's decision is respected"
        ));
    }
    let rate = match (rate, argument) {
        (Rate::Fixed(rate), None) => Some(rate),
        (Rate::Fixed(rate), Some(argument)) => {
            let (name, value) = (argument.name, variable.value);
            env.report
                .warn(format!("{name} has no effect with {value}"));
            Some(rate)
        }
        (Rate::Argument, None) => Some(1_000_000),
        (Rate::Argument, Some(argument)) => argument.read(ratio),
    };
    if let Some(rate) = rate {
        let path = ["tracing", "samplingRatePerMillion"];
        variable.put_plain(root, &path, rate.to_string());
    }
}

/// A probability, as parts of a million.
fn ratio(text: &str) -> Expected<u32> {
    let expected = || "a number from 0 to 1, 0 or at least 0.000001".to_owned();
    let ratio: f64 = text.parse().map_err(|_| expected())?;
    let in_range = (0.0..=1.0).contains(&ratio);
    // In range, so neither sign nor size can be lost.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 ≤ ratio ≤ 1 was checked"
    )]
    let rate = (ratio * 1e6).round() as u32;
    (in_range && (rate > 0 || ratio == 0.0))
        .then_some(rate)
        .ok_or_else(expected)
}

fn batching(env: &Env<'_>, root: &mut Node) -> Batching {
    const MOST: usize = 1 << 24;
    if let Some(variable) = env.get("OTEL_BSP_MAX_QUEUE_SIZE")
        && let Some(size) = variable.read(values::count(1..=MOST))
    {
        let path = ["tracing", "export", "queueSpans"];
        variable.put_plain(root, &path, size.to_string());
    }
    let max_batch = env
        .get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
        .and_then(|variable| Some((variable.read(values::count(1..=MOST))?, variable.at)));
    let milliseconds = |name| env.get(name).and_then(|variable| variable.milliseconds());
    let names = [
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_BSP_EXPORT_TIMEOUT",
    ];
    for variable in names.into_iter().filter_map(|name| env.get(name)) {
        // No key of the file says this, so the effective configuration can't show it.
        env.report.note(format!(
            "{}={} applies",
            variable.name,
            show(variable.value)
        ));
    }
    Batching {
        schedule_delay: milliseconds("OTEL_BSP_SCHEDULE_DELAY"),
        export_timeout: milliseconds("OTEL_BSP_EXPORT_TIMEOUT"),
        max_batch,
        ..Batching::default()
    }
}

#[cfg(test)]
mod tests;

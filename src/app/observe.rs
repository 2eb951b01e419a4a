//! What the exporter and the sampler count, among the other metrics.

use std::sync::Arc;

use super::sampling::CurrentSampler;
use crate::access_log;
use crate::admin::Sampling as _;
use crate::export::{self, Reason, SinkStatus, State, Status};
use crate::metrics::{Exposition, Registry};

/// Adds the exporter's and the sampler's families to every scrape.
pub fn register(registry: &Registry, status: &Arc<Status>, sampler: &Arc<CurrentSampler>) {
    let status = Arc::clone(status);
    registry.register(Box::new(move |out| spans(out, &status)));
    let sampler = Arc::clone(sampler);
    registry.register(Box::new(move |out| {
        let rates = sampler.rates();
        out.gauge(
            "tracegate_sampling_rate_per_million",
            "Sampling rate in force where no rule matches.",
        )
        .sample(&[], u64::from(rates.default.get()));
    }));
}

/// Lets the exporter gather what a scrape shows.
pub fn push(registry: &Arc<Registry>, exporter: &export::Handle) {
    // The registry's collectors hold the exporter's counters, never the exporter: no cycle.
    let registry = Arc::clone(registry);
    exporter.gather_from(Box::new(move || registry.otlp()));
}

/// Adds what became of the access log's lines.
pub fn access_log(registry: &Registry, status: Arc<access_log::Status>) {
    registry.register(Box::new(move |out| {
        out.counter(
            "tracegate_access_log_lines",
            "Lines of the access log that were written.",
        )
        .sample(&[], status.written());
        let dropped = out.counter(
            "tracegate_access_log_dropped",
            "Lines of the access log that were lost, by why.",
        );
        for reason in access_log::Reason::ALL {
            dropped.sample(&[("reason", reason.as_str())], status.dropped(reason));
        }
    }));
}

fn spans(out: &mut Exposition, status: &Status) {
    out.counter("tracegate_spans_recorded", "Spans made by the workers.")
        .sample(&[], status.recorded());
    let dropped = out.counter(
        "tracegate_spans_dropped",
        "Spans that were lost, by where and why; sink is empty before any sink saw them.",
    );
    for reason in Reason::ALL {
        let labels = [("sink", ""), ("reason", reason.as_str())];
        dropped.sample(&labels, status.dropped(reason));
    }
    let sinks = status.sinks();
    for (sink, reason) in sinks.iter().flat_map(|s| Reason::ALL.map(|r| (s, r))) {
        let labels = [("sink", sink.name()), ("reason", reason.as_str())];
        dropped.sample(&labels, sink.dropped(reason));
    }
    let exported = out.counter("tracegate_spans_exported", "Spans the collector took.");
    for sink in &sinks {
        exported.sample(&[("sink", sink.name())], sink.exported());
    }
    let waiting = out.gauge("tracegate_spans_waiting", "Spans on their way.");
    waiting.sample(&[("sink", "")], status.waiting());
    for sink in &sinks {
        waiting.sample(&[("sink", sink.name())], sink.in_flight());
    }
    let failing = out.gauge(
        "tracegate_export_failing",
        "Whether the last attempt to export failed.",
    );
    for sink in &sinks {
        failing.sample(&[("sink", sink.name())], is_failing(sink));
    }
    let sinks = status.metric_sinks();
    if !sinks.is_empty() {
        pushes(out, &sinks);
    }
}

/// What became of metrics that are sent by OTLP.
fn pushes(out: &mut Exposition, sinks: &[Arc<SinkStatus>]) {
    let exported = out.counter(
        "tracegate_metric_points_exported",
        "Data points of metrics the collector took.",
    );
    for sink in sinks {
        exported.sample(&[("sink", sink.name())], sink.exported());
    }
    let dropped = out.counter(
        "tracegate_metric_points_dropped",
        "Data points of metrics that were not delivered, by why.",
    );
    for (sink, reason) in sinks.iter().flat_map(|s| Reason::ALL.map(|r| (s, r))) {
        let labels = [("sink", sink.name()), ("reason", reason.as_str())];
        dropped.sample(&labels, sink.dropped(reason));
    }
    let failing = out.gauge(
        "tracegate_metrics_export_failing",
        "Whether the last attempt to export metrics failed.",
    );
    for sink in sinks {
        failing.sample(&[("sink", sink.name())], is_failing(sink));
    }
}

fn is_failing(sink: &SinkStatus) -> u64 {
    u64::from(matches!(sink.state(), State::Failing { .. }))
}

/// The exporter's lines of `/readyz?verbose`.
pub fn lines(status: &Status) -> Vec<String> {
    let (sinks, metrics) = (status.sinks(), status.metric_sinks());
    let spans = sinks.iter().map(|sink| line("export", sink));
    let metrics = metrics.iter().map(|sink| line("export of metrics", sink));
    spans.chain(metrics).collect()
}

fn line(what: &str, sink: &SinkStatus) -> String {
    match sink.state() {
        State::Ok => format!("{what} {}: ok", sink.name()),
        State::Failing { error, .. } => format!("{what} {}: failing: {error}", sink.name()),
    }
}

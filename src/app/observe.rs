//! What the exporter and the sampler count, among the other metrics.

use std::sync::Arc;

use super::sampling::CurrentSampler;
use crate::admin::Sampling as _;
use crate::export::{Reason, SinkStatus, State, Status};
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
        let is_failing = matches!(sink.state(), State::Failing { .. });
        failing.sample(&[("sink", sink.name())], u64::from(is_failing));
    }
}

/// The exporter's lines of `/readyz?verbose`.
pub fn lines(status: &Status) -> Vec<String> {
    status.sinks().iter().map(|sink| line(sink)).collect()
}

fn line(sink: &SinkStatus) -> String {
    match sink.state() {
        State::Ok => format!("export {}: ok", sink.name()),
        State::Failing { error, .. } => format!("export {}: failing: {error}", sink.name()),
    }
}

//! The built-in families.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Registry;
use super::exposition::Exposition;
use super::labels::Label;
use super::series::Key;
use super::shard::{Counters, ListenerShard, Shard};
use super::table::Total;
use super::verdicts::Verdicts;
use crate::span::record::Direction;

type Listeners<'a> = &'a [(Arc<str>, Direction)];

/// What is known of the process.
pub(super) fn process(exposition: &mut Exposition, started: SystemTime) {
    exposition
        .info("tracegate_build", "What is running.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    let started = started
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    exposition
        .gauge(
            "process_start_time_seconds",
            "When the process started, in seconds since the Unix epoch.",
        )
        .sample(&[], started);
}

/// What the workers counted, per listener.
pub(super) fn listeners(exposition: &mut Exposition, registry: &Registry) {
    durations(
        exposition,
        registry,
        Direction::Ingress,
        "http.server.request.duration",
        |key| !key.is_rpc(),
        "Duration of HTTP server requests, from the complete head to the end of the response.",
    );
    durations(
        exposition,
        registry,
        Direction::Egress,
        "http.client.request.duration",
        |key| !key.is_rpc(),
        "Duration of HTTP client requests, from the complete head to the end of the response.",
    );
    durations(
        exposition,
        registry,
        Direction::Ingress,
        "rpc.server.call.duration",
        Key::is_rpc,
        "Duration of incoming gRPC calls, from the complete head to the end of the response.",
    );
    durations(
        exposition,
        registry,
        Direction::Egress,
        "rpc.client.call.duration",
        Key::is_rpc,
        "Duration of outgoing gRPC calls, from the complete head to the end of the response.",
    );
    let mut all = All {
        exposition,
        listeners: &registry.listeners,
        shards: &registry.shards,
    };
    all.gauge(
        "tracegate_requests_in_flight",
        "Requests being served.",
        |l| &l.requests_in_flight,
    );
    all.gauge("tracegate_connections", "Connections open.", |l| {
        &l.connections
    });
    all.counter(
        "tracegate_connections_accepted",
        "Connections accepted.",
        |l| &l.connections_accepted,
    );
    all.labelled(
        "tracegate_connections_refused",
        "Connections refused before a request of theirs was read.",
        "reason",
        |l| &l.connections_refused,
    );
    all.labelled(
        "tracegate_requests_refused",
        "Requests answered here instead of being forwarded.",
        "reason",
        |l| &l.requests_refused,
    );
    all.verdicts(
        "tracegate_trust_verdicts",
        "Callers judged, by what their trace context may do and the number of the trust rule that \
         said so.",
    );
    all.labelled(
        "tracegate_sampling_decisions",
        "Sampling decisions.",
        "decision",
        |l| &l.sampling,
    );
    all.labelled(
        "tracegate_keep_decisions",
        "Unsampled requests that failed or were slow, exported for that; capped ones were over \
         tracing.keep.maxPerSecond, and not exported.",
        "decision",
        |l| &l.kept,
    );
    all.counter(
        "tracegate_context_restarted",
        "Traces restarted because the context that came along was untrusted or invalid.",
        |l| &l.context_restarted,
    );
    all.labelled(
        "tracegate_correlations",
        "Requests without a context that were looked for by a field the component copies, and \
         requests there was no place to put down for it.",
        "outcome",
        |l| &l.correlation,
    );
    all.counter(
        "tracegate_upstream_connections",
        "Connections made to upstreams.",
        |l| &l.upstream_connections,
    );
    all.counter(
        "tracegate_upstream_connect_errors",
        "Connections to upstreams that could not be made.",
        |l| &l.upstream_connect_errors,
    );
    all.counter(
        "tracegate_upstream_retries",
        "Requests sent to an upstream again.",
        |l| &l.upstream_retries,
    );
    all.counter("tracegate_panics", "Panics that ended a connection.", |l| {
        &l.panics
    });
}

struct All<'a> {
    exposition: &'a mut Exposition,
    listeners: Listeners<'a>,
    shards: &'a [Arc<Shard>],
}

impl<'a> All<'a> {
    /// What the workers counted for the listener at `index`.
    fn of(&self, index: usize) -> impl Iterator<Item = &'a ListenerShard> + use<'a> {
        let shards = self.shards;
        shards
            .iter()
            .filter_map(move |shard| shard.listeners.get(index).map(|l| &**l))
    }

    fn counter(&mut self, name: &str, help: &str, pick: impl Fn(&ListenerShard) -> &AtomicU64) {
        let listeners = self.listeners;
        let totals: Vec<u64> = (0..listeners.len())
            .map(|index| self.of(index).map(|l| pick(l).load(Relaxed)).sum())
            .collect();
        let family = self.exposition.counter(name, help);
        for ((listener, _), total) in listeners.iter().zip(totals) {
            family.sample(&[("listener", listener)], total);
        }
    }

    fn gauge(&mut self, name: &str, help: &str, pick: impl Fn(&ListenerShard) -> &AtomicI64) {
        let listeners = self.listeners;
        let totals: Vec<i64> = (0..listeners.len())
            .map(|index| self.of(index).map(|l| pick(l).load(Relaxed)).sum())
            .collect();
        let family = self.exposition.gauge(name, help);
        for ((listener, _), total) in listeners.iter().zip(totals) {
            family.sample(&[("listener", listener)], total);
        }
    }

    fn labelled<L: Label, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        key: &str,
        pick: impl Fn(&ListenerShard) -> &Counters<L, N>,
    ) {
        let (listeners, shards) = (self.listeners, self.shards);
        let family = self.exposition.counter(name, help);
        for (index, (listener, _)) in listeners.iter().enumerate() {
            for &label in L::ALL {
                let total: u64 = shards
                    .iter()
                    .filter_map(|shard| shard.listeners.get(index))
                    .map(|l| pick(l).get(label))
                    .sum();
                family.sample(&[("listener", listener), (key, label.as_str())], total);
            }
        }
    }

    fn verdicts(&mut self, name: &str, help: &str) {
        let (listeners, shards) = (self.listeners, self.shards);
        let family = self.exposition.counter(name, help);
        for (index, (listener, _)) in listeners.iter().enumerate() {
            let counted = shards.iter().filter_map(|shard| shard.listeners.get(index));
            for ((rule, trust), total) in Verdicts::total(counted.map(|l| &l.trust_verdicts)) {
                let labels = [
                    ("listener", &**listener),
                    ("trust", trust),
                    ("rule", &*rule),
                ];
                family.sample(&labels, total);
            }
        }
    }
}

/// One family of durations of the listeners of one direction; without any there is no family.
///
/// A series that a worker admitted but hasn't counted yet is left out.
fn durations(
    exposition: &mut Exposition,
    registry: &Registry,
    direction: Direction,
    name: &str,
    wanted: fn(Key) -> bool,
    help: &str,
) {
    let listeners = registry.listeners.iter().zip(&registry.keys).enumerate();
    let mut listeners = listeners
        .filter(|(_, ((_, d), _))| *d == direction)
        .peekable();
    if listeners.peek().is_none() {
        return;
    }
    let family = exposition.histogram(name, help);
    for (index, ((listener, _), keys)) in listeners {
        let shards = || {
            registry
                .shards
                .iter()
                .filter_map(|s| s.listeners.get(index))
        };
        let mut keys: Vec<(Key, usize)> = keys.all().filter(|(key, _)| wanted(*key)).collect();
        keys.sort_unstable();
        for (key, place) in keys {
            let mut total = Total::default();
            shards().for_each(|shard| shard.durations.add_to(place, &mut total));
            let labels = key.labels(&registry.known_rpc);
            let labels = labels.iter().map(|(name, value)| (*name, &**value));
            let labels: Vec<_> = [("listener", &**listener)]
                .into_iter()
                .chain(labels)
                .collect();
            if total.durations.count() > 0 {
                family.buckets(&labels, &total.durations, &total.exemplars);
            }
        }
        // What finds no place may be of either kind: it is said once.
        if name.starts_with("http") {
            let mut total = Total::default();
            shards().for_each(|shard| shard.durations.add_overflow_to(&mut total));
            if total.durations.count() > 0 {
                let labels = [("listener", &**listener), ("otel.metric.overflow", "true")];
                family.buckets(&labels, &total.durations, &total.exemplars);
            }
        }
    }
}

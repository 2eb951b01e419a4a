//! The built-in families.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use super::exposition::Exposition;
use super::histogram::Snapshot;
use super::labels::{Label, MethodClass, StatusClass};
use super::shard::{Counters, ListenerShard, Shard};
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
pub(super) fn listeners(
    exposition: &mut Exposition,
    listeners: Listeners<'_>,
    shards: &[Arc<Shard>],
) {
    let mut all = All {
        exposition,
        listeners,
        shards,
    };
    all.durations(
        Direction::Ingress,
        "http_server_request_duration_seconds",
        "Time from a request's complete head to the end of its response, on ingress listeners.",
    );
    all.durations(
        Direction::Egress,
        "http_client_request_duration_seconds",
        "Time from a request's complete head to the end of its response, on egress listeners.",
    );
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
    all.counter(
        "tracegate_context_restarted",
        "Traces restarted because the context that came along was untrusted or invalid.",
        |l| &l.context_restarted,
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
        let mut family = self.exposition.counter(name, help);
        for ((listener, _), total) in listeners.iter().zip(totals) {
            family.sample(&[("listener", listener)], total);
        }
    }

    fn gauge(&mut self, name: &str, help: &str, pick: impl Fn(&ListenerShard) -> &AtomicI64) {
        let listeners = self.listeners;
        let totals: Vec<i64> = (0..listeners.len())
            .map(|index| self.of(index).map(|l| pick(l).load(Relaxed)).sum())
            .collect();
        let mut family = self.exposition.gauge(name, help);
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
        let mut family = self.exposition.counter(name, help);
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
        let mut family = self.exposition.counter(name, help);
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

    /// Series that have counted nothing are left out: most methods and classes never come.
    fn durations(&mut self, direction: Direction, name: &str, help: &str) {
        let (listeners, shards) = (self.listeners, self.shards);
        if !listeners.iter().any(|(_, d)| *d == direction) {
            return;
        }
        let mut family = self.exposition.histogram(name, help);
        for (index, (listener, _)) in listeners
            .iter()
            .enumerate()
            .filter(|(_, (_, d))| *d == direction)
        {
            for (method, class) in MethodClass::ALL
                .iter()
                .flat_map(|m| StatusClass::ALL.iter().map(move |c| (*m, *c)))
            {
                let mut snapshot = Snapshot::default();
                for shard in shards {
                    if let Some(histogram) = shard
                        .listeners
                        .get(index)
                        .and_then(|l| l.durations.get(method.index()))
                        .and_then(|by_status| by_status.get(class.index()))
                    {
                        histogram.add_to(&mut snapshot);
                    }
                }
                if snapshot.count() > 0 {
                    let labels = [
                        ("listener", &**listener),
                        ("http_request_method", method.as_str()),
                        ("http_response_status_class", class.as_str()),
                    ];
                    family.buckets(&labels, &snapshot);
                }
            }
        }
    }
}

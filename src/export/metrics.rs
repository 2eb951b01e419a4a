//! Metrics to a collector: gathered and sent every so often, cumulative, by the exporter thread.
//!
//! What isn't sent is lost but for its age: the next export says the whole count again. Failures
//! are counted in data points all the same.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::ScopeMetrics;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::otlp::Pusher;
use super::sink::{Deadline, Outcome, passed};
use super::status::{Reason, SinkStatus};

/// Gathers everything there is to say.
pub type Source = Box<dyn Fn() -> ScopeMetrics + Send + Sync>;

/// Where the exporter finds the source: it is started before there is one.
#[derive(Clone, Default)]
pub(super) struct Sources(Arc<OnceLock<Source>>);

impl Sources {
    /// Only the first one counts.
    pub(super) fn set(&self, source: Source) {
        let _ = self.0.set(source);
    }
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// A push that isn't running yet.
pub(super) struct Push {
    pub(super) pusher: Pusher,
    pub(super) interval: Duration,
    pub(super) sources: Sources,
    pub(super) status: Arc<SinkStatus>,
}

impl Push {
    /// Until the process stops, which sends a last time.
    pub(super) async fn run(self, deadline: Deadline) {
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = deadline.clone();
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                _ = stopping.wait_for(Option::is_some) => true,
            };
            tokio::select! {
                biased;
                () = passed(deadline.clone()) => return,
                () = self.push(&deadline) => {}
            }
            if last {
                return;
            }
        }
    }

    async fn push(&self, deadline: &Deadline) {
        let Some(source) = self.sources.0.get() else {
            return;
        };
        for (request, points) in self.pusher.requests(source()) {
            let held = Held::new(&self.status, points);
            let outcome = self.pusher.send(request, points, deadline).await;
            held.settle(outcome);
        }
    }
}

/// Points on their way; if the deadline cuts it short they count as lost to the shutdown.
struct Held<'a> {
    status: &'a SinkStatus,
    points: u64,
}

impl<'a> Held<'a> {
    fn new(status: &'a SinkStatus, points: u64) -> Self {
        let count = usize::try_from(points).unwrap_or(usize::MAX);
        status.admit(count, usize::MAX);
        Self { status, points }
    }

    fn settle(mut self, outcome: Outcome) {
        self.status.count_exported(outcome.exported);
        self.status
            .count_dropped(Reason::Rejected, outcome.rejected);
        self.status
            .count_dropped(Reason::ExportFailed, outcome.failed);
        self.status
            .settle(usize::try_from(self.points).unwrap_or(usize::MAX));
        self.points = 0;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.points > 0 {
            self.status.count_dropped(Reason::Shutdown, self.points);
            self.status
                .settle(usize::try_from(self.points).unwrap_or(usize::MAX));
        }
    }
}

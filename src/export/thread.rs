//! The exporter thread: drains the rings, batches, feeds the sinks, takes orders.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::batch::Batcher;
use super::metrics::Push;
use super::pace::Pace;
use super::ring::Consumer;
use super::sink::{Batch, Inlet, Plan, Records, Sink};
use super::status::Status;
use crate::span::record::Record;
use crate::span::semconv::Anchor;

/// What the rest of the process may ask of the thread.
pub(super) enum Order {
    /// Swap the sinks.
    Reconfigure(Plan),
    /// Flush until then, and end.
    Stop(Instant),
}

/// Everything the thread owns.
pub(super) struct Exporter {
    consumers: Vec<Consumer>,
    status: Arc<Status>,
    batcher: Batcher<Box<Record>>,
    planned: Vec<Sink>,
    push: Option<Box<Push>>,
    sinks: Vec<Inlet>,
    tasks: JoinSet<()>,
    pushing: Option<AbortHandle>,
    deadline: watch::Sender<Option<tokio::time::Instant>>,
    freed: Arc<Notify>,
}

impl Exporter {
    pub(super) fn new(consumers: Vec<Consumer>, status: Arc<Status>, plan: Plan) -> Self {
        Self {
            consumers,
            status,
            batcher: Batcher::new(plan.max_batch, plan.schedule_delay),
            planned: plan.sinks,
            push: plan.metrics,
            sinks: Vec::new(),
            tasks: JoinSet::new(),
            pushing: None,
            deadline: watch::Sender::new(None),
            freed: Arc::default(),
        }
    }

    /// The thread's body.
    pub(super) fn run(self, runtime: Runtime, orders: mpsc::UnboundedReceiver<Order>) {
        runtime.block_on(self.serve(orders));
        // A name lookup or a write to a stuck pipe may still hold a thread: don't wait for it.
        runtime.shutdown_background();
    }

    async fn serve(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let planned = std::mem::take(&mut self.planned);
        let push = self.push.take();
        self.launch(planned, push);
        let slots = self.consumers.first().map_or(0, Consumer::slots);
        let mut pace = Pace::new(self.consumers.len(), slots);
        let until = loop {
            let pause = pace.after(self.drain());
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Reconfigure(plan)) => self.reconfigure(plan),
                    Some(Order::Stop(until)) => break until,
                    None => break Instant::now(),
                },
                () = tokio::time::sleep(pause) => {}
            }
        };
        self.stop(until).await;
    }

    fn launch(&mut self, sinks: Vec<Sink>, push: Option<Box<Push>>) {
        for sink in sinks {
            let (inlet, task) = sink.split(self.deadline.subscribe(), Arc::clone(&self.freed));
            self.sinks.push(inlet);
            self.tasks.spawn(task);
        }
        // What an aborted push had to say the next one says.
        if let Some(pushing) = self.pushing.take() {
            pushing.abort();
        }
        if let Some(push) = push {
            let task = push.run(self.deadline.subscribe());
            self.pushing = Some(self.tasks.spawn(task));
        }
    }

    /// Replaces the sinks; the old ones end by themselves once their queues are empty.
    fn reconfigure(&mut self, plan: Plan) {
        if let Some(batch) = self.batcher.flush() {
            self.dispatch(batch);
            self.status.set_batched(0);
        }
        self.sinks.clear();
        self.batcher.resize(plan.max_batch, plan.schedule_delay);
        self.launch(plan.sinks, plan.metrics);
        while self.tasks.try_join_next().is_some() {}
    }

    /// Moves what fits behind the rings; returns how many records that were.
    fn drain(&mut self) -> usize {
        let now = Instant::now();
        // The roomiest sink sets the pace: a stuck one loses its copies, not those of others.
        let room = self
            .sinks
            .iter()
            .map(Inlet::room)
            .max()
            .unwrap_or(usize::MAX);
        let mut left = room.saturating_sub(self.batcher.len());
        let mut moved = 0;
        let mut consumers = std::mem::take(&mut self.consumers);
        for consumer in &mut consumers {
            while left > 0
                && let Some(record) = consumer.pop()
            {
                left -= 1;
                moved += 1;
                if let Some(batch) = self.batcher.push(record, now) {
                    self.dispatch(batch);
                }
            }
        }
        // Another ring is first next time, so that a busy one can't starve the rest.
        if !consumers.is_empty() {
            consumers.rotate_left(1);
        }
        self.consumers = consumers;
        self.status.count_drained(moved);
        if let Some(batch) = self.batcher.due(now) {
            self.dispatch(batch);
        }
        self.status.set_batched(self.batcher.len());
        moved as usize
    }

    fn dispatch(&self, records: Records) {
        let batch = Arc::new(Batch {
            records,
            anchor: Anchor::now(),
        });
        for sink in &self.sinks {
            sink.offer(&batch);
        }
    }

    /// Flushes everything that can be flushed until then; counts the rest.
    async fn stop(mut self, until: Instant) {
        let until = tokio::time::Instant::from_std(until);
        self.deadline.send_replace(Some(until));
        let flush = async {
            loop {
                self.drain();
                if self.consumers.iter().all(Consumer::is_empty) {
                    break;
                }
                self.freed.notified().await;
            }
        };
        let _ = tokio::time::timeout_at(until, flush).await;
        if let Some(batch) = self.batcher.flush() {
            self.dispatch(batch);
            self.status.set_batched(0);
        }
        for consumer in &mut self.consumers {
            let left = std::iter::from_fn(|| consumer.pop()).count();
            self.status.count_left_behind(left as u64);
        }
        drop(self.consumers);
        self.sinks.clear();
        // The tasks watch the deadline themselves and account for what they hold.
        while self.tasks.join_next().await.is_some() {}
    }
}

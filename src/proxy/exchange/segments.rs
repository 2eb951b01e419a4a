//! Spans that last: one that has become older than `maxSpanDuration` is closed, and continued by
//! the next segment.
//!
//! No request has a timer for that. A worker's open spans are looked at all together, ten times in
//! the shortest of their bounds, but no more often than ten times a second and at least once: so
//! much longer than its bound a segment may last. Where nothing is open nobody looks.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::open::Open;
use crate::metrics::ListenerShard;
use crate::proxy::local;
use crate::proxy::worker::Worker;

/// The shortest and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// Open spans of a worker that may become too old.
#[derive(Default)]
pub struct Segments {
    open: RefCell<Slab<Rc<Open>>>,
    watched: Cell<bool>,
}

impl Segments {
    /// Looks at this one, too, until it is [released](Self::release).
    pub fn watch(worker: &Rc<Worker>, counters: &Arc<ListenerShard>, open: &Rc<Open>) {
        let this = &worker.segments;
        if open.max.is_none() || open.place.get().is_some() {
            return;
        }
        let place = this.open.borrow_mut().insert(Rc::clone(open));
        open.place.set(Some(place));
        if !this.watched.replace(true) {
            local::spawn(counters, look(Rc::clone(worker)));
        }
    }

    /// It has ended.
    pub fn release(&self, open: &Open) {
        if let Some(place) = open.place.take() {
            self.open.borrow_mut().try_remove(place);
        }
    }

    /// Until the next look; `None` if there is nothing to look at.
    fn pause(&self) -> Option<Duration> {
        let open = self.open.borrow();
        let shortest = open.iter().filter_map(|(_, open)| open.max).min()?;
        Some((shortest / 10).clamp(PAUSES.0, PAUSES.1))
    }
}

/// Lets somebody else look when this one has ended, however it did.
struct Looking(Rc<Worker>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.segments.watched.set(false);
    }
}

async fn look(worker: Rc<Worker>) {
    let looking = Looking(worker);
    let worker = &looking.0;
    while let Some(pause) = worker.segments.pause() {
        tokio::time::sleep(pause).await;
        let now = Instant::now();
        for (_, open) in &*worker.segments.open.borrow() {
            let rolled = open.roll(now, || worker.ids.borrow_mut().span_id());
            rolled.into_iter().for_each(|record| worker.export(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;
    use crate::metrics::Registry;
    use crate::span::record::{self, Direction};

    /// Open for that long already.
    fn aged(age: Duration, max: Option<Duration>) -> Rc<Open> {
        let mut record = record::fixture();
        record.start = Instant::now().checked_sub(age).expect("a past");
        Open::new(record, max)
    }

    fn segment(open: &Open) -> Option<u32> {
        open.read(|record| record.segment)
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_closes_what_is_too_old_and_nobody_looks_at_nothing() {
        let test = async {
            let worker = Rc::new(Worker::unread([0; 32], true));
            let registry = Registry::new(&[("public".into(), Direction::Ingress)], 1);
            let counters = registry.shard(0).listener(0);
            let hour = Duration::from_secs(3600);
            let old = aged(Duration::from_millis(10), Some(Duration::from_millis(5)));
            let young = aged(Duration::from_millis(10), Some(hour));
            let endless = aged(Duration::from_millis(10), None);
            for open in [&old, &young, &endless, &old] {
                Segments::watch(&worker, &counters, open);
            }
            assert_eq!(worker.segments.open.borrow().len(), 2, "each once");
            assert_eq!(worker.segments.pause(), Some(PAUSES.0), "the shortest's");
            tokio::time::sleep(PAUSES.0 + Duration::from_millis(1)).await;
            assert_eq!(segment(&old), Some(2), "too old");
            assert_eq!(segment(&young), Some(0), "not old enough");
            assert_eq!(segment(&endless), Some(0), "has no bound");
            worker.segments.release(&old);
            assert_eq!(worker.segments.pause(), Some(PAUSES.1), "seldom");
            worker.segments.release(&young);
            tokio::time::sleep(PAUSES.1 * 2).await;
            assert!(!worker.segments.watched.get(), "nothing is open");
            Segments::watch(&worker, &counters, &old);
            assert!(worker.segments.watched.get(), "somebody looks again");
        };
        LocalSet::new().run_until(test).await;
    }
}

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

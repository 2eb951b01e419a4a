//! Exemplars: for every bucket the last request that was recorded as a span.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::histogram::BUCKETS;
use crate::context::ids::{SpanId, TraceId};

/// A request that shows what a bucket counts.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// How long it took.
    pub duration: Duration,
    /// When it ended.
    pub at: Instant,
}

/// One worker's exemplars of one series.
///
/// Written for recorded requests only, and never at the cost of waiting: where somebody reads at
/// that moment, the exemplar is let go.
#[derive(Debug, Default)]
pub(super) struct Exemplars(Mutex<[Option<Exemplar>; BUCKETS]>);

impl Exemplars {
    pub(super) fn put(&self, bucket: usize, exemplar: Exemplar) {
        if let Ok(mut slots) = self.0.try_lock()
            && let Some(slot) = slots.get_mut(bucket)
        {
            *slot = Some(exemplar);
        }
    }

    /// Replaces what is older.
    pub(super) fn add_to(&self, newest: &mut [Option<Exemplar>; BUCKETS]) {
        let slots = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (newest, slot) in newest.iter_mut().zip(slots) {
            let at = |exemplar: &Option<Exemplar>| exemplar.map(|exemplar| exemplar.at);
            if at(&slot) > at(newest) {
                *newest = slot;
            }
        }
    }
}

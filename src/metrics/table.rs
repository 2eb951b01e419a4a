//! The series of one listener: which there are (shared by all workers), and one worker's counts.
//!
//! The first request of a series admits its key, by compare-and-swap in a table that every worker
//! reads. From then on a worker finds the key's place by a few loads and counts into memory of its
//! own. Once [`MAX_SERIES`] are admitted, whatever else comes counts into one series that says so:
//! callers can't grow the table.

use std::array;
use std::sync::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::exemplar::{Exemplar, Exemplars};
use super::histogram::{BUCKETS, Histogram, Snapshot, bucket};
use super::series::Key;
use crate::context::ids::{SpanId, TraceId};

/// Most series of a listener, the one for what doesn't fit left out.
pub const MAX_SERIES: usize = 512;

/// Places: twice as many as can be taken, so that a search is short.
const PLACES: usize = 2 * MAX_SERIES;

/// Places that are looked at before a key counts as one too many.
const PROBES: usize = 64;

/// The keys of one listener.
pub(super) struct Keys {
    places: [AtomicU64; PLACES],
    taken: AtomicUsize,
}

/// One worker's counts, at the places of the keys.
pub(super) struct Table {
    keys: Arc<Keys>,
    series: Box<[OnceLock<Box<Series>>]>,
    overflow: Series,
}

/// One series' durations.
#[derive(Default)]
struct Series {
    histogram: Histogram,
    exemplars: OnceLock<Box<Exemplars>>,
}

/// A series of all workers together.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) durations: Snapshot,
    pub(super) exemplars: [Option<Exemplar>; BUCKETS],
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            places: array::from_fn(|_| AtomicU64::new(0)),
            taken: AtomicUsize::new(0),
        }
    }
}

impl Keys {
    /// The place of a key, which is admitted if there is room; `None` if there is none.
    fn place(&self, key: Key) -> Option<usize> {
        // Fibonacci hashing; the keys are from closed sets, and the search is bounded.
        let start = key.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let start = usize::try_from(start).unwrap_or(0);
        for step in 0..PROBES {
            let at = (start + step) % PLACES;
            let place = self.places.get(at)?;
            let found = match place.load(Acquire) {
                0 => match self.admit(place, key)? {
                    Ok(()) => key.bits(),
                    Err(others) => others,
                },
                found => found,
            };
            if found == key.bits() {
                return Some(at);
            }
        }
        None
    }

    /// Takes a place; `None` if all that may be taken are, `Err` if another key was quicker.
    fn admit(&self, place: &AtomicU64, key: Key) -> Option<Result<(), u64>> {
        // Looked at first: what is full is only read, so that no worker takes the line from others.
        if self.taken.load(Relaxed) >= MAX_SERIES {
            return None;
        }
        if self.taken.fetch_add(1, Relaxed) >= MAX_SERIES {
            self.taken.fetch_sub(1, Relaxed);
            return None;
        }
        let taken = place.compare_exchange(0, key.bits(), Release, Acquire);
        if taken.is_err() {
            self.taken.fetch_sub(1, Relaxed);
        }
        Some(taken.map(drop))
    }

    /// Every key and its place.
    pub(super) fn all(&self) -> impl Iterator<Item = (Key, usize)> {
        let keys = self.places.iter().enumerate();
        keys.filter_map(|(at, place)| Some((Key::from_bits(place.load(Acquire))?, at)))
    }
}

impl Table {
    pub(super) fn new(keys: Arc<Keys>) -> Self {
        Self {
            keys,
            series: (0..PLACES).map(|_| OnceLock::new()).collect(),
            overflow: Series::default(),
        }
    }

    /// Counts a request; `span` is the one it was recorded as.
    pub(super) fn observe(
        &self,
        key: Key,
        duration: Duration,
        at: Instant,
        span: Option<(TraceId, SpanId)>,
    ) {
        let place = self.keys.place(key).and_then(|at| self.series.get(at));
        let series = place.map_or(&self.overflow, |place| place.get_or_init(Box::default));
        series.histogram.observe(duration);
        if let Some((trace_id, span_id)) = span {
            let exemplar = Exemplar {
                trace_id,
                span_id,
                duration,
                at,
            };
            let exemplars = series.exemplars.get_or_init(Box::default);
            exemplars.put(bucket(duration), exemplar);
        }
    }

    /// Adds what was counted at a place.
    pub(super) fn add_to(&self, place: usize, total: &mut Total) {
        if let Some(series) = self.series.get(place).and_then(OnceLock::get) {
            series.add_to(total);
        }
    }

    /// Adds what found no place.
    pub(super) fn add_overflow_to(&self, total: &mut Total) {
        self.overflow.add_to(total);
    }
}

impl Series {
    fn add_to(&self, total: &mut Total) {
        self.histogram.add_to(&mut total.durations);
        if let Some(exemplars) = self.exemplars.get() {
            exemplars.add_to(&mut total.exemplars);
        }
    }
}

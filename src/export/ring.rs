//! The way from a worker to the exporter thread: a bounded single-producer ring per worker.
//!
//! A push never blocks, wakes nobody and shares no cache line with another worker; a full ring
//! drops the record and counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::span::record::Record;

/// What a worker counts; written by its producer alone, read by whoever shows figures.
///
/// Aligned so that two workers' counters never share a cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    recorded: AtomicU64,
    full: AtomicU64,
    closed: AtomicU64,
}

impl Counters {
    pub(super) fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    pub(super) fn full(&self) -> u64 {
        self.full.load(Ordering::Relaxed)
    }

    pub(super) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }
}

/// A plain load and store: there is one writer, so no read-modify-write is needed.
fn bump(counter: &AtomicU64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
}

/// A worker's end. Not `Clone`: one writer per ring is what makes it wait-free.
#[derive(Debug)]
pub struct Producer {
    ring: Option<rtrb::Producer<Box<Record>>>,
    counters: Arc<Counters>,
}

impl Producer {
    /// A producer that takes nothing, for when spans go nowhere.
    pub(super) fn disabled() -> Self {
        Self {
            ring: None,
            counters: Arc::default(),
        }
    }

    /// A producer nobody reads from, whether or not records are made, to rehearse with.
    pub fn unread(records: bool) -> Self {
        Self {
            ring: records.then(|| rtrb::RingBuffer::new(1).0),
            counters: Arc::default(),
        }
    }

    /// Whether records go anywhere; if not, none need be made.
    pub const fn enabled(&self) -> bool {
        self.ring.is_some()
    }

    /// Hands a record over; `false` if it was dropped, which is counted.
    pub fn push(&mut self, record: Box<Record>) -> bool {
        let Some(ring) = &mut self.ring else {
            return false;
        };
        // Counted before it is visible, so that nobody sees more leave than came in.
        bump(&self.counters.recorded);
        if ring.is_abandoned() {
            bump(&self.counters.closed);
            return false;
        }
        let taken = ring.push(record).is_ok();
        if !taken {
            bump(&self.counters.full);
        }
        taken
    }
}

/// The exporter thread's end.
#[derive(Debug)]
pub(super) struct Consumer(rtrb::Consumer<Box<Record>>);

impl Consumer {
    pub(super) fn pop(&mut self) -> Option<Box<Record>> {
        self.0.pop().ok()
    }

    /// Records the ring can hold.
    pub(super) fn slots(&self) -> usize {
        self.0.buffer().capacity()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A ring for `capacity` records, at least one.
pub(super) fn ring(capacity: usize) -> (Producer, Consumer, Arc<Counters>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity.max(1));
    let counters = Arc::<Counters>::default();
    let producer = Producer {
        ring: Some(producer),
        counters: Arc::clone(&counters),
    };
    (producer, Consumer(consumer), counters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::record::fixture;

    #[test]
    fn a_full_ring_drops_and_counts() {
        let (mut producer, mut consumer, counters) = ring(2);
        assert!(producer.push(fixture()));
        assert!(producer.push(fixture()));
        assert!(!producer.push(fixture()));
        assert_eq!((counters.recorded(), counters.full()), (3, 1));
        assert!(consumer.pop().is_some());
        assert!(producer.push(fixture()), "a popped slot is free again");
    }

    #[test]
    fn records_come_out_in_order() {
        let (mut producer, mut consumer, _) = ring(8);
        for status in [200, 201, 202] {
            let mut record = fixture();
            record.status = Some(status);
            producer.push(record);
        }
        let seen: Vec<_> = std::iter::from_fn(|| consumer.pop())
            .filter_map(|record| record.status)
            .collect();
        assert_eq!(seen, [200, 201, 202]);
        assert!(consumer.is_empty());
    }

    #[test]
    fn a_record_after_the_exporter_is_gone_is_counted() {
        let (mut producer, consumer, counters) = ring(2);
        drop(consumer);
        assert!(!producer.push(fixture()));
        assert_eq!((counters.recorded(), counters.closed()), (1, 1));
    }

    #[test]
    fn a_disabled_producer_takes_nothing() {
        let mut producer = Producer::disabled();
        assert!(!producer.enabled());
        assert!(!producer.push(fixture()));
    }
}

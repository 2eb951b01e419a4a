//! Batching by size and age. Pure: time comes in as arguments.

use std::time::{Duration, Instant};

/// Collects items until there are enough of them or the oldest has waited long enough.
#[derive(Debug)]
pub struct Batcher<T> {
    max: usize,
    delay: Duration,
    items: Vec<T>,
    oldest: Option<Instant>,
}

impl<T> Batcher<T> {
    /// Batches of at most `max` items (at least one), none waiting longer than `delay`.
    pub fn new(max: usize, delay: Duration) -> Self {
        Self {
            max: max.max(1),
            delay,
            items: Vec::new(),
            oldest: None,
        }
    }

    /// Adds an item that came at `now`; returns the batch it completes.
    pub fn push(&mut self, item: T, now: Instant) -> Option<Vec<T>> {
        self.oldest.get_or_insert(now);
        self.items.push(item);
        (self.items.len() >= self.max).then(|| self.take())
    }

    /// The incomplete batch, if its oldest item has waited long enough at `now`.
    pub fn due(&mut self, now: Instant) -> Option<Vec<T>> {
        let waited = now.saturating_duration_since(self.oldest?);
        (waited >= self.delay).then(|| self.take())
    }

    /// The incomplete batch, however young.
    pub fn flush(&mut self) -> Option<Vec<T>> {
        (!self.items.is_empty()).then(|| self.take())
    }

    /// Changes size and age; a batch that is already too large goes with the next push.
    pub fn resize(&mut self, max: usize, delay: Duration) {
        self.max = max.max(1);
        self.delay = delay;
    }

    /// Items waiting.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn take(&mut self) -> Vec<T> {
        self.oldest = None;
        std::mem::take(&mut self.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DELAY: Duration = Duration::from_secs(5);

    #[test]
    fn a_batch_goes_when_it_is_full() {
        let now = Instant::now();
        let mut batcher = Batcher::new(3, DELAY);
        assert_eq!(batcher.push(1, now), None);
        assert_eq!(batcher.push(2, now), None);
        assert_eq!(batcher.push(3, now), Some(vec![1, 2, 3]));
        assert!(batcher.is_empty());
    }

    #[test]
    fn a_batch_goes_when_its_oldest_item_has_waited() {
        let now = Instant::now();
        let mut batcher = Batcher::new(100, DELAY);
        batcher.push(1, now);
        batcher.push(2, now + DELAY / 2);
        let just_before = now + DELAY - Duration::from_nanos(1);
        assert_eq!(batcher.due(just_before), None);
        assert_eq!(batcher.due(now + DELAY), Some(vec![1, 2]));
        assert_eq!(batcher.due(now + DELAY * 9), None, "nothing is left");
    }

    #[test]
    fn the_age_of_a_batch_starts_with_its_own_first_item() {
        let now = Instant::now();
        let mut batcher = Batcher::new(1, DELAY);
        assert!(batcher.push(1, now).is_some());
        batcher.resize(10, DELAY);
        batcher.push(2, now + DELAY);
        assert_eq!(batcher.due(now + DELAY), None);
    }

    #[test]
    fn a_flush_takes_what_there_is() {
        let mut batcher = Batcher::new(10, DELAY);
        assert_eq!(batcher.flush(), None);
        batcher.push(1, Instant::now());
        assert_eq!(batcher.flush(), Some(vec![1]));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_reordered_or_too_large(
            max in 0_usize..7,
            steps in proptest::collection::vec((0_u64..4, any::<bool>()), 0..60),
        ) {
            let mut now = Instant::now();
            let mut batcher = Batcher::new(max, Duration::from_secs(3));
            let mut out = Vec::new();
            for (index, (seconds, push)) in steps.iter().enumerate() {
                now += Duration::from_secs(*seconds);
                let batch = if *push { batcher.push(index, now) } else { batcher.due(now) };
                prop_assert!(batch.as_ref().is_none_or(|b| (1..=max.max(1)).contains(&b.len())));
                out.extend(batch.into_iter().flatten());
            }
            out.extend(batcher.flush().into_iter().flatten());
            let pushed: Vec<_> = steps.iter().enumerate()
                .filter(|(_, (_, push))| *push).map(|(index, _)| index).collect();
            prop_assert_eq!(out, pushed);
        }
    }
}

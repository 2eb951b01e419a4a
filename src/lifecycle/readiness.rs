//! Readiness: a set of named latches, read by `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::drain::{Drain, Stage};

/// Ready when every required latch is set and nothing drains.
pub struct Readiness {
    latches: Vec<Named>,
    drain: Drain,
}

/// Says what readiness waits for.
pub struct Builder(Readiness);

/// One condition, set and cleared by whoever knows; cloned handles are the same latch.
#[derive(Clone, Debug, Default)]
pub struct Latch(Arc<AtomicBool>);

/// A latch as `/readyz?verbose` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Name of the latch.
    pub name: &'static str,
    /// Whether readiness depends on it.
    pub required: bool,
    /// Whether it is set.
    pub set: bool,
}

struct Named {
    name: &'static str,
    required: bool,
    latch: Latch,
}

impl Readiness {
    /// Begins with no latches; readiness ends when `drain` begins.
    pub fn builder(drain: Drain) -> Builder {
        Builder(Self {
            latches: Vec::new(),
            drain,
        })
    }

    /// Whether traffic should come here.
    pub fn is_ready(&self) -> bool {
        self.drain.stage() == Stage::Running
            && self
                .latches
                .iter()
                .all(|named| !named.required || named.latch.is_set())
    }

    /// Every latch in the order it was named; the last one says whether nothing drains.
    pub fn view(&self) -> impl Iterator<Item = View> + '_ {
        let latches = self.latches.iter().map(|named| View {
            name: named.name,
            required: named.required,
            set: named.latch.is_set(),
        });
        latches.chain([View {
            name: "not-draining",
            required: true,
            set: self.drain.stage() == Stage::Running,
        }])
    }
}

impl Builder {
    /// A condition without which nothing is ready; clear at first.
    pub fn required(&mut self, name: &'static str) -> Latch {
        self.latch(name, true)
    }

    /// A condition that is only shown; clear at first.
    pub fn informational(&mut self, name: &'static str) -> Latch {
        self.latch(name, false)
    }

    /// No latches will follow.
    pub fn build(self) -> Arc<Readiness> {
        Arc::new(self.0)
    }

    fn latch(&mut self, name: &'static str, required: bool) -> Latch {
        let latch = Latch::default();
        self.0.latches.push(Named {
            name,
            required,
            latch: latch.clone(),
        });
        latch
    }
}

impl Latch {
    /// The condition holds.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The condition doesn't hold any more.
    pub fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the condition holds.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_waits_for_every_required_latch_and_for_no_other() {
        let mut builder = Readiness::builder(Drain::new());
        let listeners = builder.required("listeners");
        let config = builder.required("config");
        let exporter = builder.informational("exporter");
        let readiness = builder.build();
        assert!(!readiness.is_ready());
        listeners.set();
        exporter.set();
        assert!(!readiness.is_ready());
        config.set();
        assert!(readiness.is_ready());
        exporter.clear();
        assert!(readiness.is_ready());
        listeners.clear();
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_drain_ends_readiness_whatever_the_latches_say() {
        let drain = Drain::new();
        let mut builder = Readiness::builder(drain.clone());
        builder.required("listeners").set();
        let readiness = builder.build();
        assert!(readiness.is_ready());
        drain.request();
        assert!(!readiness.is_ready());
    }

    #[test]
    fn the_view_names_each_latch() {
        let mut builder = Readiness::builder(Drain::new());
        builder.required("listeners").set();
        builder.informational("exporter");
        let view: Vec<_> = builder.build().view().collect();
        let row = |name, required, set| View {
            name,
            required,
            set,
        };
        assert_eq!(
            view,
            [
                row("listeners", true, true),
                row("exporter", false, false),
                row("not-draining", true, true),
            ]
        );
    }
}

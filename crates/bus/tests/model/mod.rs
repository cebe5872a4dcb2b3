//! What the models share: how far they are explored, and values that count their drops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `scenario` under every interleaving with at most `preemptions` preemptions, or as many as
/// `LOOM_MAX_PREEMPTIONS` says.
///
/// Two or three find every known error of these queues; each more multiplies the time.
pub(crate) fn check(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound.get_or_insert(preemptions);
    model.check(scenario);
}

/// Counts values made and dropped. Plain atomics: the count is no part of what is modelled.
#[derive(Clone, Default)]
pub(crate) struct Counted {
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

/// A value that a [`Counted`] made.
pub(crate) struct Value {
    dropped: Arc<AtomicUsize>,
    alive: bool,
}

impl Counted {
    /// Makes a value.
    pub(crate) fn value(&self) -> Value {
        self.made.fetch_add(1, Ordering::Relaxed);
        Value { dropped: Arc::clone(&self.dropped), alive: true }
    }

    /// Checks that each value made was dropped once.
    pub(crate) fn assert_all_dropped(&self) {
        assert_eq!(self.made.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed));
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(std::mem::replace(&mut self.alive, false), "dropped twice");
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

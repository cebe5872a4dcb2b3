//! Instruments of one number: counter, gauge, float gauge. A handle is cheap to clone; all clones
//! are the same instrument.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::cells::Cells;

/// A number that only grows: one relaxed addition to the calling thread's own cache line.
#[derive(Debug, Clone)]
pub struct Counter(Arc<Cells>);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`; wraps at 2^64.
    pub fn add(&self, n: u64) {
        self.0.mine().add(0, n);
    }

    /// Sums the threads' cells: all that was added before the call, perhaps some of what is being
    /// added. Not a snapshot across counters.
    pub fn value(&self) -> u64 {
        self.0.sum(0)
    }

    pub(crate) fn new(shards: usize) -> Self {
        Self(Arc::new(Cells::new(1, shards)))
    }
}

/// A whole number that goes up and down: one cell for all threads, since `set` must mean the last
/// writer's value. For a rate that is too hot for one cache line keep two counters.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    /// Adds `n`; wraps at the ends of `i64`.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Subtracts `n`; wraps at the ends of `i64`.
    pub fn sub(&self, n: i64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// Returns the last value.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// A fractional number that is set, such as a ratio or a time in seconds. NaN and infinities are
/// kept and rendered as they are.
#[derive(Debug, Clone, Default)]
pub struct FloatGauge(Arc<AtomicU64>);

impl FloatGauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    /// Returns the last value.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

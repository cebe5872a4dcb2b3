//! Instruments of one number: counter, gauge, float gauge. A handle is cheap to clone; all clones
//! are the same instrument.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::cells::CounterCells;
use crate::exemplar::{Exemplar, Seen};

/// A number that only grows: a load and a store on the calling thread's own cache line.
#[derive(Debug, Clone)]
pub struct Counter(Arc<CounterInner>);

#[derive(Debug)]
struct CounterInner {
    cells: CounterCells,
    /// What the counter had before this process began.
    carried: u64,
    /// Boxed, as hardly any counter has one.
    exemplar: Mutex<Option<Box<Seen>>>,
}

impl Counter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`; wraps at 2^64.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.cells.add(n);
    }

    /// Adds `n` and keeps `exemplar` as the last one. Where another thread does so right now, only
    /// `n` is added.
    pub fn add_with_exemplar(&self, n: u64, exemplar: Exemplar, at: SystemTime) {
        self.add(n);
        if let Ok(mut last) = self.0.exemplar.try_lock() {
            *last = Some(Box::new(Seen { exemplar, value: n as f64, at }));
        }
    }

    /// Sums the threads' cells: all that was added before the call, perhaps some of what is being
    /// added. Not a snapshot across counters.
    pub fn value(&self) -> u64 {
        self.0.carried.wrapping_add(self.0.cells.sum())
    }

    pub(crate) fn new(cells: CounterCells, carried: u64) -> Self {
        Self(Arc::new(CounterInner { cells, carried, exemplar: Mutex::default() }))
    }

    pub(crate) fn exemplar(&self) -> Option<Seen> {
        self.0.exemplar.lock().unwrap_or_else(PoisonError::into_inner).as_deref().cloned()
    }
}

/// A whole number that goes up and down: one cell for all threads, since `set` must mean the last
/// writer's value. For a rate that is too hot for one cache line keep two counters.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<GaugeInner>);

#[derive(Debug)]
struct GaugeInner {
    value: AtomicI64,
    is_on: bool,
}

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        if self.0.is_on {
            self.0.value.store(value, Relaxed);
        }
    }

    /// Adds `n`; wraps at the ends of `i64`.
    pub fn add(&self, n: i64) {
        if self.0.is_on {
            self.0.value.fetch_add(n, Relaxed);
        }
    }

    /// Subtracts `n`; wraps at the ends of `i64`.
    pub fn sub(&self, n: i64) {
        self.add(n.wrapping_neg());
    }

    /// Returns the last value.
    pub fn value(&self) -> i64 {
        self.0.value.load(Relaxed)
    }

    pub(crate) fn new(is_on: bool) -> Self {
        Self(Arc::new(GaugeInner { value: AtomicI64::new(0), is_on }))
    }
}

/// A fractional number that goes up and down, such as a ratio or a time in seconds. NaN and
/// infinities are kept and rendered as they are.
#[derive(Debug, Clone)]
pub struct FloatGauge(Arc<FloatGaugeInner>);

#[derive(Debug)]
struct FloatGaugeInner {
    bits: AtomicU64,
    is_on: bool,
}

impl FloatGauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        if self.0.is_on {
            self.0.bits.store(value.to_bits(), Relaxed);
        }
    }

    /// Adds `n`, negative to subtract.
    pub fn add(&self, n: f64) {
        if self.0.is_on {
            let add = |bits| Some((f64::from_bits(bits) + n).to_bits());
            self.0.bits.fetch_update(Relaxed, Relaxed, add).expect("it always has a new value");
        }
    }

    /// Returns the last value.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.bits.load(Relaxed))
    }

    pub(crate) fn new(is_on: bool) -> Self {
        Self(Arc::new(FloatGaugeInner { bits: AtomicU64::new(0), is_on }))
    }
}

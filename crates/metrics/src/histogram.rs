//! Histogram, and the timer that records into one.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::clock;
use crate::distribution::Distribution;
use crate::exemplar::{Exemplar, Seen};
use crate::layout::Layout;
use crate::scalar::Counter;
use crate::shards::Shards;
use crate::slot;

/// Counts values into buckets: four stores to the calling thread's own cache lines, no allocation,
/// no lock, no waiting (see `shards.rs` for threads without lines of their own).
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    layout: Arc<Layout>,
    shards: Shards,
    /// One cell for all threads: a value is refused where something is wrong.
    refused: AtomicU64,
    /// Refusals of the whole registry.
    refused_all: Counter,
    /// The last for each `le` bucket.
    exemplars: Mutex<Vec<Option<Seen>>>,
}

impl Histogram {
    /// Records a value in the unit of the metric's name. A value that is negative, infinite or
    /// NaN would spoil the sum for ever: it is left out and counted by [`refused`](Self::refused)
    /// and by `tidemill_metrics_refused_values_total`.
    #[inline]
    pub fn record(&self, value: f64) {
        let inner = &*self.0;
        if is_recordable(value) {
            inner.shards.record(slot::mine(), inner.layout.index(value), value);
        } else {
            inner.refuse();
        }
    }

    /// Records a time in seconds.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.record(duration.as_secs_f64());
    }

    /// Records a value as [`record`](Self::record) does, and keeps `exemplar` as the last one of
    /// its `le` bucket. Where another thread does so right now, only the value is recorded.
    pub fn record_with_exemplar(&self, value: f64, exemplar: Exemplar, at: SystemTime) {
        self.record(value);
        if !is_recordable(value) {
            return;
        }
        let index = self.0.layout.index(value).div_ceil(self.0.layout.le_step());
        if let Ok(mut exemplars) = self.0.exemplars.try_lock() {
            if exemplars.len() <= index {
                exemplars.resize(index + 1, None);
            }
            exemplars[index] = Some(Seen { exemplar, value, at });
        }
    }

    /// Starts a timer that records into this histogram when it is dropped.
    pub fn start_timer(&self) -> Timer {
        Timer { histogram: Some(self.clone()), start: clock::now() }
    }

    /// Runs `work` and records how long it took, also when it panics.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let _timer = self.start_timer();
        work()
    }

    /// Reads buckets and sum, both of the same records.
    pub fn read(&self) -> Distribution {
        Distribution::new(Arc::clone(&self.0.layout), self.0.shards.read())
    }

    /// Returns how many values were left out for being negative, infinite or NaN.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    pub(crate) fn new(layout: Arc<Layout>, slots: Option<usize>, refused_all: Counter) -> Self {
        let shards = Shards::new(layout.len(), slots);
        let (refused, exemplars) = (AtomicU64::default(), Mutex::default());
        Self(Arc::new(Inner { layout, shards, refused, refused_all, exemplars }))
    }

    /// Returns the exemplars of the `le` buckets; those without one are missing at the end.
    pub(crate) fn exemplars(&self) -> Vec<Option<Seen>> {
        self.0.exemplars.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    #[cold]
    fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
        self.refused_all.inc();
    }
}

#[inline]
fn is_recordable(value: f64) -> bool {
    (0.0..f64::INFINITY).contains(&value)
}

/// Measures from its making to its end: records when dropped, on every way out of a scope. Costs
/// two readings of the clock and a record.
///
/// # Examples
///
/// ```
/// use tidemill_metrics::{Buckets, Registry};
///
/// let registry = Registry::default();
/// let seconds = registry.histogram("query_seconds", "Queries.", &[], Buckets::seconds())?;
/// fn query(rows: &str) -> Option<usize> {
///     rows.parse().ok()
/// }
/// for rows in ["1", "x"] {
///     let timer = seconds.start_timer();
///     let Some(_) = query(rows) else {
///         timer.discard();
///         continue;
///     };
/// }
/// assert_eq!(seconds.read().count(), 1);
/// # Ok::<(), tidemill_metrics::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "it measures until it is dropped"]
pub struct Timer {
    /// `None` once discarded.
    histogram: Option<Histogram>,
    start: Instant,
}

impl Timer {
    /// Records now and returns the time.
    pub fn stop(mut self) -> Duration {
        let elapsed = clock::now() - self.start;
        if let Some(histogram) = self.histogram.take() {
            histogram.record_duration(elapsed);
        }
        elapsed
    }

    /// Ends without a record.
    pub fn discard(mut self) {
        self.histogram = None;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(histogram) = self.histogram.take() {
            histogram.record_duration(clock::now() - self.start);
        }
    }
}

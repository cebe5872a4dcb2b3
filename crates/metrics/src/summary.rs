//! Summary: quantiles over a sliding window.
//!
//! Recording is that of a histogram with the buckets of a DDSketch, which only ever grow. The
//! window is the difference of two readings: the newest, and the kept one that is about as old as
//! the window. Sketches of this kind can be subtracted as well as merged, so no bucket is ever
//! cleared and a writer never meets a rotation.
//!
//! ```text
//! readings kept:   |----|----|----|----|----|----| now       one each window / 6, at most 7
//!                  ^ as old as the window: what came since is what quantiles are of
//! ```
//!
//! Somebody has to look at least once in a slice, as the node's sampler does every second; after a
//! longer pause the window is as long as the pause.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::distribution::Distribution;
use crate::histogram::Histogram;

/// What a summary is made for.
///
/// # Defaults
///
/// Quantiles 0.5, 0.95 and 0.99 over one minute with a relative error of 1 %, for values from 1e-6
/// to 1000.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryOptions {
    /// Which quantiles are shown, each from 0 to 1; at most 16.
    pub quantiles: Vec<f64>,
    /// How far back they look; at least a second.
    pub window: Duration,
    /// How far a quantile may be from the true value, as a share of it: 0.001 to 0.2.
    pub relative_error: f64,
    /// The least value that has this error; smaller ones count as about half of it.
    pub min: f64,
    /// The greatest value that has this error; greater ones count as it.
    pub max: f64,
}

impl Default for SummaryOptions {
    fn default() -> Self {
        Self {
            quantiles: vec![0.5, 0.95, 0.99],
            window: Duration::from_secs(60),
            relative_error: 0.01,
            min: 1e-6,
            max: 1e3,
        }
    }
}

/// Shows quantiles of what was recorded lately; recording costs a histogram's record and a
/// logarithm.
#[derive(Debug, Clone)]
pub struct Summary(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    histogram: Histogram,
    quantiles: Box<[f64]>,
    window: Duration,
    /// Oldest first; bounded by [`SLICES`] + 1.
    kept: Mutex<VecDeque<(Instant, Distribution)>>,
}

/// A summary as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryReading {
    /// Each quantile and its value; `None` when nothing was recorded in the window.
    pub quantiles: Vec<(f64, Option<f64>)>,
    /// All values ever recorded.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

impl Summary {
    /// Records a value; what is refused is as in [`Histogram::record`].
    #[inline]
    pub fn record(&self, value: f64) {
        self.0.histogram.record(value);
    }

    /// Records a time in seconds.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.0.histogram.record_duration(duration);
    }

    /// Starts a timer that records into this summary when it is dropped.
    pub fn start_timer(&self) -> crate::Timer {
        self.0.histogram.start_timer()
    }

    /// Returns the sketch of the window that ends at `now`, to merge with others of its kind.
    pub fn window(&self, now: Instant) -> Distribution {
        self.read_both(now).1
    }

    /// Returns the quantiles of the window that ends at `now`, with count and sum of all time.
    pub fn read(&self, now: Instant) -> SummaryReading {
        let (all, window) = self.read_both(now);
        let quantiles = self.0.quantiles.iter().map(|&q| (q, window.quantile(q))).collect();
        SummaryReading { quantiles, count: all.count(), sum: all.sum() }
    }

    /// Returns how many values were left out for being negative, infinite or NaN.
    pub fn refused(&self) -> u64 {
        self.0.histogram.refused()
    }

    pub(crate) fn new(histogram: Histogram, options: &SummaryOptions, now: Instant) -> Self {
        let kept = VecDeque::from([(now, histogram.read())]);
        Self(Arc::new(Inner {
            histogram,
            quantiles: options.quantiles.as_slice().into(),
            window: options.window,
            kept: Mutex::new(kept),
        }))
    }

    fn read_both(&self, now: Instant) -> (Distribution, Distribution) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.0.histogram.read();
        // The youngest reading that is at least as old as the window becomes the first.
        while kept.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= self.0.window)
        {
            kept.pop_front();
        }
        let window = match kept.front() {
            Some((_, earlier)) => all.since(earlier),
            None => all.clone(),
        };
        let is_due = kept
            .back()
            .is_none_or(|(at, _)| now.saturating_duration_since(*at) >= self.0.window / SLICES);
        if is_due {
            kept.push_back((now, all.clone()));
        }
        (all, window)
    }
}

const SLICES: u32 = 6;

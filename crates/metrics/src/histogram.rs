//! Histogram with fixed `le` bounds, and a reading of it.
//!
//! Slots of its cells: one per bound, one for +Inf, one for the sum (bits of an `f64`), one for
//! refused values. A value is counted in one bucket only; a reading accumulates. The count is
//! never stored: it is the last cumulative bucket, so the two cannot disagree. The sum is read
//! after the buckets and may be ahead of or behind them by what is being recorded meanwhile.

use std::sync::Arc;
use std::time::Duration;

use crate::cells::Cells;
use crate::error::Kind;

/// Counts values into buckets: one relaxed addition for the bucket and one for the sum, both to
/// the calling thread's own cache lines.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Box<[f64]>,
    cells: Cells,
}

impl Histogram {
    /// Records a value in the unit of the metric's name. A value that is negative, infinite or
    /// NaN would spoil the sum for ever: it is left out and counted by [`refused`](Self::refused).
    pub fn record(&self, value: f64) {
        let cells = self.0.cells.mine();
        if value.is_finite() && value >= 0.0 {
            cells.add(self.0.bucket(value), 1);
            cells.add_f64(self.0.sum_slot(), value);
        } else {
            cells.add(self.0.refused_slot(), 1);
        }
    }

    /// Records a time in seconds.
    pub fn record_duration(&self, duration: Duration) {
        self.record(duration.as_secs_f64());
    }

    /// Reads the buckets, then the sum.
    pub fn read(&self) -> Distribution {
        let Inner { bounds, cells } = &*self.0;
        let mut count = 0;
        let buckets = (0..=bounds.len())
            .map(|bucket| {
                count += cells.sum(bucket);
                (bounds.get(bucket).copied().unwrap_or(f64::INFINITY), count)
            })
            .collect();
        Distribution { buckets, sum: cells.sum_f64(self.0.sum_slot()) }
    }

    /// Returns how many values were left out for being negative, infinite or NaN.
    pub fn refused(&self) -> u64 {
        self.0.cells.sum(self.0.refused_slot())
    }

    pub(crate) fn new(bounds: &[f64], shards: usize) -> Self {
        let cells = Cells::new(bounds.len() + 3, shards);
        Self(Arc::new(Inner { bounds: bounds.into(), cells }))
    }
}

impl Inner {
    /// Returns the index of the first bound that is not less than the value.
    fn bucket(&self, value: f64) -> usize {
        if self.bounds.len() <= COMPARE_ALL_MAX {
            // A few comparisons without a branch are quicker than halving.
            self.bounds.iter().map(|bound| usize::from(*bound < value)).sum()
        } else {
            self.bounds.partition_point(|bound| *bound < value)
        }
    }

    fn sum_slot(&self) -> usize {
        self.bounds.len() + 1
    }

    fn refused_slot(&self) -> usize {
        self.bounds.len() + 2
    }
}

/// A histogram as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    buckets: Box<[(f64, u64)]>,
    sum: f64,
}

impl Distribution {
    /// Returns the upper bounds, the last of them infinite, each with the number of values that
    /// are not greater.
    pub fn buckets(&self) -> &[(f64, u64)] {
        &self.buckets
    }

    /// Returns the number of values; always that of the last bucket.
    pub fn count(&self) -> u64 {
        self.buckets.last().expect("the +Inf bucket is always there").1
    }

    /// Returns the sum of the values.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

/// Checks that bounds are there, at most 1000, finite, not negative and strictly ascending.
pub(crate) fn check_bounds(name: &str, bounds: &[f64]) -> Result<(), Kind> {
    let reason = if bounds.is_empty() {
        "there is none"
    } else if bounds.len() > BOUNDS_MAX {
        "there are more than 1000"
    } else if !bounds.iter().all(|bound| bound.is_finite()) {
        "each is a finite number; the +Inf bucket is added"
    } else if bounds.iter().any(|bound| *bound < 0.0) {
        "none is negative, as no value is"
    } else if !bounds.is_sorted_by(|a, b| a < b) {
        "each is greater than the one before"
    } else {
        return Ok(());
    };
    Err(Kind::Bounds { name: name.to_owned(), reason })
}

const BOUNDS_MAX: usize = 1000;
const COMPARE_ALL_MAX: usize = 32;

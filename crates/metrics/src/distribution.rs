//! A histogram as it was read: mergeable, and asked for quantiles.

use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::layout::{Exp2, Layout};
use crate::shards::Totals;

/// Counts of values by bucket and their sum, all of the same records.
///
/// Merging is associative, commutative, and has the empty distribution as its neutral element
/// (sums as exactly as `f64` adds).
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    layout: Arc<Layout>,
    totals: Totals,
}

/// The buckets of a Prometheus native histogram: bounds at 2^(n / 2^`schema`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Native {
    pub(crate) schema: i32,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: u64,
    /// Index and count of each bucket that is not empty, ascending.
    pub(crate) buckets: Vec<(i32, u64)>,
}

impl Distribution {
    pub(crate) fn new(layout: Arc<Layout>, totals: Totals) -> Self {
        Self { layout, totals }
    }

    /// Returns the upper bounds that are written as `le`, the last of them infinite, each with the
    /// number of values that are not greater. Log-linear buckets are joined to octaves.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let (step, last) = (self.layout.le_step(), self.layout.len() - 1);
        let mut cumulative = 0;
        let counts = self.totals.counts.iter().enumerate().filter_map(|(index, count)| {
            cumulative += count;
            let is_written = index % step == 0 || index == last;
            is_written.then(|| (self.layout.upper(index), cumulative))
        });
        counts.collect()
    }

    /// Returns the number of values; always that of the last bucket.
    pub fn count(&self) -> u64 {
        self.totals.counts.iter().sum()
    }

    /// Returns the sum of the values.
    pub fn sum(&self) -> f64 {
        self.totals.sum
    }

    /// Returns the value below which a share `q` of all values lies (0 the least, 1 the greatest),
    /// or `None` when there are no values or `q` is outside. It is off by at most
    /// [`relative_error`](Self::relative_error); among explicit buckets it is interpolated.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        // The rank of DDSketch: floor(q * (count - 1)), from 0.
        let rank = (q * (count - 1) as f64).floor() as u64;
        let mut below = 0;
        for (index, &here) in self.totals.counts.iter().enumerate() {
            if below + here > rank {
                let above = (rank - below + 1) as f64 / here as f64;
                return Some(self.layout.representative(index, above));
            }
            below += here;
        }
        None
    }

    /// Returns how far a quantile may be from the true value, as a share of it; `None` among
    /// explicit buckets. It holds inside the range that the buckets were made for.
    pub fn relative_error(&self) -> Option<f64> {
        self.layout.relative_error()
    }

    /// Adds the values of `other`.
    ///
    /// # Errors
    ///
    /// When the buckets differ; then nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if self.layout != other.layout {
            return Err(Kind::Merge.into());
        }
        let pairs = self.totals.counts.iter_mut().zip(&other.totals.counts);
        pairs.for_each(|(ours, theirs)| *ours += theirs);
        self.totals.sum += other.totals.sum;
        Ok(())
    }

    /// Returns what came after `earlier`, an older reading of the same cells.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let pairs = self.totals.counts.iter().zip(&earlier.totals.counts);
        let counts = pairs.map(|(now, then)| now.saturating_sub(*then)).collect();
        let sum = self.totals.sum - earlier.totals.sum;
        Self { layout: Arc::clone(&self.layout), totals: Totals { counts, sum } }
    }

    /// Returns each bucket with its bounds and count.
    #[cfg(feature = "otlp")]
    pub(crate) fn each(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.totals.counts.iter().enumerate();
        counts.map(|(index, count)| (self.layout.upper(index), *count))
    }

    /// Returns a native histogram with bounds at 2^(n/8). Each log-linear bucket goes where its
    /// middle lies, so a value moves by at most the 3.1 % that its bucket is wide. The first bucket
    /// is the zero bucket, the last goes right above the range. `None` for explicit buckets.
    pub(crate) fn native(&self) -> Option<Native> {
        let Layout::LogLinear { lowest, highest, .. } = *self.layout else { return None };
        let scale = NATIVE_SCHEMA.exp2_f64();
        let mut buckets: Vec<(i32, u64)> = Vec::new();
        let last = self.layout.len() - 1;
        for (index, &count) in self.totals.counts.iter().enumerate().skip(1) {
            if count == 0 {
                continue;
            }
            let n = if index == last {
                (highest << NATIVE_SCHEMA) + 1
            } else {
                (self.layout.representative(index, 0.5).log2() * scale).ceil() as i32
            };
            match buckets.last_mut() {
                Some((same, sum)) if *same == n => *sum += count,
                _ => buckets.push((n, count)),
            }
        }
        Some(Native {
            schema: NATIVE_SCHEMA,
            zero_threshold: lowest.exp2_f64(),
            zero_count: self.totals.counts[0],
            buckets,
        })
    }
}

/// Eight buckets an octave, each 9 % wide.
const NATIVE_SCHEMA: i32 = 3;

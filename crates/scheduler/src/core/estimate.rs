//! What the run times of one class look like, learned as they come.
//!
//! Mean and variance are exponentially weighted (each new value counts 1/n up to the
//! [`MEMORY`]-th, 1/[`MEMORY`] from then on; T. Finch, "Incremental calculation of weighted mean
//! and variance", 2009). Quantiles come from a sketch of logarithmic buckets, each
//! [`GROWTH`] times as wide as the one before, so that a quantile is within 5 % of a value that was
//! seen (C. Masson, J. Rim, H. Lee, "DDSketch", VLDB 2019); its counts are halved every
//! [`HALVED_AT`] values, so that it follows what changes. The error of the mean is 1.96 standard
//! errors: for values that vary independently the true mean is within it 95 times in 100.
//!
//! Bounds: 1 KiB a class; times below 100 ns and above a day share the first and the last bucket.

use std::time::Duration;

/// What is known about the run times of a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean of the last few hundred, the recent counting more.
    pub mean: Duration,
    /// The true mean is this far away at most, with 95 % confidence.
    pub mean_error: Duration,
    /// Half of them were shorter.
    pub p50: Duration,
    /// 99 of 100 were shorter.
    pub p99: Duration,
    /// How many were seen in all.
    pub count: u64,
}

/// Learns the run times of one class.
#[derive(Clone, Debug)]
pub struct RunTimes {
    count: u64,
    mean: f64,
    variance: f64,
    buckets: Vec<u32>,
    in_buckets: u32,
}

impl RunTimes {
    /// Returns what knows nothing yet.
    pub fn new() -> Self {
        Self { count: 0, mean: 0.0, variance: 0.0, buckets: vec![0; BUCKETS], in_buckets: 0 }
    }

    /// Learns from one more run.
    pub fn record(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.count += 1;
        let weight = 1.0 / self.count.min(MEMORY) as f64;
        let difference = seconds - self.mean;
        let increment = weight * difference;
        self.mean += increment;
        self.variance = (1.0 - weight) * (self.variance + difference * increment);
        self.buckets[bucket(seconds)] += 1;
        self.in_buckets += 1;
        if self.in_buckets >= HALVED_AT {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.in_buckets = self.buckets.iter().sum();
        }
    }

    /// Returns the mean in seconds once [`COUNT_MIN`] runs were seen.
    pub fn mean(&self) -> Option<f64> {
        (self.count >= COUNT_MIN).then_some(self.mean)
    }

    /// Returns what is known, once [`COUNT_MIN`] runs were seen.
    pub fn estimate(&self) -> Option<Estimate> {
        let mean = self.mean()?;
        // An average with weight w on the newest is worth (2 - w) / w values.
        let values = if self.count < MEMORY { self.count } else { 2 * MEMORY - 1 };
        Some(Estimate {
            mean: Duration::from_secs_f64(mean),
            mean_error: Duration::from_secs_f64(1.96 * (self.variance / values as f64).sqrt()),
            p50: self.quantile(0.5),
            p99: self.quantile(0.99),
            count: self.count,
        })
    }

    fn quantile(&self, quantile: f64) -> Duration {
        let rank = (quantile * f64::from(self.in_buckets)).ceil().max(1.0) as u32;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        // The middle of the bucket, in the sense of ratios.
        let middle = bucket.unwrap_or(0) as f64 - 0.5;
        Duration::from_secs_f64(LEAST * GROWTH.powf(middle))
    }
}

impl Default for RunTimes {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs after which an estimate is made.
pub const COUNT_MIN: u64 = 8;

/// Each value counts as much as this many older ones together.
const MEMORY: u64 = 256;

const HALVED_AT: u32 = 4_096;

/// The first bucket ends here, in seconds.
const LEAST: f64 = 1e-7;

/// The ratio of the bounds of a bucket: within 5 % of its middle on both sides.
const GROWTH: f64 = 1.1;

/// From 100 ns to more than a day: 1.1^289 is 9.2e11.
const BUCKETS: usize = 290;

/// Bucket 0 ends at [`LEAST`]; bucket n ends at `LEAST * GROWTH^n`.
fn bucket(seconds: f64) -> usize {
    if seconds <= LEAST {
        return 0;
    }
    ((seconds / LEAST).ln() / GROWTH.ln()).ceil().min((BUCKETS - 1) as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_said_before_enough_was_seen() {
        let mut times = RunTimes::new();
        for _ in 1..COUNT_MIN {
            times.record(Duration::from_millis(5));
        }
        assert_eq!(times.estimate(), None);
        times.record(Duration::from_millis(5));
        let estimate = times.estimate().expect("enough");
        assert_eq!((estimate.count, estimate.mean_error), (COUNT_MIN, Duration::ZERO));
        assert!((estimate.mean.as_secs_f64() - 0.005).abs() < 1e-9);
    }

    #[test]
    fn a_change_is_followed() {
        let mut times = RunTimes::new();
        for ms in std::iter::repeat_n(1, 20_000).chain(std::iter::repeat_n(10, 20_000)) {
            times.record(Duration::from_millis(ms));
        }
        let estimate = times.estimate().expect("enough");
        assert!(estimate.mean > Duration::from_micros(9_900), "{estimate:?}");
        assert!(estimate.p50 > Duration::from_micros(9_500), "{estimate:?}");
    }

    proptest! {
        #[test]
        fn quantiles_are_within_five_percent_and_the_mean_within_its_error(
            mut micros in proptest::collection::vec(1_u64..10_000_000, 8..200),
        ) {
            let mut times = RunTimes::new();
            for value in &micros {
                times.record(Duration::from_micros(*value));
            }
            let estimate = times.estimate().expect("enough");
            let mean = micros.iter().sum::<u64>() as f64 / micros.len() as f64 / 1e6;
            prop_assert!((estimate.mean.as_secs_f64() - mean).abs() < mean * 1e-6);
            micros.sort_unstable();
            for (quantile, found) in [(0.5, estimate.p50), (0.99, estimate.p99)] {
                let rank = (quantile * micros.len() as f64).ceil() as usize - 1;
                let ratio = found.as_secs_f64() / (micros[rank] as f64 / 1e6);
                prop_assert!((0.95..1.05).contains(&ratio), "{quantile}: {ratio}");
            }
        }
    }
}

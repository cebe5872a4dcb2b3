//! What a workload tells of itself: operations and latency histograms, on standard error.
//!
//! ```text
//! tune operations 120000
//! tune histogram get ns 1000:52000 2000:61000 4000:7000
//! ```
//!
//! A histogram's pairs are `upper bound:count`, bounds rising. Standard output stays free for what
//! is compared between versions.

use std::collections::BTreeMap;

use crate::error::Error;

/// Everything that a run told.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Printed {
    /// Operations done; the divisor of throughput and of allocations per operation.
    pub operations: Option<u64>,
    /// Histograms by name; lines with the same name and unit are added up.
    pub latency: BTreeMap<String, Latency>,
}

impl Printed {
    /// Parses the lines of a run that begin with `tune `; all others are ignored.
    ///
    /// # Errors
    ///
    /// Names the line that begins so and does not go on as it should.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut printed = Self::default();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("tune ") else { continue };
            printed.take(rest).ok_or_else(|| {
                Error::project(format!(
                    "the workload printed {line:?}; want \"tune operations N\" or \
                     \"tune histogram NAME ns|us|ms|s BOUND:COUNT ...\" with rising bounds"
                ))
            })?;
        }
        Ok(printed)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut words = line.split_ascii_whitespace();
        match words.next()? {
            "operations" => {
                let count: u64 = words.next()?.parse().ok()?;
                self.operations = Some(self.operations.unwrap_or(0).checked_add(count)?);
            }
            "histogram" => {
                let name = words.next()?;
                let unit = match words.next()? {
                    "ns" => 1e-9,
                    "us" => 1e-6,
                    "ms" => 1e-3,
                    "s" => 1.0,
                    _ => return None,
                };
                if !self.latency.contains_key(name) && self.latency.len() == HISTOGRAMS_MAX {
                    return None;
                }
                let latency = self.latency.entry(name.to_owned()).or_default();
                let mut previous = 0.0;
                for pair in words.by_ref() {
                    let (bound, count) = pair.split_once(':')?;
                    let bound: f64 = bound.parse().ok().filter(|&bound| bound > previous)?;
                    previous = bound;
                    latency.add(bound * unit, count.parse().ok()?)?;
                }
            }
            _ => return None,
        }
        words.next().is_none().then_some(())
    }
}

/// Counts of latencies by upper bound, in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency {
    /// Bounds in picoseconds, so that they order and add exactly.
    counts: BTreeMap<u64, u64>,
    total: u64,
}

impl Latency {
    /// Adds `count` latencies of at most `seconds`; nothing on overflow or too many buckets.
    fn add(&mut self, seconds: f64, count: u64) -> Option<()> {
        let bound = seconds * 1e12;
        if !(bound >= 1.0 && bound < u64::MAX as f64) {
            return None;
        }
        let is_new = !self.counts.contains_key(&(bound as u64));
        if is_new && self.counts.len() == BUCKETS_MAX {
            return None;
        }
        self.total = self.total.checked_add(count)?;
        // No bucket can overflow while the total does not.
        *self.counts.entry(bound as u64).or_insert(0) += count;
        Some(())
    }

    /// Returns the bound in seconds below which a share `quantile` of all latencies lies; nothing
    /// where there are none. The quantile is clamped to 0..=1.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = (quantile.clamp(0.0, 1.0) * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (&bound, &count) in &self.counts {
            seen += count;
            if seen >= rank {
                return Some(bound as f64 * 1e-12);
            }
        }
        None
    }

    /// Returns how many latencies were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }
}

const HISTOGRAMS_MAX: usize = 100;
const BUCKETS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_buckets() {
        let printed = Printed::parse(
            "hello\ntune operations 100\ntune histogram get us 1:50 2:45 4:5\ntune operations 1",
        )
        .unwrap();
        assert_eq!(printed.operations, Some(101));
        let get = &printed.latency["get"];
        let quantiles = [0.0, 0.5, 0.51, 0.95, 0.99].map(|q| get.quantile(q).unwrap() * 1e6);
        assert_eq!(quantiles.map(f64::round), [1.0, 1.0, 2.0, 2.0, 4.0]);
    }

    #[test]
    fn a_malformed_line_is_named() {
        for line in [
            "tune histogram",
            "tune histogram a parsecs 1:1",
            "tune histogram a ns 2:1 1:1",
            "tune histogram a ns 0:1",
            "tune histogram a ns 1:-1",
            "tune operations many",
            "tune operations 1 2",
            "tune nothing",
        ] {
            let error = Printed::parse(line).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        let printed = Printed::parse("tune histogram a ns").unwrap();
        assert_eq!(printed.latency["a"].quantile(0.5), None);
    }
}

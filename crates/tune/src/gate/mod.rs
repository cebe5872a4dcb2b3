//! A budget, held in continuous integration: each clause with an instrument fit for it.
//!
//! ```toml
//! [budget]
//! throughput   = { min = 100000 }                  # operations/s
//! p99          = { max = "2ms", histogram = "get" }
//! allocations  = { max = 0.1 }                     # for each operation, else for a run
//! peak_memory  = { max = "64MiB" }
//! instructions = { max_ratio = 1.01 }              # beside the baseline commit
//! cpu          = { max = "20ms" }
//! ```
//!
//! | clause | instrument | decided by |
//! | --- | --- | --- |
//! | allocations | DHAT | one run |
//! | instructions | callgrind | two runs that agree |
//! | throughput, p50, p95, p99, cpu, wall, peak_memory | plain runs | bounds of the median |
//!
//! A clause whose bounds lie on both sides of its limit, or whose instrument is missing, is
//! [`Answer::Unmeasurable`]: neither a pass nor a failure.

mod budget;
mod junit;
mod measure;

pub use self::budget::{Budget, Clause, Limit, Quantity};
pub use self::junit::junit;
pub use self::measure::gate;

use serde::{Deserialize, Serialize};

/// What a clause comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Answer {
    /// Held, beyond the noise.
    Pass,
    /// Broken, beyond the noise.
    Fail,
    /// This machine cannot tell, and why stands beside it.
    Unmeasurable,
}

impl Answer {
    /// Returns the word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unmeasurable => "unmeasurable here",
        }
    }

    /// Returns the answer for a limit from above, given bounds of what was measured.
    fn at_most(limit: f64, low: f64, high: f64) -> Self {
        match (high <= limit, low > limit) {
            (true, _) => Self::Pass,
            (_, true) => Self::Fail,
            _ => Self::Unmeasurable,
        }
    }

    /// Returns the answer for a limit from below.
    fn at_least(limit: f64, low: f64, high: f64) -> Self {
        Self::at_most(-limit, -high, -low)
    }
}

/// A clause and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checked {
    /// The clause as a person would write it.
    pub clause: String,
    /// What it comes to.
    pub answer: Answer,
    /// What was measured, or why it could not be.
    pub measured: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_on_both_sides_of_a_limit_decide_nothing() {
        assert_eq!(Answer::at_most(10.0, 8.0, 9.0), Answer::Pass);
        assert_eq!(Answer::at_most(10.0, 9.0, 11.0), Answer::Unmeasurable);
        assert_eq!(Answer::at_most(10.0, 10.5, 11.0), Answer::Fail);
        assert_eq!(Answer::at_least(10.0, 10.5, 11.0), Answer::Pass);
        assert_eq!(Answer::at_least(10.0, 9.0, 11.0), Answer::Unmeasurable);
        assert_eq!(Answer::at_least(10.0, 8.0, 9.0), Answer::Fail);
    }
}

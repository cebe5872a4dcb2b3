//! A distribution-free interval for the median, from order statistics.
//!
//! Of `n` independent draws, the number below the median is binomial with one half; so the `k`-th
//! smallest lies above the median with probability `P(Bin(n, 1/2) < k)`. The largest `k` for which
//! that is at most `alpha` gives the lower bound, its mirror image the upper one
//! (H. A. David and H. N. Nagaraja, Order Statistics, 3rd edition, section 7.1).

use serde::{Deserialize, Serialize};

/// The median of ratios and the bounds between which the true median lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Interval {
    /// The lower bound; 0 where there are too few values to have one.
    pub low: f64,
    /// The middle value, or the mean of the middle two.
    pub median: f64,
    /// The upper bound; [`f64::MAX`] where there are too few values to have one.
    pub high: f64,
    /// How many values there were.
    pub pairs: usize,
}

/// Returns the median of `values` and its bounds, each wrong with probability of at most `alpha`.
///
/// Values are positive and finite. Costs a sort.
#[must_use]
pub fn bounds(values: &[f64], alpha: f64) -> Interval {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let rank = rank(count, alpha);
    let low = rank.checked_sub(1).map_or(0.0, |index| sorted[index]);
    let high = if rank == 0 { f64::MAX } else { sorted[count - rank] };
    Interval { low, median: median(&sorted), high, pairs: count }
}

/// Returns the largest `k <= count / 2` with `P(Bin(count, 1/2) < k) <= alpha`, 0 if there is none.
fn rank(count: usize, alpha: f64) -> usize {
    // The first term is 2^-count: representable up to the thousand pairs that a rule may ask for.
    let mut term = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut below = 0.0;
    for k in 0..=count / 2 {
        below += term;
        if below > alpha {
            return k;
        }
        term *= (count - k) as f64 / (k + 1) as f64;
    }
    count / 2
}

/// Returns the median of sorted values, 1 of none: no evidence either way.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 1.0,
        (Some(&value), 1) => value,
        (Some(&value), _) => f64::midpoint(sorted[middle - 1], value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_published_tables() {
        // Sign-test critical values (one-sided): n = 20 at 0.025 is 5, n = 100 at 0.005 is 36.
        assert_eq!(rank(20, 0.025), 6);
        assert_eq!(rank(100, 0.005), 37);
        assert_eq!(rank(20, 0.001), 3);
        assert_eq!(rank(5, 0.001), 0);
        assert_eq!(rank(0, 0.001), 0);
    }

    #[test]
    fn bounds_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        let interval = bounds(&values, 0.001);
        assert_eq!((interval.low, interval.median, interval.high), (3.0, 10.5, 18.0));
    }

    #[test]
    fn too_few_values_bound_nothing() {
        let interval = bounds(&[1.0, 2.0, 3.0], 0.001);
        assert_eq!((interval.low, interval.median, interval.high), (0.0, 2.0, f64::MAX));
    }

    #[test]
    fn a_thousand_values_do_not_underflow() {
        assert!((400..500).contains(&rank(1_000, 0.001)), "{}", rank(1_000, 0.001));
    }
}

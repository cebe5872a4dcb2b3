//! The rule that turns paired runs into a verdict.
//!
//! Before and after run in turn, in random order within each pair, and only the ratio of a pair
//! counts: what disturbs the machine for longer than a pair disturbs both. At fixed looks an
//! interval for the median ratio is taken from the order statistics of all ratios so far
//! ([`bounds`]); no shape of the noise is assumed.
//!
//! | at a look | verdict |
//! | --- | --- |
//! | lower bound above `keep_above` | [`Verdict::Keep`] |
//! | upper bound below `futile_below` | [`Verdict::Reject`] |
//! | last look and neither | [`Verdict::Inconclusive`] |
//!
//! The error of one look is `alpha` for each side, so a change that gains nothing is kept with a
//! probability of at most `looks * alpha`: 0.4 % for the default rule, and far less in practice
//! because the bound has to pass `keep_above` and not 1.
//!
//! Knows nothing of processes and clocks: seconds, instructions or any other positive cost will do.

mod control;
mod order;

pub use self::control::Control;
pub use self::order::{Interval, bounds};

use serde::{Deserialize, Serialize};

/// When to look, how sure to be, and what is worth keeping.
///
/// # Defaults
///
/// Looks after 20, 40, 80 and 160 pairs, `alpha` 0.001 for each look and side, keep above 1.005,
/// futile below 1.01.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    looks: Vec<usize>,
    alpha: f64,
    keep_above: f64,
    futile_below: f64,
}

impl Rule {
    /// Returns a rule that looks after each count of pairs in `looks`.
    ///
    /// # Errors
    ///
    /// Says which argument is wrong: looks must rise and be at most [`PAIRS_MAX`], `alpha` lies in
    /// (0, 0.5), and `1 <= keep_above <= futile_below`.
    pub fn new(
        looks: &[usize],
        alpha: f64,
        keep_above: f64,
        futile_below: f64,
    ) -> Result<Self, BadRule> {
        let rises = looks.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = looks.first() > Some(&0) && looks.last() <= Some(&PAIRS_MAX);
        if !rises || !in_range {
            return Err(BadRule::Looks);
        }
        if !(alpha > 0.0 && alpha < 0.5) {
            return Err(BadRule::Alpha);
        }
        if !(keep_above >= 1.0 && keep_above <= futile_below && futile_below.is_finite()) {
            return Err(BadRule::Thresholds);
        }
        Ok(Self { looks: looks.to_vec(), alpha, keep_above, futile_below })
    }

    /// Returns the number of pairs after which a trial ends in any case.
    #[must_use]
    pub fn pairs_max(&self) -> usize {
        self.looks.last().copied().unwrap_or(0)
    }

    /// Returns the probability of error of one bound at one look.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Returns what the rule says of `ratios`, before divided by after, in the order they came.
    #[must_use]
    pub fn decide(&self, ratios: &[f64]) -> Decision {
        let Some(next) = self.looks.iter().copied().find(|&look| look >= ratios.len()) else {
            return Decision::Done(Verdict::Inconclusive);
        };
        if ratios.len() < next {
            return Decision::More(next - ratios.len());
        }
        let interval = bounds(ratios, self.alpha);
        if interval.low > self.keep_above {
            return Decision::Done(Verdict::Keep);
        }
        if interval.high < self.futile_below {
            return Decision::Done(Verdict::Reject);
        }
        match self.looks.iter().copied().find(|&look| look > next) {
            Some(following) => Decision::More(following - next),
            None => Decision::Done(Verdict::Inconclusive),
        }
    }
}

impl Default for Rule {
    fn default() -> Self {
        Self { looks: vec![20, 40, 80, 160], alpha: 0.001, keep_above: 1.005, futile_below: 1.01 }
    }
}

/// More pairs than this tell nothing that a better workload would not tell sooner.
pub const PAIRS_MAX: usize = 1_000;

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRule {
    /// The looks do not rise, or one is zero or above [`PAIRS_MAX`].
    #[error("looks must rise from at least 1 to at most {PAIRS_MAX} pairs")]
    Looks,
    /// Alpha is no probability of error.
    #[error("alpha must lie between 0 and 0.5")]
    Alpha,
    /// The thresholds are out of order.
    #[error("thresholds must satisfy 1 <= keep_above <= futile_below")]
    Thresholds,
}

/// What was found of one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Verdict {
    /// Faster, beyond the noise.
    Keep,
    /// Not faster by a share that is worth a change, or not right.
    Reject,
    /// The noise hides what there is to see.
    Inconclusive,
}

impl Verdict {
    /// Returns the word that reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Reject => "reject",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What to do next in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Decision {
    /// Run at least this many more pairs, then ask again.
    More(usize),
    /// The trial is over.
    Done(Verdict),
}

/// Pairs of costs, and what the rule makes of them.
#[derive(Debug, Clone)]
pub struct Trial {
    rule: Rule,
    ratios: Vec<f64>,
}

impl Trial {
    /// Starts a trial without pairs.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self { rule, ratios: Vec::new() }
    }

    /// Adds the costs of a pair in any unit, less is better, and says what to do next.
    ///
    /// A pair whose costs are not both positive and finite counts as a tie: it is no evidence.
    pub fn push(&mut self, before: f64, after: f64) -> Decision {
        let ratio = before / after;
        let is_measured = before > 0.0 && after > 0.0 && ratio.is_finite() && ratio > 0.0;
        self.ratios.push(if is_measured { ratio } else { 1.0 });
        self.rule.decide(&self.ratios)
    }

    /// Returns the ratios so far, before divided by after.
    #[must_use]
    pub fn ratios(&self) -> &[f64] {
        &self.ratios
    }

    /// Returns the interval of the median ratio over all pairs so far.
    #[must_use]
    pub fn interval(&self) -> Interval {
        bounds(&self.ratios, self.rule.alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only place that knows the API: deals `ratios` in turn until the rule is done.
    #[track_caller]
    fn check(ratios: impl IntoIterator<Item = f64>, want: Verdict, want_pairs: usize) {
        let mut trial = Trial::new(Rule::default());
        for ratio in ratios {
            if let Decision::Done(verdict) = trial.push(ratio, 1.0) {
                assert_eq!((verdict, trial.ratios().len()), (want, want_pairs));
                return;
            }
        }
        panic!("no verdict after {} pairs", trial.ratios().len());
    }

    #[test]
    fn keeps_a_clear_gain_at_the_first_look() {
        check(std::iter::repeat_n(1.10, 160), Verdict::Keep, 20);
    }

    #[test]
    fn rejects_no_gain_at_the_first_look() {
        check(std::iter::repeat_n(1.0, 160), Verdict::Reject, 20);
    }

    #[test]
    fn rejects_a_loss() {
        check(std::iter::repeat_n(0.9, 160), Verdict::Reject, 20);
    }

    #[test]
    fn a_gain_between_the_thresholds_is_kept() {
        check(std::iter::repeat_n(1.007, 160), Verdict::Keep, 20);
        check(std::iter::repeat_n(1.004, 160), Verdict::Reject, 20);
        check((0..160).map(|i| if i % 2 == 0 { 1.009 } else { 1.02 }), Verdict::Keep, 20);
    }

    #[test]
    fn noise_that_hides_everything_is_inconclusive() {
        check((0..160).map(|i| if i % 2 == 0 { 0.8 } else { 1.3 }), Verdict::Inconclusive, 160);
    }

    #[test]
    fn a_pair_that_was_not_measured_is_a_tie() {
        let mut trial = Trial::new(Rule::default());
        trial.push(f64::NAN, 1.0);
        trial.push(1.0, 0.0);
        assert_eq!(trial.ratios(), [1.0, 1.0]);
    }

    #[test]
    fn bad_rules_are_named() {
        assert_eq!(Rule::new(&[20, 20], 0.001, 1.0, 1.0), Err(BadRule::Looks));
        assert_eq!(Rule::new(&[], 0.001, 1.0, 1.0), Err(BadRule::Looks));
        assert_eq!(Rule::new(&[20], 0.5, 1.0, 1.0), Err(BadRule::Alpha));
        assert_eq!(Rule::new(&[20], 0.001, 1.01, 1.0), Err(BadRule::Thresholds));
        assert_eq!(Rule::new(&[20], f64::NAN, 1.0, 1.0), Err(BadRule::Alpha));
    }
}

//! What this machine can decide: A against A, and the gains that its noise would let through.
//!
//! The ratios of identical runs are the noise itself. Gains are added to draws from it, the rule
//! judges each made-up trial, and the smallest gain that is kept nine times in ten is what a
//! session can promise to see. The draws come from a seed, so the answer is the same each time.

use serde::{Deserialize, Serialize};

use super::{Decision, Interval, Rule, Trial, Verdict, bounds};

/// The outcome of A against A.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Control {
    /// The interval of the ratio of identical runs; it should hold 1.
    pub interval: Interval,
    /// What the rule said; anything but `reject` means that this machine cannot be trusted now.
    pub verdict: Verdict,
    /// The smallest gain that would be kept in 90 % of trials, as a ratio; none up to 1.5.
    pub decidable: Option<f64>,
}

impl Control {
    /// Judges the ratios of identical runs.
    #[must_use]
    pub fn new(rule: &Rule, ratios: &[f64], seed: u64) -> Self {
        let verdict = replay(rule, ratios);
        let decidable = GAINS.iter().copied().find(|&gain| {
            let mut random = fastrand::Rng::with_seed(seed);
            let kept =
                (0..TRIALS).filter(|_| kept_with_gain(rule, ratios, gain, &mut random)).count();
            kept * 10 >= TRIALS * 9
        });
        Self { interval: bounds(ratios, rule.alpha()), verdict, decidable }
    }

    /// Returns true when identical runs looked different: no verdict of this session counts then.
    #[must_use]
    pub fn is_untrustworthy(&self) -> bool {
        self.verdict == Verdict::Keep || self.interval.high < 1.0 / KEEP_MIRROR
    }
}

/// Returns the verdict on ratios that were collected before.
fn replay(rule: &Rule, ratios: &[f64]) -> Verdict {
    let mut trial = Trial::new(rule.clone());
    for &ratio in ratios {
        if let Decision::Done(verdict) = trial.push(ratio, 1.0) {
            return verdict;
        }
    }
    Verdict::Inconclusive
}

/// Returns true when a trial whose ratios are draws from `noise` times `gain` is kept.
fn kept_with_gain(rule: &Rule, noise: &[f64], gain: f64, random: &mut fastrand::Rng) -> bool {
    let mut trial = Trial::new(rule.clone());
    for _ in 0..rule.pairs_max() {
        let Some(ratio) = random.choice(noise) else { return false };
        if let Decision::Done(verdict) = trial.push(ratio * gain, 1.0) {
            return verdict == Verdict::Keep;
        }
    }
    false
}

/// The gains that are tried, as ratios.
const GAINS: [f64; 9] = [1.01, 1.02, 1.03, 1.05, 1.07, 1.10, 1.15, 1.25, 1.5];

/// Made-up trials for each gain: a share of 90 % is known to about 2 points.
const TRIALS: usize = 200;

/// A ratio of identical runs bounded below the inverse of this is as wrong as one above it.
const KEEP_MIRROR: f64 = 1.005;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_still_machine_decides_one_percent() {
        let control = Control::new(&Rule::default(), &[1.0; 40], 1);
        assert_eq!((control.verdict, control.decidable), (Verdict::Reject, Some(1.01)));
        assert!(!control.is_untrustworthy());
    }

    #[test]
    fn a_noisy_machine_says_so() {
        let noise: Vec<f64> = (0..160).map(|i| 0.6 + f64::from(i % 9) * 0.1).collect();
        let control = Control::new(&Rule::default(), &noise, 1);
        assert!(control.decidable.is_none_or(|gain| gain >= 1.1), "{control:?}");
    }

    #[test]
    fn identical_runs_that_differ_are_not_trusted() {
        assert!(Control::new(&Rule::default(), &[1.1; 40], 1).is_untrustworthy());
        assert!(Control::new(&Rule::default(), &[0.9; 40], 1).is_untrustworthy());
    }
}

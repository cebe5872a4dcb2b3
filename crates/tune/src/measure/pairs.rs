//! Two programs in turn, in random order within each pair, until the rule has its answer.

use std::time::Duration;

use super::clock;
use super::run::{Prepared, Run};
use crate::error::Error;
use crate::judge::{Control, Decision, Interval, Rule, Trial, Verdict};
use crate::progress::Observer;

/// A program beside another, beyond the noise.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// What the rule says of wall time.
    pub verdict: Verdict,
    /// The median of before divided by after, and its bounds; above 1 is faster.
    pub interval: Interval,
    /// Every pair's ratio, in the order they ran.
    pub ratios: Vec<f64>,
    /// What the first program cost.
    pub before: Sample,
    /// What the second program cost.
    pub after: Sample,
}

/// The middle of several runs' costs.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The median wall time.
    pub wall: Duration,
    /// The median CPU time.
    pub cpu: Duration,
    /// The median of the largest resident sets.
    pub peak_memory_bytes: u64,
}

impl Sample {
    /// Returns the medians of `runs`; nothing of none.
    #[must_use]
    pub fn of(runs: &[Run]) -> Option<Self> {
        Some(Self {
            wall: middle(runs.iter().map(|run| run.wall))?,
            cpu: middle(runs.iter().map(|run| run.cpu))?,
            peak_memory_bytes: middle(runs.iter().map(|run| run.peak_memory_bytes))?,
        })
    }
}

/// Runs `before` and `after` in turn until `rule` has a verdict on their wall times.
///
/// `what` names the trial for progress, `seed` draws the order within the pairs.
///
/// # Errors
///
/// A run failed, or the session was stopped.
pub fn compare(
    what: &str,
    before: &Prepared,
    after: &Prepared,
    rule: &Rule,
    seed: u64,
    observer: Observer<'_>,
) -> Result<Comparison, Error> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut trial = Trial::new(rule.clone());
    let (mut runs_before, mut runs_after) = (Vec::new(), Vec::new());
    let started = clock::now();
    loop {
        let done = trial.ratios().len();
        let elapsed = clock::now().duration_since(started);
        let total = rule.pairs_max();
        let left = (done > 0).then(|| elapsed.mul_f64((total - done) as f64 / done as f64));
        observer.step(what, done as u64, total as u64, left)?;
        let is_before_first = random.bool();
        let (first, second) = if is_before_first { (before, after) } else { (after, before) };
        let first = first.run(observer.stop())?;
        let second = second.run(observer.stop())?;
        let (a, b) = if is_before_first { (first, second) } else { (second, first) };
        runs_before.push(a);
        runs_after.push(b);
        if let Decision::Done(verdict) = trial.push(a.wall.as_secs_f64(), b.wall.as_secs_f64()) {
            let sample = |runs: &[Run]| {
                Sample::of(runs).ok_or_else(|| Error::request("a rule without a look"))
            };
            return Ok(Comparison {
                verdict,
                interval: trial.interval(),
                ratios: trial.ratios().to_vec(),
                before: sample(&runs_before)?,
                after: sample(&runs_after)?,
            });
        }
    }
}

/// Runs one program against itself for `pairs` pairs and says what this machine can decide now.
///
/// # Errors
///
/// As [`compare`].
pub fn control(
    program: &Prepared,
    rule: &Rule,
    pairs: usize,
    seed: u64,
    observer: Observer<'_>,
) -> Result<(Control, Sample), Error> {
    let mut runs = Vec::new();
    let mut ratios = Vec::new();
    let started = clock::now();
    for done in 0..pairs {
        let elapsed = clock::now().duration_since(started);
        let left = (done > 0).then(|| elapsed.mul_f64((pairs - done) as f64 / done as f64));
        observer.step("control: the program against itself", done as u64, pairs as u64, left)?;
        let a = program.run(observer.stop())?;
        let b = program.run(observer.stop())?;
        ratios.push(a.wall.as_secs_f64() / b.wall.as_secs_f64());
        runs.extend([a, b]);
    }
    let sample = Sample::of(&runs).ok_or_else(|| Error::request("a control without pairs"))?;
    Ok((Control::new(rule, &ratios, seed), sample))
}

fn middle<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut sorted: Vec<T> = values.collect();
    sorted.sort();
    let middle = sorted.len() / 2;
    sorted.into_iter().nth(middle)
}

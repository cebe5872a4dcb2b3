//! One candidate at a time, through every gate, in the copy of the project.
//!
//! | gate | passes when | otherwise |
//! | --- | --- | --- |
//! | permission | public API, `unsafe` and dependencies stay as they are | reject |
//! | build | it compiles | reject |
//! | tests | they pass, twice | reject |
//! | output | the workload prints the same bytes | reject |
//! | instructions | callgrind counts at most 1 % more | reject |
//! | time | the rule keeps it on interleaved pairs | its verdict |
//! | layout | the rule keeps it again with aligned functions | its verdict |
//!
//! The verdict comes from here and from nowhere else: whoever proposes a change, a rule, a person
//! or an agent, cannot choose it.

mod baseline;
mod permission;

pub use self::baseline::{Baseline, Bench};
pub use self::permission::{Permissions, Question};

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::judge::{Interval, Verdict};
use crate::measure::{callgrind, compare};
use crate::progress::Observer;
use crate::project::{Profile, TestOutcome};

/// A change that is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The finding it comes from, or a name that its author gave.
    pub finding: String,
    /// The function it is about, where it is about one.
    pub function: Option<String>,
    /// What it changes.
    pub change: Change,
}

/// What a candidate changes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// New texts for files, by path relative to the workspace.
    Sources(BTreeMap<PathBuf, String>),
    /// Another way to build the same sources.
    Build(Profile),
}

impl Candidate {
    /// Returns a candidate.
    #[must_use]
    pub fn new(finding: impl Into<String>, function: Option<String>, change: Change) -> Self {
        Self { finding: finding.into(), function, change }
    }
}

/// What became of a candidate, with every number it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Outcome {
    /// Whether it is offered.
    pub verdict: Verdict,
    /// The gate that decided, and what it saw.
    pub reason: String,
    /// The interval of before divided by after; nothing where it was not timed.
    pub interval: Option<Interval>,
    /// The same on the rebuild with aligned functions.
    pub aligned: Option<Interval>,
    /// Instructions before and after; nothing where they could not be counted.
    pub instructions: Option<(u64, u64)>,
}

impl Outcome {
    fn reject(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Reject,
            reason: reason.into(),
            interval: None,
            aligned: None,
            instructions: None,
        }
    }
}

impl Bench {
    /// Sends a candidate through every gate and brings the copy back to what it was.
    ///
    /// # Errors
    ///
    /// The machine failed (a full disk, a missing tool) or the session was stopped. What the
    /// candidate does wrong is an outcome.
    pub fn judge(
        &mut self,
        candidate: &Candidate,
        permissions: &Permissions,
        seed: u64,
        observer: Observer<'_>,
    ) -> Result<Outcome, Error> {
        let outcome = self.pass_gates(candidate, permissions, seed, observer);
        self.copy.reset()?;
        match outcome {
            // The candidate's own fault: it does not build, does not end, or fails.
            Err(error) if error.kind() == ErrorKind::Project => {
                Ok(Outcome::reject(error.to_string()))
            }
            outcome => outcome,
        }
    }

    fn pass_gates(
        &mut self,
        candidate: &Candidate,
        permissions: &Permissions,
        seed: u64,
        observer: Observer<'_>,
    ) -> Result<Outcome, Error> {
        let name = &candidate.finding;
        let profile = match &candidate.change {
            Change::Build(profile) => profile.clone(),
            Change::Sources(texts) => {
                if let Some(question) = permissions.question(texts, &self.copy)? {
                    return Ok(Outcome::reject(format!("not tried without asking: {question}")));
                }
                for (path, text) in texts {
                    self.copy.write(path, text.as_bytes())?;
                }
                Profile::default()
            }
        };
        observer.begin(format!("{name}: build"))?;
        let after = self.program("after", &profile, observer)?;
        for round in 1..=TEST_ROUNDS {
            observer.begin(format!("{name}: tests, round {round} of {TEST_ROUNDS}"))?;
            if let TestOutcome::Failed(words) = self.copy.test(observer.stop())? {
                return Ok(Outcome::reject(format!("tests fail: {words}")));
            }
        }
        after.run(observer.stop())?;
        if !self.has_expected_output(&after)? {
            return Ok(Outcome::reject("the workload prints something else"));
        }
        let mut outcome = Outcome::reject("");
        if let Some(before) = self.baseline.instructions {
            observer.begin(format!("{name}: instructions"))?;
            let count = callgrind::instructions(&after, &self.folder, observer.stop())?;
            outcome.instructions = Some((before, count));
            if count as f64 > before as f64 * INSTRUCTION_RATIO_MAX {
                let percent = (count as f64 / before as f64 - 1.0) * 100.0;
                outcome.reason = format!("it executes {percent:.1} % more instructions");
                return Ok(outcome);
            }
        }
        let what = format!("{name}: before and after in turn");
        let plain = compare(&what, &self.baseline.program, &after, &self.rule, seed, observer)?;
        outcome.interval = Some(plain.interval);
        outcome.verdict = plain.verdict;
        if plain.verdict != Verdict::Keep {
            outcome.reason = explain(plain.verdict).to_owned();
            return Ok(outcome);
        }
        let aligned = self.program("after-aligned", &profile.aligned(), observer)?;
        let what = format!("{name}: again with aligned functions");
        let again = compare(&what, &self.baseline.aligned, &aligned, &self.rule, seed, observer)?;
        outcome.aligned = Some(again.interval);
        outcome.verdict = again.verdict;
        outcome.reason = match again.verdict {
            Verdict::Keep => explain(Verdict::Keep).to_owned(),
            verdict => format!("with aligned functions: {}", explain(verdict)),
        };
        Ok(outcome)
    }
}

fn explain(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Keep => "faster on interleaved pairs, also with another code layout",
        Verdict::Reject => "not faster by 1 %",
        Verdict::Inconclusive => "the noise of this machine hides what there is to see",
    }
}

/// Tests are run twice: one that fails now and then must not pass for a proof.
const TEST_ROUNDS: u32 = 2;

/// More work than this is not made up for by anything that a change of sources does.
const INSTRUCTION_RATIO_MAX: f64 = 1.01;

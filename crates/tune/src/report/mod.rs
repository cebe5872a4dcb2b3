//! What a session found, tried and proved: one record, rendered for people and for programs.
//!
//! The JSON form is the record itself ([`Report`], field by field); the reference describes it.

mod html;
mod markdown;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::attempt::Outcome;
use crate::discover::Context;
use crate::find::Finding;
use crate::hot::Hotspot;
use crate::judge::{Control, Verdict};

/// Everything that a session says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The version of this form.
    pub version: u32,
    /// What there was to work with.
    pub context: Context,
    /// What the project costs as it is.
    pub baseline: BaselineReport,
    /// The program against itself.
    pub control: Control,
    /// Functions by their share of the cost, the most expensive first.
    pub hotspots: Vec<Hotspot>,
    /// What was found, in the order of its cost.
    pub findings: Vec<FindingReport>,
    /// What was tried.
    pub trials: Vec<TrialReport>,
    /// What was not tried, because somebody has to be asked.
    pub proposals: Vec<String>,
    /// Flame graphs before and after all kept changes, as SVG; empty where there are none.
    #[serde(skip)]
    pub flame_graphs: (String, String),
}

/// What the project costs as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BaselineReport {
    /// The command that was measured.
    pub workload: String,
    /// Seconds of a run, the median.
    pub wall_seconds: f64,
    /// CPU seconds of a run, the median.
    pub cpu_seconds: f64,
    /// The largest resident set, the median.
    pub peak_memory_bytes: u64,
    /// Instructions of a run.
    pub instructions: Option<u64>,
    /// Why instructions could not be counted.
    pub no_instructions: Option<String>,
    /// Blocks that a run allocates.
    pub allocations: Option<u64>,
    /// Bytes that a run allocates.
    pub allocated_bytes: Option<u64>,
    /// Operations of a run, where the workload tells.
    pub operations: Option<u64>,
    /// Latencies that the workload tells, in seconds.
    pub latency: Vec<LatencyReport>,
}

/// A histogram that the workload printed, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatencyReport {
    /// Its name.
    pub name: String,
    /// How many latencies it counts.
    pub count: u64,
    /// Seconds.
    pub p50: f64,
    /// Seconds.
    pub p95: f64,
    /// Seconds.
    pub p99: f64,
}

/// A finding with its cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FindingReport {
    /// A name that is the same in each session on the same sources.
    pub id: String,
    /// What found it.
    pub rule: String,
    /// The file, relative to the workspace.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u32,
    /// The function around it.
    pub function: Option<String>,
    /// What is slow about it.
    pub message: String,
    /// The share of the cost that its function has, 0 to 1.
    pub share: f64,
    /// Whether there is a fix that a machine can make.
    pub fixable: bool,
    /// The lines around it.
    pub excerpt: String,
}

impl FindingReport {
    pub(crate) fn new(finding: &Finding, share: f64, text: Option<&str>) -> Self {
        let first = (finding.line as usize).saturating_sub(2);
        let excerpt = text.unwrap_or_default().lines().enumerate().skip(first).take(5);
        Self {
            id: finding.id(),
            rule: finding.rule.clone(),
            file: finding.file.clone(),
            line: finding.line,
            function: finding.function.clone(),
            message: finding.message.clone(),
            share,
            fixable: finding.fix.is_some(),
            excerpt: excerpt.map(|(index, line)| format!("{:>5} | {line}\n", index + 1)).collect(),
        }
    }
}

/// A candidate and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrialReport {
    /// The finding it mends, or the name that its author gave.
    pub finding: String,
    /// The function.
    pub function: Option<String>,
    /// What is done.
    pub what: String,
    /// What the judge said.
    pub verdict: Verdict,
    /// The gate that decided, and what it saw.
    pub reason: String,
    /// The median of before divided by after; above 1 is faster.
    pub ratio: Option<f64>,
    /// The bounds of that median.
    pub interval: Option<[f64; 2]>,
    /// The bounds on the rebuild with aligned functions.
    pub aligned: Option<[f64; 2]>,
    /// Instructions before and after.
    pub instructions: Option<[u64; 2]>,
    /// The change, as a patch; nothing for what is no change of files.
    pub patch: Option<String>,
}

impl TrialReport {
    pub(crate) fn new(
        finding: &str,
        function: Option<&str>,
        what: &str,
        outcome: &Outcome,
        patch: Option<String>,
    ) -> Self {
        let bounds = |interval: crate::judge::Interval| [interval.low, interval.high];
        Self {
            finding: finding.to_owned(),
            function: function.map(str::to_owned),
            what: what.to_owned(),
            verdict: outcome.verdict,
            reason: outcome.reason.clone(),
            ratio: outcome.interval.map(|interval| interval.median),
            interval: outcome.interval.map(bounds),
            aligned: outcome.aligned.map(bounds),
            instructions: outcome.instructions.map(|(before, after)| [before, after]),
            patch,
        }
    }
}

impl Report {
    /// Returns the report for a terminal or a Markdown page; both read the same.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// Returns the report as one HTML page with the flame graphs, without scripts from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// Returns the trials that were kept.
    pub fn kept(&self) -> impl Iterator<Item = &TrialReport> {
        self.trials.iter().filter(|trial| trial.verdict == Verdict::Keep)
    }
}

/// The version of the JSON form.
pub const REPORT_VERSION: u32 = 1;

//! Tasks in one process beside tokio's spawn with a semaphore, and the mode that learns beside the
//! one that does not.
//!
//! The measuring program is `crates/scheduler/benches/compare`; each case of each target is a
//! process of its own that prints `name value` lines. Targets meet a case one after the other, and
//! in reverse in every other round.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::super::Options;
use super::super::progress::Progress;
use super::super::report::{Better, Failure, Metric, Report, Sample};
use crate::error::{Context, Error, Result};
use crate::{interrupt, process};

/// The groups of cases.
pub(super) const GROUPS: [&str; 4] = ["steady", "burst", "emergency", "adaptive"];

/// Measures these groups and adds what is found.
pub(super) fn measure(
    root: &Path,
    options: &Options,
    groups: &[&str],
    report: &mut Report,
) -> Result<()> {
    let targets = Options::choose(&options.targets, TARGETS)?;
    let cases: Vec<&Case> = CASES.iter().filter(|case| groups.contains(&case.name)).collect();
    if cases.is_empty() {
        return Ok(());
    }
    let program = build(root)?;
    let turns: usize = cases.iter().map(|case| case.targets.len()).sum();
    let steps = options.rounds as usize * turns;
    let mut progress = Progress::new(u32::try_from(steps).unwrap_or(u32::MAX));
    for round in 1..=options.rounds {
        for case in &cases {
            let mut turn: Vec<&'static str> = case.targets.to_vec();
            turn.retain(|target| targets.contains(target));
            if round % 2 == 0 {
                turn.reverse();
            }
            for target in turn {
                progress.step(&format!("round {round}: {}, {target}", case.name));
                let amount = if options.quick { case.amount / 4 } else { case.amount };
                match run(&program, case, target, amount) {
                    Ok(values) => report.extend(case.samples(target, round, &values)),
                    Err(error) => {
                        interrupt::check()?;
                        let (case, what) = (case.name, error.to_string());
                        report.failures.push(Failure { target, round, case, what });
                    }
                }
            }
        }
    }
    Ok(())
}

/// One case of the measuring program.
struct Case {
    name: &'static str,
    targets: &'static [&'static str],
    /// Tasks, or milliseconds.
    amount: usize,
    /// What it prints: the name, the case it is shown under, quantity and unit.
    values: &'static [(&'static str, &'static str, &'static str, &'static str)],
    better: Better,
}

impl Case {
    fn samples(&self, target: &'static str, round: u32, values: &[(String, f64)]) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (name, case, quantity, unit) in self.values {
            let found = values.iter().find(|(found, _)| found == name);
            if let Some((_, value)) = found {
                let metric = Metric { case, quantity, unit, better: Some(self.better) };
                samples.push(Sample { target, round, metric, value: *value });
            }
        }
        samples
    }
}

const OURS: &str = "tidemill";

const TARGETS: &[&str] = &[OURS, "tokio", "tokio-outside", "no-priority", "static"];

const CASES: &[Case] = &[
    Case {
        name: "steady",
        targets: &[OURS, "tokio", "tokio-outside"],
        amount: 2_000_000,
        values: &[("rate", "trivial tasks, 8,192 handles held", "rate", "tasks/s")],
        better: Better::Higher,
    },
    Case {
        name: "burst",
        targets: &[OURS, "tokio", "tokio-outside"],
        amount: 1_000_000,
        values: &[("rate", "trivial tasks, every handle held", "rate", "tasks/s")],
        better: Better::Higher,
    },
    Case {
        name: "emergency",
        targets: &[OURS, "no-priority"],
        amount: 4_000,
        values: &[
            ("p50", "Emergency beside 65,536 Low", "p50", "us"),
            ("p99", "Emergency beside 65,536 Low", "p99", "us"),
        ],
        better: Better::Lower,
    },
    Case {
        name: "adaptive",
        targets: &[OURS, "static"],
        amount: 4,
        values: &[
            ("alike, mean", "simulated: alike", "mean", "ms"),
            ("alike, p99", "simulated: alike", "p99", "ms"),
            ("short and long, mean", "simulated: short and long", "mean", "ms"),
            ("short and long, p99", "simulated: short and long", "p99", "ms"),
            ("three classes, mean", "simulated: three classes", "mean", "ms"),
            ("three classes, p99", "simulated: three classes", "p99", "ms"),
            ("bursts, mean", "simulated: bursts", "mean", "ms"),
            ("bursts, p99", "simulated: bursts", "p99", "ms"),
            ("recorded, mean", "simulated: recorded", "mean", "ms"),
            ("recorded, p99", "simulated: recorded", "p99", "ms"),
        ],
        better: Better::Lower,
    },
];

/// Longer than any case takes.
const LIMIT: Duration = Duration::from_mins(2);

/// Builds the measuring program as it would ship, and returns where it is.
fn build(root: &Path) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["bench", "--package", "tidemill-scheduler", "--bench", "compare", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context(|| "cannot run cargo".to_owned())?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let executable = lines.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_ours = message["target"]["name"] == "compare";
        message["executable"].as_str().filter(|_| is_ours).map(PathBuf::from)
    });
    match executable {
        Some(path) if output.status.success() => Ok(path),
        _ => Err(Error::outside("the scheduler's measuring program does not build")),
    }
}

fn run(program: &Path, case: &Case, target: &str, amount: usize) -> Result<Vec<(String, f64)>> {
    let mut command = Command::new(program);
    command.args([case.name, target, &amount.to_string()]);
    let output = process::run(command, LIMIT)?;
    let values: Vec<_> = output.stdout.lines().filter_map(value).collect();
    if !output.success || values.is_empty() {
        return Err(Error::outside(format!("it failed: {}", output.stderr.trim())));
    }
    Ok(values)
}

/// Reads `name value`; the name may have spaces.
fn value(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_number() {
        assert_eq!(value("short and long, p99 1.5"), Some(("short and long, p99".to_owned(), 1.5)));
        assert_eq!(value("nothing"), None);
        assert_eq!(value("no number here"), None);
    }

    #[test]
    fn every_case_is_a_group_with_ours_and_a_peer() {
        for case in CASES {
            assert!(GROUPS.contains(&case.name), "{}", case.name);
            assert!(case.targets[0] == OURS && case.targets.len() > 1, "{}", case.name);
            assert!(case.targets.iter().all(|target| TARGETS.contains(target)), "{}", case.name);
        }
    }
}

//! Durable jobs: alone in SQLite, together through NATS beside raw JetStream.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::super::Options;
use super::super::report::{Better, Failure, Metric, Report, Sample};
use crate::error::{Error, Result};
use crate::packages::{self, FOR_SCHEDULER_COMPARISON};
use crate::process;

/// Runs each case and adds what it prints.
pub(super) fn measure(root: &Path, options: &Options, report: &mut Report) -> Result<()> {
    let missing = packages::missing(FOR_SCHEDULER_COMPARISON);
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    let cases = if options.quick { &CASES[..1] } else { CASES };
    for (case, arguments) in cases {
        let mut command = Command::new("cargo");
        command
            .args(["bench", "--quiet", "--package", "tidemill-scheduler", "--bench", "durable"])
            .args(["--features", "sqlite,nats", "--"])
            .args(*arguments)
            .current_dir(root);
        let output = process::run(command, CASE_MAX)?;
        if output.success {
            add(case, options.rounds, &output.stdout, report);
        } else {
            let what = output.stderr.lines().last().unwrap_or("it failed").to_owned();
            report.failures.push(Failure { target: "tidemill", round: 1, case, what });
        }
    }
    if report.failures.len() == cases.len() {
        return Err(Error::outside("no case of durable jobs ran"));
    }
    Ok(())
}

/// Adds the lines of one case; what a name says for the nth time belongs to round n.
fn add(case: &'static str, rounds: u32, lines: &str, report: &mut Report) {
    for (name, target, quantity) in QUANTITIES {
        let values = lines.lines().filter_map(|line| {
            let (found, value) = line.split_once(' ')?;
            (found == *name).then(|| value.parse().ok()).flatten()
        });
        let metric = Metric { case, quantity, unit: "jobs/s", better: Some(Better::Higher) };
        let samples = (1..=rounds).zip(values);
        report.extend(samples.map(|(round, value)| Sample { target, round, metric, value }));
    }
}

/// A case's name and what the benchmark is asked for.
const CASES: &[(&str, &[&str])] = &[
    ("durable alone", &["alone"]),
    ("durable, 1 replica", &["together", "1"]),
    ("durable, 3 replicas", &["together", "3"]),
];

/// What the benchmark prints, whose it is, and what it says.
const QUANTITIES: &[(&str, &str, &str)] = &[
    ("accepted_in_batches", "tidemill", "accepted in batches"),
    ("raw_publish_ack", "jetstream", "accepted in batches"),
    ("accepted_one_by_one", "tidemill", "accepted one by one"),
    ("run_to_end", "tidemill", "run to end"),
];

/// Building included.
const CASE_MAX: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_line_of_a_name_is_the_nth_round() {
        let mut report = Report::new("tidemill");
        let lines = "raw_publish_ack 10\naccepted_in_batches 5\nraw_publish_ack 20\n\
                     accepted_in_batches 40\nother 3\nraw_publish_ack 1\n";
        add("durable, 1 replica", 2, lines, &mut report);
        let rows = report.rows();
        assert_eq!(rows.len(), 1, "{rows:?}");
        // 0.5 in the first round and 2 in the second; the third was not asked for.
        assert_eq!(rows[0]["ratio"], 1.25);
    }
}

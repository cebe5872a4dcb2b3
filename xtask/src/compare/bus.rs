//! `compare bus`: our queues and router beside those of others, in one process.
//!
//! The measuring is the benchmark's, `crates/bus/benches/compare.rs`: its subjects take turns
//! within each case, on threads bound to processors, and it prints a line of JSON for each subject
//! with the median of its turns. Each round starts it anew, and each kind of subject has a table of
//! its own, as a queue that is polled and one that can be slept on are different services.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Options;
use super::progress::Progress;
use super::report::{Better, Metric, Report, Sample};
use crate::cargo::Workspace;
use crate::error::{Context, Error, Result};
use crate::process;

/// Builds the benchmark, runs it, and takes what it printed.
///
/// # Errors
///
/// Fails when the benchmark does not build, does not end, prints what is not understood, or an
/// interrupt comes.
pub(crate) fn measure(root: &Path, _workspace: &Workspace, options: &Options) -> Result<Report> {
    let groups = Options::choose(&options.groups, GROUPS)?;
    if !options.targets.is_empty() {
        return Err(Error::usage("compare bus measures all its targets; choose --cases"));
    }
    bench(root, &["--no-run"])?;
    let mut report = Report::new(OURS);
    let rounds =
        (1..=options.rounds).flat_map(|round| groups.iter().map(move |group| (round, group)));
    let mut progress =
        Progress::new(options.rounds * u32::try_from(groups.len()).expect("a few groups"));
    for (round, group) in rounds {
        progress.step(&format!("round {round} of {}, {group}", options.rounds));
        let (case, turns) = (format!("--case={group}"), format!("--turns={TURNS}"));
        let mut arguments = vec!["--", &case];
        // Quick runs take the turns and messages of the benchmark's own quick mode.
        arguments.push(if options.quick { "--quick" } else { &turns });
        let output = bench(root, &arguments)?;
        for line in output.lines().filter(|line| line.starts_with('{')) {
            let line: Value = serde_json::from_str(line)
                .context(|| format!("cannot read what the benchmark printed: {line}"))?;
            report.extend(samples(&line, round)?);
        }
    }
    Ok(report)
}

fn bench(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("cargo");
    command
        .args(["bench", "--quiet", "--package", "tidemill-bus", "--bench", "compare"])
        .args(arguments)
        .current_dir(root);
    let output = process::run(command, LIMIT)?;
    if output.success {
        return Ok(output.stdout);
    }
    let said = output.stderr.trim();
    Err(Error::outside(format!("the benchmark of the bus failed: {said}")))
}

/// Turns one line of the benchmark into samples; empty for a subject of no table.
fn samples(line: &Value, round: u32) -> Result<Vec<Sample>> {
    let text = |key: &str| {
        let value = line[key].as_str();
        value.ok_or_else(|| Error::outside(format!("the benchmark's line has no {key}")))
    };
    let better = if text("better")? == "higher" { Better::Higher } else { Better::Lower };
    let (case, quantity) = case_and_quantity(text("case")?);
    let unit = if better == Better::Higher { "M/s" } else { "us" };
    let value = line["median"].as_f64();
    let value = value.ok_or_else(|| Error::outside("the benchmark's line has no median"))?;
    let subject = text("subject")?;
    let kinds = KINDS.iter().filter(|kind| kind.has(subject));
    let of_kind = kinds.map(|kind| {
        // Kept for as long as the process runs: there are some dozens of them.
        let case = format!("{case}, {}", kind.name).leak();
        let metric = Metric { case, quantity, unit, better: Some(better) };
        let target: &'static str =
            if subject == kind.ours { OURS } else { subject.to_owned().leak() };
        Sample { target, round, metric, value }
    });
    Ok(of_kind.collect())
}

/// Splits `latency at 1 M/s p99` into the case and the quantity; a rate has no other name.
fn case_and_quantity(case: &str) -> (&str, &'static str) {
    let quantiles = ["p50", "p99", "p99.9"];
    let found = quantiles.iter().find_map(|quantile| {
        let case = case.strip_suffix(quantile)?.strip_suffix(' ')?;
        Some((case, *quantile))
    });
    found.unwrap_or((case, "rate"))
}

/// Subjects that do the same service, and which one is ours.
struct Kind {
    name: &'static str,
    ours: &'static str,
    peers: &'static [&'static str],
}

impl Kind {
    fn has(&self, subject: &str) -> bool {
        self.ours == subject || self.peers.contains(&subject)
    }
}

/// Who is compared with whom.
const KINDS: &[Kind] = &[
    Kind { name: "SPSC", ours: "tidemill spsc", peers: &["rtrb"] },
    Kind { name: "SPSC batches", ours: "tidemill spsc iterators", peers: &["rtrb chunks"] },
    Kind {
        name: "bounded MPMC",
        ours: "tidemill mpmc",
        peers: &["crossbeam ArrayQueue", "concurrent-queue", "thingbuf"],
    },
    Kind { name: "unbounded MPMC", ours: "tidemill unbounded", peers: &["crossbeam SegQueue"] },
    Kind {
        name: "bounded MPMC, blocking",
        ours: "tidemill mpmc blocking",
        peers: &["crossbeam channel", "flume", "kanal", "tokio mpsc"],
    },
    Kind { name: "router", ours: "tidemill router", peers: &["tokio broadcast (lossy)"] },
];

/// Cases of the benchmark by the beginning of their names.
const GROUPS: &[&str] = &["8 B", "64 B", "router Arc", "latency"];

const OURS: &str = "tidemill";

/// Turns of each subject in a round: 9 in 3 rounds, estimated at 4 minutes of measuring.
const TURNS: u32 = 3;

/// For building, or running one group.
const LIMIT: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_benchmark_becomes_a_sample_of_its_round() {
        let line = serde_json::json!({
            "case": "latency at 1 M/s p99.9", "subject": "tidemill mpmc blocking", "ours": true,
            "unit": "us", "better": "lower", "median": 2.0, "runs": [2.0, 1.5, 3.0],
        });
        let samples = samples(&line, 4).expect("well formed");
        let [sample] = samples.as_slice() else { panic!("one kind: {samples:?}") };
        assert_eq!((sample.target, sample.round, sample.value), ("tidemill", 4, 2.0));
        assert_eq!(sample.metric.case, "latency at 1 M/s, bounded MPMC, blocking");
        assert_eq!((sample.metric.quantity, sample.metric.better), ("p99.9", Some(Better::Lower)));
    }

    #[test]
    fn a_line_without_a_median_is_an_error_by_name() {
        let line = serde_json::json!({
            "case": "8 B 1:1", "subject": "rtrb", "unit": "M/s", "better": "higher",
        });
        let error = samples(&line, 1).expect_err("no median");
        assert!(error.to_string().contains("median"));
    }
}

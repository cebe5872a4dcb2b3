//! `compare metrics`: our instruments and those of `prometheus`, `prometheus-client`, `metrics`
//! with its Prometheus exporter, and `opentelemetry`.
//!
//! The measurements are a benchmark of `tidemill-metrics` itself (`benches/peers`), built with the
//! feature that brings the peers in; it prints a line of JSON for each value. Here they become a
//! report. Both of our targets are ours: `tidemill` has explicit buckets like the peers',
//! `tidemill log-linear` the ones that the node uses.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Options;
use super::report::{Better, Metric, Report, Sample};
use crate::cargo::Workspace;
use crate::error::{Context, Error, Result};
use crate::process;

/// Measures everything; `--only` and `--cases` choose what is reported.
///
/// # Errors
///
/// Fails when the benchmark does not build, takes too long, or prints what is no measurement.
pub(crate) fn measure(root: &Path, _workspace: &Workspace, options: &Options) -> Result<Report> {
    let targets = Options::choose(&options.targets, &TARGETS)?;
    let cases = Options::choose(&options.groups, &METRICS.map(|metric| metric.case))?;
    let mut command = Command::new("cargo");
    command.args(["bench", "--quiet", "--package", "tidemill-metrics", "--features", "peers"]);
    command.args(["--bench", "peers", "--", "--rounds", &options.rounds.to_string()]);
    if options.quick {
        command.arg("--quick");
    }
    command.current_dir(root);
    let output = process::run(command, LIMIT)?;
    if !output.success {
        return Err(Error::outside(format!("the benchmark failed: {}", output.stderr)));
    }
    let mut report = Report::new(TARGETS[0]);
    for line in output.stdout.lines().filter(|line| line.starts_with('{')) {
        let sample = sample(line)?;
        if targets.contains(&sample.target) && cases.contains(&sample.metric.case) {
            report.extend([sample]);
        }
    }
    Ok(report)
}

/// Reads one line of the benchmark.
fn sample(line: &str) -> Result<Sample> {
    let unknown = || Error::outside(format!("not a measurement: {line}"));
    let value: Value = serde_json::from_str(line).context(unknown_line)?;
    let is = |key: &str, wanted: &str| value[key].as_str() == Some(wanted);
    let target = TARGETS.into_iter().find(|target| is("target", target)).ok_or_else(unknown)?;
    let mut metrics = METRICS.into_iter();
    let metric = metrics.find(|it| is("case", it.case) && is("quantity", it.quantity));
    let round = value["round"].as_u64().and_then(|round| u32::try_from(round).ok());
    Ok(Sample {
        target,
        round: round.ok_or_else(unknown)?,
        metric: metric.ok_or_else(unknown)?,
        value: value["value"].as_f64().ok_or_else(unknown)?,
    })
}

fn unknown_line() -> String {
    "the benchmark printed something else than JSON".to_owned()
}

/// Ours first.
const TARGETS: [&str; 6] = [
    "tidemill",
    "tidemill log-linear",
    "prometheus",
    "prometheus-client",
    "metrics",
    "opentelemetry",
];

const METRICS: [Metric; 7] = [
    lower("counter 1 thread", "add", "ns"),
    lower("counter 2 threads", "add", "ns"),
    lower("histogram 1 thread", "record", "ns"),
    lower("histogram 2 threads", "record", "ns"),
    lower("10000 counters", "memory", "B/series"),
    lower("10000 counters", "render", "ms"),
    lower("1000 histograms", "memory", "B/series"),
];

const fn lower(case: &'static str, quantity: &'static str, unit: &'static str) -> Metric {
    Metric { case, quantity, unit, better: Some(Better::Lower) }
}

/// Building the peers is most of it.
const LIMIT: Duration = Duration::from_secs(1_800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_benchmark_are_understood() {
        let line = "{\"round\":2,\"target\":\"prometheus\",\"case\":\"10000 counters\",\
                    \"quantity\":\"render\",\"value\":9.5}";
        let found = sample(line).expect("a measurement");
        assert_eq!((found.target, found.round, found.value), ("prometheus", 2, 9.5));
        assert_eq!((found.metric.case, found.metric.unit), ("10000 counters", "ms"));
        for other in [line.replace("render", "draw"), line.replace("9.5", "null"), "{".to_owned()] {
            assert!(sample(&other).is_err(), "{other}");
        }
    }
}

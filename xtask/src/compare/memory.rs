//! `compare memory`: our pools beside general allocators and pool crates, in one process a round.
//!
//! The measuring is the benchmark's, `crates/memory/benches/compare.rs`: its subjects take turns
//! within each case, and it prints a line of JSON for each subject with the median of its turns.
//! Each round starts it anew. Besides the peers themselves, each case has the best of the general
//! allocators and the best of the pool crates of that round, which is what ours must beat.

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

/// Builds the benchmark, runs it once a round, and takes what it printed.
///
/// # Errors
///
/// Fails when the benchmark does not build, does not end, prints what is not understood, or an
/// interrupt comes.
pub(crate) fn measure(root: &Path, _workspace: &Workspace, options: &Options) -> Result<Report> {
    if !options.targets.is_empty() || !options.groups.is_empty() {
        return Err(Error::usage("compare memory measures everything; leave out --only, --cases"));
    }
    bench(root, &["--no-run"], BUILD_TIME_MAX)?;
    let mut report = Report::new(OURS);
    let mut progress = Progress::new(options.rounds);
    for round in 1..=options.rounds {
        progress.step(&format!("round {round} of {}", options.rounds));
        let arguments: &[&str] = if options.quick { &["--", "--quick"] } else { &[] };
        let output = bench(root, arguments, ROUND_TIME_MAX)?;
        let lines = output.lines().filter(|line| line.starts_with('{'));
        let samples = lines.map(|line| sample(line, round)).collect::<Result<Vec<_>>>()?;
        let best = [(BEST_ALLOCATOR, ALLOCATORS), (BEST_POOL, POOLS)]
            .into_iter()
            .flat_map(|(name, peers)| best_of(&samples, name, peers))
            .collect::<Vec<_>>();
        report.extend(samples);
        report.extend(best);
    }
    Ok(report)
}

fn bench(root: &Path, arguments: &[&str], limit: Duration) -> Result<String> {
    let mut command = Command::new("cargo");
    command
        .args(["bench", "--quiet", "--package", "tidemill-memory", "--features", "peers"])
        .args(["--bench", "compare"])
        .args(arguments)
        .current_dir(root);
    let output = process::run(command, limit)?;
    if output.success {
        return Ok(output.stdout);
    }
    let said = output.stderr.trim();
    Err(Error::outside(format!("the benchmark of the memory pools failed: {said}")))
}

/// Turns one line of the benchmark into a sample.
fn sample(line: &str, round: u32) -> Result<Sample> {
    let value: Value = serde_json::from_str(line)
        .context(|| format!("cannot read what the benchmark printed: {line}"))?;
    let unknown = || Error::outside(format!("the benchmark measured what has no row: {line}"));
    let is = |key: &str, name: &str| value[key].as_str() == Some(name);
    let metric = METRICS.iter().find(|m| is("case", m.case) && is("quantity", m.quantity));
    let mut targets = OUR_TARGETS.iter().chain(ALLOCATORS).chain(POOLS);
    let target = targets.find(|name| is("subject", name)).ok_or_else(unknown)?;
    let measured = value["value"].as_f64().ok_or_else(unknown)?;
    let metric = *metric.ok_or_else(unknown)?;
    Ok(Sample { target, round, metric, value: measured })
}

/// Returns, for each quantity that any of `peers` has, the best of them under `name`.
fn best_of(samples: &[Sample], name: &'static str, peers: &[&str]) -> Vec<Sample> {
    let of_peers = samples.iter().filter(|sample| peers.contains(&sample.target));
    let of_peers: Vec<_> = of_peers.collect();
    let best = METRICS.iter().filter_map(|metric| {
        let of_metric = of_peers.iter().filter(|sample| sample.metric == *metric);
        // Nanoseconds and bytes: less is better in every quantity that peers have.
        let best = of_metric.min_by(|a, b| a.value.total_cmp(&b.value))?;
        Some(Sample { target: name, ..(*best).clone() })
    });
    best.collect()
}

const fn lower(case: &'static str, quantity: &'static str, unit: &'static str) -> Metric {
    Metric { case, quantity, unit, better: Some(Better::Lower) }
}

const fn higher(case: &'static str, quantity: &'static str, unit: &'static str) -> Metric {
    Metric { case, quantity, unit, better: Some(Better::Higher) }
}

/// Every quantity of the benchmark.
const METRICS: &[Metric] = &[
    lower("4 KiB take+give", "one thread", "ns"),
    lower("4 KiB take+give", "two threads", "ns"),
    lower("4 KiB take+give", "256 live", "ns"),
    lower("taken here, given there", "4 KiB", "ns"),
    lower("taken here, given there", "64 B", "ns"),
    // What the ring between the threads costs with nothing in it: part of the two above.
    Metric { better: None, ..lower("taken here, given there", "hand-over alone", "ns") },
    lower("4 KiB give alone", "on its thread", "ns"),
    lower("4 KiB give alone", "on another", "ns"),
    lower("64 B to 64 KiB replace, 256 live", "one thread", "ns"),
    lower("4 KiB give+take, 256 live", "p50", "ns"),
    lower("4 KiB give+take, 256 live", "p99", "ns"),
    lower("4 KiB give+take, 256 live", "max", "ns"),
    lower("resident after 128 MiB", "when freed", "MiB"),
    lower("resident after 128 MiB", "after clean-up", "MiB"),
    lower("clean-up, 100,000 idle", "longest step", "us"),
    // Without what other programs took in between.
    lower("clean-up, 100,000 idle", "longest step, CPU", "us"),
    lower("clean-up, 100,000 idle", "median step", "us"),
    lower("clean-up, 100,000 idle", "all of it", "us"),
    higher("hit rate in a proxy's trace", "recorded", "%"),
    higher("hit rate in a proxy's trace", "generated", "%"),
];

const OURS: &str = OUR_TARGETS[0];
/// Blocks, and buffers made of them.
const OUR_TARGETS: &[&str] = &["ours", "ours: buffers"];
const ALLOCATORS: &[&str] = &["glibc", "mimalloc", "jemalloc"];
const POOLS: &[&str] = &["object-pool", "opool", "sharded-slab", "ArrayQueue"];
const BEST_ALLOCATOR: &str = "best allocator";
const BEST_POOL: &str = "best pool crate";

/// jemalloc alone takes minutes.
const BUILD_TIME_MAX: Duration = Duration::from_secs(1200);
const ROUND_TIME_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(subject: &str, value: f64) -> String {
        let case = r#""case": "4 KiB take+give", "quantity": "one thread""#;
        format!(r#"{{{case}, "subject": "{subject}", "value": {value}}}"#)
    }

    #[test]
    fn the_best_of_each_kind_is_a_target_of_its_own() {
        let lines = [line("ours", 6.0), line("glibc", 50.0), line("jemalloc", 11.0)];
        let samples: Vec<_> = lines.iter().map(|line| sample(line, 2).expect("known")).collect();
        let best = best_of(&samples, BEST_ALLOCATOR, ALLOCATORS);
        let best: Vec<_> = best.iter().map(|best| (best.target, best.round, best.value)).collect();
        assert_eq!(best, [("best allocator", 2, 11.0)]);
        assert!(best_of(&samples, BEST_POOL, POOLS).is_empty());
    }

    #[test]
    fn what_has_no_row_is_an_error_by_name() {
        let error = sample(&line("tcmalloc", 1.0), 1).expect_err("unknown");
        assert!(error.to_string().contains("tcmalloc"));
    }
}

//! The report as text with headings, which a terminal shows as well as a page.

use std::fmt::Write as _;

use super::{FindingReport, Report, TrialReport};
use crate::judge::Verdict;

/// Renders the whole report.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    let parts = [context, baseline, bottlenecks, applied, validation, rejected];
    for part in parts {
        // Writing into a string cannot fail.
        let _ = part(&mut out, report);
    }
    out
}

fn context(out: &mut String, report: &Report) -> std::fmt::Result {
    let context = &report.context;
    writeln!(out, "# CONTEXT DISCOVERY\n")?;
    writeln!(out, "- project: {}", context.root)?;
    for package in &context.packages {
        writeln!(
            out,
            "- package {} {}: {}{}",
            package.name,
            package.version,
            package.targets.join(", "),
            if package.features.is_empty() {
                String::new()
            } else {
                format!("; features {}", package.features.join(", "))
            }
        )?;
    }
    writeln!(
        out,
        "- sources: {} files, {} lines, {} functions",
        context.files, context.lines, context.functions
    )?;
    if !context.release_profile.is_empty() {
        writeln!(out, "- release profile: {}", context.release_profile.join(", "))?;
    }
    for bench in &context.benchmarks {
        writeln!(out, "- benchmark {} of {} ({})", bench.name, bench.package, bench.harness)?;
    }
    for instrument in &context.instruments {
        let works = if instrument.works { "works" } else { "missing" };
        writeln!(out, "- {}: {works}; {}", instrument.name, instrument.note)?;
    }
    writeln!(out)
}

fn baseline(out: &mut String, report: &Report) -> std::fmt::Result {
    let baseline = &report.baseline;
    writeln!(out, "# PERFORMANCE BASELINE\n")?;
    writeln!(out, "- workload: {}", baseline.workload)?;
    writeln!(
        out,
        "- a run: {} wall, {} CPU, {} peak memory",
        seconds(baseline.wall_seconds),
        seconds(baseline.cpu_seconds),
        bytes(baseline.peak_memory_bytes)
    )?;
    match (baseline.instructions, &baseline.no_instructions) {
        (Some(count), _) => writeln!(out, "- instructions: {count}")?,
        (None, Some(why)) => writeln!(out, "- instructions: not counted: {why}")?,
        (None, None) => {}
    }
    if let (Some(blocks), Some(size)) = (baseline.allocations, baseline.allocated_bytes) {
        write!(out, "- allocations: {blocks}, {}", bytes(size))?;
        match baseline.operations {
            Some(count) if count > 0 => {
                writeln!(out, ", {:.2} for each operation", blocks as f64 / count as f64)?;
            }
            _ => writeln!(out)?,
        }
    }
    if let Some(count) = baseline.operations {
        let rate = count as f64 / baseline.wall_seconds.max(f64::MIN_POSITIVE);
        writeln!(out, "- throughput: {rate:.0} operations/s")?;
    }
    for latency in &baseline.latency {
        writeln!(
            out,
            "- latency {} ({} counted): p50 {}, p95 {}, p99 {}",
            latency.name,
            latency.count,
            seconds(latency.p50),
            seconds(latency.p95),
            seconds(latency.p99)
        )?;
    }
    let control = &report.control;
    let decides = match control.decidable {
        Some(gain) => format!("gains of {:.0} % and more can be decided now", (gain - 1.0) * 100.0),
        None => "not even a gain of 50 % can be decided now".to_owned(),
    };
    writeln!(
        out,
        "- control, the program against itself: {} ({} pairs), verdict {}; {decides}\n",
        interval([control.interval.low, control.interval.high]),
        control.interval.pairs,
        control.verdict.as_str(),
    )
}

fn bottlenecks(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.hotspots.is_empty() {
        writeln!(out, "# BOTTLENECK FOUND\n\nNone: no sample fell into the project's code.\n")?;
    }
    for (rank, spot) in report.hotspots.iter().take(BLOCKS_MAX).enumerate() {
        writeln!(
            out,
            "# BOTTLENECK FOUND {}: {}\n\n{}:{}, {:.1} % of the time, {} allocations\n",
            rank + 1,
            spot.function,
            spot.file.display(),
            spot.line,
            spot.share * 100.0,
            spot.allocations
        )?;
        let here = |finding: &&FindingReport| {
            finding.file == spot.file && finding.function.as_deref() == Some(&*spot.function)
        };
        for finding in report.findings.iter().filter(here) {
            writeln!(out, "- {}: {}", finding.id, finding.message)?;
            writeln!(out, "\n```text\n{}```\n", finding.excerpt)?;
        }
    }
    Ok(())
}

fn applied(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# FIX APPLIED\n")?;
    if report.kept().next().is_none() {
        writeln!(out, "None: nothing was proven to be faster.\n")?;
    }
    for trial in report.kept() {
        writeln!(out, "## {}: {}\n", trial.finding, trial.what)?;
        if let Some(patch) = &trial.patch {
            writeln!(out, "```diff\n{patch}```\n")?;
        }
    }
    Ok(())
}

fn validation(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# VALIDATION\n")?;
    for trial in report.kept() {
        write!(out, "- {}: keep", trial.finding)?;
        numbers(out, trial)?;
        writeln!(out, "; tests passed twice, output unchanged")?;
    }
    if report.kept().next().is_none() {
        writeln!(out, "Nothing was kept.")?;
    }
    writeln!(out)
}

fn rejected(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# REJECTED\n")?;
    let rest = report.trials.iter().filter(|trial| trial.verdict != Verdict::Keep);
    for trial in rest {
        write!(out, "- {}: {}", trial.finding, trial.verdict.as_str())?;
        numbers(out, trial)?;
        writeln!(out, "; {}", trial.reason.lines().next().unwrap_or_default())?;
    }
    for proposal in &report.proposals {
        writeln!(out, "- not tried without asking: {proposal}")?;
    }
    writeln!(out)
}

/// Writes the numbers that a verdict rests on.
fn numbers(out: &mut String, trial: &TrialReport) -> std::fmt::Result {
    if let (Some(ratio), Some(bounds)) = (trial.ratio, trial.interval) {
        write!(out, ", {ratio:.3} times as fast {}", interval(bounds))?;
    }
    if let Some(bounds) = trial.aligned {
        write!(out, ", aligned {}", interval(bounds))?;
    }
    if let Some([before, after]) = trial.instructions {
        write!(out, ", instructions {before} to {after}")?;
    }
    Ok(())
}

fn interval([low, high]: [f64; 2]) -> String {
    if high == f64::MAX { format!("[{low:.3}, -]") } else { format!("[{low:.3}, {high:.3}]") }
}

fn seconds(value: f64) -> String {
    match value {
        value if value >= 1.0 => format!("{value:.2} s"),
        value if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
        value if value >= 1e-6 => format!("{:.2} us", value * 1e6),
        value => format!("{:.0} ns", value * 1e9),
    }
}

fn bytes(count: u64) -> String {
    match count as f64 {
        count if count >= 1_073_741_824.0 => format!("{:.2} GiB", count / 1_073_741_824.0),
        count if count >= 1_048_576.0 => format!("{:.1} MiB", count / 1_048_576.0),
        count if count >= 1_024.0 => format!("{:.1} KiB", count / 1_024.0),
        count => format!("{count} bytes"),
    }
}

/// Hot functions that get a block of their own.
const BLOCKS_MAX: usize = 10;

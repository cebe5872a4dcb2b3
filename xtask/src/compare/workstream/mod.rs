//! `compare workstream`: Tidemill, Backlog.md and taskwarrior with the same 1,000 tasks, and what
//! Tidemill does with 100,000.
//!
//! Peers are compared by what a person waits for: one command from start to end, each with a store
//! of its own that holds the same titles and bodies. What has no peer (the library under load,
//! measured by the example `figures` of `tidemill-workstream`) is in tables of ours alone.

mod target;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Options;
use super::progress::Progress;
use super::report::{Better, Failure, Metric, Report, Sample};
use crate::cargo::Workspace;
use crate::error::{Context, Error, Result};
use crate::packages::{self, FOR_WORKSTREAM_COMPARISON};
use crate::{clock, process};
use target::{Bench, Target};

/// Measures all that `options` ask for.
///
/// # Errors
///
/// Fails when a peer is missing, ours does not build, or an interrupt comes; a case that fails is
/// in the report instead.
pub(crate) fn measure(root: &Path, workspace: &Workspace, options: &Options) -> Result<Report> {
    let names = Options::choose(&options.targets, &Target::ALL.map(Target::name))?;
    let groups = Options::choose(&options.groups, &GROUPS)?;
    let mut targets = Target::ALL.to_vec();
    targets.retain(|target| names.contains(&target.name()));
    let missing = packages::missing(FOR_WORKSTREAM_COMPARISON);
    if !missing.is_empty() {
        packages::install(&missing)?;
    }
    build(root)?;
    let mut report = Report::new(Target::Tidemill.name());
    if groups.contains(&COMMANDS) {
        commands(workspace, options, &mut targets, &mut report)?;
    }
    if groups.contains(&FIGURES) && targets.contains(&Target::Tidemill) {
        figures(workspace, options, &mut report)?;
    }
    Ok(report)
}

/// Builds our binary and the measuring example as they ship.
fn build(root: &Path) -> Result<()> {
    for what in [
        ["--package", "tidemill", "--bin", "tidemill"],
        ["--package", "tidemill-workstream", "--example", "figures"],
    ] {
        let mut command = Command::new("cargo");
        command.args(["build", "--release"]).args(what).current_dir(root).stdin(Stdio::null());
        let status = command.status().context(|| "cannot run cargo".to_owned())?;
        if !status.success() {
            return Err(Error::outside(format!("{} does not build", what[1])));
        }
    }
    Ok(())
}

/// Every command of every target, in turn.
fn commands(
    workspace: &Workspace,
    options: &Options,
    targets: &mut [Target],
    report: &mut Report,
) -> Result<()> {
    let bench = Bench::new(&workspace.target_dir)?;
    for target in targets.iter() {
        bench.fill(*target)?;
    }
    let repeats = if options.quick { 3 } else { 9 };
    let steps = options.rounds as usize * targets.len();
    let mut progress = Progress::new(u32::try_from(steps).unwrap_or(u32::MAX));
    for round in 1..=options.rounds {
        for target in targets.iter() {
            progress.step(&format!("round {round} of {}: {}", options.rounds, target.name()));
            for (case, action) in CASES {
                let mut times = Vec::new();
                let mut result = Ok(());
                for repeat in 0..repeats {
                    let begun = clock::now();
                    result = bench.act(*target, action, round * 100 + repeat);
                    times.push(clock::now().duration_since(begun));
                    if result.is_err() {
                        break;
                    }
                }
                match result {
                    Ok(()) => {
                        let metric = metric(case, "time", "ms", Better::Lower);
                        let value = median(times).as_secs_f64() * 1e3;
                        report.extend([Sample { target: target.name(), round, metric, value }]);
                    }
                    Err(error) if error.is_interrupt() => return Err(error),
                    Err(error) => {
                        let (target, what) = (target.name(), error.to_string());
                        report.failures.push(Failure { target, round, case, what });
                    }
                }
            }
        }
        targets.reverse();
    }
    Ok(())
}

/// What the library does with many tasks. Its workspaces stay for the next run; each run adds a few
/// tasks to them.
fn figures(workspace: &Workspace, options: &Options, report: &mut Report) -> Result<()> {
    let program = workspace.target_dir.join("release/examples/figures");
    let seconds = if options.quick { "0.5" } else { "3" };
    let runs = [(MANY, "100000", seconds), (IDLE_MANY, "100000", "0"), (IDLE_FEW, "100", "0")];
    for (case_of, tasks, seconds) in runs {
        let folder = workspace.target_dir.join(format!("compare/figures-{tasks}"));
        for round in 1..=options.rounds {
            let mut command = Command::new(&program);
            command.arg(&folder).args([tasks, seconds]);
            let output = process::run(command, Duration::from_secs(600))?;
            let figures: Value = match serde_json::from_str(output.stdout.trim()) {
                Ok(figures) if output.success => figures,
                _ => {
                    let (target, what) = (Target::Tidemill.name(), output.stderr);
                    report.failures.push(Failure { target, round, case: FIGURES, what });
                    continue;
                }
            };
            let wanted = case_of.iter().filter_map(|(name, metric)| {
                let value = figures.get(*name)?.as_f64()?;
                Some(Sample { target: Target::Tidemill.name(), round, metric: *metric, value })
            });
            report.extend(wanted);
        }
    }
    Ok(())
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    List,
    Search,
}

const COMMANDS: &str = "commands";
const FIGURES: &str = "figures";
const GROUPS: [&str; 2] = [COMMANDS, FIGURES];

const CASES: [(&str, Action); 3] = [
    ("create at 1,000 tasks", Action::Create),
    ("list of 1,000 tasks", Action::List),
    ("search in 1,000 tasks", Action::Search),
];

const MANY: &[(&str, Metric)] = &[
    ("write_p50_ms", metric("write at 100,000 tasks", "p50", "ms", Better::Lower)),
    ("write_p99_ms", metric("write at 100,000 tasks", "p99", "ms", Better::Lower)),
    ("stored_to_found_p50_ms", metric("stored to found", "p50", "ms", Better::Lower)),
    ("stored_to_found_p99_ms", metric("stored to found", "p99", "ms", Better::Lower)),
    ("search_rare_p99_ms", metric("search at 100,000 tasks", "rare p99", "ms", Better::Lower)),
    ("search_common_p99_ms", metric("search at 100,000 tasks", "common p99", "ms", Better::Lower)),
    ("search_and_p99_ms", metric("search at 100,000 tasks", "AND p99", "ms", Better::Lower)),
    ("search_prefix_p99_ms", metric("search at 100,000 tasks", "prefix p99", "ms", Better::Lower)),
    ("page_p99_ms", metric("page of 50 at 100,000 tasks", "p99", "ms", Better::Lower)),
    ("open_and_first_page_ms", metric("start at 100,000 tasks", "first page", "ms", Better::Lower)),
];

const IDLE_MANY: &[(&str, Metric)] =
    &[("idle_resident_mib", metric("idle at 100,000 tasks", "memory", "MiB", Better::Lower))];

const IDLE_FEW: &[(&str, Metric)] =
    &[("idle_resident_mib", metric("idle at 100 tasks", "memory", "MiB", Better::Lower))];

const fn metric(
    case: &'static str,
    quantity: &'static str,
    unit: &'static str,
    better: Better,
) -> Metric {
    Metric { case, quantity, unit, better: Some(better) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

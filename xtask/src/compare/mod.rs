//! `cargo xtask compare AREA`: ours and the best of others, measured in turn in one run.
//!
//! An area measures its targets round by round and gives a [`Report`]: samples and failures. What
//! all areas share is here: options, the table, the machine-readable result, the dated record.
//! Machines are noisy, so nothing is ever compared across rounds: a ratio is the median of the
//! ratios within each round, and above 1 always means that ours is better.

mod bus;
mod machine;
mod memory;
mod metrics;
mod progress;
mod proxy;
mod record;
mod report;
mod scheduler;
mod statistics;
mod workstream;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cargo::Workspace;
use crate::error::{Context, Error, Result};
use report::Report;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// One round of short cases, for a look in under a minute.
    pub(crate) quick: bool,
    /// How often every target is measured.
    pub(crate) rounds: u32,
    /// Names of the targets to measure; empty for all.
    pub(crate) targets: Vec<String>,
    /// Names of the groups of cases to measure; empty for all.
    pub(crate) groups: Vec<String>,
    /// Keeps the results below `bench/runs` and writes them into `docs/benchmarks.md`.
    pub(crate) record: bool,
}

impl Options {
    /// Parses what follows `compare AREA`.
    pub(crate) fn parse(arguments: &mut lexopt::Parser) -> Result<Self> {
        use lexopt::prelude::*;
        let (mut rounds, mut quick, mut record) = (None, false, false);
        let (mut targets, mut groups) = (Vec::new(), Vec::new());
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("quick") => quick = true,
                Long("record") => record = true,
                Long("rounds") => rounds = Some(arguments.value()?.parse()?),
                Long("only") => targets = names(&arguments.value()?.string()?),
                Long("cases") => groups = names(&arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        let rounds = rounds.unwrap_or(if quick { 1 } else { ROUNDS });
        if rounds == 0 || rounds > ROUNDS_MAX {
            return Err(Error::usage(format!("--rounds takes 1 to {ROUNDS_MAX}")));
        }
        if record && (quick || !targets.is_empty() || !groups.is_empty() || rounds < ROUNDS) {
            let right = format!("{ROUNDS} rounds or more of everything");
            return Err(Error::usage(format!("--record keeps whole runs only: {right}")));
        }
        Ok(Self { quick, rounds, targets, groups, record })
    }

    /// Returns `all` without what was not asked for; a name that is not there is an error.
    fn choose<'a>(wanted: &[String], all: &[&'a str]) -> Result<Vec<&'a str>> {
        if let Some(unknown) = wanted.iter().find(|name| !all.contains(&name.as_str())) {
            return Err(Error::usage(format!("no `{unknown}`; there are: {}", all.join(", "))));
        }
        let chosen = |name: &&str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
        Ok(all.iter().copied().filter(chosen).collect())
    }
}

/// Measures one area, prints the tables and writes the results; returns false after a failed case.
///
/// # Errors
///
/// Fails when a peer cannot be installed, our binary does not build, or an interrupt comes.
pub(crate) fn run(root: &Path, area: &str, options: &Options) -> Result<bool> {
    let areas = AREAS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some((area, measure)) = AREAS.iter().find(|(name, _)| *name == area) else {
        return Err(Error::usage(format!("no area `{area}`; there are: {areas}")));
    };
    let workspace = Workspace::read(root)?;
    let results = workspace.target_dir.join("compare");
    fs::create_dir_all(&results).context(|| format!("cannot create {}", results.display()))?;
    let report = measure(root, &workspace, options)?;
    print!("{}", report.tables());
    for (name, value) in [
        (format!("{area}.json"), Value::Array(report.rows())),
        (format!("{area}.raw.json"), report.raw()),
    ] {
        let path = results.join(name);
        let json = serde_json::to_string_pretty(&value).expect("plain values");
        fs::write(&path, json + "\n").context(|| format!("cannot write {}", path.display()))?;
    }
    if options.record {
        record::keep(root, area, &report)?;
    }
    for failure in &report.failures {
        println!("FAILED: {failure}");
    }
    Ok(report.failures.is_empty())
}

type Measure = fn(&Path, &Workspace, &Options) -> Result<Report>;

/// What can be compared; an area is added when it has something to measure.
const AREAS: &[(&str, Measure)] = &[
    ("bus", bus::measure),
    ("measuring", proxy::measure_metrics),
    ("memory", memory::measure),
    ("metrics", metrics::measure),
    ("proxy", proxy::measure),
    ("scheduler", scheduler::measure),
    ("workstream", workstream::measure),
];

const ROUNDS: u32 = 3;
const ROUNDS_MAX: u32 = 50;

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(&mut lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn options_have_defaults_and_bounds() {
        let options = parse(&[]).expect("nothing is required");
        assert_eq!((options.rounds, options.quick, options.record), (3, false, false));
        assert_eq!(parse(&["--quick"]).expect("known").rounds, 1);
        let options = parse(&["--rounds", "5", "--only", "direct, nginx"]).expect("known");
        assert_eq!(
            (options.rounds, options.targets.as_slice()),
            (5, ["direct", "nginx"].map(String::from).as_slice())
        );
        assert_eq!(parse(&["--rounds", "0"]).expect_err("too few").exit_code(), 2);
        assert_eq!(parse(&["--fast"]).expect_err("unknown").exit_code(), 2);
    }

    #[test]
    fn only_whole_runs_are_kept() {
        assert!(parse(&["--record"]).is_ok());
        assert!(parse(&["--record", "--quick"]).is_err());
        assert!(parse(&["--record", "--rounds", "2"]).is_err());
        assert!(parse(&["--record", "--cases", "redis"]).is_err());
    }

    #[test]
    fn a_choice_keeps_the_order_of_the_area() {
        let all = ["direct", "haproxy", "nginx"];
        let chosen = Options::choose(&names("nginx,direct"), &all).expect("all known");
        assert_eq!(chosen, ["direct", "nginx"]);
        assert_eq!(Options::choose(&[], &all).expect("all"), all);
        let error = Options::choose(&names("envoy"), &all).expect_err("unknown");
        assert!(error.to_string().contains("direct, haproxy, nginx"));
    }
}

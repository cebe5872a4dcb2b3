//! `cargo xtask`: the project's own checks and comparisons.
//!
//! Three commands: `test` runs everything that must hold, `tidy` the rules that no compiler knows,
//! `compare` ours against the best of others. It is the first thing that a fresh machine builds, so
//! it has few dependencies and no async runtime. It never changes the sources; `compare --record`
//! writes results below `bench/runs` and into `docs/benchmarks.md`.
//!
//! Exit codes: 0 good, 1 the answer is no, 2 bad usage, 3 something outside failed, 130
//! interrupted.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to people")]

mod cargo;
mod clock;
mod compare;
mod error;
mod interrupt;
mod kernel;
mod models;
mod packages;
mod process;
mod procfs;
mod suite;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use lexopt::prelude::*;

use crate::error::{Error, Result};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Returns whether the answer is yes.
fn run() -> Result<bool> {
    interrupt::listen()?;
    process::adopt()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is below the root");
    let mut arguments = lexopt::Parser::from_env();
    let command = match arguments.next()? {
        Some(Value(command)) => command.string()?,
        Some(Short('h') | Long("help")) => "help".to_owned(),
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(Error::usage(format!("name a command\n\n{HELP}"))),
    };
    match command.as_str() {
        "test" => {
            let (mut quick, mut kernel) = (false, false);
            while let Some(argument) = arguments.next()? {
                match argument {
                    Long("quick") => quick = true,
                    Long("kernel") => kernel = true,
                    other => return Err(other.unexpected().into()),
                }
            }
            match (quick, kernel) {
                (true, true) => Err(Error::usage("--quick leaves out what --kernel asks for")),
                (false, true) => suite::run_kernel_alone(root),
                (quick, false) => suite::run(root, quick),
            }
        }
        "tidy" => {
            if let Some(argument) = arguments.next()? {
                return Err(argument.unexpected().into());
            }
            let findings = tidy::run(root)?;
            findings.iter().for_each(|finding| println!("{finding}"));
            println!("{} findings", findings.len());
            Ok(findings.is_empty())
        }
        "compare" => {
            let area = match arguments.next()? {
                Some(Value(area)) => area.string()?,
                Some(other) => return Err(other.unexpected().into()),
                None => return Err(Error::usage(format!("compare what?\n\n{HELP}"))),
            };
            let options = compare::Options::parse(&mut arguments)?;
            compare::run(root, &area, &options)
        }
        "help" => {
            println!("{HELP}");
            Ok(true)
        }
        other => Err(Error::usage(format!("`{other}` is no command\n\n{HELP}"))),
    }
}

const HELP: &str = "\
usage: cargo xtask COMMAND

  test [--quick]   everything that must hold; as root it installs what it needs
                   --quick: without tests against real servers and faults, under two minutes
  test --kernel    only what runs in an emulated machine with two NUMA nodes
  tidy             the rules that no compiler checks
  compare AREA [--quick] [--rounds N] [--only TARGET,..] [--cases GROUP,..] [--record]
                   ours and others in turn, as a table and in target/compare/AREA.json
                   --record also keeps the run in bench/runs and docs/benchmarks.md
                   areas: bus (cases 8 B, 64 B, router Arc, latency); memory; metrics;
                   measuring (what the node's metrics cost it; cases redis, http);
                   proxy (targets direct, haproxy, nginx, tidemill, unmeasured;
                   cases redis, http, bulk, idle, connections)";

//! `tidemill tune gate`: hold the budget of `tune.toml`.

use std::path::PathBuf;

use clap::Args;
use tidemill_tune::gate::{self, Answer};

use super::super::output::Tone;
use super::progress::observed;
use super::{Failure, Output, write};

/// Hold the budget of tune.toml, each clause with an instrument fit for it
///
/// Answers pass, fail, or unmeasurable here. Exits 0 when every clause passes, 1 when one fails, 3
/// when none fails and one could not be measured on this machine.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Folder of the Cargo project [default: here]
    path: Option<PathBuf>,
    /// Commit beside which clauses with max_ratio and min_ratio are measured
    #[arg(long, value_name = "COMMIT")]
    baseline: Option<String>,
    /// Write the answers in JUnit's form to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from("."));
    let baseline = arguments.baseline.clone();
    let (checked, took) =
        observed(output, move |observer, _| gate::gate(&folder, baseline.as_deref(), observer))?;
    if let Some(path) = &arguments.junit {
        let text = gate::junit(&checked, took).map_err(|error| super::failure(&error))?;
        write(path, &text)?;
    }
    if output.is_json {
        output.json(&checked);
    } else {
        let rows: Vec<_> = checked
            .iter()
            .map(|clause| {
                let tone = match clause.answer {
                    Answer::Pass => Tone::Good,
                    Answer::Fail => Tone::Bad,
                    Answer::Unmeasurable => Tone::Warning,
                };
                vec![
                    (tone, clause.answer.as_str().to_owned()),
                    (Tone::Plain, clause.clause.clone()),
                    (Tone::Plain, clause.measured.clone()),
                ]
            })
            .collect();
        output.line(&output.table("", &["ANSWER", "CLAUSE", "MEASURED"], &rows));
    }
    let count = |answer| checked.iter().filter(|clause| clause.answer == answer).count();
    match (count(Answer::Fail), count(Answer::Unmeasurable)) {
        (0, 0) => Ok(()),
        (0, count) => Err(Failure::outside(format!(
            "{count} of {} clauses could not be measured on this machine",
            checked.len()
        ))),
        (count, _) => {
            Err(Failure::answer(format!("{count} of {} clauses are broken", checked.len())))
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  tidemill tune gate
  tidemill tune gate --baseline origin/main --junit budget.xml";

//! `tidemill plan`: a plan becomes a tree of tasks.

use std::io::Read;
use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tidemill_workstream::plan::READY;

use super::output::Tone;
use super::task::at_desk;
use super::{Common, Failure, Output};
use crate::client::Ask;
use crate::desk::{Desk, Purpose};

/// Plans: turn a topology, roles and tasks into a tree of tasks that workers claim
///
/// What topology, strategy and workers_max come to stands in docs/guide/plans.md.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill plan list\n  \
    tidemill plan apply tcp-service --set service=echo --dry-run\n  \
    tidemill plan show memory-pool > mine.toml && tidemill plan apply mine.toml --set pool=frames")]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the tasks of a plan, all or none
    Apply {
        /// A file, `-` for standard input, or the name of a plan that comes with the program
        #[arg(value_name = "FILE")]
        plan: String,
        /// Give a variable of the plan a value
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// Only show what would be made
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the plans that come with the program
    List,
    /// Print the text of a plan that comes with the program
    Show {
        /// Its name
        name: String,
    },
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    match &arguments.action {
        Action::List if output.is_json => output.json(&READY),
        Action::List => READY.iter().for_each(|plan| {
            let about = plan.text.lines().next().unwrap_or_default().trim_start_matches("# ");
            output.line(&format!("{:18}{about}", plan.name));
        }),
        Action::Show { name } => match READY.iter().find(|plan| plan.name == name) {
            Some(plan) => output.line(plan.text.trim_end()),
            None => return Err(Failure::input(unknown(name))),
        },
        Action::Apply { plan, set, dry_run } => {
            let text = read(plan)?;
            let set: Map<_, _> = set.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
            let body = json!({ "plan": text, "set": set, "dry_run": dry_run });
            return at_desk(common, Purpose::Write, async |desk| {
                apply(desk, plan, body, *dry_run, output).await
            });
        }
    }
    Ok(())
}

async fn apply(
    desk: &Desk,
    source: &str,
    body: Value,
    is_dry: bool,
    output: &Output,
) -> Result<(), Failure> {
    let applied: Value = desk.ask(&Ask::post("/api/v1/plans", body)).await?;
    let mistakes = applied["mistakes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !mistakes.is_empty() {
        let lines = mistakes.iter().map(|mistake| {
            let what = mistake["what"].as_str().unwrap_or_default();
            format!("{source}:{}:{}: {what}", mistake["line"], mistake["column"])
        });
        return Err(Failure::input(lines.collect::<Vec<_>>().join("\n")));
    }
    if output.is_json {
        output.json(&applied);
        return Ok(());
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let tasks = applied["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<_> = tasks
        .iter()
        .map(|task| {
            let after = task["after"].as_array().map(Vec::as_slice).unwrap_or_default();
            let after = after.iter().map(text).collect::<Vec<_>>().join(" ");
            let cells = [text(&task["name"]), text(&task["role"]), text(&task["priority"])];
            let cells = cells.into_iter().chain([text(&task["title"]), after]);
            cells.map(|cell| (Tone::Plain, cell)).collect()
        })
        .collect();
    output.line(&output.table("", &["NAME", "ROLE", "PRIORITY", "TITLE", "AFTER"], &rows));
    let done = if is_dry { "would make" } else { "made" };
    output.note(&format!("{done} {} tasks", tasks.len()));
    Ok(())
}

/// Returns the text of a plan: a file if there is one of that name.
fn read(plan: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::input(format!("cannot read {plan}: {error}"));
    if plan == "-" {
        let mut text = String::new();
        std::io::stdin().take(PLAN_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    let ready = READY.iter().find(|ready| ready.name == plan);
    match ready {
        Some(ready) if !Path::new(plan).exists() => Ok(ready.text.to_owned()),
        None if !Path::new(plan).exists() && !plan.contains(['/', '.']) => {
            Err(Failure::input(unknown(plan)))
        }
        _ => std::fs::read_to_string(plan).map_err(failed),
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = READY.iter().map(|plan| plan.name).collect();
    format!("there is no plan `{name}`; there are {}", known.join(", "))
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

const PLAN_BYTES_MAX: u64 = 1 << 20;

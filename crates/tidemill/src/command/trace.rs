//! `tidemill trace`: the kernel's functions and events on behalf of a command.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tidemill_profile::ftrace::{Content, Plan, Record};

use super::perf::{Program, failed, pass_on};
use super::signals::{Heard, Listener};
use super::{Failure, Output};

/// Trace what the kernel does for a command
///
/// Prints a line for each call of a kernel function and each event of the command and of everything
/// that it starts; with --json an object per line. Needs root and a mounted tracefs, and works in
/// an instance of its own, which is removed at the end. Exits with the command's exit code.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// A kernel function to trace, or a pattern such as tcp_v4_*
    #[arg(long = "function", value_name = "NAME")]
    functions: Vec<String>,
    /// An event to trace, as group:name
    #[arg(long = "event", value_name = "GROUP:NAME")]
    events: Vec<String>,
    /// What records of every --event must fulfil, such as `prev_prio < 100`
    #[arg(long, value_name = "EXPRESSION", requires = "events")]
    filter: Option<String>,
    #[command(flatten)]
    program: Program,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let command = arguments.program.command()?;
    let mut plan = Plan::new();
    for event in &arguments.events {
        plan = plan.event(event, arguments.filter.as_deref());
    }
    for function in &arguments.functions {
        plan = plan.function(function);
    }
    let listener = Listener::new().map_err(|error| Failure::outside(error.to_string()))?;
    let mut trace = plan.spawn(command).map_err(|error| failed(&error))?;
    loop {
        if listener.next_within(Duration::ZERO) == Some(Heard::Terminate) {
            trace.terminate();
        }
        let Some(record) = trace.next_record().map_err(|error| failed(&error))? else { break };
        show(&record, output);
    }
    let losses = trace.losses();
    if losses.overwritten + losses.dropped > 0 {
        output.note(&format!(
            "{} records were overwritten before they were read, {} could not be taken",
            losses.overwritten, losses.dropped
        ));
    }
    pass_on(trace.status())
}

fn show(record: &Record, output: &Output) {
    if output.is_json {
        output.json_line(&Line { record, fields: record.fields().into_iter().collect() });
        return;
    }
    let Record { comm, tid, cpu, time_ns, content } = record;
    let (seconds, parts) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000 / 1000);
    let head = format!("{seconds}.{parts:06} [{cpu}] {comm}-{tid}");
    match content {
        Content::Event { event, text } => output.line(&format!("{head}: {event}: {text}")),
        Content::Function { function, caller } => {
            output.line(&format!("{head}: {function} <- {caller}"));
        }
        Content::Lost { count } => output.note(&format!("{count} records lost on processor {cpu}")),
        _ => {}
    }
}

/// A record with its fields taken apart.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    fields: std::collections::BTreeMap<&'a str, &'a str>,
}

const EXAMPLES: &str = "\
Examples:
  tidemill trace --function tcp_v4_connect -- curl -s example.org
  tidemill trace --event sched:sched_switch -- sleep 1
  tidemill trace --event sched:sched_switch --filter 'prev_prio < 100' --json -- make";

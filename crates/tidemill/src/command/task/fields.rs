//! The fields of a task as flags, and the request body that they become.

use std::io::{IsTerminal, Read};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::command::Failure;

/// What a task may be given on the command line.
#[derive(Debug, Args)]
pub(super) struct Fields {
    /// Text in Markdown; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Where it stands
    #[arg(long, value_parser = STATUSES)]
    status: Option<String>,
    /// How soon it is needed
    #[arg(long, value_parser = PRIORITIES)]
    priority: Option<String>,
    /// The role that can do it, for `task claim`; an empty one takes it away
    #[arg(long)]
    role: Option<String>,
    /// Who does it; an empty one takes it away
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    /// A label; repeat it for several, which replace all there were
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// The task that this one is a part of; an empty id takes it away
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// A task that has to be done first; repeat it for several, which replace all there were
    #[arg(long = "depends-on", value_name = "ID")]
    depends_on: Vec<String>,
}

impl Fields {
    /// Returns what was given as a JSON object; ids stand there as written.
    pub(super) fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        if let Some(text) = &self.body {
            body.insert("body".to_owned(), text_or_stdin(text)?.into());
        }
        let plain = [("status", &self.status), ("priority", &self.priority)];
        for (name, value) in plain {
            if let Some(value) = value {
                body.insert(name.to_owned(), value.as_str().into());
            }
        }
        let optional =
            [("role", &self.role), ("assignee", &self.assignee), ("parent", &self.parent)];
        for (name, value) in optional {
            if let Some(value) = value {
                let value = if value.is_empty() { Value::Null } else { value.as_str().into() };
                body.insert(name.to_owned(), value);
            }
        }
        for (name, values) in [("labels", &self.labels), ("depends_on", &self.depends_on)] {
            if !values.is_empty() {
                let values: Vec<_> = values.iter().filter(|value| !value.is_empty()).collect();
                body.insert(name.to_owned(), json!(values));
            }
        }
        Ok(body)
    }
}

/// Replaces prefixes of ids in `parent` and `depends_on` by whole ids.
pub(super) async fn lengthen_ids(
    desk: &crate::desk::Desk,
    body: &mut Map<String, Value>,
) -> Result<(), Failure> {
    if let Some(Value::String(parent)) = body.get_mut("parent") {
        *parent = desk.task_id(parent).await?;
    }
    if let Some(Value::Array(ids)) = body.get_mut("depends_on") {
        for id in ids {
            if let Value::String(id) = id {
                *id = desk.task_id(id).await?;
            }
        }
    }
    Ok(())
}

/// Reads a number of items.
pub(in crate::command) fn count(
    range: std::ops::RangeInclusive<i64>,
) -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(range)
}

/// Returns the text, or standard input where it is `-`.
pub(in crate::command) fn text_or_stdin(text: &str) -> Result<String, Failure> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::input("`-` reads from a pipe or a file, and this is a terminal"));
    }
    let mut read = String::new();
    stdin
        .take(STDIN_BYTES_MAX)
        .read_to_string(&mut read)
        .map_err(|error| Failure::outside(format!("cannot read standard input: {error}")))?;
    Ok(read)
}

/// The statuses of a task, in the order of the board.
pub(super) const STATUSES: [&str; 5] = ["todo", "doing", "blocked", "done", "cancelled"];

/// The priorities of a task, least first.
pub(super) const PRIORITIES: [&str; 5] = ["low", "normal", "high", "critical", "emergency"];

/// More than any body may have.
const STDIN_BYTES_MAX: u64 = 2 << 20;

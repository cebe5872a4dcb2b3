//! `tidemill memory`: values that people and agents share under `scope/key`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};
use tidemill_workstream::model::{MemoryEntry, Page};

use super::output::{Tone, cut};
use super::task::{at_desk, count, show_hits, text_or_stdin};
use super::{Common, Failure, Output};
use crate::client::{Ask, segment};
use crate::desk::{Desk, Purpose, query};

/// Shared memory: put, get, list and search values under scope/key
///
/// Works on the workspace that the configuration names, through the node where one serves it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Store a value
    Put {
        /// Where, as scope/key
        #[arg(value_name = "SCOPE/KEY")]
        name: String,
        /// The value; `-` reads it from standard input
        value: String,
        /// What the value is, as a file's ending: md, json, txt [default: as it was, md at first]
        #[arg(long)]
        format: Option<String>,
    },
    /// Print a value
    Get {
        /// Where, as scope/key
        #[arg(value_name = "SCOPE/KEY")]
        name: String,
    },
    /// Show what is there as a table
    List {
        /// Only this scope
        scope: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 1_000, value_parser = count(1..=100_000))]
        limit: u32,
    },
    /// Search values
    Search {
        /// What to look for
        #[arg(required = true, value_name = "QUERY", allow_hyphen_values = true)]
        words: Vec<String>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = count(1..=100))]
        limit: u32,
    },
    /// Remove a value
    Remove {
        /// Where, as scope/key
        #[arg(value_name = "SCOPE/KEY")]
        name: String,
    },
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let purpose = match &arguments.action {
        Action::Put { .. } => Purpose::Write,
        Action::Search { .. } => Purpose::Search,
        _ => Purpose::Read,
    };
    at_desk(common, purpose, async |desk| match &arguments.action {
        Action::Put { name, value, format } => {
            let mut body = json!({ "value": text_or_stdin(value)? });
            if let Some(format) = format {
                body["format"] = format.as_str().into();
            }
            let ask = Ask::new(Method::PUT, path(name)?).with_body(body);
            let entry: Value = desk.ask(&ask).await?;
            if output.is_json {
                output.json(&entry);
            } else {
                output.line(&format!("stored: {name}"));
            }
            Ok(())
        }
        Action::Get { name } => {
            let entry: Value = desk.ask(&Ask::get(path(name)?)).await?;
            if output.is_json {
                output.json(&entry);
            } else {
                output.line(entry["value"].as_str().unwrap_or_default().trim_end_matches('\n'));
            }
            Ok(())
        }
        Action::List { scope, limit } => list(desk, scope.as_deref(), *limit, output).await,
        Action::Search { words, limit } => {
            let pairs =
                [("q", words.join(" ")), ("kind", "memory".into()), ("limit", limit.to_string())];
            let found: Value =
                desk.ask(&Ask::get(format!("/api/v1/search?{}", query(&pairs)))).await?;
            show_hits(&found, output)
        }
        Action::Remove { name } => {
            desk.ask::<Value>(&Ask::new(Method::DELETE, path(name)?)).await?;
            if !output.is_json {
                output.line(&format!("removed {name}"));
            }
            Ok(())
        }
    })
}

async fn list(
    desk: &Desk,
    scope: Option<&str>,
    limit: u32,
    output: &Output,
) -> Result<(), Failure> {
    let mut whole = Page::<MemoryEntry> { items: Vec::new(), next: None };
    loop {
        let left = (limit as usize - whole.items.len()).min(PAGE_ITEMS);
        let mut pairs = vec![("limit", left.to_string())];
        pairs.extend(whole.next.take().map(|next| ("after", next)));
        let base = match scope {
            Some(scope) => format!("/api/v1/memory/{}", segment(scope)),
            None => "/api/v1/memory".to_owned(),
        };
        let page: Page<MemoryEntry> =
            desk.ask(&Ask::get(format!("{base}?{}", query(&pairs)))).await?;
        whole.items.extend(page.items);
        whole.next = page.next;
        if whole.next.is_none() || whole.items.len() >= limit as usize {
            break;
        }
    }
    if output.is_json {
        output.json(&whole);
    } else if whole.items.is_empty() {
        output.note("nothing is stored; `tidemill memory put SCOPE/KEY VALUE` stores something");
    } else {
        output.line(&table(&whole.items, output));
        if whole.next.is_some() {
            output.note(&format!("these are the first {limit}; --limit shows more"));
        }
    }
    Ok(())
}

fn table(entries: &[MemoryEntry], output: &Output) -> String {
    let longest = entries.iter().map(|entry| entry.name().to_string().chars().count()).max();
    let left = output.width.unwrap_or(120).saturating_sub(longest.unwrap_or(0) + 12).max(16);
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            let tone = if entry.conflicts > 0 { Tone::Bad } else { Tone::Plain };
            let value = entry.value.split_whitespace().collect::<Vec<_>>().join(" ");
            vec![
                (tone, entry.name().to_string()),
                (Tone::Plain, entry.format.clone()),
                (Tone::Plain, cut(&value, left)),
            ]
        })
        .collect();
    output.table("", &["NAME", "FORMAT", "VALUE"], &rows)
}

/// Returns the path of a `scope/key`.
fn path(name: &str) -> Result<String, Failure> {
    match name.split_once('/') {
        Some((scope, key)) if !scope.is_empty() && !key.is_empty() => {
            Ok(format!("/api/v1/memory/{}/{}", segment(scope), segment(key)))
        }
        _ => Err(Failure::input(format!("`{name}` is no scope/key, such as project/build"))),
    }
}

const PAGE_ITEMS: usize = 200;

const EXAMPLES: &str = "\
Examples:
  tidemill memory put project/build \"cargo xtask test takes 20 minutes\"
  tidemill memory put project/limits --format json - < limits.json
  tidemill memory get project/build
  tidemill memory search minutes";

//! `tidemill task list` and `task search`.

use clap::Args;
use serde_json::Value;
use tidemill_workstream::model::{Page, SearchHit, Task};

use super::fields::{PRIORITIES, STATUSES, count};
use super::view;
use crate::client::Ask;
use crate::command::output::{Tone, cut};
use crate::command::{Failure, Output};
use crate::desk::{Desk, query};

/// Show tasks as a table
///
/// Without `--status` or `--all` only open ones: todo, doing and blocked. The most urgent come
/// first, then the oldest. A title that begins with `!` has a conflict.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidemill task list --assignee ada --priority high,critical\n  \
                  tidemill task list --all --sort -updated_at --limit 20\n  \
                  tidemill task list --json | jq -r '.items[].title'"
)]
pub(super) struct Arguments {
    /// Only these, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = STATUSES)]
    status: Vec<String>,
    /// Closed ones too
    #[arg(long, conflicts_with = "status")]
    all: bool,
    /// Only these, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = PRIORITIES)]
    priority: Vec<String>,
    /// Only tasks of this one
    #[arg(long, value_name = "NAME")]
    assignee: Option<String>,
    /// Only tasks for this role
    #[arg(long)]
    role: Option<String>,
    /// Only tasks with this label
    #[arg(long)]
    label: Option<String>,
    /// Only parts of this task: id, or a unique prefix of it
    #[arg(long, value_name = "ID")]
    parent: Option<String>,
    /// Only tasks with a conflict to decide
    #[arg(long)]
    conflicts: bool,
    /// The order; `-` before the name turns it round
    #[arg(long, default_value = "-priority", value_parser = SORTS, allow_hyphen_values = true)]
    sort: String,
    /// At most so many
    #[arg(long, default_value_t = 1_000, value_parser = count(1..=100_000))]
    limit: u32,
}

/// Search tasks and shared memory
///
/// All words have to be there. `"a phrase"`, `begin*`, `field:word` (title, body, comment, label,
/// key, status, priority, role, assignee), `-not` and `OR` are understood.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill task search pool buffer\n  \
                  tidemill task search 'label:memory \"per worker\" -numa'")]
pub(super) struct SearchArguments {
    /// What to look for
    #[arg(required = true, value_name = "QUERY", allow_hyphen_values = true)]
    words: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = count(1..=100))]
    limit: u32,
}

pub(super) async fn run(
    desk: &Desk,
    arguments: &Arguments,
    output: &Output,
) -> Result<(), Failure> {
    let mut pairs = vec![("sort", arguments.sort.clone())];
    if !arguments.status.is_empty() {
        pairs.push(("status", arguments.status.join(",")));
    } else if !arguments.all {
        pairs.push(("status", "todo,doing,blocked".to_owned()));
    }
    if !arguments.priority.is_empty() {
        pairs.push(("priority", arguments.priority.join(",")));
    }
    let optional =
        [("assignee", &arguments.assignee), ("role", &arguments.role), ("label", &arguments.label)];
    for (name, value) in optional {
        pairs.extend(value.clone().map(|value| (name, value)));
    }
    if let Some(parent) = &arguments.parent {
        pairs.push(("parent", desk.task_id(parent).await?));
    }
    if arguments.conflicts {
        pairs.push(("conflicts", "true".to_owned()));
    }
    let page = pages(desk, &pairs, arguments.limit as usize).await?;
    if output.is_json {
        output.json(&page);
    } else if page.items.is_empty() {
        output.note("no task fits; `tidemill task add` makes one, `--all` shows closed ones too");
    } else {
        output.line(&view::table(&page.items, output));
        if page.next.is_some() {
            let limit = arguments.limit;
            output.note(&format!("these are the first {limit}; --limit shows more"));
        }
    }
    Ok(())
}

pub(super) async fn search(
    desk: &Desk,
    arguments: &SearchArguments,
    output: &Output,
) -> Result<(), Failure> {
    let pairs = [("q", arguments.words.join(" ")), ("limit", arguments.limit.to_string())];
    let found: Value = desk.ask(&Ask::get(format!("/api/v1/search?{}", query(&pairs)))).await?;
    show_hits(&found, output)
}

/// Prints what a search found.
pub(in crate::command) fn show_hits(found: &Value, output: &Output) -> Result<(), Failure> {
    if output.is_json {
        output.json(found);
        return Ok(());
    }
    let hits: Page<SearchHit> = serde_json::from_value(found.clone()).map_err(|error| {
        Failure::outside(format!("the answer is not what this version expects: {error}"))
    })?;
    if hits.items.is_empty() {
        output.note("nothing fits");
        return Ok(());
    }
    let mut lines = Vec::new();
    for hit in &hits.items {
        let id = hit.task.map_or_else(|| "memory".to_owned(), |id| id.to_string());
        lines.push(format!("{}  {}", output.paint(Tone::Head, &id), hit.title));
        let snippet = plain(&hit.snippet_html);
        if !snippet.is_empty() {
            let width = output.width.unwrap_or(usize::MAX).saturating_sub(4);
            lines.push(format!("    {}", cut(&snippet, width)));
        }
    }
    output.line(&lines.join("\n"));
    Ok(())
}

/// Asks for pages until there are `limit` tasks or no more.
async fn pages(desk: &Desk, pairs: &[(&str, String)], limit: usize) -> Result<Page<Task>, Failure> {
    let mut whole = Page { items: Vec::new(), next: None };
    loop {
        let left = (limit - whole.items.len()).min(PAGE_ITEMS);
        let mut pairs = pairs.to_vec();
        pairs.push(("limit", left.to_string()));
        pairs.extend(whole.next.take().map(|next| ("after", next)));
        let path = format!("/api/v1/tasks?{}", query(&pairs));
        let page: Page<Task> = desk.ask(&Ask::get(path)).await?;
        whole.items.extend(page.items);
        whole.next = page.next;
        if whole.next.is_none() || whole.items.len() >= limit {
            return Ok(whole);
        }
    }
}

/// Returns a snippet without its markup, on one line.
fn plain(html: &str) -> String {
    let text = html.replace("<b>", "").replace("</b>", "");
    let text = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text, |text, (escaped, plain)| text.replace(escaped, plain));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const SORTS: [&str; 10] = [
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
    "priority",
    "-priority",
    "status",
    "-status",
    "title",
    "-title",
];

/// Tasks asked for at a time.
const PAGE_ITEMS: usize = 500;

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_snippet_becomes_text() {
        assert_eq!(plain("a <b>pool</b>\n &lt;b&gt; &amp;amp;"), "a pool <b> &amp;");
    }
}

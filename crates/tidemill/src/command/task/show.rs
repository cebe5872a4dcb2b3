//! `tidemill task show`, `task log` and `task resolve`.

use clap::Args;
use serde_json::{Value, json};
use tidemill_workstream::model::{Comment, Conflict, HistoryEntry, Page, Task};

use super::view::{self, read_task};
use crate::client::Ask;
use crate::command::output::{Tone, cut};
use crate::command::{Failure, Output};
use crate::desk::Desk;

/// Show a task with its comments and conflicts
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Id, or a unique prefix of it
    id: String,
}

/// Decide a conflict: one of the values that were written at the same time stays
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill task resolve 01JD4K title --take 2\n  \
                  tidemill task resolve 01JD4K title --keep")]
pub(super) struct ResolveArguments {
    /// Id, or a unique prefix of it
    id: String,
    /// The field, as `task show` names it
    field: String,
    /// Take the value with this number in `task show`
    #[arg(long, value_name = "NUMBER", required_unless_present = "keep")]
    take: Option<usize>,
    /// Keep what stands now
    #[arg(long, conflicts_with = "take")]
    keep: bool,
}

pub(super) async fn run(
    desk: &Desk,
    arguments: &Arguments,
    output: &Output,
) -> Result<(), Failure> {
    let id = desk.task_id(&arguments.id).await?;
    let mut value: Value = desk.ask(&Ask::get(format!("/api/v1/tasks/{id}"))).await?;
    let task = read_task(&value)?;
    let conflicts = conflicts(desk, &id).await?;
    let comments: Page<Comment> =
        desk.ask(&Ask::get(format!("/api/v1/tasks/{id}/comments?limit=200"))).await?;
    if output.is_json {
        value["conflict_list"] = json!(conflicts);
        value["comment_list"] = json!(comments.items);
        output.json(&value);
        return Ok(());
    }
    let mut lines = head(&task, output);
    if !task.body.is_empty() {
        lines.extend([String::new(), task.body.trim_end().to_owned()]);
    }
    for conflict in &conflicts {
        lines.push(String::new());
        let text = format!("conflict in {}: written at the same time", conflict.field);
        lines.push(output.paint(Tone::Bad, &text));
        lines.push(format!("  now  {}", short_value(&conflict.current)));
        for (index, value) in conflict.values.iter().enumerate() {
            let shown = short_value(&value.value);
            let who = format!("{}, {}", value.author, view::time(value.at));
            lines.push(format!("  {:>3}  {shown}  ({who})", index + 1));
        }
    }
    for comment in &comments.items {
        let text = format!("{}, {}", comment.author, view::time(comment.at));
        lines.extend([String::new(), output.paint(Tone::Head, &text)]);
        lines.push(comment.text.trim_end().to_owned());
    }
    output.line(&lines.join("\n"));
    Ok(())
}

pub(super) async fn log(desk: &Desk, id: &str, output: &Output) -> Result<(), Failure> {
    let id = desk.task_id(id).await?;
    let mut after = None;
    let mut entries: Vec<HistoryEntry> = Vec::new();
    loop {
        let cursor = after.map(|after: String| format!("&after={after}")).unwrap_or_default();
        let path = format!("/api/v1/tasks/{id}/history?limit=200{cursor}");
        let page: Page<HistoryEntry> = desk.ask(&Ask::get(path)).await?;
        entries.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if output.is_json {
        output.json(&json!({ "items": entries, "next": null }));
        return Ok(());
    }
    entries.reverse();
    let mut lines = Vec::new();
    for entry in &entries {
        let what = serde_json::to_value(entry.action).unwrap_or_default();
        let what = what.as_str().unwrap_or_default().to_owned();
        let who = format!("{}  {} {what}", view::time(entry.at), entry.author);
        lines.push(output.paint(Tone::Head, &who));
        for change in &entry.changes {
            lines.push(format!("    {}: {}", change.field, short_value(&change.to)));
        }
    }
    output.line(&lines.join("\n"));
    Ok(())
}

pub(super) async fn resolve(
    desk: &Desk,
    arguments: &ResolveArguments,
    output: &Output,
) -> Result<(), Failure> {
    let id = desk.task_id(&arguments.id).await?;
    let conflicts = conflicts(desk, &id).await?;
    let field = arguments.field.as_str();
    let Some(conflict) = conflicts.iter().find(|conflict| conflict.field.word() == field) else {
        let fields: Vec<_> = conflicts.iter().map(|conflict| conflict.field.word()).collect();
        let there = if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
        return Err(Failure::input(format!("{field} has no conflict; fields with one: {there}")));
    };
    let body = match arguments.take {
        None => json!({ "field": field, "keep": true }),
        Some(number) => match number.checked_sub(1).and_then(|at| conflict.values.get(at)) {
            Some(value) => json!({ "field": field, "take": value.id }),
            None => {
                let count = conflict.values.len();
                return Err(Failure::input(format!("there are the values 1 to {count}")));
            }
        },
    };
    let path = format!("/api/v1/tasks/{id}/conflicts/resolve");
    let task: Value = desk.ask(&Ask::post(path, body)).await?;
    super::tell(&task, "decided", output)
}

async fn conflicts(desk: &Desk, id: &str) -> Result<Vec<Conflict>, Failure> {
    let path = format!("/api/v1/tasks/{id}/conflicts");
    let page: Page<Conflict> = desk.ask(&Ask::get(path)).await?;
    Ok(page.items)
}

/// Returns the fields of a task, one on each line; what it does not have is left out.
fn head(task: &Task, output: &Output) -> Vec<String> {
    let ids = |ids: &[tidemill_workstream::model::TaskId]| {
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let paint = |(tone, text): (Tone, String)| output.paint(tone, &text);
    let lease = task.lease.as_ref();
    let rows = [
        ("id", task.id.to_string()),
        ("status", paint(view::status(task.status))),
        ("priority", paint(view::priority(task.priority))),
        ("role", task.role.clone().unwrap_or_default()),
        ("assignee", task.assignee.clone().unwrap_or_default()),
        (
            "claimed",
            lease
                .map(|lease| format!("by {} until {}", lease.holder, view::time(lease.until)))
                .unwrap_or_default(),
        ),
        ("labels", task.labels.join(", ")),
        ("parent", task.parent.map(|id| id.to_string()).unwrap_or_default()),
        ("depends on", ids(&task.depends_on)),
        ("created", view::time(task.created_at)),
        ("updated", view::time(task.updated_at)),
    ];
    let mut lines = vec![output.paint(Tone::Head, &task.title)];
    let there = rows.iter().filter(|(_, value)| !value.is_empty());
    lines.extend(there.map(|(name, value)| format!("  {name:<10}  {value}")));
    if task.is_revived {
        let text = "it was removed while somebody changed it, and so is still here";
        lines.push(output.paint(Tone::Bad, text));
    }
    lines
}

/// Returns a value on one line.
fn short_value(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    cut(&text, VALUE_CHARS_MAX)
}

const VALUE_CHARS_MAX: usize = 120;

//! How tasks look in a terminal.

use serde::Deserialize as _;
use serde_json::Value;
use tidemill_workstream::model::{Priority, Status, Task, Timestamp};

use crate::command::Failure;
use crate::command::output::{Output, Tone, cut};

/// Reads a task of the API.
pub(super) fn read_task(value: &Value) -> Result<Task, Failure> {
    Task::deserialize(value).map_err(|error| {
        Failure::outside(format!("the answer is not what this version expects: {error}"))
    })
}

/// Returns the beginnings of ids that tell these tasks apart, [`SHORT_CHARS_MIN`] at least.
///
/// Ten characters are the time in milliseconds, so only tasks made in one burst need more.
pub(super) fn short_ids(tasks: &[Task]) -> Vec<String> {
    let mut sorted: Vec<_> = tasks.iter().map(|task| task.id.to_string()).collect();
    sorted.sort_unstable();
    let shared = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let pairs = sorted.windows(2).map(|pair| shared(&pair[0], &pair[1]) + 1);
    let chars = pairs.max().unwrap_or(0).max(SHORT_CHARS_MIN);
    tasks.iter().map(|task| cut_id(&task.id.to_string(), chars)).collect()
}

/// Returns the beginning of an id for a message.
pub(super) fn short_id(task: &Task) -> String {
    cut_id(&task.id.to_string(), SHORT_CHARS_MIN)
}

/// Returns tasks as a table that fits the terminal; the title takes the width that is left.
pub(super) fn table(tasks: &[Task], output: &Output) -> String {
    let ids = short_ids(tasks);
    let has_assignee = tasks.iter().any(|task| task.assignee.is_some());
    let has_labels = tasks.iter().any(|task| !task.labels.is_empty());
    let mut heads = vec!["ID", "PRIORITY", "STATUS"];
    if has_assignee {
        heads.push("ASSIGNEE");
    }
    if has_labels {
        heads.push("LABELS");
    }
    heads.push("TITLE");
    let plain = |text: String| (Tone::Plain, text);
    let mut rows: Vec<_> = tasks
        .iter()
        .zip(ids)
        .map(|(task, id)| {
            let mut row = vec![plain(id), priority(task.priority), status(task.status)];
            if has_assignee {
                row.push(plain(cut(task.assignee.as_deref().unwrap_or_default(), 16)));
            }
            if has_labels {
                row.push(plain(cut(&task.labels.join(","), 24)));
            }
            row.push(plain(title(task)));
            row
        })
        .collect();
    if let Some(width) = output.width {
        fit_last(&heads, &mut rows, width);
    }
    output.table("", &heads, &rows)
}

/// Shortens the last column so that lines have at most `width` characters, but not below 16.
fn fit_last(heads: &[&str], rows: &mut [Vec<(Tone, String)>], width: usize) {
    let last = heads.len() - 1;
    let taken: usize = (0..last)
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].1.chars().count());
            cells.chain([heads[column].len()]).max().unwrap_or(0) + 2
        })
        .sum();
    let left = width.saturating_sub(taken).max(16);
    for row in rows {
        row[last].1 = cut(&row[last].1, left);
    }
}

pub(super) fn status(status: Status) -> (Tone, String) {
    let tone = match status {
        Status::Doing => Tone::Good,
        Status::Blocked => Tone::Warning,
        _ => Tone::Plain,
    };
    (tone, status.to_string())
}

pub(super) fn priority(priority: Priority) -> (Tone, String) {
    let tone = match priority {
        Priority::Low | Priority::Normal => Tone::Plain,
        Priority::High => Tone::Warning,
        Priority::Critical | Priority::Emergency => Tone::Bad,
    };
    (tone, priority.to_string())
}

/// Returns a point in time to the second, as people read it.
pub(super) fn time(at: Timestamp) -> String {
    at.to_string().chars().take(19).collect::<String>().replace('T', " ") + " UTC"
}

fn title(task: &Task) -> String {
    let mark = if task.conflicts > 0 || task.is_revived { "! " } else { "" };
    format!("{mark}{}", task.title)
}

fn cut_id(id: &str, chars: usize) -> String {
    id.chars().take(chars).collect()
}

const SHORT_CHARS_MIN: usize = 10;

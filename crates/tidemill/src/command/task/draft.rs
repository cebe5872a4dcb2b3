//! A task as the text that a person edits: TOML front matter between `+++`, then the body.
//!
//! ```text
//! +++
//! title = "Pool buffers per worker"
//! status = "todo"
//! +++
//!
//! Markdown …
//! ```
//!
//! [`write()`] and [`changes`] are inverse: what is written and read again unchanged is no change.
//! Never touches a file or a process.

use serde_json::{Map, Value, json};
use tidemill_workstream::model::Task;
use toml::Table;

/// Returns the text of a task.
pub(super) fn write(task: &Task) -> String {
    let ids = |ids: &[tidemill_workstream::model::TaskId]| {
        let ids: Vec<_> = ids.iter().map(|id| quoted(&id.to_string())).collect();
        format!("[{}]", ids.join(", "))
    };
    let labels: Vec<_> = task.labels.iter().map(|label| quoted(label)).collect();
    let lines = [
        format!("title = {}", quoted(&task.title)),
        format!("status = {}  # todo, doing, blocked, done, cancelled", quoted(task.status.word())),
        format!(
            "priority = {}  # low, normal, high, critical, emergency",
            quoted(task.priority.word())
        ),
        format!("role = {}", quoted(task.role.as_deref().unwrap_or_default())),
        format!("assignee = {}", quoted(task.assignee.as_deref().unwrap_or_default())),
        format!("labels = [{}]", labels.join(", ")),
        format!("parent = {}", quoted(&task.parent.map(|id| id.to_string()).unwrap_or_default())),
        format!("depends_on = {}", ids(&task.depends_on)),
    ];
    format!("{FENCE}\n{}\n{FENCE}\n\n{}", lines.join("\n"), task.body)
}

/// Returns what an edited text changes of the task that was written, as a request's body.
///
/// # Errors
///
/// What is wrong with the text, as a sentence without a full stop.
pub(super) fn changes(task: &Task, text: &str) -> Result<Map<String, Value>, String> {
    let was = parse(&write(task))?;
    let is = parse(text)?;
    Ok(is.into_iter().filter(|(name, value)| was.get(name) != Some(value)).collect())
}

/// Reads a text; every field that is there, by the names of the API.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.replace("\r\n", "\n");
    let rest = text
        .strip_prefix(FENCE)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or_else(|| format!("the first line has to be {FENCE}"))?;
    let fence = format!("{FENCE}\n");
    let (front, body) = match rest.strip_prefix(&fence) {
        Some(body) => ("", body),
        None => rest
            .split_once(&format!("\n{fence}"))
            .or_else(|| Some((rest.strip_suffix(&format!("\n{FENCE}"))?, "")))
            .ok_or_else(|| format!("a second line {FENCE} has to end the fields"))?,
    };
    let table: Table = front
        .parse()
        .map_err(|error: toml::de::Error| format!("the fields are no TOML: {}", error.message()))?;
    let mut fields = Map::new();
    for (name, value) in &table {
        fields.insert(name.clone(), field(name, value)?);
    }
    let body = body.strip_prefix('\n').unwrap_or(body);
    fields.insert("body".to_owned(), body.into());
    Ok(fields)
}

fn field(name: &str, value: &toml::Value) -> Result<Value, String> {
    match (name, value) {
        ("title" | "status" | "priority", toml::Value::String(text)) => Ok(json!(text)),
        ("role" | "assignee" | "parent", toml::Value::String(text)) => {
            Ok(if text.is_empty() { Value::Null } else { json!(text) })
        }
        ("labels" | "depends_on", toml::Value::Array(values)) => {
            let texts: Option<Vec<_>> = values.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| json!(texts)).ok_or_else(|| format!("{name} holds strings only"))
        }
        ("labels" | "depends_on", _) => Err(format!("{name} is an array of strings")),
        ("title" | "status" | "priority" | "role" | "assignee" | "parent", _) => {
            Err(format!("{name} is a string"))
        }
        _ => Err(format!(
            "`{name}` is no field; there are title, status, priority, role, assignee, labels, \
             parent and depends_on"
        )),
    }
}

/// Returns a text as a TOML string; of texts without control characters JSON's form is one.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

const FENCE: &str = "+++";

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        serde_json::from_value(json!({
            "id": "01ARYZ6S410000000000000000", "title": "a \"title\"", "body": "one\n\n+++\ntwo\n",
            "status": "todo", "priority": "high", "role": null, "assignee": "ada",
            "labels": ["a", "b"], "parent": null, "depends_on": [], "lease": null,
            "created_at": "2026-11-21T09:30:00Z", "updated_at": "2026-11-21T09:30:00Z",
            "version": 3, "comments": 0, "conflicts": 0, "is_revived": false,
        }))
        .expect("a task")
    }

    #[track_caller]
    fn check(from: &str, to: &str, want: Value) {
        let text = write(&task());
        assert!(text.contains(from), "{text}");
        let changes = changes(&task(), &text.replacen(from, to, 1));
        assert_eq!(changes.map(Value::Object), Ok(want));
    }

    #[test]
    fn only_what_was_edited_is_a_change() {
        check("", "", json!({}));
        check("\n", "\r\n", json!({}));
        check("a \\\"title\\\"", "other", json!({ "title": "other" }));
        check("\"ada\"", "\"\"", json!({ "assignee": null }));
        check("[\"a\", \"b\"]", "[\"b\"]", json!({ "labels": ["b"] }));
        check("two\n", "three\n", json!({ "body": "one\n\n+++\nthree\n" }));
        check("role = \"\"\n", "", json!({}));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let wrong = |from: &str, to: &str| {
            let text = write(&task()).replacen(from, to, 1);
            changes(&task(), &text).expect_err("it is wrong")
        };
        assert!(wrong("+++\n", "").contains("first line"));
        assert!(wrong("title =", "titel =").contains("`titel` is no field"));
        assert!(wrong("\"todo\"", "5").contains("status is a string"));
        assert!(wrong("[\"a\", \"b\"]", "[1]").contains("strings only"));
        assert!(wrong("title = ", "title ").contains("no TOML"));
    }
}

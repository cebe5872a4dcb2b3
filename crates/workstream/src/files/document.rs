//! A task as a Markdown file: what it says, and the least change that makes it say something else.
//!
//! ```text
//! +++                                   or --- for YAML
//! id = "01JD4KQ0V3M6W0Z7N6X2J8H4RT"
//! title = "Turn the mill"               # comments, unknown keys and order stay
//! status = "doing"
//! +++
//!
//! The body, Markdown.
//! ```
//!
//! Invariants: [`Document::with`] of what a document says already is the document, byte for byte;
//! of something else it changes the bytes of the values that differ and nothing beside them.
//! Inside, a text has `\n`; in the file the line ends and the mark of byte order are as they were.
//! A body ends with a line end in the file whether or not it does in the store. A text without
//! front matter is a body; its title is the first heading, or the file's name.
//!
//! Never reads a file.

use std::borrow::Cow;

use super::front::{Entry, Front, Key, Syntax, Value};
use crate::model::{NewTask, Priority, Status, Task, TaskId, TaskPatch};

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Document {
    text: String,
    front: Option<Front>,
    /// Where the body's part begins, the empty line before it included.
    body_at: usize,
    values: Values,
    body: String,
}

/// What the front matter says; what it does not say is at its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    /// The identity.
    pub id: Option<TaskId>,
    /// The title.
    pub title: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// How urgent it is.
    pub priority: Priority,
    /// The role that may claim it.
    pub role: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// The task it is a part of.
    pub parent: Option<TaskId>,
    /// The tasks that come first, sorted.
    pub depends_on: Vec<TaskId>,
}

/// Why a text cannot be read: half written, or wrong. What was read before stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct Torn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
}

impl Torn {
    pub(super) fn at(text: &str, offset: usize, what: String) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column, what }
    }
}

impl Document {
    /// Reads a file's bytes.
    ///
    /// # Errors
    ///
    /// When they are empty, no UTF-8, or the front matter is not closed or not understood.
    pub fn read(bytes: &[u8]) -> Result<Self, Torn> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            Torn::at(&before, before.len(), "is not UTF-8".to_owned())
        })?;
        let start = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        if text[start..].trim().is_empty() {
            return Err(Torn::at(text, 0, "is empty".to_owned()));
        }
        let (front, body_at) = match Front::read(text, start)? {
            Some((front, body_at)) => (Some(front), body_at),
            None => (None, start),
        };
        let values = match &front {
            Some(front) => read_values(text, front)?,
            None => Values::default(),
        };
        let mut body = &text[body_at..];
        if front.is_some() {
            body = body.strip_prefix("\r\n").or_else(|| body.strip_prefix('\n')).unwrap_or(body);
        }
        let body = body.replace("\r\n", "\n");
        Ok(Self { text: text.to_owned(), front, body_at, values, body })
    }

    /// Makes the file of a task that has none.
    pub fn new(task: &Task) -> Self {
        let mut text = "+++\n".to_owned();
        for (key, value) in entries(&Values::of(task)) {
            if !value.is_empty() && !is_default(key, &value) {
                text.push_str(&Syntax::Toml.line(key, &value));
                text.push('\n');
            }
        }
        text.push_str("+++\n");
        if !task.body.is_empty() {
            text.push('\n');
            text.push_str(&body_in_file(&task.body));
        }
        Self::read(text.as_bytes()).expect("what was just written can be read")
    }

    /// Returns the file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns what the front matter says.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Returns the body with `\n` at its line ends.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns the title: as written, else the first heading, else made of the file's name.
    pub fn title(&self, file_name: &str) -> String {
        if let Some(title) = &self.values.title {
            return title.clone();
        }
        let heading = self.body.lines().find_map(|line| line.strip_prefix("# "));
        match heading.map(str::trim).filter(|heading| !heading.is_empty()) {
            Some(heading) => heading.to_owned(),
            None => {
                let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
                stem.replace(['-', '_'], " ").trim().to_owned()
            }
        }
    }

    /// Returns the document that says what the task is.
    #[must_use]
    pub fn with(&self, task: &Task) -> Self {
        let wanted = Values::of(task);
        let body = body_in_file(&task.body);
        let is_body_same = self.body == body;
        if self.values == wanted && is_body_same {
            return self.clone();
        }
        let line_end = if self.has_crlf() { "\r\n" } else { "\n" };
        let mut text = self.text.clone();
        if !is_body_same {
            text.truncate(self.body_at);
            if !text.is_empty() && !text.ends_with('\n') && self.front.is_some() {
                text.push_str(line_end);
            }
            if self.front.is_some() && !body.is_empty() {
                text.push_str(line_end);
            }
            text.push_str(&body.replace('\n', line_end));
        }
        let text = match &self.front {
            Some(front) => with_values(text, front, &self.values, &wanted, line_end),
            None => with_front(&text, self.body_at, &wanted, line_end),
        };
        Self::read(text.as_bytes()).expect("a change of what can be read can be read")
    }

    /// Returns what the file asks of the task `current`, given what it said before.
    pub fn patch(&self, before: Option<&Self>, current: &Task, file_name: &str) -> TaskPatch {
        let values = &self.values;
        let cut = |body: &str| {
            let is_end_added = !current.body.is_empty() && !current.body.ends_with('\n');
            let cut = if is_end_added { body.strip_suffix('\n') } else { None };
            cut.unwrap_or(body).to_owned()
        };
        let is_body_same = match before {
            Some(before) => before.body == self.body,
            None => body_in_file(&current.body) == self.body,
        };
        let base = before.map(|before| {
            let said = &before.values;
            Box::new(Task {
                title: before.title(file_name),
                body: cut(&before.body),
                status: said.status,
                priority: said.priority,
                role: said.role.clone(),
                assignee: said.assignee.clone(),
                labels: said.labels.clone(),
                parent: said.parent,
                depends_on: said.depends_on.clone(),
                ..current.clone()
            })
        });
        TaskPatch {
            title: Some(self.title(file_name)),
            body: (!is_body_same).then(|| cut(&self.body)),
            status: Some(values.status),
            priority: Some(values.priority),
            role: Some(values.role.clone()),
            assignee: Some(values.assignee.clone()),
            parent: Some(values.parent),
            labels: Some(values.labels.clone()),
            depends_on: Some(values.depends_on.clone()),
            base,
            ..TaskPatch::default()
        }
    }

    /// Returns the task that the file describes.
    pub fn new_task(&self, file_name: &str) -> NewTask {
        let values = self.values.clone();
        NewTask {
            id: values.id,
            title: self.title(file_name),
            body: self.body.clone(),
            status: values.status,
            priority: values.priority,
            role: values.role,
            assignee: values.assignee,
            labels: values.labels,
            parent: values.parent,
            depends_on: values.depends_on,
        }
    }

    fn has_crlf(&self) -> bool {
        self.text.find('\n').is_some_and(|at| self.text[..at].ends_with('\r'))
    }
}

impl Values {
    /// Returns what a file of the task says.
    pub fn of(task: &Task) -> Self {
        Self {
            id: Some(task.id),
            title: Some(task.title.clone()),
            status: task.status,
            priority: task.priority,
            role: task.role.clone(),
            assignee: task.assignee.clone(),
            labels: task.labels.clone(),
            parent: task.parent,
            depends_on: task.depends_on.clone(),
        }
    }
}

/// Returns a text as it stands in a file with `\n`: with an end of its last line.
pub(super) fn body_in_file(body: &str) -> Cow<'_, str> {
    let is_plain = !body.contains("\r\n") && (body.is_empty() || body.ends_with('\n'));
    if is_plain {
        return Cow::Borrowed(body);
    }
    let mut text = body.replace("\r\n", "\n");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Cow::Owned(text)
}

fn with_values(
    mut text: String,
    front: &Front,
    said: &Values,
    wanted: &Values,
    line_end: &str,
) -> String {
    let mut changes = Vec::new();
    let mut new_lines = String::new();
    let mut new_at = None;
    for ((key, said), (_, wanted)) in entries(said).into_iter().zip(entries(wanted)) {
        if said == wanted {
            continue;
        }
        match front.entry(key) {
            Some(Entry { span, needs_space, .. }) => {
                let space = if *needs_space { " " } else { "" };
                changes.push((span.clone(), format!("{space}{}", front.syntax.format(&wanted))));
            }
            None => {
                let line = format!("{}{line_end}", front.syntax.line(key, &wanted));
                let place = front.place_of_new(&text, key);
                if key == Key::Id && place == front.inner.start && !front.entries.is_empty() {
                    changes.push((place..place, line));
                } else {
                    new_lines.push_str(&line);
                    new_at = Some(place);
                }
            }
        }
    }
    if let Some(place) = new_at {
        changes.push((place..place, new_lines));
    }
    changes.sort_by_key(|(span, _)| span.start);
    for (span, new) in changes.into_iter().rev() {
        text.replace_range(span, &new);
    }
    text
}

/// Puts a front matter before a text that has none.
fn with_front(text: &str, start: usize, wanted: &Values, line_end: &str) -> String {
    let mut front = format!("{}+++{line_end}", &text[..start]);
    for (key, value) in entries(wanted) {
        if !value.is_empty() && !is_default(key, &value) {
            front.push_str(&Syntax::Toml.line(key, &value));
            front.push_str(line_end);
        }
    }
    front.push_str("+++");
    front.push_str(line_end);
    if text.len() > start {
        front.push_str(line_end);
    }
    front.push_str(&text[start..]);
    front
}

fn read_values(text: &str, front: &Front) -> Result<Values, Torn> {
    let mut values = Values::default();
    for Entry { key, value, span, .. } in &front.entries {
        if value.is_empty() {
            continue;
        }
        let wrong = |why: &dyn std::fmt::Display| {
            Torn::at(text, span.start, format!("{}: {why}", key.word()))
        };
        let id = |text: &str| text.parse::<TaskId>().map_err(|error| wrong(&error));
        match (key, value) {
            (Key::Id, Value::Text(text)) => values.id = Some(id(text)?),
            (Key::Title, Value::Text(text)) => values.title = Some(text.clone()),
            (Key::Status, Value::Text(text)) => {
                values.status = text.parse().map_err(|error| wrong(&error))?;
            }
            (Key::Priority, Value::Text(text)) => {
                values.priority = text.parse().map_err(|error| wrong(&error))?;
            }
            (Key::Role, Value::Text(text)) => values.role = Some(text.clone()),
            (Key::Assignee, Value::Text(text)) => values.assignee = Some(text.clone()),
            (Key::Labels, Value::List(items)) => values.labels.clone_from(items),
            (Key::Parent, Value::Text(text)) => values.parent = Some(id(text)?),
            (Key::DependsOn, Value::List(items)) => {
                values.depends_on = items.iter().map(|item| id(item)).collect::<Result<_, _>>()?;
            }
            _ => return Err(wrong(&"is of another kind")),
        }
    }
    values.labels.sort_unstable();
    values.labels.dedup();
    values.depends_on.sort_unstable();
    values.depends_on.dedup();
    Ok(values)
}

/// Returns the values by key, in the order of a new file.
fn entries(values: &Values) -> Vec<(Key, Value)> {
    let optional = |text: &Option<String>| Value::Text(text.clone().unwrap_or_default());
    let id = |id: Option<TaskId>| Value::Text(id.map(|id| id.to_string()).unwrap_or_default());
    vec![
        (Key::Id, id(values.id)),
        (Key::Title, optional(&values.title)),
        (Key::Status, Value::Text(values.status.to_string())),
        (Key::Priority, Value::Text(values.priority.to_string())),
        (Key::Role, optional(&values.role)),
        (Key::Assignee, optional(&values.assignee)),
        (Key::Labels, Value::List(values.labels.clone())),
        (Key::Parent, id(values.parent)),
        (Key::DependsOn, Value::List(values.depends_on.iter().map(TaskId::to_string).collect())),
    ]
}

/// Returns true for what a new file does not say.
fn is_default(key: Key, value: &Value) -> bool {
    key == Key::Priority && *value == Value::Text(Priority::default().to_string())
}

const BYTE_ORDER_MARK: char = '\u{feff}';

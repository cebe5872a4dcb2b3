//! A task: its fields to edit, its conflicts to decide, comments and history.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tidemill_workstream::model::{
    Comment, Conflict, Field, HistoryEntry, OperationId, PageRequest, Priority, Resolution, Status,
    Subject, Task, TaskId, TaskPatch,
};
use tidemill_workstream::{Error, Workstream};

use super::{Tab, failure, priority_options, refusal, shell, status_options, time, unserved};
use crate::http::Api;
use crate::http::extract::Segments;

/// A task as its form sends it; lists are words between spaces or commas.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct TaskForm {
    version: u64,
    title: String,
    #[serde(default)]
    body: String,
    status: Status,
    priority: Priority,
    #[serde(default)]
    role: String,
    #[serde(default)]
    assignee: String,
    #[serde(default)]
    labels: String,
    #[serde(default)]
    parent: String,
    #[serde(default)]
    depends_on: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct CommentForm {
    text: String,
}

/// The value to take, or none to keep what stands.
#[derive(Debug, Deserialize)]
pub(super) struct ResolveForm {
    field: String,
    take: Option<OperationId>,
}

/// Everything that the page of a task shows.
struct View {
    task: Task,
    comments: Vec<Comment>,
    conflicts: Vec<Conflict>,
    history: Vec<HistoryEntry>,
}

/// What the form says besides the task's own values.
struct Draft<'a> {
    form: TaskForm,
    notice: Option<&'a str>,
}

pub(super) async fn page(State(api): State<Arc<Api>>, Segments(id): Segments<TaskId>) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    show(workstream, id, StatusCode::OK, None).await
}

pub(super) async fn save(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<TaskId>,
    form: Result<Form<TaskForm>, FormRejection>,
) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    let Form(form) = match form {
        Ok(form) => form,
        Err(error) => return failure(StatusCode::UNPROCESSABLE_ENTITY, &error.body_text()),
    };
    let saved = match form.patch() {
        Ok(patch) => workstream.patch(&api.person, id, patch, Some(form.version)).await,
        Err(why) => {
            let draft = Draft { form, notice: Some(&why) };
            return show(workstream, id, StatusCode::UNPROCESSABLE_ENTITY, Some(draft)).await;
        }
    };
    let Err(error) = saved else { return show(workstream, id, StatusCode::OK, None).await };
    let status = super::super::workspace::refusal(&error).status();
    let why = match status {
        StatusCode::PRECONDITION_FAILED => overtaken(workstream, id, &form).await,
        _ => error.to_string(),
    };
    let draft = Draft { form, notice: Some(&why) };
    show(workstream, id, status, Some(draft)).await
}

pub(super) async fn comment(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<TaskId>,
    form: Result<Form<CommentForm>, FormRejection>,
) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    let Form(form) = match form {
        Ok(form) => form,
        Err(error) => return failure(StatusCode::UNPROCESSABLE_ENTITY, &error.body_text()),
    };
    match workstream.comment(&api.person, id, form.text.trim_end()).await {
        Ok(_) => show(workstream, id, StatusCode::OK, None).await,
        Err(error) => refusal(&error),
    }
}

pub(super) async fn resolve(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<TaskId>,
    form: Result<Form<ResolveForm>, FormRejection>,
) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    let Form(form) = match form {
        Ok(form) => form,
        Err(error) => return failure(StatusCode::UNPROCESSABLE_ENTITY, &error.body_text()),
    };
    let Ok(field) = form.field.parse::<Field>() else {
        return failure(StatusCode::UNPROCESSABLE_ENTITY, "this field is not known");
    };
    let resolution = form.take.map_or(Resolution::KeepCurrent, Resolution::Take);
    match workstream.resolve(&api.person, &Subject::Task(id), field, resolution).await {
        Ok(()) => show(workstream, id, StatusCode::OK, None).await,
        Err(error) => refusal(&error),
    }
}

pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<TaskId>,
) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    match workstream.delete(&api.person, id, None).await {
        Ok(()) => (StatusCode::NO_CONTENT, [("hx-redirect", "/")]).into_response(),
        Err(error) => refusal(&error),
    }
}

/// Says what stands now where the form has something else.
async fn overtaken(workstream: &Workstream, id: TaskId, form: &TaskForm) -> String {
    let Ok(now) = workstream.get(id).await else {
        return "Somebody removed this task while you edited it.".to_owned();
    };
    let theirs = TaskForm::of(&now);
    let fields = [
        ("title", &theirs.title, &form.title),
        ("role", &theirs.role, &form.role),
        ("assignee", &theirs.assignee, &form.assignee),
        ("labels", &theirs.labels, &form.labels),
        ("parent", &theirs.parent, &form.parent),
        ("depends on", &theirs.depends_on, &form.depends_on),
    ];
    let mut others: Vec<_> = fields
        .iter()
        .filter(|(_, theirs, ours)| theirs != ours)
        .map(|(name, theirs, _)| format!("{name} is now “{theirs}”"))
        .collect();
    if theirs.status != form.status {
        others.push(format!("status is now “{}”", theirs.status));
    }
    if theirs.priority != form.priority {
        others.push(format!("priority is now “{}”", theirs.priority));
    }
    if theirs.body != form.body.replace("\r\n", "\n") {
        others.push("the text is another one now".to_owned());
    }
    if others.is_empty() {
        return "Somebody made the same change. Save again to be sure.".to_owned();
    }
    format!(
        "Somebody changed this task while you edited it: {}. Your values are below; saving again \
         replaces theirs.",
        others.join(", ")
    )
}

async fn show(
    workstream: &Workstream,
    id: TaskId,
    status: StatusCode,
    draft: Option<Draft<'_>>,
) -> Response {
    let view = match View::read(workstream, id).await {
        Ok(view) => view,
        Err(error) => return refusal(&error),
    };
    let mut draft = draft.unwrap_or_else(|| Draft { form: TaskForm::of(&view.task), notice: None });
    // A second attempt is made on top of what stands now.
    draft.form.version = view.task.version;
    let main = html! {
        div.task { (edit(&view.task, &draft)) (about(&view)) }
    };
    (status, Html(shell(&view.task.title, Tab::None, &main).into_string())).into_response()
}

impl View {
    async fn read(workstream: &Workstream, id: TaskId) -> Result<Self, Error> {
        let subject = Subject::Task(id);
        let page = || PageRequest { limit: ENTRIES_MAX, after: None };
        Ok(Self {
            task: workstream.get(id).await?,
            comments: workstream.comments(id, page()).await?.items,
            conflicts: workstream.conflicts(&subject).await?,
            history: workstream.history(&subject, page()).await?.items,
        })
    }
}

impl TaskForm {
    fn of(task: &Task) -> Self {
        let ids: Vec<_> = task.depends_on.iter().map(ToString::to_string).collect();
        Self {
            version: task.version,
            title: task.title.clone(),
            body: task.body.clone(),
            status: task.status,
            priority: task.priority,
            role: task.role.clone().unwrap_or_default(),
            assignee: task.assignee.clone().unwrap_or_default(),
            labels: task.labels.join(" "),
            parent: task.parent.map(|id| id.to_string()).unwrap_or_default(),
            depends_on: ids.join(" "),
        }
    }

    fn patch(&self) -> Result<TaskPatch, String> {
        let id =
            |text: &str| text.parse::<TaskId>().map_err(|_| format!("“{text}” is no id of a task"));
        let optional = |text: &str| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let parent = optional(&self.parent).map(|parent| id(&parent)).transpose()?;
        let depends_on = words(&self.depends_on).map(id).collect::<Result<_, _>>()?;
        Ok(TaskPatch {
            title: Some(self.title.trim().to_owned()),
            body: Some(self.body.replace("\r\n", "\n")),
            status: Some(self.status),
            priority: Some(self.priority),
            role: Some(optional(&self.role)),
            assignee: Some(optional(&self.assignee)),
            labels: Some(words(&self.labels).map(str::to_owned).collect()),
            parent: Some(parent),
            depends_on: Some(depends_on),
            ..TaskPatch::default()
        })
    }
}

fn edit(task: &Task, draft: &Draft<'_>) -> Markup {
    let path = format!("/tasks/{}", task.id);
    let form = &draft.form;
    html! {
        section #edit .panel hx-get=(path) hx-trigger="tasks from:body" hx-select="#edit > *"
        {
            p #newer .notice hidden {
                "Somebody changed this task. Saving tells you what; "
                a href=(path) { "read it again" } " to drop what you typed."
            }
            @if let Some(notice) = draft.notice { p.notice.bad role="alert" { (notice) } }
            form method="post" action=(path) hx-post=(path) hx-target="#edit"
                hx-select="#edit > *" data-keep
            {
                input type="hidden" name="version" value=(form.version);
                label { "Title"
                    input name="title" value=(form.title) required maxlength="512";
                }
                div.fields {
                    label { "Status"
                        select name="status" { (status_options(Some(form.status))) }
                    }
                    label { "Priority"
                        select name="priority" { (priority_options(Some(form.priority))) }
                    }
                    label { "Assignee" input name="assignee" value=(form.assignee); }
                    label { "Role" input name="role" value=(form.role); }
                    label { "Labels" input name="labels" value=(form.labels); }
                }
                label { "Text (Markdown)"
                    textarea name="body" rows="14" { "\n" (form.body) }
                }
                div.fields {
                    label { "Part of" input name="parent" value=(form.parent); }
                    label { "Depends on" input name="depends_on" value=(form.depends_on); }
                }
                div.row { button.main type="submit" { "Save" } }
            }
            div.row {
                form hx-post={ (path) "/remove" } hx-confirm="Remove this task?" {
                    button.danger type="submit" { "Remove" }
                }
                span.hint { (task.id) " · created " (time(task.created_at)) }
            }
        }
    }
}

fn about(view: &View) -> Markup {
    let path = format!("/tasks/{}", view.task.id);
    html! {
        div #about hx-get=(path) hx-trigger="tasks from:body" hx-select="#about > *"
        {
            @if view.task.is_revived {
                p.notice.bad { "It was removed while somebody changed it, and so is still here." }
            }
            @if let Some(lease) = &view.task.lease {
                p.notice { "Claimed by " (lease.holder) " until " (time(lease.until)) }
            }
            @if !view.conflicts.is_empty() { (conflicts(&path, &view.conflicts)) }
            section.panel {
                h2 { "Comments" }
                @for comment in &view.comments {
                    div.comment {
                        strong { (comment.author) } " " (time(comment.at))
                        p.text { (comment.text) }
                    }
                }
                form hx-post={ (path) "/comments" } hx-target="#about"
                    hx-select="#about > *" data-keep
                {
                    label { "Say something"
                        textarea name="text" rows="3" required {}
                    }
                    div.row { button type="submit" { "Comment" } }
                }
            }
            section.panel {
                h2 { "History" }
                ol.history { @for entry in &view.history { (history_entry(entry)) } }
            }
        }
    }
}

fn conflicts(path: &str, conflicts: &[Conflict]) -> Markup {
    html! {
        section.panel #conflicts {
            h2 { "Written at the same time" }
            @for conflict in conflicts {
                div.conflict-field {
                    strong { (conflict.field) } " is now " span.text { (shown(&conflict.current)) }
                    div.sides {
                        @for value in &conflict.values {
                            form.side hx-post={ (path) "/resolve" } hx-target="#about"
                                hx-select="#about > *"
                            {
                                input type="hidden" name="field" value=(conflict.field);
                                input type="hidden" name="take" value=(value.id);
                                pre { (shown(&value.value)) }
                                small { (value.author) ", " (time(value.at)) }
                                button type="submit" { "Take this" }
                            }
                        }
                    }
                    form.row hx-post={ (path) "/resolve" } hx-target="#about" hx-select="#about > *"
                    {
                        input type="hidden" name="field" value=(conflict.field);
                        button type="submit" { "Keep what stands" }
                    }
                }
            }
        }
    }
}

fn history_entry(entry: &HistoryEntry) -> Markup {
    let action = serde_json::to_value(entry.action).unwrap_or_default();
    html! {
        li {
            strong { (entry.author) } " " (action.as_str().unwrap_or_default()) " "
            (time(entry.at))
            @for change in &entry.changes {
                div { (change.field) ": " (shortened(&shown(&change.to))) }
            }
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        // What a set gained and lost.
        Value::Object(parts) => {
            let signed = [("added", '+'), ("removed", '−')].into_iter().flat_map(|(part, sign)| {
                let values = parts.get(part).and_then(Value::as_array).into_iter().flatten();
                values.map(move |value| format!("{sign}{}", shown(value)))
            });
            signed.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

fn shortened(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',', '\t', '\n', '\r']).filter(|word| !word.is_empty())
}

/// Comments and steps of the history that are shown.
const ENTRIES_MAX: usize = 100;

const SHOWN_CHARS_MAX: usize = 200;

//! The board: a column for each status, cards that are moved.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tidemill_workstream::model::{
    NewTask, PageRequest, Priority, SortKey, Stats, Status, Task, TaskFilter, TaskId, TaskPatch,
    TaskSort,
};
use tidemill_workstream::{Error, Workstream};

use super::{Tab, failure, priority_options, refusal, shell, status_options, unserved};
use crate::http::Api;
use crate::http::extract::Segments;

/// A new task from the line above the board.
#[derive(Debug, Deserialize)]
pub(super) struct AddForm {
    title: String,
    #[serde(default)]
    priority: Priority,
}

/// Where a card was dropped.
#[derive(Debug, Deserialize)]
pub(super) struct MoveForm {
    status: Status,
}

/// Draws the whole page.
pub(super) async fn page(State(api): State<Arc<Api>>) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    let board = match draw(workstream).await {
        Ok(board) => board,
        Err(error) => return refusal(&error),
    };
    let main = html! {
        form.bar hx-post="/tasks" hx-target="#board" data-clear {
            label.grow { "New task"
                input #new-title name="title" required maxlength="512" autocomplete="off"
                    placeholder="What is to be done?";
            }
            label { "Priority"
                select name="priority" { (priority_options(Some(Priority::Normal))) }
            }
            button.main type="submit" { "Add" }
        }
        p.hint {
            "Drag a card, or focus it: " kbd { "←" } " " kbd { "→" } " " kbd { "↑" } " "
            kbd { "↓" } " to go, " kbd { "Shift" } "+" kbd { "←" } "/" kbd { "→" }
            " to move it, " kbd { "Enter" } " to open, " kbd { "n" } " for a new one, "
            kbd { "/" } " to search."
        }
        // Stays where it is, so that a refresh under way and the next one find it.
        div #board hx-get="/board" hx-trigger="tasks from:body" { (board) }
    };
    Html(shell("Board", Tab::Board, &main).into_string()).into_response()
}

/// Draws the columns only.
pub(super) async fn fragment(State(api): State<Arc<Api>>) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    answer(workstream).await
}

pub(super) async fn add(
    State(api): State<Arc<Api>>,
    form: Result<Form<AddForm>, FormRejection>,
) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    let Form(form) = match form {
        Ok(form) => form,
        Err(error) => return failure(StatusCode::UNPROCESSABLE_ENTITY, &error.body_text()),
    };
    let title = form.title.trim().to_owned();
    let new = NewTask { title, priority: form.priority, ..NewTask::default() };
    match workstream.create(&api.person, new).await {
        Ok(_) => answer(workstream).await,
        Err(error) => refusal(&error),
    }
}

/// Moves a card. The version does not matter: the last to move it decides.
pub(super) async fn change_status(
    State(api): State<Arc<Api>>,
    Segments(id): Segments<TaskId>,
    form: Result<Form<MoveForm>, FormRejection>,
) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    let Form(form) = match form {
        Ok(form) => form,
        Err(error) => return failure(StatusCode::UNPROCESSABLE_ENTITY, &error.body_text()),
    };
    let patch = TaskPatch { status: Some(form.status), ..TaskPatch::default() };
    match workstream.patch(&api.person, id, patch, None).await {
        Ok(_) => answer(workstream).await,
        Err(error) => refusal(&error),
    }
}

async fn answer(workstream: &Workstream) -> Response {
    match draw(workstream).await {
        Ok(board) => Html(board.into_string()).into_response(),
        Err(error) => refusal(&error),
    }
}

async fn draw(workstream: &Workstream) -> Result<Markup, Error> {
    let stats = workstream.stats().await?;
    let mut columns = Vec::with_capacity(Status::ALL.len());
    for status in Status::ALL {
        let filter = TaskFilter { status: vec![status], ..TaskFilter::default() };
        let key = if status.is_closed() { SortKey::UpdatedAt } else { SortKey::Priority };
        let sort = TaskSort { key, is_descending: true };
        let page = PageRequest { limit: CARDS_MAX, after: None };
        columns.push((status, workstream.list(filter, sort, page).await?.items));
    }
    Ok(draw_columns(&columns, &stats))
}

fn draw_columns(columns: &[(Status, Vec<Task>)], stats: &Stats) -> Markup {
    html! {
        @for ((status, tasks), count) in columns.iter().zip(stats.tasks) {
            section data-column=(status) aria-label=(status) {
                h2 { span { (status) } span { (count) } }
                ol {
                    @for task in tasks { (card(task)) }
                }
                @if count > tasks.len() as u64 {
                    p.more { a href={ "/list?status=" (status) } {
                        (count - tasks.len() as u64) " more"
                    } }
                }
            }
        }
    }
}

fn card(task: &Task) -> Markup {
    html! {
        li id={ "card-" (task.id) } class={ "card " (task.priority) } draggable="true" tabindex="0"
            data-id=(task.id) data-status=(task.status) aria-label=(task.title)
        {
            a href={ "/tasks/" (task.id) } tabindex="-1" draggable="false" { (task.title) }
            (chips(task))
            select.move aria-label={ "Move " (task.title) } { (status_options(Some(task.status))) }
        }
    }
}

/// Draws what a card says besides its title; nothing where there is nothing to say.
pub(super) fn chips(task: &Task) -> Markup {
    let is_urgent = task.priority > Priority::Normal;
    let is_plain = !is_urgent
        && task.conflicts == 0
        && !task.is_revived
        && task.assignee.is_none()
        && task.labels.is_empty()
        && task.comments == 0;
    html! {
        @if !is_plain {
            p {
                @if task.conflicts > 0 || task.is_revived { span.chip.conflict { "conflict" } }
                @if is_urgent { span class={ "chip " (task.priority) } { (task.priority) } }
                @for label in &task.labels { span.chip { (label) } }
                @if let Some(assignee) = &task.assignee { span { "@" (assignee) } }
                @if task.comments == 1 { span { "1 comment" } }
                @if task.comments > 1 { span { (task.comments) " comments" } }
            }
        }
    }
}

/// Cards of one column; the list shows the rest.
const CARDS_MAX: usize = 50;

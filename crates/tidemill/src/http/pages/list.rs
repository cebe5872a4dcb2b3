//! The list: filters, and search while one types.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use tidemill_workstream::model::limits::SEARCH_CHARS_MAX;
use tidemill_workstream::model::{
    HitKind, Page, PageRequest, Priority, SearchHit, SearchQuery, SortKey, Status, Task,
    TaskFilter, TaskSort,
};
use tidemill_workstream::{Error, Workstream};

use super::{
    Tab, failure, is_htmx, priority_options, refusal, shell, status_options, time, unserved,
};
use crate::client::segment;
use crate::http::Api;

/// What the filters say; an empty one is no condition.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filters {
    #[serde(default)]
    q: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    priority: String,
    #[serde(default)]
    assignee: String,
    #[serde(default)]
    label: String,
    after: Option<String>,
    /// Begin with the search.
    focus: Option<String>,
}

/// A line of the list: a task, or a hit with its place.
enum Line {
    Task(Box<Task>, String),
    Memory(SearchHit),
}

/// Draws the page, or for htmx the results alone.
pub(super) async fn page(State(api): State<Arc<Api>>, request: Request) -> Response {
    let Some(workstream) = &api.workstream else { return unserved() };
    let filters = match axum::extract::Query::<Filters>::try_from_uri(request.uri()) {
        Ok(filters) => filters.0,
        Err(error) => return failure(StatusCode::BAD_REQUEST, &error.body_text()),
    };
    let results = match results(workstream, &filters).await {
        Ok(results) => results,
        Err(error) => return refusal(&error),
    };
    if is_htmx(&request) {
        return Html(results.into_string()).into_response();
    }
    let main = html! {
        (draw_filters(&filters))
        section #results .panel aria-live="polite" { (results) }
    };
    Html(shell("List", Tab::List, &main).into_string()).into_response()
}

fn draw_filters(filters: &Filters) -> Markup {
    let status = filters.status.parse().ok();
    let priority = filters.priority.parse().ok();
    html! {
        form #filters .bar action="/list" hx-get="/list" hx-target="#results"
            hx-replace-url="true" hx-sync="this:replace"
            hx-trigger="input delay:120ms from:find input, change, submit, tasks from:body"
        {
            label.grow { "Search"
                input #filter-q type="search" name="q" value=(filters.q) maxlength="512"
                    autocomplete="off" autofocus[filters.focus.is_some()]
                    placeholder="words, \"a phrase\", label:memory, -not";
            }
            label { "Status"
                select name="status" { option value="" { "any" } (status_options(status)) }
            }
            label { "Priority"
                select name="priority" { option value="" { "any" } (priority_options(priority)) }
            }
            label { "Assignee" input name="assignee" value=(filters.assignee) size="10"; }
            label { "Label" input name="label" value=(filters.label) size="10"; }
        }
    }
}

async fn results(workstream: &Workstream, filters: &Filters) -> Result<Markup, Error> {
    let (lines, next) = if filters.q.trim().is_empty() {
        let page = listed(workstream, filters).await?;
        let lines = page.items.into_iter().map(|task| Line::Task(Box::new(task), String::new()));
        (lines.collect(), page.next)
    } else {
        (found(workstream, filters).await?, None)
    };
    Ok(draw(&lines, filters, next.as_deref()))
}

async fn listed(workstream: &Workstream, filters: &Filters) -> Result<Page<Task>, Error> {
    let filter = TaskFilter {
        status: filters.status.parse::<Status>().into_iter().collect(),
        priority: filters.priority.parse::<Priority>().into_iter().collect(),
        labels: word(&filters.label).into_iter().collect(),
        assignee: word(&filters.assignee).map(Some),
        ..TaskFilter::default()
    };
    let sort = TaskSort { key: SortKey::UpdatedAt, is_descending: true };
    let page = PageRequest { limit: LINES_MAX, after: filters.after.clone() };
    workstream.list(filter, sort, page).await
}

/// Searches, best first, and leaves out what the filters do not let pass.
async fn found(workstream: &Workstream, filters: &Filters) -> Result<Vec<Line>, Error> {
    let has_filter = [&filters.status, &filters.priority, &filters.assignee, &filters.label]
        .iter()
        .any(|filter| !filter.trim().is_empty());
    let text: String = filters.q.chars().take(SEARCH_CHARS_MAX).collect();
    let mut query = SearchQuery::new(text);
    query.is_last_word_open = true;
    query.limit = LINES_MAX;
    query.kind = has_filter.then_some(HitKind::Task);
    let mut lines = Vec::new();
    for hit in workstream.search(query).await? {
        let Some(id) = hit.task else {
            lines.push(Line::Memory(hit));
            continue;
        };
        match workstream.get(id).await {
            Ok(task) if passes(&task, filters) => {
                lines.push(Line::Task(Box::new(task), hit.snippet_html));
            }
            Ok(_) => {}
            // The index may be a moment behind.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(lines)
}

fn passes(task: &Task, filters: &Filters) -> bool {
    let is = |filter: &str, value: &str| filter.is_empty() || filter == value;
    is(&filters.status, task.status.word())
        && is(&filters.priority, task.priority.word())
        && is(filters.assignee.trim(), task.assignee.as_deref().unwrap_or_default())
        && word(&filters.label).is_none_or(|label| task.labels.contains(&label))
}

fn draw(lines: &[Line], filters: &Filters, next: Option<&str>) -> Markup {
    html! {
        @if lines.is_empty() {
            p { "Nothing fits." }
        } @else {
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "Task" } th scope="col" { "Status" }
                        th.wide-only scope="col" { "Priority" }
                        th.wide-only scope="col" { "Assignee" }
                        th.wide-only scope="col" { "Updated" }
                    } }
                    tbody { @for line in lines { (draw_line(line)) } }
                }
            }
        }
        @if let Some(next) = next {
            p.more { a href=(next_page(filters, next)) { "Next page" } }
        }
    }
}

fn draw_line(line: &Line) -> Markup {
    match line {
        Line::Task(task, snippet) => html! {
            tr {
                td {
                    a.title href={ "/tasks/" (task.id) } { (task.title) }
                    @if task.conflicts > 0 || task.is_revived {
                        " " span.chip.conflict { "conflict" }
                    }
                    @for label in &task.labels { " " span.chip { (label) } }
                    @if !snippet.is_empty() { div.snippet { (PreEscaped(snippet)) } }
                }
                td.narrow { span.chip.status { (task.status) } }
                td.narrow.wide-only { span class={ "chip " (task.priority) } { (task.priority) } }
                td.wide-only { (task.assignee.as_deref().unwrap_or_default()) }
                td.narrow.wide-only { (time(task.updated_at)) }
            }
        },
        Line::Memory(hit) => html! {
            tr {
                td colspan="5" {
                    span.chip { "memory" } " " (hit.title)
                    div.snippet { (PreEscaped(&hit.snippet_html)) }
                }
            }
        },
    }
}

fn next_page(filters: &Filters, next: &str) -> String {
    let pairs = [
        ("status", filters.status.as_str()),
        ("priority", &filters.priority),
        ("assignee", &filters.assignee),
        ("label", &filters.label),
        ("after", next),
    ];
    let there = pairs.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> = there.map(|(name, value)| format!("{name}={}", segment(value))).collect();
    format!("/list?{}", pairs.join("&"))
}

fn word(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

const LINES_MAX: usize = 100;

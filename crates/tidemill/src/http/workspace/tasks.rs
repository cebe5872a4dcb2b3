//! `/api/v1/tasks`: list, make, read, replace, change, remove.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderName, LOCATION};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tidemill_workstream::model::limits::{PAGE_MAX, SEARCH_CHARS_MAX};
use tidemill_workstream::model::{
    NewTask, Page, PageRequest, Priority, SortKey, Status, Task, TaskFilter, TaskId, TaskPatch,
    TaskSort,
};

use super::{Shared, refusal};
use crate::http::extract::{Author, Body, Expected, Parameters, Segments, entity_tag};
use crate::http::problem::Problem;

/// A task with the tag of its version.
pub(super) type Tagged = ([(HeaderName, String); 1], Json<Task>);

/// Which tasks, in which order, how many.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default, deserialize_with = "words")]
    status: Vec<Status>,
    #[serde(default, deserialize_with = "words")]
    priority: Vec<Priority>,
    #[serde(default, deserialize_with = "short::<64, _>")]
    label: Option<String>,
    #[serde(default, deserialize_with = "short::<128, _>")]
    assignee: Option<String>,
    #[serde(default, deserialize_with = "short::<128, _>")]
    role: Option<String>,
    parent: Option<TaskId>,
    conflicts: Option<bool>,
    #[serde(default, deserialize_with = "short::<SEARCH_CHARS_MAX, _>")]
    q: Option<String>,
    id: Option<String>,
    #[serde(default, deserialize_with = "sort")]
    sort: TaskSort,
    #[serde(default = "limit_default", deserialize_with = "limit")]
    limit: usize,
    #[serde(default, deserialize_with = "short::<2048, _>")]
    after: Option<String>,
}

/// What a task is made of, and what it is replaced by.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskBody {
    title: String,
    #[serde(default)]
    body: String,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    priority: Priority,
    role: Option<String>,
    assignee: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    parent: Option<TaskId>,
    #[serde(default)]
    depends_on: Vec<TaskId>,
}

/// What changes; what is not there stays, `null` empties.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBody {
    #[serde(default, deserialize_with = "given")]
    title: Option<String>,
    #[serde(default, deserialize_with = "given")]
    body: Option<String>,
    #[serde(default, deserialize_with = "given")]
    status: Option<Status>,
    #[serde(default, deserialize_with = "given")]
    priority: Option<Priority>,
    #[serde(default, deserialize_with = "given")]
    role: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    assignee: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    labels: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    parent: Option<Option<TaskId>>,
    #[serde(default, deserialize_with = "given")]
    depends_on: Option<Vec<TaskId>>,
}

pub(super) async fn list(
    State(workstream): State<Shared>,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<Page<Task>>, Problem> {
    if let Some(prefix) = &query.id {
        return by_prefix(&workstream, prefix).await.map(Json);
    }
    let filter = TaskFilter {
        status: query.status,
        priority: query.priority,
        labels: query.label.into_iter().collect(),
        assignee: query.assignee.map(Some),
        role: query.role.map(Some),
        parent: query.parent.map(Some),
        has_conflicts: query.conflicts,
        text: query.q,
    };
    let page = PageRequest { limit: query.limit, after: query.after };
    workstream.list(filter, query.sort, page).await.map(Json).map_err(|error| refusal(&error))
}

pub(super) async fn create(
    State(workstream): State<Shared>,
    Author(author): Author,
    Body(body): Body<TaskBody>,
) -> Result<(StatusCode, [(HeaderName, String); 2], Json<Task>), Problem> {
    let task = workstream.create(&author, body.into_new()).await;
    let task = task.map_err(|error| refusal(&error))?;
    let place = format!("/api/v1/tasks/{}", task.id);
    let headers = [(ETAG, entity_tag(task.version)), (LOCATION, place)];
    Ok((StatusCode::CREATED, headers, Json(task)))
}

pub(super) async fn show(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
) -> Result<Tagged, Problem> {
    workstream.get(id).await.map(tagged).map_err(|error| refusal(&error))
}

pub(super) async fn replace(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Author(author): Author,
    Expected(expected): Expected,
    Body(body): Body<TaskBody>,
) -> Result<Tagged, Problem> {
    let patch = TaskPatch {
        title: Some(body.title),
        body: Some(body.body),
        status: Some(body.status),
        priority: Some(body.priority),
        role: Some(body.role),
        assignee: Some(body.assignee),
        labels: Some(body.labels),
        parent: Some(body.parent),
        depends_on: Some(body.depends_on),
        ..TaskPatch::default()
    };
    let task = workstream.patch(&author, id, patch, expected).await;
    task.map(tagged).map_err(|error| refusal(&error))
}

pub(super) async fn change(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Author(author): Author,
    Expected(expected): Expected,
    Body(body): Body<PatchBody>,
) -> Result<Tagged, Problem> {
    let patch = TaskPatch {
        title: body.title,
        body: body.body,
        status: body.status,
        priority: body.priority,
        role: body.role,
        assignee: body.assignee,
        labels: body.labels,
        parent: body.parent,
        depends_on: body.depends_on,
        ..TaskPatch::default()
    };
    let task = workstream.patch(&author, id, patch, expected).await;
    task.map(tagged).map_err(|error| refusal(&error))
}

pub(super) async fn remove(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Author(author): Author,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let removed = workstream.delete(&author, id, expected).await;
    removed.map(|()| StatusCode::NO_CONTENT).map_err(|error| refusal(&error))
}

/// Returns a task with the tag of its version.
pub(super) fn tagged(task: Task) -> Tagged {
    ([(ETAG, entity_tag(task.version))], Json(task))
}

/// Reads a key that may be absent but not `null`, unless its type takes it.
pub(in crate::http) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a number of items for a page.
pub(in crate::http) fn limit<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<usize, D::Error> {
    let limit = usize::deserialize(deserializer)?;
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(D::Error::custom(format!("limit is from 1 to {PAGE_MAX}")))
    }
}

pub(in crate::http) fn limit_default() -> usize {
    50
}

/// Returns the one task whose id begins so, or those that do.
async fn by_prefix(workstream: &Shared, prefix: &str) -> Result<Page<Task>, Problem> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let is_prefix = matches!(prefix.bytes().next(), Some(b'0'..=b'7'))
        && prefix.len() <= TaskId::TEXT_LENGTH
        && prefix.bytes().all(|byte| is_digit(byte) && !b"ILOU".contains(&byte));
    if !is_prefix {
        return Err(Problem::bad_request(format!("`{prefix}` begins no id of a task")));
    }
    let found = match workstream.find(prefix).await {
        Ok(id) => workstream.get(id).await,
        Err(error) if error.is_not_found() => return Ok(Page { items: Vec::new(), next: None }),
        Err(error) => Err(error),
    };
    let items = found.map(|task| vec![task]).map_err(|error| refusal(&error))?;
    Ok(Page { items, next: None })
}

impl TaskBody {
    fn into_new(self) -> NewTask {
        NewTask {
            id: None,
            title: self.title,
            body: self.body,
            status: self.status,
            priority: self.priority,
            role: self.role,
            assignee: self.assignee,
            labels: self.labels,
            parent: self.parent,
            depends_on: self.depends_on,
        }
    }
}

/// Reads a text of 1 to `MAX` characters.
pub(super) fn short<'de, const MAX: usize, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = String::deserialize(deserializer)?;
    if (1..=MAX).contains(&text.chars().count()) {
        Ok(Some(text))
    } else {
        Err(D::Error::custom(format!("a value has 1 to {MAX} characters")))
    }
}

/// Reads words separated by commas.
fn words<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    let words = text.split(',').filter(|word| !text.is_empty() || !word.is_empty());
    words.map(|word| word.parse().map_err(D::Error::custom)).collect()
}

/// Reads an order: a key, behind a `-` for the greatest first.
fn sort<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TaskSort, D::Error> {
    let text = String::deserialize(deserializer)?;
    let (word, is_descending) = match text.strip_prefix('-') {
        Some(word) => (word, true),
        None => (text.as_str(), false),
    };
    let word = serde::de::value::StrDeserializer::<D::Error>::new(word);
    Ok(TaskSort { key: SortKey::deserialize(word)?, is_descending })
}

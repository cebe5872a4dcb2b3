//! What is kept about a task: its history, comments and conflicts.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tidemill_workstream::model::{
    Comment, Conflict, Field, HistoryEntry, OperationId, Page, PageRequest, Resolution, Subject,
    TaskId,
};

use super::tasks::{Tagged, given, limit, limit_default, short, tagged};
use super::{Shared, refusal};
use crate::http::extract::{Author, Body, Parameters, Segments};
use crate::http::problem::Problem;

/// How many, and after what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    #[serde(default = "limit_default", deserialize_with = "limit")]
    pub(super) limit: usize,
    #[serde(default, deserialize_with = "short::<2048, _>")]
    pub(super) after: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommentBody {
    text: String,
}

/// How a conflict ends: exactly one of the three ways.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolveBody {
    field: String,
    #[serde(default, deserialize_with = "given")]
    keep: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    take: Option<OperationId>,
    #[serde(default, deserialize_with = "given")]
    write: Option<Value>,
}

pub(super) async fn history(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<HistoryEntry>>, Problem> {
    let page = workstream.history(&Subject::Task(id), query.into()).await;
    page.map(Json).map_err(|error| refusal(&error))
}

pub(super) async fn comments(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Comment>>, Problem> {
    workstream.comments(id, query.into()).await.map(Json).map_err(|error| refusal(&error))
}

pub(super) async fn comment(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Author(author): Author,
    Body(body): Body<CommentBody>,
) -> Result<(StatusCode, Json<Comment>), Problem> {
    let comment = workstream.comment(&author, id, &body.text).await;
    comment.map(|comment| (StatusCode::CREATED, Json(comment))).map_err(|error| refusal(&error))
}

/// Lists the fields with more than one value; all of them, so there is no next page.
pub(super) async fn conflicts(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
) -> Result<Json<Page<Conflict>>, Problem> {
    let items = workstream.conflicts(&Subject::Task(id)).await;
    let items = items.map_err(|error| refusal(&error))?;
    Ok(Json(Page { items, next: None }))
}

pub(super) async fn resolve(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Author(author): Author,
    Body(body): Body<ResolveBody>,
) -> Result<Tagged, Problem> {
    let unfit = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
    let field: Field = body
        .field
        .parse()
        .map_err(|error: tidemill_workstream::model::ParseWordError| unfit(error.to_string()))?;
    let resolution = match (body.keep, body.take, body.write) {
        (Some(true), None, None) => Resolution::KeepCurrent,
        (None, Some(operation), None) => Resolution::Take(operation),
        (None, None, Some(value)) => Resolution::Write(value),
        _ => return Err(unfit("send one of `keep`: true, `take` and `write`".to_owned())),
    };
    let subject = Subject::Task(id);
    let resolved = workstream.resolve(&author, &subject, field, resolution).await;
    resolved.map_err(|error| refusal(&error))?;
    workstream.get(id).await.map(tagged).map_err(|error| refusal(&error))
}

impl From<PageQuery> for PageRequest {
    fn from(query: PageQuery) -> Self {
        Self { limit: query.limit, after: query.after }
    }
}

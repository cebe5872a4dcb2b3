//! `/api/v1/memory`: values under `scope/key`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{ETAG, HeaderName};
use serde::Deserialize;
use tidemill_workstream::model::{MemoryEntry, MemoryKey, MemoryPut, Page, limits};

use super::about::PageQuery;
use super::tasks::given;
use super::{Shared, refusal};
use crate::http::extract::{Author, Body, Expected, Parameters, Segments, entity_tag};
use crate::http::problem::Problem;

/// An entry with the tag of its version.
type Tagged = ([(HeaderName, String); 1], Json<MemoryEntry>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutBody {
    value: String,
    #[serde(default, deserialize_with = "given")]
    format: Option<String>,
}

pub(super) async fn list_all(
    State(workstream): State<Shared>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<MemoryEntry>>, Problem> {
    let page = workstream.memory_list(None, query.into()).await;
    page.map(Json).map_err(|error| refusal(&error))
}

pub(super) async fn list(
    State(workstream): State<Shared>,
    Segments(scope): Segments<String>,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<MemoryEntry>>, Problem> {
    let name = MemoryKey::new(scope, "any");
    limits::check_memory_key(&name).map_err(|error| refusal(&error))?;
    let page = workstream.memory_list(Some(&name.scope), query.into()).await;
    page.map(Json).map_err(|error| refusal(&error))
}

pub(super) async fn show(
    State(workstream): State<Shared>,
    Segments((scope, key)): Segments<(String, String)>,
) -> Result<Tagged, Problem> {
    let entry = workstream.memory_get(&MemoryKey::new(scope, key)).await;
    entry.map(tagged).map_err(|error| refusal(&error))
}

pub(super) async fn put(
    State(workstream): State<Shared>,
    Segments((scope, key)): Segments<(String, String)>,
    Author(author): Author,
    Expected(expected): Expected,
    Body(body): Body<PutBody>,
) -> Result<Tagged, Problem> {
    let put = MemoryPut { value: body.value, format: body.format, base: None };
    let entry = workstream.memory_put(&author, &MemoryKey::new(scope, key), put, expected).await;
    entry.map(tagged).map_err(|error| refusal(&error))
}

pub(super) async fn remove(
    State(workstream): State<Shared>,
    Segments((scope, key)): Segments<(String, String)>,
    Author(author): Author,
    Expected(expected): Expected,
) -> Result<StatusCode, Problem> {
    let key = MemoryKey::new(scope, key);
    let removed = workstream.memory_delete(&author, &key, expected).await;
    removed.map(|()| StatusCode::NO_CONTENT).map_err(|error| refusal(&error))
}

fn tagged(entry: MemoryEntry) -> Tagged {
    ([(ETAG, entity_tag(entry.version))], Json(entry))
}

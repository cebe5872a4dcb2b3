//! `/api/v1/search`: tasks and memory by their text.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tidemill_workstream::model::{HitKind, Page, SearchHit, SearchQuery};

use super::tasks::{limit, limit_default};
use super::{Shared, refusal};
use crate::http::extract::Parameters;
use crate::http::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    q: String,
    kind: Option<HitKind>,
    /// The last word may be the beginning of one.
    #[serde(default)]
    open: bool,
    #[serde(default = "limit_default", deserialize_with = "limit")]
    limit: usize,
}

/// Answers with the best hits; there is no next page.
pub(super) async fn search(
    State(workstream): State<Shared>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<SearchHit>>, Problem> {
    let query = SearchQuery {
        text: query.q,
        kind: query.kind,
        limit: query.limit,
        is_last_word_open: query.open,
    };
    let items = workstream.search(query).await.map_err(|error| refusal(&error))?;
    Ok(Json(Page { items, next: None }))
}

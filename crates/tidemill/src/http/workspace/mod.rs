//! `/api/v1/` of the workspace: tasks, shared memory, search.
//!
//! Handlers check nothing that the workspace checks; they turn requests into its calls and its
//! refusals into problems. The same routes answer over HTTP and, without a node, within a command.

mod about;
mod claims;
mod memory;
mod plans;
mod search;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tidemill_workstream::{Error, Workstream};

use super::problem::Problem;
use super::{Route, method_not_allowed};

/// What the handlers of the workspace know.
pub(super) type Shared = Arc<Workstream>;

/// Returns the routes over a workspace that no node serves.
pub(crate) fn alone(workstream: Workstream) -> Router {
    let add = |router: Router<Shared>, (path, handler): Route<Shared>| router.route(path, handler);
    routes()
        .into_iter()
        .fold(Router::new(), add)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Arc::new(workstream))
}

/// Returns every path of the workspace.
pub(super) fn routes() -> Vec<Route<Shared>> {
    let large = || DefaultBodyLimit::max(BODY_BYTES_MAX);
    vec![
        ("/api/v1/tasks", get(tasks::list).post(tasks::create).layer(large())),
        (
            "/api/v1/tasks/{id}",
            get(tasks::show)
                .put(tasks::replace)
                .patch(tasks::change)
                .delete(tasks::remove)
                .layer(large()),
        ),
        ("/api/v1/tasks/{id}/history", get(about::history)),
        ("/api/v1/tasks/{id}/comments", get(about::comments).post(about::comment).layer(large())),
        ("/api/v1/tasks/{id}/conflicts", get(about::conflicts)),
        ("/api/v1/tasks/{id}/conflicts/resolve", post(about::resolve).layer(large())),
        ("/api/v1/tasks/{id}/claim", post(claims::claim_task)),
        ("/api/v1/tasks/{id}/release", post(claims::release)),
        ("/api/v1/claim", post(claims::claim)),
        ("/api/v1/plans", get(plans::list).post(plans::apply).layer(large())),
        ("/api/v1/files", get(plans::files).post(plans::settle)),
        ("/api/v1/search", get(search::search)),
        ("/api/v1/memory", get(memory::list_all)),
        ("/api/v1/memory/{scope}", get(memory::list)),
        (
            "/api/v1/memory/{scope}/{key}",
            get(memory::show).put(memory::put).delete(memory::remove).layer(large()),
        ),
    ]
}

/// Says whose fault a refusal is.
pub(super) fn refusal(error: &Error) -> Problem {
    let status = if error.field() == Some("after") {
        StatusCode::NOT_FOUND
    } else if error.is_invalid() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else if error.is_not_found() {
        StatusCode::NOT_FOUND
    } else if error.is_stale() {
        StatusCode::PRECONDITION_FAILED
    } else if error.is_existing() || error.is_ambiguous() || error.is_claim_refused() {
        StatusCode::CONFLICT
    } else if error.is_closed() || error.is_full() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        tracing::error!("the workspace failed: {error}");
        StatusCode::INTERNAL_SERVER_ERROR
    };
    Problem::new(status, error.to_string())
}

/// A body of 1 MiB of text, most of it escaped once in JSON.
const BODY_BYTES_MAX: usize = 2 << 20;

//! What needs no token: is the process alive, is it ready, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tidemill_metrics::Format;

use super::Api;
use super::problem::Problem;

/// Answers as long as the process does.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers 200 from the moment every listener is open until a stop begins.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    if api.is_ready() {
        "ready\n".into_response()
    } else {
        let detail = "the node is starting or stopping";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
    }
}

/// Renders every metric, in the format that `Accept` asks for.
pub(super) async fn metrics(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::negotiate(accept);
    ([(CONTENT_TYPE, format.content_type())], api.registry.render(format)).into_response()
}

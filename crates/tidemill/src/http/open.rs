//! What needs no token: is the process alive, is it ready, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tidemill_metrics::{CONTENT_TYPE_OPENMETRICS, CONTENT_TYPE_PROMETHEUS};

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
    if prefers_openmetrics(accept) {
        let headers = [(CONTENT_TYPE, CONTENT_TYPE_OPENMETRICS)];
        (headers, api.registry.render_openmetrics()).into_response()
    } else {
        let headers = [(CONTENT_TYPE, CONTENT_TYPE_PROMETHEUS)];
        (headers, api.registry.render_prometheus()).into_response()
    }
}

/// Returns true when OpenMetrics is named and no text format is wanted more (RFC 9110, 12.5.1).
fn prefers_openmetrics(accept: &str) -> bool {
    let mut openmetrics = None;
    let mut text = 0.0;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let weight: f32 = weight.and_then(|weight| weight.parse().ok()).unwrap_or(1.0);
        match media_type {
            "application/openmetrics-text" => {
                openmetrics = Some(weight.max(openmetrics.unwrap_or(0.0)));
            }
            "text/plain" => text = weight.max(text),
            _ => {}
        }
    }
    openmetrics.is_some_and(|weight| weight > 0.0 && weight >= text)
}

#[cfg(test)]
mod tests {
    use super::prefers_openmetrics;

    #[test]
    fn the_format_is_the_one_that_is_wanted_most() {
        assert!(!prefers_openmetrics(""));
        assert!(!prefers_openmetrics("*/*"));
        assert!(!prefers_openmetrics("text/plain"));
        assert!(prefers_openmetrics("application/openmetrics-text; version=1.0.0"));
        // What Prometheus 2.50 sends.
        assert!(prefers_openmetrics(
            "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        ));
        assert!(!prefers_openmetrics("text/plain, application/openmetrics-text;q=0.5"));
        assert!(!prefers_openmetrics("application/openmetrics-text;q=0"));
    }
}

//! `/api/v1/openapi.json`: the API's description (OpenAPI 3.1).
//!
//! Written by hand in `openapi.json` beside this file. Tests hold it against the routes, and what
//! the server answers against its schemas.

use axum::Json;
use serde_json::Value;

pub(super) async fn document() -> Json<Value> {
    Json(value())
}

/// Returns the description with this build's version.
pub(super) fn value() -> Value {
    let mut document: Value =
        serde_json::from_str(include_str!("openapi.json")).expect("the embedded file is JSON");
    document["info"]["version"] = super::VERSION.into();
    document
}

//! `/api/v1/openapi.json`: the API's description (OpenAPI 3.1).
//!
//! Written by hand: `openapi.json` beside this file for the node and its proxies, the one in
//! `workspace/` for tasks and memory. Tests hold them against the routes, and what the server
//! answers against their schemas.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::Api;

pub(super) async fn document(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(value(api.workstream.is_some()))
}

/// Returns the description with this build's version, of a node with or without a workspace.
pub(super) fn value(has_workspace: bool) -> Value {
    let parse = |text| -> Value { serde_json::from_str(text).expect("the embedded file is JSON") };
    let mut document = parse(include_str!("openapi.json"));
    document["info"]["version"] = super::VERSION.into();
    if has_workspace {
        merge(&mut document, parse(include_str!("workspace/openapi.json")));
    }
    document
}

/// Puts what `more` has into `document`: keys of objects, elements of arrays.
fn merge(document: &mut Value, more: Value) {
    match (document, more) {
        (Value::Object(document), Value::Object(more)) => {
            for (key, value) in more {
                merge(document.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(document), Value::Array(more)) => document.extend(more),
        (document, more) => *document = more,
    }
}

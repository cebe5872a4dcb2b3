//! `openapi.json` says what the server does: its paths, its methods, its schemas.

use serde_json::Value;
use testkit::Node;
use testkit::http::{Response, request};

use crate::echo_node;

/// Sends a request with the token.
fn ask(node: &Node, method: &str, path: &str, body: &str) -> Response {
    let token = std::fs::read_to_string(node.data_dir().join("token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    request(node.address(), method, path, &headers, body)
}

fn document(node: &Node) -> Value {
    let response = ask(node, "GET", "/api/v1/openapi.json", "");
    assert_eq!(response.status, 200);
    serde_json::from_str(&response.body).expect("the description is JSON")
}

/// Returns every operation: method, path, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("there are paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item is an object").iter();
        let methods = item.filter(|(key, _)| *key != "parameters");
        methods.map(move |(method, said)| (method.to_uppercase(), path.clone(), said.clone()))
    });
    operations.collect()
}

/// Holds a value against a schema of the kinds that the description uses.
fn misfit(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return misfit(document, target.unwrap_or_else(|| panic!("{reference}")), value, at);
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => return Some(format!("{at}: the schema has no type")),
    };
    let is = |wanted: &str| match wanted {
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    if !types.iter().any(|wanted| is(wanted)) {
        return Some(format!("{at}: {value} is none of {types:?}"));
    }
    if let Some(some) = schema["enum"].as_array()
        && !some.contains(value)
    {
        return Some(format!("{at}: {value} is none of {some:?}"));
    }
    if let Some(items) = value.as_array() {
        let mut items = items.iter().enumerate();
        return items
            .find_map(|(i, item)| misfit(document, &schema["items"], item, &format!("{at}[{i}]")));
    }
    let object = value.as_object()?;
    let known = schema["properties"].as_object();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for key in required {
        if !object.contains_key(key) {
            return Some(format!("{at}: {key} is missing"));
        }
    }
    object.iter().find_map(|(key, value)| {
        let at = format!("{at}.{key}");
        match (known.and_then(|known| known.get(key)), &schema["additionalProperties"]) {
            (Some(schema), _) => misfit(document, schema, value, &at),
            (None, Value::Bool(false)) => Some(format!("{at} is not described")),
            (None, Value::Object(_)) => {
                misfit(document, &schema["additionalProperties"], value, &at)
            }
            (None, _) => None,
        }
    })
}

/// Puts names into the places of a path.
fn fill(path: &str, proxy: &str, backend: &str) -> String {
    let path = path.replace("{proxy}", proxy).replace("{backend}", backend);
    let path = path.replace("{id}", UNKNOWN_ID).replace("{job}", UNKNOWN_ID);
    path.replace("{scope}", "scope").replace("{key}", "key")
}

/// Schemathesis looks at those of the workspace.
fn is_of_node(path: &str) -> bool {
    let ours = ["events", "history", "jobs", "openapi", "proxies"];
    let Some(path) = path.strip_prefix("/api/v1/") else { return true };
    ours.iter().any(|part| path.starts_with(part))
}

/// An id that nothing has.
const UNKNOWN_ID: &str = "01ARYZ6S410000000000000000";

#[test]
fn every_path_takes_exactly_the_methods_described() {
    let (node, _peer) = echo_node("");
    let document = document(&node);
    for path in document["paths"].as_object().expect("there are paths").keys() {
        let mut described: Vec<_> = operations(&document)
            .into_iter()
            .filter(|(_, of, _)| of == path)
            .map(|(method, ..)| method)
            .collect();
        if let Some(get) = described.iter().position(|method| method == "GET") {
            described.insert(get + 1, "HEAD".to_owned()); // as any GET (RFC 9110, 9.3.2)
        }
        described.sort();
        let path = path.as_str();
        let refused = ask(&node, "TRACE", &fill(path, "echo", "backend"), "");
        assert_eq!(refused.status, 405, "{path}");
        let allowed = refused.header("allow").unwrap_or_default();
        let mut allowed: Vec<_> = allowed.split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed, described, "{path}");
    }
}

#[test]
fn every_answer_fits_its_schema() {
    let (node, peer) = echo_node("");
    let document = document(&node);
    let backend = peer.address().to_string();
    // It runs until it is cancelled.
    let command = "{\"command\":[\"sleep\",\"60\"],\"key\":\"k\",\"timeout_ms\":60000}";
    let submitted = ask(&node, "POST", "/api/v1/jobs", command);
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let job: Value = serde_json::from_str(&submitted.body).expect("a job is JSON");
    let job = job["id"].as_str().expect("it has an id").to_owned();
    for (method, path, said) in operations(&document) {
        if !is_of_node(&path) {
            continue;
        }
        let (query, body) = match path.as_str() {
            "/api/v1/events" => ("?limit=1", ""),
            "/api/v1/history" => ("?series=tidemill_metrics_overflow_total", ""),
            "/api/v1/proxies/{proxy}/explain" => ("?from=192.0.2.7", ""),
            "/api/v1/proxies/{proxy}/backends/{backend}" => ("", "{\"state\":\"draining\"}"),
            "/api/v1/jobs" if method == "POST" => ("", command),
            "/api/v1/jobs/{job}" if method == "PATCH" => ("", "{\"state\":\"cancelled\"}"),
            _ => ("", ""),
        };
        let response = ask(
            &node,
            &method,
            &(fill(&path.replace("{job}", &job), "echo", &backend) + query),
            body,
        );
        assert_eq!(response.status, 200, "{method} {path}: {}", response.body);
        let content = &said["responses"]["200"]["content"];
        let content_type = response.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default();
        assert!(content[media_type].is_object(), "{method} {path} answers {media_type}");
        if media_type == "application/json" {
            let value = serde_json::from_str(&response.body).expect("JSON");
            let schema = &content[media_type]["schema"];
            assert_eq!(misfit(&document, schema, &value, &path), None);
        }
    }
}

#[test]
fn every_refusal_is_one_that_is_described() {
    let (node, _peer) = echo_node("");
    let document = document(&node);
    let cases = [
        ("GET", "/api/v1/jobs", "/api/v1/jobs?state=done", "", 400),
        ("GET", "/api/v1/jobs", "/api/v1/jobs?limit=0", "", 400),
        ("GET", "/api/v1/jobs", "/api/v1/jobs?after=x", "", 404),
        ("POST", "/api/v1/jobs", "/api/v1/jobs", "{}", 422),
        ("POST", "/api/v1/jobs", "/api/v1/jobs", "{\"command\":[]}", 422),
        ("GET", "/api/v1/jobs/{job}", "/api/v1/jobs/nobody", "", 404),
        ("GET", "/api/v1/jobs/{job}", "/api/v1/jobs/00000000000000000000000000", "", 404),
        ("PATCH", "/api/v1/jobs/{job}", "/api/v1/jobs/nobody", "{\"state\":\"cancelled\"}", 404),
        ("PATCH", "/api/v1/jobs/{job}", "/api/v1/jobs/nobody", "{\"state\":\"failed\"}", 404),
        ("GET", "/api/v1/jobs/{job}/log", "/api/v1/jobs/nobody/log", "", 404),
        ("GET", "/api/v1/jobs/{job}/log", "/api/v1/jobs/nobody/log?from=x", "", 404),
        ("GET", "/api/v1/events", "/api/v1/events?kinds=gossip", "", 400),
        ("GET", "/api/v1/history", "/api/v1/history?series=nobody", "", 404),
        ("GET", "/api/v1/history", "/api/v1/history", "", 400),
        ("GET", "/api/v1/proxies/{proxy}", "/api/v1/proxies/nobody", "", 404),
        ("GET", "/api/v1/proxies/{proxy}", "/api/v1/proxies/%ff", "", 400),
        ("GET", "/api/v1/proxies/{proxy}/explain", "/api/v1/proxies/echo/explain", "", 400),
        ("GET", "/api/v1/proxies/{proxy}/explain", "/api/v1/proxies/echo/explain?from=x", "", 400),
        ("GET", "/api/v1/proxies/{proxy}/explain", "/api/v1/proxies/no/explain?from=::1", "", 404),
        (
            "PATCH",
            "/api/v1/proxies/{proxy}/backends/{backend}",
            "/api/v1/proxies/echo/backends/nobody",
            "{\"weight\":1}",
            404,
        ),
        (
            "PATCH",
            "/api/v1/proxies/{proxy}/backends/{backend}",
            "/api/v1/proxies/echo/backends/nobody",
            "[]",
            422,
        ),
    ];
    for (method, path, asked, body, status) in cases {
        let response = ask(&node, method, asked, body);
        assert_eq!(response.status, status, "{method} {asked}: {}", response.body);
        let said = &document["paths"][path][method.to_lowercase()]["responses"];
        let said = &said[status.to_string()];
        let said = match said["$ref"].as_str() {
            Some(reference) => document.pointer(&reference[1..]).expect("the reference is good"),
            None => said,
        };
        let schema = &said["content"]["application/problem+json"]["schema"];
        assert!(schema.is_object(), "{method} {path} does not tell of {status}");
        let value = serde_json::from_str(&response.body).expect("a problem is JSON");
        assert_eq!(misfit(&document, schema, &value, asked), None);
    }
}

/// The check itself can fail.
#[test]
fn a_wrong_answer_does_not_fit() {
    let document: Value = serde_json::json!({});
    let schema = serde_json::json!({
        "type": "object", "required": ["a"], "additionalProperties": false,
        "properties": { "a": { "type": "integer" }, "b": { "type": "array", "items": { "type": "string" } } },
    });
    let fits = |value: Value| misfit(&document, &schema, &value, "").is_none();
    assert!(fits(serde_json::json!({ "a": 1, "b": ["x"] })));
    assert!(!fits(serde_json::json!({ "b": [] })));
    assert!(!fits(serde_json::json!({ "a": "1" })));
    assert!(!fits(serde_json::json!({ "a": 1, "b": [1] })));
    assert!(!fits(serde_json::json!({ "a": 1, "c": 1 })));
}

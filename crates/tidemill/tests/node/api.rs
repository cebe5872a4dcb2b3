//! The HTTP server: who is let in, what is refused and how, what is open to all.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;

use serde_json::Value;
use testkit::client::{connect, read_to_end};
use testkit::http::{Response, get, request};
use testkit::{Node, wait_until};

use crate::{SOON, echo_node};

fn token(node: &Node) -> String {
    let file = node.data_dir().join("token");
    fs::read_to_string(file).expect("a running node has a token").trim().to_owned()
}

/// Sends a head as it is and returns the status of the answer.
#[track_caller]
fn status_of(address: SocketAddr, head: &str) -> u16 {
    let mut stream = connect(address);
    let head = format!("{head}\nConnection: close\n\n").replace('\n', "\r\n");
    stream.write_all(head.as_bytes()).expect("the server takes a request");
    let answer = String::from_utf8_lossy(&read_to_end(&stream).0).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no status in {answer:?}"))
}

#[track_caller]
fn is_problem(response: &Response, status: u16, says: &str) {
    assert_eq!(response.status, status, "{}", response.body);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_str(&response.body).expect("a problem is JSON");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], "about:blank");
    assert!(problem["title"].is_string());
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(says), "no {says:?} in {detail:?}");
}

#[test]
fn everything_but_the_open_paths_takes_the_token() {
    let (node, _peer) = echo_node("");
    let address = node.address();
    for open in ["/", "/proxies", "/page.css", "/page.js", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(address, open).status, 200, "{open}");
    }
    let paths = ["/api/v1/proxies", "/api/v1/openapi.json", "/api/v1/nothing", "/nothing"];
    for path in paths {
        let refused = get(address, path);
        is_problem(&refused, 401, "Authorization: Bearer");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    let token = token(&node);
    let with = |value: &str| {
        request(address, "GET", "/api/v1/proxies", &[("Authorization", value)], "").status
    };
    assert_eq!(with(&format!("Bearer {token}")), 200);
    assert_eq!(with(&format!("bearer {token}")), 200, "schemes have no case (RFC 9110, 11.1)");
    for wrong in
        ["Bearer", "Bearer x", &token, &format!("Basic {token}"), &format!("Bearer {token}0")]
    {
        assert_eq!(with(wrong), 401, "{wrong}");
    }
    is_problem(&node.get("/nothing"), 404, "nothing at this path");
}

#[test]
fn a_page_elsewhere_gets_nothing_through_the_browser() {
    let (node, _peer) = echo_node("");
    let (address, port) = (node.address(), node.address().port());
    let bearer = format!("Authorization: Bearer {}", token(&node));
    let ask = |path: &str, headers: &str| {
        status_of(address, &format!("GET {path} HTTP/1.1\n{headers}\n{bearer}"))
    };
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "[::1]".to_owned()] {
        assert_eq!(ask("/api/v1/proxies", &format!("Host: {host}")), 200, "{host}");
    }
    for host in
        ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "10.1.1.1"]
    {
        for path in ["/api/v1/proxies", "/", "/metrics"] {
            assert_eq!(ask(path, &format!("Host: {host}")), 403, "{host} {path}");
        }
    }
    let ours = format!("Host: 127.0.0.1:{port}");
    for origin in [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")] {
        assert_eq!(ask("/api/v1/proxies", &format!("{ours}\nOrigin: {origin}")), 200, "{origin}");
    }
    for origin in ["null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1"] {
        assert_eq!(ask("/api/v1/proxies", &format!("{ours}\nOrigin: {origin}")), 403, "{origin}");
    }
    let forwarded = "Host: localhost:9999\nOrigin: http://localhost:9999";
    assert_eq!(ask("/api/v1/proxies", forwarded), 200, "a forwarded port is the same origin");
}

#[test]
fn bodies_are_bounded_and_have_to_be_json() {
    let (node, peer) = echo_node("");
    let path = format!("/api/v1/proxies/echo/backends/{}", peer.address());
    let bearer = format!("Bearer {}", token(&node));
    let patch = |content_type: &str, body: &str| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content_type)];
        request(node.address(), "PATCH", &path, &headers, body)
    };
    let json = "application/json";
    assert_eq!(patch(json, "{\"weight\": 2}").status, 200);
    is_problem(&patch("text/plain", "{\"weight\": 2}"), 415, "Content-Type");
    is_problem(&patch(json, "{\"weight\": "), 400, "parse");
    is_problem(&patch(json, "{\"weight\": 65536}"), 422, "65536");
    is_problem(&patch(json, "{\"weight\": null}"), 422, "null");
    is_problem(&patch(json, "{\"wait\": 1}"), 422, "unknown field `wait`");
    is_problem(&patch(json, "{\"state\": \"up\"}"), 422, "unknown variant `up`");
    is_problem(&patch(json, "{}"), 422, "send `state`, `weight` or both");
    let padded = |bytes: usize| format!("{{\"weight\": 2{}}}", " ".repeat(bytes));
    assert_eq!(patch(json, &padded(60_000)).status, 200);
    is_problem(&patch(json, &padded(70_000)), 413, "length limit exceeded");
}

#[test]
fn methods_that_a_path_does_not_take_are_refused() {
    let (node, _peer) = echo_node("");
    for path in ["/metrics", "/readyz", "/"] {
        let refused = request(node.address(), "DELETE", path, &[], "");
        is_problem(&refused, 405, "does not take DELETE");
        assert_eq!(refused.header("allow"), Some("GET,HEAD"));
    }
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let (node, _peer) = echo_node("");
    let plain = get(node.address(), "/metrics");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(plain.body.contains("\ntidemill_build_info{"), "{}", plain.body);
    let accept = [("Accept", "application/openmetrics-text")];
    let open = request(node.address(), "GET", "/metrics", &accept, "");
    let content_type = open.header("content-type").unwrap_or_default();
    assert!(content_type.starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.body.ends_with("# EOF\n"));
    let build =
        node.metrics().into_iter().find(|(name, _)| name.starts_with("tidemill_build_info"));
    let (series, value) = build.expect("the build is told");
    assert_eq!(value, 1.0);
    assert!(series.contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")), "{series}");
}

#[test]
fn the_page_may_load_nothing_from_elsewhere() {
    let (node, _peer) = echo_node("");
    let page = get(node.address(), "/");
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    for file in ["/", "/page.css", "/page.js"] {
        let body = get(node.address(), file).body;
        let outside: Vec<_> = body
            .match_indices("http")
            .map(|(at, _)| body[at..].chars().take(40).collect::<String>())
            .filter(|url| url.starts_with("http://") || url.starts_with("https://"))
            .filter(|url| !url.starts_with("http://www.w3.org/2000/svg"))
            .collect();
        assert!(outside.is_empty(), "{file} names {outside:?}");
        assert!(!body.contains("innerHTML"), "{file} could let a label become markup");
    }
}

#[test]
fn slow_and_broken_clients_do_not_keep_others_out() {
    let (node, _peer) = echo_node("");
    let address = node.address();
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(b"GET / HT").expect("the server takes bytes");
            stream
        })
        .collect();
    let mut garbage = connect(address);
    garbage.write_all(&[0xff; 64]).expect("the server takes bytes");
    let answer = String::from_utf8_lossy(&read_to_end(&garbage).0).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    wait_until("an answer beside the slow ones", SOON, || get(address, "/healthz").status == 200);
    drop(slow);
}

//! What the node remembers and streams of its metrics.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::client::connect;
use testkit::http::Response;
use testkit::{Node, TcpPeer, wait_for, wait_until};

use crate::{SOON, config, echo_node, proxy, tidemill};

const ACCEPTED: &str = "tidemill_proxy_connections_total{proxy=\"echo\"}";

fn accepted(node: &Node) -> u64 {
    node.metrics().get(ACCEPTED).copied().unwrap_or(0.0) as u64
}

/// Opens connections and waits until they are counted.
fn connect_times(node: &Node, times: u64) {
    let before = accepted(node);
    (0..times).for_each(|_| drop(connect(node.proxy("echo"))));
    wait_until("connections to be counted", SOON, || accepted(node) == before + times);
}

fn history(node: &Node, series: &str) -> Response {
    let encoded: String = series.bytes().map(|byte| format!("%{byte:02X}")).collect();
    node.get(&format!("/api/v1/history?series={encoded}"))
}

/// The newest value that the history has.
fn newest(node: &Node) -> Option<u64> {
    let answer: Value = serde_json::from_str(&history(node, ACCEPTED).body).ok()?;
    answer["points"].as_array()?.last()?["value"].as_f64().map(|value| value as u64)
}

/// An open stream of events, behind its head.
fn stream(node: &Node) -> BufReader<TcpStream> {
    let token = fs::read_to_string(node.data_dir().join("token")).expect("a token");
    let mut stream = connect(node.address());
    let head = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        node.address(),
        token.trim()
    );
    stream.write_all(head.as_bytes()).expect("the server takes a request");
    stream.set_read_timeout(Some(SOON)).expect("a time limit");
    BufReader::new(stream)
}

/// The data of the next event.
fn next_event(stream: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).expect("a line") > 0, "the stream ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).expect("JSON");
        }
    }
}

#[test]
fn a_stream_tells_what_changes() {
    let (node, _peer) = echo_node("");
    let mut stream = stream(&node);
    let first = next_event(&mut stream);
    let names = first["new"].as_array().expect("names come first");
    let ours = names.iter().find(|new| new[1] == ACCEPTED).expect("every series is named");
    assert_eq!(ours[2], "count");
    connect_times(&node, 3);
    let mut grown = 0;
    while grown < 3 {
        let event = next_event(&mut stream);
        let values = event["v"].as_array().expect("something changed").clone();
        let pair = values.chunks(2).find(|pair| pair[0] == ours[0]);
        grown += pair.and_then(|pair| pair[1].as_u64()).unwrap_or(0);
    }
    assert_eq!(grown, 3);
}

#[test]
fn streams_take_the_token_and_good_questions_and_are_bounded() {
    let (node, _peer) = echo_node("");
    assert_eq!(testkit::http::get(node.address(), "/api/v1/events").status, 401);
    let unknown = node.get("/api/v1/events?kinds=samples,gossip");
    assert_eq!(unknown.status, 400);
    assert!(unknown.body.contains("`gossip`; the kinds are: samples"), "{}", unknown.body);
    let one = node.get("/api/v1/events?kinds=samples&limit=1");
    assert_eq!(one.header("content-type"), Some("text/event-stream"));
    assert_eq!(one.body.matches("\nevent: samples\n").count(), 1, "{}", one.body);

    let open: Vec<_> = (0..32)
        .map(|_| stream(&node))
        .map(|mut it| {
            next_event(&mut it);
            it
        })
        .collect();
    let refused = node.get("/api/v1/events");
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("32 streams are open"), "{}", refused.body);
    drop(open);
    wait_until("places for streams", SOON, || node.get("/api/v1/events?limit=0").status == 200);
}

#[test]
fn an_open_stream_does_not_hold_up_a_stop() {
    let (node, _peer) = echo_node("");
    let mut stream = stream(&node);
    next_event(&mut stream);
    // Its own limit for connections under way is five seconds.
    let status = node.terminate(Duration::from_secs(4));
    assert!(status.success(), "{status}");
}

/// Starts a node whose data is in `data`, so that it outlives the node.
fn node_in(data: &Path, peer: &TcpPeer, more: &str) -> Node {
    let home = tidemill();
    // Ours alone, as the node wants a folder that is not empty.
    fs::set_permissions(data, Permissions::from_mode(0o700)).expect("it is ours");
    let state = home.folder().join(".local/state");
    fs::create_dir_all(&state).expect("a folder");
    symlink(data, state.join("tidemill")).expect("a link");
    let text = config(&format!("metrics_flush = \"1s\"\n{more}\n{}", proxy("echo", peer, "")));
    home.config(&text).start()
}

#[test]
fn counters_and_history_outlive_a_stop_and_a_kill() {
    let peer = TcpPeer::echo();
    let folder = tempfile::tempdir().expect("a folder");
    let (data, keep) = (folder.path(), "counters = \"continue\"");
    let node = node_in(data, &peer, keep);
    connect_times(&node, 3);
    assert!(node.terminate(SOON).success(), "a stop flushes");

    let node = node_in(data, &peer, keep);
    assert_eq!(accepted(&node), 3, "it goes on");
    connect_times(&node, 2);
    let flushed = || fs::read(data.join("metrics.history")).ok();
    wait_until("the history to know", SOON, || newest(&node) == Some(5));
    let before = flushed();
    wait_until("a flush", SOON, || flushed() != before);
    drop(node); // killed

    let node = node_in(data, &peer, keep);
    assert_eq!(accepted(&node), 5, "what was flushed is there");
    drop(node);
    let node = node_in(data, &peer, "");
    assert_eq!(accepted(&node), 0, "only where it is asked for");
    let answer: Value = serde_json::from_str(&history(&node, ACCEPTED).body).expect("JSON");
    let points = answer["points"].as_array().expect("points");
    assert!(points.iter().any(|point| point["value"] == 5.0), "{answer}");
}

#[test]
fn a_history_of_another_version_is_told_of_and_left_alone() {
    let peer = TcpPeer::echo();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("metrics.history");
    fs::write(&path, b"TIDEHIST\x09\0\0\0later").expect("written");
    let node = node_in(folder.path(), &peer, "");
    let says = "is a metrics history of version 9 and this program knows version 1; move it away";
    let told = || node.log().into_iter().find(|line| line.contains(says));
    wait_for("a line in the log", SOON, told);
    connect_times(&node, 1);
    wait_until("a history in memory", SOON, || newest(&node) == Some(1));
    assert!(node.terminate(SOON).success());
    assert_eq!(fs::read(&path).expect("still there"), b"TIDEHIST\x09\0\0\0later");
}

#[test]
fn a_history_that_is_not_there_is_a_problem() {
    let (node, _peer) = echo_node("");
    let refused = history(&node, "no_such_series");
    assert_eq!(refused.status, 404, "{}", refused.body);
    assert_eq!(node.get("/api/v1/history").status, 400);
    assert_eq!(node.get("/api/v1/history?series=x&from=-1").status, 400);
    assert_eq!(node.get("/api/v1/history?series=x&to=999999999999999999").status, 400);
}

#[test]
fn without_metrics_nothing_is_counted() {
    let peer = TcpPeer::echo();
    let folder = tempfile::tempdir().expect("a folder");
    let node = node_in(folder.path(), &peer, "metrics = \"off\"");
    drop(connect(node.proxy("echo")));
    let ended = || node.get("/api/v1/proxies").status == 200;
    wait_until("the node answers", SOON, ended);
    let all = node.metrics();
    assert!(all.contains_key(ACCEPTED), "names are there: {all:?}");
    assert!(all.values().all(|value| *value == 0.0), "and all zero: {all:?}");
}

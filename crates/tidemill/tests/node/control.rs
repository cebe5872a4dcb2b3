//! The running node is asked and told from the command line.

use serde_json::Value;
use testkit::client::{connect, read_exactly, try_connect};
use testkit::{Finished, Node, TcpPeer, wait_until};

use crate::{SOON, config, echo_node, fails, proxy, tidemill};

#[track_caller]
fn good(node: &Node, args: &[&str]) -> Finished {
    let finished = node.command(args, SOON);
    assert_eq!(finished.status.code(), Some(0), "{args:?}: {finished:?}");
    finished
}

#[track_caller]
fn json(node: &Node, args: &[&str]) -> Value {
    let finished = good(node, &[args, &["--json"]].concat());
    serde_json::from_str(&finished.stdout).expect("one document on stdout")
}

/// Returns the line of a table that begins with `first`.
#[track_caller]
fn line<'t>(table: &'t str, first: &str) -> Vec<&'t str> {
    let line = table.lines().find(|line| line.trim_start().starts_with(first));
    line.unwrap_or_else(|| panic!("no line for {first} in:\n{table}")).split_whitespace().collect()
}

#[test]
fn status_shows_proxies_limits_and_backends() {
    let (node, peer) = echo_node("limits = { connections = 77 }");
    let _client = connect(node.proxy("echo"));
    peer.wait_for_accepted(1, SOON);
    let table = good(&node, &["status"]).stdout;
    let listen = node.proxy("echo").to_string();
    assert_eq!(line(&table, "echo")[..4], ["echo", &listen, "round-robin", "1"]);
    assert_eq!(line(&table, "limits:")[1..3], ["77", "open,"]);
    let backend = peer.address().to_string();
    assert_eq!(line(&table, &backend)[..4], [&backend, &backend, "up", "1"]);
    assert!(!table.contains('\x1b'), "colour without a terminal");
    assert!(good(&node, &["status", "--color=always"]).stdout.contains("\x1b[32mup\x1b[0m"));

    let document = json(&node, &["status"]);
    assert_eq!(document["items"][0]["limits"]["connections"], 77);
    assert_eq!(document["next"], Value::Null);
}

#[test]
fn commands_without_a_node_say_so_and_end_with_3() {
    let tidemill = tidemill().config(&config(""));
    for command in [&["status"][..], &["backend", "list"], &["backend", "drain", "x"]] {
        let finished = testkit::Launch::new(env!("CARGO_BIN_EXE_tidemill"))
            .args(command)
            .env("HOME", tidemill.folder())
            .folder(tidemill.folder())
            .run(SOON);
        fails(&finished, 3, "no node runs with the data_dir");
        fails(&finished, 3, "tidemill up");
    }
}

#[test]
fn a_backend_is_drained_disabled_and_enabled_again() {
    let (node, peer) = echo_node("");
    let backend = peer.address().to_string();
    let client = connect(node.proxy("echo"));
    peer.wait_for_accepted(1, SOON);

    let table = good(&node, &["backend", "drain", &backend]).stdout;
    assert_eq!(line(&table, &backend)[2], "draining");
    wait_until("new connections to be refused", SOON, || {
        let refused = try_connect(node.proxy("echo"));
        refused.is_err()
            || json(&node, &["status"])["items"][0]["rejected_total"]["no_backend"] != 0
    });
    assert_eq!(peer.open(), 1, "the open connection stays");

    good(&node, &["backend", "disable", &backend]);
    wait_until("the open connection to be closed", SOON, || peer.open() == 0);
    drop(client);

    good(&node, &["backend", "enable", &backend, "--proxy", "echo"]);
    let mut client = connect(node.proxy("echo"));
    std::io::Write::write_all(&mut client, b"x").expect("the connection is open");
    assert_eq!(read_exactly(&client, 1), b"x");
}

#[test]
fn a_weight_holds_in_every_proxy_that_has_the_backend() {
    let peer = TcpPeer::echo();
    let proxies = proxy("a", &peer, "") + &proxy("b", &peer, "");
    let node = tidemill().config(&config(&proxies)).start();
    let backend = peer.address().to_string();
    let weights = || {
        let document = json(&node, &["backend", "list"]);
        let items = document["items"].as_array().expect("a list").iter();
        items.map(|item| item["backends"][0]["weight"].as_u64()).collect::<Vec<_>>()
    };
    let changed = json(&node, &["backend", "weight", "--proxy", "a", &backend, "5"]);
    assert_eq!(changed["items"][0]["backends"][0]["weight"], 5);
    assert_eq!(weights(), [Some(5), Some(1)]);
    good(&node, &["backend", "weight", &backend, "9"]);
    assert_eq!(weights(), [Some(9), Some(9)]);
}

#[test]
fn names_that_nothing_has_are_bad_input() {
    let (node, _peer) = echo_node("");
    fails(&node.command(["backend", "drain", "nobody"], SOON), 2, "no backend is called `nobody`");
    fails(
        &node.command(["backend", "list", "--proxy", "ecko"], SOON),
        2,
        "no proxy is called `ecko`; did you mean `echo`?",
    );
    let explain = ["explain", "--listener", "nobody", "--from", "192.0.2.7"];
    fails(&node.command(explain, SOON), 2, "no proxy is called");
}

#[test]
fn explain_asks_the_node_and_ends_with_1_when_a_connection_goes_nowhere() {
    let (node, peer) = echo_node("balance = \"source-hash\"");
    let backend = peer.address().to_string();
    let explain = ["explain", "--listener", "echo", "--from", "192.0.2.7"];
    let told = good(&node, &explain).stdout;
    assert!(told.starts_with("192.0.2.7:0 -> echo (source-hash):"), "{told}");
    assert_eq!(line(&told, &backend)[2], "chosen");

    good(&node, &["backend", "disable", &backend]);
    let told = node.command(explain, SOON);
    fails(&told, 1, "a connection to echo would go nowhere");
    assert_eq!(line(&told.stdout, &backend)[2], "out");
}

#[test]
fn explain_without_a_node_takes_every_backend_to_be_healthy() {
    let peer = TcpPeer::echo();
    let more = "balance = \"maglev\"";
    let explain = ["explain", "--listener", "echo", "--from", "192.0.2.7:99", "--json"];
    let finished = tidemill().config(&config(&proxy("echo", &peer, more))).args(explain).run(SOON);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(finished.stderr.contains("every backend is taken to be healthy"));
    let document: Value = serde_json::from_str(&finished.stdout).expect("one document");
    assert_eq!(document["chosen"], peer.address().to_string());
    assert_eq!(document["balance"], "maglev");
}

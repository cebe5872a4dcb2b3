//! How a node ends: it lets connections end, but not for ever, and at once when asked twice.

use std::io::Write;

use testkit::client::{connect, read_exactly, read_to_end, try_connect};
use testkit::{Signal, TcpPeer, http, wait_until};

use crate::{SOON, config, echo_node, proxy, tidemill};

#[test]
fn waits_for_open_connections_and_takes_no_new_ones() {
    let (node, _peer) = echo_node("");
    let proxy = node.proxy("echo");
    let mut client = connect(proxy);
    client.write_all(b"a").expect("the connection is open");
    assert_eq!(read_exactly(&client, 1), b"a");

    let page = node.address();
    node.process().signal(Signal::TERM);
    node.process().wait_for_line("SIGTERM: no new connections", SOON);
    wait_until("the listener to close", SOON, || try_connect(proxy).is_err());
    assert_eq!(http::get(page, "/readyz").status, 503);
    client.write_all(b"b").expect("the connection is still open");
    assert_eq!(read_exactly(&client, 1), b"b");
    assert!(!node.process().has_ended());

    drop(client);
    assert_eq!(node.process().wait(SOON).code(), Some(0));
}

#[test]
fn closes_what_is_left_at_the_deadline() {
    let peer = TcpPeer::echo();
    let config = config(&proxy("echo", &peer, ""));
    // The deadline is the one key of the node that a reload can change.
    let node = tidemill().config(&config).start();
    node.write_config(&config.replace(":0\"\n[[", ":0\"\nstop_deadline = \"300ms\"\n[["));
    node.process().wait_for_line("node.stop_deadline is 300ms now", SOON);
    let mut client = connect(node.proxy("echo"));
    client.write_all(b"a").expect("the connection is open");
    assert_eq!(read_exactly(&client, 1), b"a");
    assert_eq!(node.terminate(SOON).code(), Some(0));
    read_to_end(&client);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let (node, _peer) = echo_node("");
        let mut client = connect(node.proxy("echo"));
        client.write_all(b"a").expect("the connection is open");
        assert_eq!(read_exactly(&client, 1), b"a");
        node.process().signal(signal);
        node.process().wait_for_line("no new connections", SOON);
        node.process().signal(signal);
        assert_eq!(node.process().wait(SOON).code(), Some(130), "{signal:?}");
    }
}

#[test]
fn ctrl_c_is_a_good_end_too() {
    let node = tidemill().config(&config("")).start();
    node.process().signal(Signal::INT);
    assert_eq!(node.process().wait(SOON).code(), Some(0));
    assert!(node.log().last().is_some_and(|line| line.ends_with("stopped")), "{:?}", node.log());
}

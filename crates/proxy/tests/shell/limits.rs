//! What happens at each limit, and under which name it is counted.

use std::io::Write;
use std::time::Duration;

use testkit::TcpPeer;
use testkit::client::{End, connect, read_exactly};
use tidemill_proxy::core::settings::{Limits, ProxySettings, Timeouts};

use crate::{Fixture, end_of_connect, proxy};

fn limited(peer: &TcpPeer, connections: u32, queue: u32, wait: Duration) -> Fixture {
    let limits = Limits { connections, queue, ..Limits::default() };
    let timeouts = Timeouts { queue: wait, ..Timeouts::default() };
    Fixture::new([ProxySettings { limits, timeouts, ..proxy(&[peer.address()]) }])
}

#[test]
fn a_connection_past_the_limit_waits_for_its_turn() {
    let peer = TcpPeer::echo();
    let fixture = limited(&peer, 1, 1, Duration::from_secs(60));
    let mut first = connect(fixture.address("p"));
    first.write_all(b"1").unwrap();
    read_exactly(&first, 1);
    let mut second = connect(fixture.address("p"));
    second.write_all(b"2").unwrap();
    let status = fixture.wait_for("one to wait", "p", |status| status.waiting == 1);
    assert_eq!(status.connections, 1);
    drop(first);
    assert_eq!(read_exactly(&second, 1), b"2");
    fixture.wait_for("the queue to be empty", "p", |status| status.waiting == 0);
}

#[test]
fn a_connection_past_the_queue_is_reset_as_queue_full() {
    let peer = TcpPeer::echo();
    let fixture = limited(&peer, 1, 1, Duration::from_secs(60));
    let _first = connect(fixture.address("p"));
    fixture.wait_for("the first", "p", |status| status.connections == 1);
    let _second = connect(fixture.address("p"));
    fixture.wait_for("the second", "p", |status| status.waiting == 1);
    assert_eq!(end_of_connect(fixture.address("p")), End::Reset);
    fixture.wait_for("the account", "p", |status| status.rejected_total["queue_full"] == 1);
}

#[test]
fn a_connection_that_waits_too_long_is_reset_as_queue_timeout() {
    let peer = TcpPeer::echo();
    let fixture = limited(&peer, 1, 1, Duration::from_millis(50));
    let _first = connect(fixture.address("p"));
    fixture.wait_for("the first", "p", |status| status.connections == 1);
    assert_eq!(end_of_connect(fixture.address("p")), End::Reset);
    let status = fixture.wait_for("the account", "p", |it| it.rejected_total["queue_timeout"] == 1);
    assert_eq!(status.waiting, 0);
}

#[test]
fn a_client_that_leaves_the_queue_gives_up_its_place() {
    let peer = TcpPeer::echo();
    let fixture = limited(&peer, 1, 1, Duration::from_secs(60));
    let _first = connect(fixture.address("p"));
    fixture.wait_for("the first", "p", |status| status.connections == 1);
    let second = connect(fixture.address("p"));
    fixture.wait_for("the second", "p", |status| status.waiting == 1);
    drop(second);
    let status = fixture.wait_for("an empty queue", "p", |status| status.waiting == 0);
    assert_eq!((status.connections, status.rejected_total["queue_full"]), (1, 0));
    fixture.wait_for("the account", "p", |status| status.rejected_total["client_left"] == 1);
}

#[test]
fn a_raised_limit_lets_in_who_waits() {
    let peer = TcpPeer::echo();
    let fixture = limited(&peer, 1, 1, Duration::from_secs(60));
    let _first = connect(fixture.address("p"));
    fixture.wait_for("the first", "p", |status| status.connections == 1);
    let mut second = connect(fixture.address("p"));
    second.write_all(b"2").unwrap();
    fixture.wait_for("the second", "p", |status| status.waiting == 1);
    let limits = Limits { connections: 2, queue: 1, ..Limits::default() };
    fixture.apply([ProxySettings { limits, ..proxy(&[peer.address()]) }]).unwrap();
    assert_eq!(read_exactly(&second, 1), b"2");
}

#[test]
fn defaults_are_a_million_connections_and_stand_in_the_status() {
    let peer = TcpPeer::echo();
    let fixture = Fixture::new([proxy(&[peer.address()])]);
    let limits = fixture.status("p").limits;
    assert_eq!((limits.connections, limits.queue), (1_000_000, 1_000_000));
    assert!(limits.connections_by_files > 0 && limits.connections_by_files < limits.files);
}

//! Addresses: taken, shared, free; and all or nothing.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use testkit::client::{End, connect, read_exactly, read_to_end};
use testkit::{TcpPeer, free_address, wait_until};
use tidemill_proxy::core::settings::{Limits, ProxySettings};

use crate::{Fixture, SOON, proxy};

#[test]
fn a_taken_address_is_named_and_nothing_is_half_started() {
    let peer = TcpPeer::echo();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = free_address();
    let named = |name: &str, listen| ProxySettings {
        name: name.to_owned(),
        listen,
        ..proxy(&[peer.address()])
    };
    let fixture = Fixture::empty();
    let error = fixture
        .apply([named("a", good), named("b", taken.local_addr().unwrap())])
        .expect_err("one address is taken");
    assert!(error.is_address_in_use(), "{error}");
    assert!(error.to_string().contains("proxy b"), "{error}");
    assert!(TcpStream::connect(good).is_err(), "a listens although b could not");
    assert!(fixture.engine.addresses().is_empty());
}

#[test]
fn an_address_that_another_engine_shares_counts_as_taken() {
    let peer = TcpPeer::echo();
    let first = Fixture::new([proxy(&[peer.address()])]);
    let listen = first.address("p");
    let second = Fixture::empty();
    let error = second
        .apply([ProxySettings { listen, ..proxy(&[peer.address()]) }])
        .expect_err("SO_REUSEPORT would share the port silently");
    assert!(error.is_address_in_use(), "{error}");
}

#[test]
fn contradictory_settings_are_all_named() {
    let fixture = Fixture::empty();
    let error = fixture.apply([proxy(&[])]).expect_err("no backend");
    assert!(error.is_invalid() && error.to_string().contains("backends"), "{error}");
}

#[test]
fn a_limit_above_what_may_be_opened_is_refused() {
    let peer = TcpPeer::echo();
    let limits = Limits { connections: 900_000_000, ..Limits::default() };
    let error = Fixture::empty()
        .apply([ProxySettings { limits, ..proxy(&[peer.address()]) }])
        .expect_err("nobody may open that many files");
    assert!(error.is_invalid() && error.to_string().contains("LimitNOFILE"), "{error}");
}

#[test]
fn shutdown_lets_connections_end_and_closes_the_rest_at_the_deadline() {
    let peer = TcpPeer::echo();
    let fixture = Fixture::new([proxy(&[peer.address()])]);
    let address = fixture.address("p");
    let mut client = connect(address);
    client.write_all(b"x").unwrap();
    read_exactly(&client, 1);
    fixture.shutdown(Duration::from_millis(100));
    assert_eq!(read_to_end(&client), (vec![], End::Fin));
    wait_until("the listener to be gone", SOON, || TcpStream::connect(address).is_err());
}

//! Which backend serves when some are down, disabled, slow or gone.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use testkit::client::{End, connect, read_exactly, read_to_end};
use testkit::{TcpPeer, free_address, wait_for};
use tidemill_proxy::BackendCommand;
use tidemill_proxy::core::settings::{
    AllDown, BackendSettings, HealthSettings, OnDown, Policy, Probe, ProxySettings,
};

use crate::{Fixture, SOON, backend, end_of_connect, proxy, quick_health};

/// Asks which of the peers answers, by the banner.
fn who_answers(address: SocketAddr) -> Vec<u8> {
    read_exactly(&connect(address), 1)
}

#[test]
fn a_refused_connection_is_retried_on_another_backend() {
    let peer = TcpPeer::banner(b"a");
    let nobody = free_address();
    let fixture = Fixture::new([proxy(&[nobody, peer.address()])]);
    for _ in 0..20 {
        assert_eq!(who_answers(fixture.address("p")), b"a");
    }
    let status = fixture.status("p");
    assert!(backend(&status, nobody).connect_failures_total > 0);
    assert_eq!(status.rejected_total["connect_failed"], 0);
}

#[test]
fn without_retries_a_refused_connection_is_reset_as_connect_failed() {
    let fixture =
        Fixture::new([ProxySettings { retries: 0, ..proxy(&[free_address(), free_address()]) }]);
    assert_eq!(end_of_connect(fixture.address("p")), End::Reset);
    let status =
        fixture.wait_for("the account", "p", |it| it.rejected_total["connect_failed"] == 1);
    let failures: u64 = status.backends.iter().map(|it| it.connect_failures_total).sum();
    assert_eq!(failures, 1);
}

#[test]
fn a_backend_goes_down_and_comes_back_by_probes() {
    let (mut a, b) = (TcpPeer::banner(b"a"), TcpPeer::banner(b"b"));
    let settings = proxy(&[a.address(), b.address()]);
    let fixture = Fixture::new([ProxySettings { health: Some(quick_health()), ..settings }]);
    a.stop();
    let status = fixture.wait_for("a to be down", "p", |it| !backend(it, a.address()).healthy);
    assert!(backend(&status, a.address()).enabled, "health is not what the operator asked for");
    for _ in 0..10 {
        assert_eq!(who_answers(fixture.address("p")), b"b");
    }
    a.restart();
    fixture.wait_for("a to be up", "p", |it| backend(it, a.address()).healthy);
    wait_for("a to answer", SOON, || (who_answers(fixture.address("p")) == b"a").then_some(()));
}

#[test]
fn a_probe_that_expects_an_answer_finds_a_wrong_one() {
    let (right, wrong) = (TcpPeer::banner(b"+PONG\r\n"), TcpPeer::banner(b"-NO\r\n"));
    let probe = Probe::SendExpect { send: b"PING\r\n".to_vec(), expect: b"+PONG".to_vec() };
    let health = HealthSettings { probe, start_up: false, ..quick_health() };
    let settings = proxy(&[right.address(), wrong.address()]);
    let fixture = Fixture::new([ProxySettings { health: Some(health), ..settings }]);
    let status = fixture.wait_for("the right one", "p", |it| backend(it, right.address()).healthy);
    assert!(!backend(&status, wrong.address()).healthy, "it starts down and never rises");
    let status =
        fixture.wait_for("a probe", "p", |it| backend(it, wrong.address()).last_probe.is_some());
    let found = backend(&status, wrong.address()).last_probe.clone().unwrap();
    assert!(found.contains("-NO"), "{found}");
}

#[test]
fn with_all_down_connections_are_reset_as_no_backend() {
    let health = HealthSettings { start_up: false, ..quick_health() };
    let settings = proxy(&[free_address()]);
    let fixture = Fixture::new([ProxySettings { health: Some(health), ..settings }]);
    assert_eq!(end_of_connect(fixture.address("p")), End::Reset);
    fixture.wait_for("the account", "p", |status| status.rejected_total["no_backend"] == 1);
}

#[test]
fn with_all_down_and_fail_open_connections_are_tried_all_the_same() {
    let peer = TcpPeer::banner(b"a");
    // The probe speaks to a peer that answers something else, so it is found down.
    let probe = Probe::SendExpect { send: vec![], expect: b"b".to_vec() };
    let health = HealthSettings { probe, start_up: false, ..quick_health() };
    for policy in [Policy::RoundRobin, Policy::Maglev] {
        let settings = ProxySettings {
            all_down: AllDown::FailOpen,
            health: Some(health.clone()),
            balance: policy,
            ..proxy(&[peer.address()])
        };
        let fixture = Fixture::new([settings]);
        assert_eq!(who_answers(fixture.address("p")), b"a");
        assert!(!fixture.status("p").backends[0].healthy);
    }
}

/// Opens a connection, takes the backend down, and says how the connection ended, if it did.
fn end_when_down(on_down: OnDown) -> Option<End> {
    let peer = TcpPeer::echo();
    let probe = Probe::SendExpect { send: vec![b'?'], expect: b"?".to_vec() };
    let good = HealthSettings { probe, ..quick_health() };
    let probe = Probe::SendExpect { send: vec![b'?'], expect: b"!".to_vec() };
    let bad = HealthSettings { probe, ..quick_health() };
    let settings = ProxySettings { on_down, ..proxy(&[peer.address()]) };
    let with = |health| {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        [ProxySettings { health: Some(health), listen, ..settings.clone() }]
    };
    let fixture = Fixture::new(with(good));
    let mut client = connect(fixture.address("p"));
    client.write_all(b"x").unwrap();
    read_exactly(&client, 1);
    fixture.apply(with(bad)).unwrap();
    fixture.wait_for("the backend to be down", "p", |status| !status.backends[0].healthy);
    match on_down {
        OnDown::Close => Some(read_to_end(&client).1),
        OnDown::Keep => {
            client.write_all(b"y").unwrap();
            assert_eq!(read_exactly(&client, 1), b"y");
            None
        }
    }
}

#[test]
fn open_connections_of_a_backend_that_goes_down_are_kept_by_default() {
    assert_eq!(proxy(&[free_address()]).on_down, OnDown::Keep);
    assert_eq!(end_when_down(OnDown::Keep), None);
}

#[test]
fn open_connections_of_a_backend_that_goes_down_are_reset_on_request() {
    assert_eq!(end_when_down(OnDown::Close), Some(End::Reset));
}

#[test]
fn a_drained_backend_keeps_its_connections_and_takes_no_new_ones() {
    let (a, b) = (TcpPeer::banner(b"a"), TcpPeer::banner(b"b"));
    let fixture = Fixture::new([proxy(&[a.address(), b.address()])]);
    let clients: Vec<_> = (0..8).map(|_| connect(fixture.address("p"))).collect();
    let at_a: Vec<_> = clients.iter().filter(|it| read_exactly(it, 1) == b"a").collect();
    assert!(!at_a.is_empty());
    assert_eq!(fixture.control(a.address(), BackendCommand::Drain).unwrap(), 1);
    for _ in 0..10 {
        assert_eq!(who_answers(fixture.address("p")), b"b");
    }
    for mut client in at_a {
        client.write_all(b"z").unwrap();
        assert_eq!(read_exactly(client, 1), b"z");
    }
    fixture.control(a.address(), BackendCommand::Enable).unwrap();
    wait_for("a to answer again", SOON, || {
        (who_answers(fixture.address("p")) == b"a").then_some(())
    });
}

#[test]
fn a_disabled_backend_resets_its_connections() {
    let a = TcpPeer::banner(b"a");
    let fixture = Fixture::new([proxy(&[a.address()])]);
    let client = connect(fixture.address("p"));
    read_exactly(&client, 1);
    fixture.control(a.address(), BackendCommand::Disable).unwrap();
    assert_eq!(read_to_end(&client), (vec![], End::Reset));
    assert!(!fixture.status("p").backends[0].enabled);
}

#[test]
fn a_backend_of_weight_zero_gets_nothing_and_a_new_weight_holds_at_once() {
    let (a, b) = (TcpPeer::banner(b"a"), TcpPeer::banner(b"b"));
    let fixture = Fixture::new([proxy(&[a.address(), b.address()])]);
    fixture.control(a.address(), BackendCommand::Weight(0)).unwrap();
    for _ in 0..10 {
        assert_eq!(who_answers(fixture.address("p")), b"b");
    }
    fixture.control(a.address(), BackendCommand::Weight(1)).unwrap();
    fixture.control(b.address(), BackendCommand::Weight(0)).unwrap();
    for _ in 0..10 {
        assert_eq!(who_answers(fixture.address("p")), b"a");
    }
}

#[test]
fn an_unknown_backend_is_named() {
    let a = TcpPeer::echo();
    let fixture = Fixture::new([proxy(&[a.address()])]);
    let error = fixture.control(free_address(), BackendCommand::Drain).unwrap_err();
    assert!(error.is_unknown_name(), "{error}");
}

#[test]
fn explain_says_where_a_client_goes_and_why_a_backend_is_out() {
    let (a, b) = (TcpPeer::banner(b"a"), TcpPeer::banner(b"b"));
    for policy in [Policy::Maglev, Policy::SourceHash] {
        let settings = ProxySettings { balance: policy, ..proxy(&[a.address(), b.address()]) };
        let fixture = Fixture::new([settings]);
        let from = SocketAddr::from(([127, 0, 0, 1], 4_000));
        let chosen = fixture.engine.explain("p", from).unwrap().chosen.unwrap();
        let answer = if chosen == a.address() { b"a" } else { b"b" };
        for _ in 0..5 {
            assert_eq!(who_answers(fixture.address("p")), answer);
        }
        fixture.control(chosen, BackendCommand::Drain).unwrap();
        let after = fixture.engine.explain("p", from).unwrap();
        assert_ne!(after.chosen.unwrap(), chosen);
        let out = after.backends.iter().find(|it| it.address == chosen).unwrap();
        assert!(!out.eligible && out.why.contains("operator"), "{}", out.why);
    }
}

#[test]
fn slow_start_gives_a_backend_that_returns_little_at_first() {
    let (a, b) = (TcpPeer::banner(b"a"), TcpPeer::banner(b"b"));
    let settings = |backends: &[SocketAddr]| {
        let backends =
            backends.iter().map(|it| BackendSettings { weight: 100, ..BackendSettings::new(*it) });
        let slow_start = Duration::from_secs(3_600);
        [ProxySettings { slow_start, backends: backends.collect(), ..proxy(&[a.address()]) }]
    };
    let fixture = Fixture::new(settings(&[a.address()]));
    fixture.apply(settings(&[a.address(), b.address()])).unwrap();
    let to_b = (0..100).filter(|_| who_answers(fixture.address("p")) == b"b").count();
    assert!(to_b < 20, "{to_b} of 100 connections went to a backend that has just begun");
}

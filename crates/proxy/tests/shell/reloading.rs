//! A reload touches what differs and nothing else.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use testkit::client::{End, connect, read_exactly, read_to_end};
use testkit::{TcpPeer, free_address, wait_until};
use tidemill_proxy::core::settings::{
    BackendSettings, Drain, Limits, Policy, ProxySettings, Timeouts,
};

use crate::{Fixture, SOON, proxy};

fn check_alive(client: &TcpStream) {
    (&mut &*client).write_all(b"ping").unwrap();
    assert_eq!(read_exactly(client, 4), b"ping");
}

fn quick_drain() -> Drain {
    Drain { deadline: Duration::from_millis(600), jitter: Duration::from_millis(500) }
}

#[test]
fn connections_survive_a_change_of_everything_but_their_backend() {
    let (a, b) = (TcpPeer::echo(), TcpPeer::echo());
    let fixture = Fixture::new([proxy(&[a.address()])]);
    let clients: Vec<_> = (0..20).map(|_| connect(fixture.address("p"))).collect();
    clients.iter().for_each(check_alive);
    let changed = ProxySettings {
        balance: Policy::Maglev,
        listen: free_address(),
        backends: vec![
            BackendSettings { weight: 7, ..BackendSettings::new(a.address()) },
            BackendSettings::new(b.address()),
        ],
        timeouts: Timeouts { connect: Duration::from_secs(1), ..Timeouts::default() },
        limits: Limits { connections: 30, queue: 5, backlog: 128 },
        ..proxy(&[])
    };
    let old = fixture.address("p");
    let applied = fixture.apply([changed.clone()]).unwrap();
    assert_eq!(applied.to_string(), "changed p");
    clients.iter().for_each(check_alive);
    check_alive(&connect(changed.listen));
    wait_until("the old listener to be gone", SOON, || TcpStream::connect(old).is_err());
    let status = fixture.status("p");
    assert_eq!((status.connections_total, status.balance.as_str()), (21, "maglev"));
    assert_eq!(status.backends[0].weight, 7);
}

#[test]
fn a_reload_of_the_same_settings_changes_nothing() {
    let a = TcpPeer::echo();
    let fixture = Fixture::new([proxy(&[a.address()])]);
    let before = fixture.address("p");
    assert_eq!(fixture.apply([proxy(&[a.address()])]).unwrap().to_string(), "nothing changed");
    assert_eq!(fixture.address("p"), before);
}

#[test]
fn connections_of_a_removed_backend_leave_one_by_one_before_the_deadline() {
    let (a, b) = (TcpPeer::echo(), TcpPeer::echo());
    let settings =
        |backends: &[SocketAddr]| [ProxySettings { drain: quick_drain(), ..proxy(backends) }];
    let fixture = Fixture::new(settings(&[a.address()]));
    let clients: Vec<_> = (0..40).map(|_| connect(fixture.address("p"))).collect();
    clients.iter().for_each(check_alive);
    fixture.apply(settings(&[b.address()])).unwrap();
    let start = Instant::now();
    let status = fixture.status("p");
    assert!(status.backends.iter().any(|backend| backend.removed && backend.connections == 40));
    check_alive(&connect(fixture.address("p")));
    let ends: Vec<_> = clients
        .iter()
        .map(|client| {
            assert_eq!(read_to_end(client), (vec![], End::Fin));
            start.elapsed()
        })
        .collect();
    let last = ends.iter().max().unwrap();
    assert!(*last >= Duration::from_millis(300), "all were closed within {last:?}");
    fixture.wait_for("the backend to be forgotten", "p", |status| status.backends.len() == 1);
    let series = fixture.registry.render_prometheus();
    assert!(!series.contains(&a.address().to_string()), "the series of {} stayed", a.address());
}

#[test]
fn a_removed_proxy_stops_listening_and_drains() {
    let a = TcpPeer::echo();
    let named = |name: &str| ProxySettings {
        name: name.to_owned(),
        drain: quick_drain(),
        ..proxy(&[a.address()])
    };
    let fixture = Fixture::new([named("stays"), named("goes")]);
    let (stays, goes) = (connect(fixture.address("stays")), connect(fixture.address("goes")));
    check_alive(&stays);
    check_alive(&goes);
    let address = fixture.address("goes");
    assert_eq!(fixture.apply([named("stays")]).unwrap().to_string(), "removed goes");
    check_alive(&goes);
    wait_until("the listener to be gone", SOON, || TcpStream::connect(address).is_err());
    assert_eq!(read_to_end(&goes), (vec![], End::Fin));
    check_alive(&stays);
    wait_until("its series to go", SOON, || {
        !fixture.registry.render_prometheus().contains("\"goes\"")
    });
}

#[test]
fn a_weight_set_at_run_time_holds_until_the_settings_change_it() {
    let a = TcpPeer::echo();
    let with_weight = |weight| {
        let backends = vec![BackendSettings { weight, ..BackendSettings::new(a.address()) }];
        [ProxySettings { backends, ..proxy(&[]) }]
    };
    let fixture = Fixture::new(with_weight(1));
    fixture.control(a.address(), tidemill_proxy::BackendCommand::Weight(9)).unwrap();
    fixture.apply(with_weight(1)).unwrap();
    assert_eq!(fixture.status("p").backends[0].weight, 9);
    fixture.apply(with_weight(3)).unwrap();
    assert_eq!(fixture.status("p").backends[0].weight, 3);
}

#[test]
fn a_listener_moves_to_every_address_of_its_port_and_back() {
    let a = TcpPeer::echo();
    let listen = free_address();
    let on = |listen| [ProxySettings { listen, ..proxy(&[a.address()]) }];
    let fixture = Fixture::new(on(listen));
    let client = connect(listen);
    check_alive(&client);
    let everywhere = SocketAddr::from(([0, 0, 0, 0], listen.port()));
    for target in [everywhere, listen] {
        assert_eq!(fixture.apply(on(target)).unwrap().to_string(), "changed p");
        assert_eq!(fixture.address("p"), target);
        check_alive(&connect(listen));
        check_alive(&client);
    }
}

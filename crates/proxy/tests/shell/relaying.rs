//! Bytes arrive unchanged in both directions, and every kind of end is passed on as it was.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use testkit::client::{End, connect, read_exactly, read_to_end, reset};
use testkit::{TcpPeer, wait_until};
use tidemill_proxy::core::settings::{ProxySettings, Timeouts};

use crate::{Fixture, SOON, proxy};

fn through(peer: &TcpPeer) -> (Fixture, TcpStream) {
    let fixture = Fixture::new([proxy(&[peer.address()])]);
    let client = connect(fixture.address("p"));
    (fixture, client)
}

#[test]
fn passes_a_request_and_its_answer() {
    let peer = TcpPeer::echo();
    let (fixture, mut client) = through(&peer);
    for round in 0..100_u32 {
        client.write_all(&round.to_be_bytes()).unwrap();
        assert_eq!(read_exactly(&client, 4), round.to_be_bytes());
    }
    let status = fixture.wait_for("the account", "p", |it| it.bytes_downstream_total == 400);
    assert_eq!((status.connections, status.bytes_upstream_total), (1, 400));
}

#[test]
fn lets_the_server_speak_first() {
    let peer = TcpPeer::banner(b"220 ready\r\n");
    let (_fixture, client) = through(&peer);
    let start = Instant::now();
    assert_eq!(read_exactly(&client, 11), b"220 ready\r\n");
    assert!(start.elapsed() < SOON);
}

#[test]
fn keeps_the_answer_coming_after_the_client_closed_its_half() {
    let peer = TcpPeer::answer_at_end(b"everything arrived");
    let (_fixture, mut client) = through(&peer);
    client.write_all(b"all of it").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client), (b"everything arrived".to_vec(), End::Fin));
    assert_eq!(peer.wait_for_end(0, SOON).head, b"all of it");
}

#[test]
fn keeps_the_request_coming_after_the_server_closed_its_half() {
    let peer = TcpPeer::half_close(b"bye");
    let (_fixture, mut client) = through(&peer);
    assert_eq!(read_to_end(&client), (b"bye".to_vec(), End::Fin));
    client.write_all(b"still talking").unwrap();
    drop(client);
    let seen = peer.wait_for_end(0, SOON);
    assert_eq!((seen.head.as_slice(), seen.end), (&b"still talking"[..], Some(End::Fin)));
}

#[test]
fn passes_an_immediate_end_of_the_client_on() {
    let peer = TcpPeer::answer_at_end(b"nothing came");
    let (_fixture, client) = through(&peer);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&client), (b"nothing came".to_vec(), End::Fin));
}

#[test]
fn passes_a_reset_of_the_server_on_as_a_reset() {
    let peer = TcpPeer::reset_after(3);
    let (fixture, mut client) = through(&peer);
    client.write_all(b"abc").unwrap();
    assert_eq!(read_to_end(&client).1, End::Reset);
    let account = r#"tidemill_proxy_closed_total{by="upstream",proxy="p",reason="reset"} 1"#;
    wait_until("the account", SOON, || fixture.registry.render_prometheus().contains(account));
}

#[test]
fn passes_a_reset_of_the_client_on_as_a_reset() {
    let peer = TcpPeer::echo();
    let (_fixture, mut client) = through(&peer);
    client.write_all(b"abc").unwrap();
    read_exactly(&client, 3);
    reset(client);
    assert_eq!(peer.wait_for_end(0, SOON).end, Some(End::Reset));
}

#[test]
fn loses_and_changes_nothing_of_a_large_transfer_both_ways() {
    const BYTES: usize = 64 << 20;
    let peer = TcpPeer::echo();
    let (_fixture, client) = through(&peer);
    let byte = |index: usize| (index.wrapping_mul(2_654_435_761) >> 11) as u8;
    thread::scope(|scope| {
        scope.spawn(|| {
            let chunk = 1 << 16;
            for start in (0..BYTES).step_by(chunk) {
                let bytes: Vec<u8> = (start..start + chunk).map(byte).collect();
                (&client).write_all(&bytes).unwrap();
            }
            client.shutdown(Shutdown::Write).unwrap();
        });
        let mut buffer = vec![0; 100_000];
        let mut index = 0;
        loop {
            let count = (&client).read(&mut buffer).unwrap();
            for found in &buffer[..count] {
                assert_eq!(*found, byte(index), "byte {index}");
                index += 1;
            }
            if count == 0 {
                break;
            }
        }
        assert_eq!(index, BYTES);
    });
}

#[test]
fn a_peer_that_does_not_read_holds_the_sender_back() {
    let peer = TcpPeer::never_read();
    let (fixture, mut client) = through(&peer);
    client.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let chunk = vec![7; 1 << 20];
    let mut sent = 0_usize;
    // Sockets and one buffer of 64 KiB fill up; then the client's writes stall.
    while let Ok(count) = client.write(&chunk) {
        sent += count;
        assert!(sent < 256 << 20, "256 MiB went somewhere");
    }
    let passed = fixture.status("p").bytes_upstream_total;
    assert!(passed < sent as u64, "{passed} of {sent} bytes were passed on to a deaf peer");
}

#[test]
fn closes_a_connection_without_traffic_after_the_idle_timeout() {
    let peer = TcpPeer::echo();
    let idle = Duration::from_millis(400);
    let timeouts = Timeouts { idle, ..Timeouts::default() };
    let fixture = Fixture::new([ProxySettings { timeouts, ..proxy(&[peer.address()]) }]);
    let mut client = connect(fixture.address("p"));
    let mut last = Instant::now();
    // Traffic keeps it open for longer than the timeout.
    let start = Instant::now();
    while start.elapsed() < 2 * idle {
        last = Instant::now();
        client.write_all(b"x").unwrap();
        read_exactly(&client, 1);
    }
    assert_eq!(read_to_end(&client), (vec![], End::Fin));
    assert!(last.elapsed() >= idle, "closed after {:?}", last.elapsed());
    assert_eq!(peer.wait_for_end(0, SOON).end, Some(End::Fin));
}

#[test]
fn garbage_and_silence_disturb_nobody_else() {
    let peer = TcpPeer::echo();
    let fixture = Fixture::new([proxy(&[peer.address()])]);
    let address = fixture.address("p");
    let silent: Vec<_> = (0..50).map(|_| connect(address)).collect();
    for seed in 0..50_u8 {
        let mut garbage = connect(address);
        garbage.write_all(&[seed; 999]).unwrap();
        reset(garbage);
    }
    let mut client = connect(address);
    client.write_all(b"hello").unwrap();
    assert_eq!(read_exactly(&client, 5), b"hello");
    drop(silent);
}

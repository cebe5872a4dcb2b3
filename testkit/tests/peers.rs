//! The kit itself: peers start, behave and are gone when dropped.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use testkit::client::{End, connect, read_exactly, read_to_end, reset, try_connect};
use testkit::{Iperf3, Nginx, Redis, TcpPeer, http, tool};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn redis_answers_restarts_on_its_port_and_dies_on_drop() {
    let Some(mut redis) = Redis::start() else { return };
    let address = redis.address();
    let ping = || {
        let mut stream = connect(address);
        stream.write_all(b"ECHO hi\r\n").expect("redis reads");
        assert_eq!(read_exactly(&stream, 8), b"$2\r\nhi\r\n");
    };
    ping();
    let first = redis.process().id();
    redis.restart();
    assert_ne!(redis.process().id(), first);
    ping();
    redis.stop();
    assert!(TcpStream::connect(address).is_err(), "stopped");
    redis.restart();
    drop(redis);
    assert!(TcpStream::connect(address).is_err(), "dropped");
}

#[test]
fn redis_benchmark_reports_figures() {
    let Some(redis) = Redis::start() else { return };
    let args = ["-n", "2000", "-c", "5", "-t", "set,get"];
    let Some(report) = tool::redis_benchmark(redis.address(), args, SOON) else { return };
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let names: Vec<&str> = report.tests.iter().map(|test| test.name.as_str()).collect();
    assert_eq!(names, ["SET", "GET"]);
    assert!(report.tests.iter().all(|test| test.rps > 0.0));
}

#[test]
fn redis_benchmark_reports_errors() {
    let Some(redis) = Redis::start() else { return };
    let mut stream = connect(redis.address());
    stream.write_all(b"CONFIG SET maxmemory 1\r\n").expect("redis reads");
    assert_eq!(read_exactly(&stream, 5), b"+OK\r\n");
    let args = ["-n", "10", "-c", "1", "-t", "set"];
    let Some(report) = tool::redis_benchmark(redis.address(), args, SOON) else { return };
    assert!(!report.errors.is_empty(), "out of memory");
}

#[test]
fn nginx_serves_and_turns_unhealthy_and_wrk_tells() {
    let Some(mut nginx) = Nginx::start() else { return };
    let address = nginx.address();
    let page = http::get(address, "/");
    assert_eq!((page.status, page.body.len()), (200, 612));
    assert_eq!(page.header("x-backend"), Some(address.port().to_string().as_str()));
    nginx.set_healthy(false);
    assert_eq!(http::get(address, "/health").status, 503);
    nginx.restart();
    assert_eq!(http::get(address, "/health").status, 200);
    let Some(good) = tool::wrk(&format!("http://{address}/"), 1, ["-t", "1", "-c", "4"]) else {
        return;
    };
    assert!(good.requests > 0 && good.rps > 0.0 && good.p99_ms > 0.0, "{good:?}");
    assert_eq!(good.errors(), 0);
    let bad = tool::wrk(&format!("http://{address}/none"), 1, ["-t", "1", "-c", "4"]);
    let bad = bad.expect("it was there before");
    assert_eq!(bad.bad_statuses, bad.requests);
}

#[test]
fn iperf3_measures_and_reports_a_refusal() {
    let Some(mut iperf3) = Iperf3::start() else { return };
    let run = || tool::iperf3_client(iperf3.address(), 2, 1).expect("the server is the same file");
    let report = run().expect("the server takes it");
    assert!(report.bits_per_second > 1e6 && report.bytes > 0);
    let address = iperf3.address();
    iperf3.stop();
    let refused = tool::iperf3_client(address, 1, 1).expect("it was there before");
    assert!(refused.expect_err("nobody listens").contains("refused"));
}

#[test]
fn echo_sends_everything_back_and_closes_after_the_client() {
    let peer = TcpPeer::echo();
    let mut stream = connect(peer.address());
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut writer = stream.try_clone().expect("a descriptor");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).expect("the peer reads");
            writer.shutdown(Shutdown::Write).expect("connected");
        });
        let mut got = Vec::new();
        stream.read_to_end(&mut got).expect("an orderly end");
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    });
    let seen = peer.wait_for_end(0, SOON);
    assert_eq!((seen.bytes, seen.end), (1_000_000, Some(End::Fin)));
    assert_eq!(seen.head, sent[..4096]);
    assert_eq!(seen.from, stream.local_addr().expect("bound"));
}

#[test]
fn a_reset_from_the_client_is_seen_as_one() {
    for peer in [TcpPeer::echo(), TcpPeer::answer_at_end(b"x"), TcpPeer::never_read()] {
        let mut stream = connect(peer.address());
        stream.write_all(b"half a wo").expect("connected");
        peer.wait_for_accepted(1, SOON);
        reset(stream);
        assert_eq!(peer.wait_for_end(0, SOON).end, Some(End::Reset));
    }
}

#[test]
fn banner_speaks_first() {
    let peer = TcpPeer::banner(b"220 ready\r\n");
    let stream = connect(peer.address());
    assert_eq!(read_exactly(&stream, 11), b"220 ready\r\n");
    stream.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(read_to_end(&stream), (Vec::new(), End::Fin));
}

#[test]
fn half_close_still_takes_bytes() {
    let peer = TcpPeer::half_close(b"bye");
    let mut stream = connect(peer.address());
    assert_eq!(read_to_end(&stream), (b"bye".to_vec(), End::Fin));
    stream.write_all(b"but listen").expect("the other half is open");
    drop(stream);
    let seen = peer.wait_for_end(0, SOON);
    assert_eq!((seen.head.as_slice(), seen.end), (&b"but listen"[..], Some(End::Fin)));
}

#[test]
fn answer_at_end_waits_for_the_fin() {
    let peer = TcpPeer::answer_at_end(b"42");
    let mut stream = connect(peer.address());
    stream.write_all(b"question").expect("connected");
    stream.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(read_to_end(&stream), (b"42".to_vec(), End::Fin));
    assert_eq!(peer.wait_for_end(0, SOON).bytes, 8);
}

#[test]
fn reset_after_some_bytes_is_a_reset() {
    let peer = TcpPeer::reset_after(5);
    let mut stream = connect(peer.address());
    stream.write_all(b"12345").expect("connected");
    assert_eq!(read_to_end(&stream), (Vec::new(), End::Reset));
    let seen = peer.wait_for_end(0, SOON);
    assert_eq!((seen.bytes, seen.end), (5, Some(End::Here)));
}

#[test]
fn reset_at_once_is_told_while_connecting_or_soon_after() {
    let peer = TcpPeer::reset_after(0);
    match try_connect(peer.address()) {
        Ok(stream) => assert_eq!(read_to_end(&stream), (Vec::new(), End::Reset)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(peer.wait_for_end(0, SOON).end, Some(End::Here));
}

#[test]
fn never_read_lets_the_window_fill_and_sees_the_end() {
    let peer = TcpPeer::never_read();
    let mut stream = connect(peer.address());
    stream.set_nonblocking(true).expect("a socket has O_NONBLOCK");
    let chunk = [0; 65_536];
    let filled = (0..10_000).any(|_| stream.write(&chunk).is_err());
    assert!(filled, "640 MB went nowhere");
    peer.wait_for_accepted(1, SOON);
    assert_eq!(peer.open(), 1);
    let quiet = connect(peer.address());
    peer.wait_for_accepted(2, SOON);
    drop(quiet);
    let seen = peer.wait_for_end(1, SOON);
    assert_eq!((seen.bytes, seen.end), (0, Some(End::Fin)));
}

#[test]
fn a_peer_stops_restarts_on_its_port_and_keeps_what_it_saw() {
    let mut peer = TcpPeer::echo();
    let stream = connect(peer.address());
    peer.wait_for_accepted(1, SOON);
    peer.stop();
    assert_eq!(read_to_end(&stream), (Vec::new(), End::Fin));
    assert!(TcpStream::connect(peer.address()).is_err(), "stopped");
    peer.restart();
    let _again = connect(peer.address());
    peer.wait_for_accepted(2, SOON);
}

#[test]
fn one_peer_holds_thousands_of_connections() {
    let peer = TcpPeer::echo();
    let mut streams: Vec<TcpStream> = (0..2_000).map(|_| connect(peer.address())).collect();
    peer.wait_for_accepted(streams.len(), SOON);
    let last = streams.last_mut().expect("there are 2,000");
    last.write_all(b"here").expect("connected");
    assert_eq!(read_exactly(last, 4), b"here");
    assert_eq!(peer.open(), streams.len());
}

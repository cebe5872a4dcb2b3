//! Redis, HTTP and bulk traffic through the proxy without an error, and clients that misbehave.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use testkit::client::{connect, read_exactly, reset};
use testkit::tool::{iperf3_client, redis_benchmark, wrk};
use testkit::{Iperf3, Launch, Nginx, Redis, TcpPeer, free_address, require, wait_until};

use crate::{SOON, node, wait_for_metric};

const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn redis_benchmark_runs_without_an_error() {
    let Some(redis) = Redis::start() else { return };
    let node = node(
        &[redis.address()],
        r#"health = { probe = "send-expect", send = "PING\r\n", expect = "+PONG" }"#,
    );
    for pipeline in ["1", "16"] {
        let args = ["-c", "50", "-n", "40000", "-t", "set,get", "-P", pipeline];
        let Some(result) = redis_benchmark(node.proxy("p"), args, WITHIN) else { return };
        assert_eq!((result.errors, result.tests.len()), (vec![], 2));
    }
    let args = ["-c", "50", "-n", "5000", "-t", "get", "-k", "0"];
    let Some(result) = redis_benchmark(node.proxy("p"), args, WITHIN) else { return };
    assert_eq!(result.errors, Vec::<String>::new());
    assert_eq!(node.metrics()[&crate::up(redis.address())], 1.0);
}

#[test]
fn redis_benchmark_runs_through_a_proxy_without_a_file() {
    let Some(redis) = Redis::start() else { return };
    let listen = free_address();
    let process = Launch::new(env!("CARGO_BIN_EXE_tidemill"))
        .args(["proxy", "--listen", &listen.to_string()])
        .args(["--backend", &redis.address().to_string()])
        .start();
    process.wait_for_line("ready", SOON);
    let args = ["-c", "50", "-n", "20000", "-t", "get"];
    let Some(result) = redis_benchmark(listen, args, WITHIN) else { return };
    assert_eq!(result.errors, Vec::<String>::new());
    assert!(process.terminate(SOON).success());
}

#[test]
fn wrk_gets_every_answer() {
    let Some(nginx) = Nginx::start() else { return };
    let health = r#"health = { probe = "http", path = "/health", interval = "100ms" }"#;
    let node = node(&[nginx.address()], health);
    let url = format!("http://{}/", node.proxy("p"));
    let Some(result) = wrk(&url, 2, ["-t", "1", "-c", "50"]) else { return };
    assert_eq!(result.errors(), 0, "{result:?}");
    assert!(result.requests > 100, "{result:?}");
    let args = ["-t", "1", "-c", "20", "-H", "Connection: close"];
    let Some(result) = wrk(&url, 2, args) else { return };
    assert_eq!(result.errors(), 0, "{result:?}");

    nginx.set_healthy(false);
    wait_for_metric(&node, &crate::up(nginx.address()), |up| up == 0.0);
    nginx.set_healthy(true);
    wait_for_metric(&node, &crate::up(nginx.address()), |up| up == 1.0);
}

#[test]
fn iperf3_moves_bulk_over_one_and_four_streams() {
    let Some(server) = Iperf3::start() else { return };
    // A probe would end the server's one test at a time.
    let node = node(&[server.address()], r#"health = { probe = "none" }"#);
    for streams in [1, 4] {
        let Some(result) = iperf3_client(node.proxy("p"), streams, 2) else { return };
        assert!(result.unwrap().bytes > 1_000_000);
    }
}

#[test]
fn five_thousand_idle_connections_cost_little_and_disturb_nobody() {
    const IDLE: usize = 5_000;
    let peer = TcpPeer::echo();
    let node = node(&[peer.address()], "");
    let before = node.process().resident_bytes();
    let clients: Vec<_> = (0..IDLE)
        .map(|_| {
            let mut client = connect(node.proxy("p"));
            client.write_all(b"x").unwrap();
            client
        })
        .collect();
    for client in &clients {
        assert_eq!(read_exactly(client, 1), b"x");
    }
    let series = "tidemill_proxy_connections{proxy=\"p\"}";
    assert_eq!(wait_for_metric(&node, series, |count| count >= 5_000.0), 5_000.0);
    let bytes_each = (node.process().resident_bytes() - before) / IDLE as u64;
    assert!(bytes_each < 16 * 1024, "{bytes_each} bytes for an idle connection");
    // Idle connections take no time.
    let cpu = node.process().cpu_time();
    let start = Instant::now();
    let mut client = connect(node.proxy("p"));
    while start.elapsed() < Duration::from_secs(1) {
        client.write_all(b"y").unwrap();
        read_exactly(&client, 1);
    }
    assert!(node.process().cpu_time() - cpu < Duration::from_secs(2));
    drop(clients);
    wait_for_metric(&node, series, |count| count <= 1.0);
}

#[test]
fn garbage_slow_and_half_open_clients_do_not_disturb_redis() {
    let Some(redis) = Redis::start() else { return };
    if require("redis-benchmark").is_none() {
        return;
    }
    let node = node(&[redis.address()], "");
    let address = node.proxy("p");
    // Half open: connected, then silent.
    let silent: Vec<_> = (0..100).map(|_| connect(address)).collect();
    // Slow: one byte of a command at a time, never finished.
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let mut client = connect(address);
            client.write_all(b"*1\r\n$").unwrap();
            client
        })
        .collect();
    // Garbage, then an abrupt end.
    for seed in 0..100_u8 {
        let mut client = connect(address);
        client.write_all(&[seed.wrapping_mul(37); 4_096]).unwrap();
        if seed % 2 == 0 {
            reset(client);
        }
    }
    let args = ["-c", "20", "-n", "10000", "-t", "get"];
    let result = redis_benchmark(address, args, WITHIN).unwrap();
    assert_eq!(result.errors, Vec::<String>::new());
    for mut client in slow {
        client.write_all(b"4\r\nPING\r\n").unwrap();
        let mut answer = [0; 7];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
    }
    drop(silent);
    let series = "tidemill_proxy_connections{proxy=\"p\"}";
    wait_for_metric(&node, series, |count| count == 0.0);
}

#[test]
fn sigterm_waits_for_an_open_connection_and_exits_with_success() {
    let peer = TcpPeer::echo();
    let node = node(&[peer.address()], "");
    let mut client = connect(node.proxy("p"));
    client.write_all(b"x").unwrap();
    read_exactly(&client, 1);
    node.process().signal(testkit::Signal::TERM);
    wait_until("the listener to close", SOON, || {
        node.log().iter().any(|line| line.contains("waiting for the open ones"))
    });
    client.write_all(b"y").unwrap();
    assert_eq!(read_exactly(&client, 1), b"y");
    drop(client);
    assert!(node.process().wait(SOON).success());
}

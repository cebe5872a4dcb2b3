//! Backends that die and come back under load, and descriptors that run out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use testkit::client::{connect, read_exactly};
use testkit::tool::wrk;
use testkit::{Nginx, TcpPeer, wait_until};

use crate::{SOON, node, prepared, up, wait_for_metric};

#[test]
fn no_request_fails_once_the_loss_of_a_backend_is_detected() {
    let (Some(stays), Some(mut dies)) = (Nginx::start(), Nginx::start()) else { return };
    let health = r#"health = { probe = "http", path = "/health", interval = "50ms", rise = 1 }"#;
    let node = node(&[stays.address(), dies.address()], health);
    let url = format!("http://{}/", node.proxy("p"));
    let close = ["-t", "1", "-c", "20", "-H", "Connection: close"];
    let under_load = thread::scope(|scope| {
        let load = scope.spawn(|| wrk(&url, 4, close));
        // It dies under load: requests it had taken fail, new connections are retried.
        wait_for_metric(&node, "tidemill_proxy_connections_total{proxy=\"p\"}", |n| n > 500.0);
        dies.stop();
        wait_for_metric(&node, &up(dies.address()), |up| up == 0.0);
        load.join().unwrap()
    });
    let Some(under_load) = under_load else { return };
    let metrics = node.metrics();
    assert_eq!(
        metrics["tidemill_proxy_rejected_total{proxy=\"p\",reason=\"connect_failed\"}"],
        0.0
    );
    assert!(under_load.connect_errors == 0 && under_load.bad_statuses == 0, "{under_load:?}");
    assert!(under_load.read_errors <= 20, "more than were under way: {under_load:?}");

    // Detected: not one request fails any more, also not while it comes back.
    let after = thread::scope(|scope| {
        let load = scope.spawn(|| wrk(&url, 3, close));
        let total = "tidemill_proxy_connections_total{proxy=\"p\"}";
        let begun = node.metrics()[total];
        wait_for_metric(&node, total, |count| count > begun + 500.0);
        dies.restart();
        wait_for_metric(&node, &up(dies.address()), |up| up == 1.0);
        load.join().unwrap()
    });
    assert_eq!(after.unwrap().errors(), 0);
    let series = format!(
        "tidemill_proxy_backend_connections_total{{backend=\"{}\",proxy=\"p\"}}",
        dies.address()
    );
    let before = node.metrics()[&series];
    let Some(again) = wrk(&url, 1, close) else { return };
    assert_eq!(again.errors(), 0);
    assert!(node.metrics()[&series] > before, "it is used again");
}

#[test]
fn accepting_pauses_without_descriptors_and_resumes_when_there_are_some() {
    let peer = TcpPeer::echo();
    let node = prepared(&[peer.address()], "").limit_files(256).start();
    let address = node.proxy("p");
    // More than 256 descriptors can carry; the rest waits in the kernel's queue.
    let mut clients: Vec<_> = (0..200).map(|_| connect(address)).collect();
    for client in &mut clients {
        client.write_all(b"x").unwrap();
    }
    let pauses = "tidemill_proxy_accept_pauses_total{proxy=\"p\"}";
    wait_for_metric(&node, pauses, |count| count > 0.0);
    let warned = || node.log().iter().filter(|line| line.contains("accepting pauses")).count();
    wait_until("the warning", SOON, || warned() > 0);
    assert!(node.log().iter().any(|line| line.contains("ulimit")), "{:?}", node.log());

    // No spin: a pause is a timer, twenty a second for each worker.
    let cpu = node.process().cpu_time();
    let paused = node.metrics()[pauses];
    wait_for_metric(&node, pauses, |count| count >= paused + 40.0);
    let spent = node.process().cpu_time() - cpu;
    assert!(spent < Duration::from_millis(500), "{spent:?} of CPU while accepting paused");
    assert_eq!(warned(), 1, "one line for the whole regime");

    // Everyone is served in the end, none was reset. Who holds a descriptor while others wait is
    // not a matter of who came first: each worker has a queue of its own.
    for client in &clients {
        client.set_nonblocking(true).unwrap();
    }
    wait_until("an answer for everyone", SOON, || {
        clients.retain(|client| !is_answered(client));
        clients.is_empty()
    });
    wait_until("the all-clear", SOON, || {
        node.log().iter().any(|line| line.contains("accepting again"))
    });
    let mut client = connect(address);
    client.write_all(b"y").unwrap();
    assert_eq!(read_exactly(&client, 1), b"y");
}

/// Whether the byte that was sent came back; the connection is of no more use then.
fn is_answered(mut client: &TcpStream) -> bool {
    let mut byte = [0];
    match client.read(&mut byte) {
        Ok(count) => {
            assert_eq!(&byte[..count], b"x");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            false
        }
    }
}

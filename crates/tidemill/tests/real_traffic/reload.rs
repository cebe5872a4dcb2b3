//! Reloading under load: by signal, by an atomic rename of the file, and with a broken file.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use testkit::client::{connect, read_exactly};
use testkit::tool::redis_benchmark;
use testkit::{Redis, TcpPeer, wait_until};

use crate::{SOON, config, node};

fn check_alive(client: &TcpStream) {
    (&mut &*client).write_all(b"ping").unwrap();
    assert_eq!(read_exactly(client, 4), b"ping");
}

#[test]
fn two_hundred_live_connections_survive_reloads_under_load() {
    let Some(redis) = Redis::start() else { return };
    let peer = TcpPeer::echo();
    let others = [TcpPeer::echo(), TcpPeer::echo()];
    let two = |keys: &str, more: &[SocketAddr]| {
        let backends = [&[peer.address()], more].concat();
        let second = config(&[redis.address()], "").replace("name = \"p\"", "name = \"redis\"");
        let second = second.split_once("[[proxy]]").unwrap().1.to_owned();
        format!("{}\n[[proxy]]{second}", config(&backends, keys))
    };
    let node = node(&[peer.address()], "");
    let clients: Vec<_> = (0..200).map(|_| connect(node.proxy("p"))).collect();
    clients.iter().for_each(check_alive);
    node.write_config(&two("", &[]));
    wait_until("the second proxy", SOON, || node.log().iter().any(|it| it.contains("added redis")));

    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let args = ["-c", "20", "-n", "60000", "-t", "get"];
            redis_benchmark(node.proxy("redis"), args, Duration::from_secs(60))
        });
        for round in 0..10_usize {
            // Another policy and other backends each time, by rename and by signal in turn.
            let balance = ["random", "least-connections"][round % 2];
            let keys = format!("balance = \"{balance}\"\nretries = {}", round % 5);
            let more = if round % 3 == 0 { vec![] } else { vec![others[round % 2].address()] };
            let reloads = || node.log().iter().filter(|it| it.contains("changed p")).count();
            let before = reloads();
            node.write_config(&two(&keys, &more));
            if round % 2 == 0 {
                node.hang_up();
            }
            wait_until("the reload", SOON, || reloads() > before);
            clients.iter().for_each(check_alive);
        }
        if let Some(result) = load.join().unwrap() {
            assert_eq!(result.errors, Vec::<String>::new());
        }
    });
    assert_eq!(peer.seen().iter().filter(|seen| seen.end.is_none()).count(), 200);
}

#[test]
fn a_broken_file_is_reported_with_its_place_and_changes_nothing() {
    let peer = TcpPeer::echo();
    let node = node(&[peer.address()], "");
    let client = connect(node.proxy("p"));
    check_alive(&client);
    let before = node.proxy("p");
    let broken = config(&[peer.address()], "balanse = \"random\"");
    let line = broken.lines().position(|line| line.contains("balanse")).unwrap() + 1;
    node.write_config(&broken);
    let place = format!("tidemill.toml:{line}:1");
    wait_until("the report", SOON, || {
        node.log().iter().any(|it| it.contains(&place) && it.contains("balance"))
    });
    check_alive(&client);
    assert_eq!(node.proxy("p"), before);
    check_alive(&connect(before));
}

#[test]
fn a_file_that_is_gone_or_empty_changes_nothing_and_the_node_can_still_be_asked() {
    let peer = TcpPeer::echo();
    let node = node(&[peer.address()], "");
    let address = node.proxy("p");
    let said = |what: &str| node.log().iter().filter(|line| line.contains(what)).count();
    node.write_config("");
    wait_until("the empty file to be noticed", SOON, || said("is empty") > 0);
    for round in 1..=2 {
        let before = said("is empty");
        node.hang_up();
        wait_until(format!("hang-up {round}"), SOON, || said("is empty") > before);
        check_alive(&connect(address));
    }
    node.write_config("[[proxy]\nname = ");
    wait_until("the broken file to be noticed", SOON, || said("was not applied") > 0);
    let status = node.command(["status", "--json"], SOON);
    assert!(status.stdout.contains(&address.to_string()), "{}{}", status.stdout, status.stderr);
    check_alive(&connect(address));
}

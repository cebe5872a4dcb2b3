//! `tidemill up --demo`: what a newcomer types first.

use std::collections::BTreeSet;

use testkit::http::get;
use testkit::wait_until;

use crate::{SOON, config, tidemill};

#[test]
fn both_backends_answer_traffic_flows_and_it_ends_well() {
    let node = tidemill().config(&config("")).args(["up", "--demo=127.0.0.1:0"]).start();
    let proxy = node.proxy("demo");
    let mut answers = BTreeSet::new();
    wait_until("both backends to answer", SOON, || {
        answers.insert(get(proxy, "/").body);
        answers.len() == 2
    });
    let want = ["hello from backend a\n", "hello from backend b\n"].map(str::to_owned);
    assert_eq!(answers, want.into());

    let accepted = || node.metrics()["tidemill_proxy_connections_total{proxy=\"demo\"}"];
    let before = accepted();
    wait_until("traffic from inside", SOON, || accepted() > before + 5.0);
    let rejected = node.metrics().into_iter().filter(|(name, _)| name.contains("rejected_total"));
    assert_eq!(rejected.map(|(_, value)| value).sum::<f64>(), 0.0);

    let log = node.log().join("\n");
    assert!(log.contains(&format!("try: curl http://{proxy}/")), "{log}");
    assert!(log.contains("try: tidemill status"), "{log}");
    assert_eq!(node.terminate(SOON).code(), Some(0));
    assert!(get_fails(proxy), "the proxy is gone");
}

fn get_fails(address: std::net::SocketAddr) -> bool {
    testkit::client::try_connect(address).is_err()
}

#[test]
fn a_taken_port_says_how_to_choose_another() {
    let taken = testkit::TcpPeer::echo();
    let demo = format!("--demo={}", taken.address());
    let finished = tidemill().config(&config("")).args(["up", &demo]).run(SOON);
    crate::fails(&finished, 3, "choose another address with --demo=127.0.0.1:PORT");
}

#[test]
fn a_reload_keeps_the_demonstration() {
    let node = tidemill().config(&config("")).args(["up", "--demo=127.0.0.1:0"]).start();
    let proxy = node.proxy("demo");
    node.hang_up();
    node.process().wait_for_line("applied: nothing changed", SOON);
    assert_eq!(node.proxy("demo"), proxy);
    assert_eq!(get(proxy, "/").status, 200);
}

//! The file changes while the node runs.

use std::fs;
use std::io::Write;

use testkit::client::{connect, read_exactly};
use testkit::{TcpPeer, wait_until};

use crate::{SOON, config, echo_node, proxy, tidemill};

#[test]
fn a_file_renamed_over_the_old_one_is_applied() {
    let (node, peer) = echo_node("");
    let mut client = connect(node.proxy("echo"));
    node.write_config(&config(&(proxy("echo", &peer, "") + &proxy("more", &peer, ""))));
    node.process().wait_for_line("tidemill.toml applied: added more", SOON);
    wait_until("the new address to be written", SOON, || {
        let addresses = fs::read_to_string(node.data_dir().join("addresses.json"));
        addresses.is_ok_and(|text| text.contains("more"))
    });
    let mut more = connect(node.proxy("more"));
    for client in [&mut client, &mut more] {
        client.write_all(b"x").expect("the connection is open");
        assert_eq!(read_exactly(client, 1), b"x");
    }
    assert_eq!(node.metrics()["tidemill_node_reloads_total{result=\"applied\"}"], 1.0);
}

#[test]
fn a_file_written_in_place_is_applied() {
    let (node, _peer) = echo_node("");
    let file = node.data_dir().join("../../../tidemill.toml");
    fs::write(file, config("")).expect("the file can be written");
    node.process().wait_for_line("tidemill.toml applied: removed echo", SOON);
}

#[test]
fn other_files_in_the_folder_are_no_reason_to_reload() {
    let peer = TcpPeer::echo();
    let text = config(&proxy("echo", &peer, ""));
    let node = tidemill().config(&text).args(["-v", "up"]).start();
    node.write_config(&format!("{text}retries = 0\n"));
    node.process().wait_for_line("tidemill.toml applied: changed echo", SOON);
    let other = node.data_dir().join("../../../notes.txt");
    fs::write(other, "not ours").expect("the file can be written");
    node.process().wait_for_line("tidemill.toml is unchanged", SOON);
    let applied = node.log().iter().filter(|line| line.contains("applied:")).count();
    assert_eq!(applied, 1, "{:?}", node.log());
}

#[test]
fn hanging_up_reads_the_same_file_again() {
    let (node, _peer) = echo_node("");
    node.hang_up();
    node.process().wait_for_line("tidemill.toml applied: nothing changed", SOON);
}

#[test]
fn a_wrong_file_is_told_and_changes_nothing() {
    let (node, peer) = echo_node("");
    let good = config(&proxy("echo", &peer, ""));
    node.write_config(&good.replace("name =", "nam ="));
    node.process().wait_for_line("tidemill.toml:4:1: unknown key `nam` in [[proxy]]", SOON);
    node.process().wait_for_line("the configuration stays as it was", SOON);
    let mut client = connect(node.proxy("echo"));
    client.write_all(b"x").expect("the connection is open");
    assert_eq!(read_exactly(&client, 1), b"x");
    assert_eq!(node.metrics()["tidemill_node_reloads_total{result=\"rejected\"}"], 1.0);

    node.write_config(&format!("{good}retries = 0\n"));
    node.process().wait_for_line("tidemill.toml applied: changed echo", SOON);
}

#[test]
fn an_address_that_is_taken_changes_nothing() {
    let (node, peer) = echo_node("");
    let taken = TcpPeer::echo();
    let more = proxy("more", &peer, "").replace("127.0.0.1:0", &taken.address().to_string());
    node.write_config(&config(&(proxy("other", &peer, "") + &more)));
    node.process().wait_for_line(&format!("proxy more: {} is in use", taken.address()), SOON);
    node.process().wait_for_line("the configuration stays as it was", SOON);
    assert_eq!(connect(node.proxy("echo")).peer_addr().ok(), Some(node.proxy("echo")));
    let status = node.get("/api/v1/proxies").body;
    assert!(!status.contains("\"other\""), "half of the file was applied: {status}");
}

#[test]
fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
    let (node, peer) = echo_node("");
    let file = node.data_dir().join("../../../tidemill.toml");
    fs::remove_file(file).expect("the file can be removed");
    node.process().wait_for_line("tidemill.toml is gone; the configuration stays", SOON);
    connect(node.proxy("echo"));
    node.write_config(&config(&proxy("back", &peer, "")));
    node.process().wait_for_line("applied: added back; removed echo", SOON);
}

#[test]
fn what_needs_a_restart_is_said() {
    let (node, peer) = echo_node("");
    let text = config(&proxy("echo", &peer, "")).replace(":0\"\n[[", ":0\"\nworkers = 7\n[[");
    node.write_config(&text);
    node.process().wait_for_line("node.workers goes from auto to 7 at the next start", SOON);
}

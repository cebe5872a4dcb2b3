//! The runner of the node, against a stand-in that says and writes what the node does.

use std::net::Ipv4Addr;
use std::time::Duration;

use testkit::Tidemill;

const SOON: Duration = Duration::from_secs(10);
const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand_in.sh");

#[test]
fn a_node_starts_reloads_answers_commands_and_ends() {
    let node = Tidemill::new(STAND_IN).config("first").start();
    assert_eq!(node.log(), ["config: first", "2026-01-01 INFO ready"]);
    assert_eq!(node.address(), (Ipv4Addr::LOCALHOST, 7).into());
    assert_eq!(node.proxy("redis"), (Ipv4Addr::LOCALHOST, 8).into());
    node.write_config("second");
    node.hang_up();
    node.process().wait_for_line("config: second", SOON);
    let status = node.command(["status", "--json"], SOON);
    assert_eq!(status.status.code(), Some(1));
    assert!(status.stdout.ends_with(": status --json\n"), "{}", status.stdout);
    assert_eq!(node.terminate(SOON).code(), Some(0));
}

#[test]
fn a_command_runs_to_its_end() {
    let finished = Tidemill::new(STAND_IN).args(["nonsense"]).run(SOON);
    assert_eq!(finished.status.code(), Some(2));
    assert_eq!(finished.stderr, "no command nonsense\n");
}

#[test]
#[should_panic(expected = "no command nonsense")]
fn a_node_that_ends_before_it_is_ready_shows_why() {
    let _node = Tidemill::new(STAND_IN).args(["nonsense"]).start();
}

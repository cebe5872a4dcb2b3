//! The binary as a person or a machine uses it: started, asked, reloaded, stopped, misused.

mod api;
mod commands;
mod control;
mod demo;
mod description;
mod jobs;
mod measured;
mod profile;
mod reload;
mod start;
mod stop;

use std::time::Duration;

use testkit::{Finished, Node, TcpPeer, Tidemill};

/// Long enough for a busy machine, short enough to see what hangs.
const SOON: Duration = Duration::from_secs(20);

/// Returns the binary at home in a folder of its own.
fn tidemill() -> Tidemill {
    Tidemill::new(env!("CARGO_BIN_EXE_tidemill"))
}

/// Returns a configuration with the node and each proxy on a free port.
fn config(proxies: &str) -> String {
    format!("[node]\nlisten = \"127.0.0.1:0\"\n{proxies}")
}

/// Returns a proxy named `name` over a backend, with `more` lines.
fn proxy(name: &str, backend: &TcpPeer, more: &str) -> String {
    let address = backend.address();
    format!(
        "[[proxy]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\nbackends = [\"{address}\"]\n{more}\n"
    )
}

/// Starts a node with a proxy `echo` over a peer that sends back what it gets.
fn echo_node(more: &str) -> (Node, TcpPeer) {
    let peer = TcpPeer::echo();
    let node = tidemill().config(&config(&proxy("echo", &peer, more))).start();
    (node, peer)
}

/// Holds the end of a command against its exit code and a part of what it says on stderr.
#[track_caller]
fn fails(finished: &Finished, code: i32, says: &str) {
    assert_eq!(finished.status.code(), Some(code), "{finished:?}");
    assert!(finished.stderr.contains(says), "no {says:?} in:\n{}", finished.stderr);
}

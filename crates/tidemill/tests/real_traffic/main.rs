//! The node between real clients and real servers, under load and under faults.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what fails here fails the test, and tests measure what they wait for"
)]

mod clients;
mod faults;
mod reload;

use std::net::SocketAddr;
use std::time::Duration;

use testkit::{Node, Tidemill, wait_for};

/// How long anything that ought to happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Starts a node with one proxy called `p` over these backends and further keys of the proxy.
#[track_caller]
fn node(backends: &[SocketAddr], keys: &str) -> Node {
    prepared(backends, keys).start()
}

fn prepared(backends: &[SocketAddr], keys: &str) -> Tidemill {
    Tidemill::new(env!("CARGO_BIN_EXE_tidemill")).config(&config(backends, keys))
}

fn config(backends: &[SocketAddr], keys: &str) -> String {
    let backends: Vec<_> = backends.iter().map(|address| format!("\"{address}\"")).collect();
    let backends = backends.join(", ");
    format!(
        "[node]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n\n[[proxy]]\nname = \"p\"\n\
         listen = \"127.0.0.1:0\"\nbackends = [{backends}]\n{keys}\n"
    )
}

/// Waits until a series of `/metrics` fulfils a condition.
#[track_caller]
fn wait_for_metric(node: &Node, series: &str, condition: impl Fn(f64) -> bool) -> f64 {
    wait_for(series, SOON, || node.metrics().get(series).copied().filter(|value| condition(*value)))
}

fn up(backend: SocketAddr) -> String {
    format!("tidemill_proxy_backend_up{{backend=\"{backend}\",proxy=\"p\"}}")
}

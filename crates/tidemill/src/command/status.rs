//! `tidemill status`: the running node, once.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use tidemill_proxy::status::{BackendStatus, LimitsStatus, ProxyStatus};

use super::output::{Tone, grouped};
use super::{Common, Failure, Output};
use crate::client::Client;
use crate::config::format_duration;

/// Show the running node: proxies, limits, backends and why each is up or down
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidemill status\n  tidemill status --json | jq '.items[].backends'"
)]
pub(super) struct Arguments {
    #[command(flatten)]
    node: NodeArguments,
}

/// Which node a command asks.
#[derive(Debug, Args)]
pub(super) struct NodeArguments {
    /// Ask the node here, with the token in TIDEMILL_TOKEN [default: the one of node.data_dir]
    #[arg(long, global = true, value_name = "ADDR")]
    node: Option<SocketAddr>,
}

impl NodeArguments {
    pub(super) fn client(&self, common: &Common) -> Result<Client, Failure> {
        Client::find(common, self.node)
    }

    pub(super) fn is_named(&self) -> bool {
        self.node.is_some()
    }
}

/// A list as the API sends it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let proxies: List<ProxyStatus> = arguments.node.client(common)?.get("/api/v1/proxies")?;
    if output.is_json {
        output.json(&proxies);
    } else if proxies.items.is_empty() {
        output.line("the node runs and has no proxies; add a [[proxy]] to its configuration");
    } else {
        let parts: Vec<_> = proxies.items.iter().map(|proxy| describe(proxy, output)).collect();
        output.line(&parts.join("\n\n"));
    }
    Ok(())
}

/// Returns a proxy as a few lines: counts, refusals, limits, backends.
fn describe(proxy: &ProxyStatus, output: &Output) -> String {
    let cell = |text: String| (Tone::Plain, text);
    let row = vec![
        cell(proxy.name.clone()),
        cell(proxy.listen.to_string()),
        cell(proxy.balance.clone()),
        cell(grouped(proxy.connections)),
        cell(grouped(proxy.waiting)),
        cell(grouped(proxy.connections_total)),
        cell(bytes(proxy.bytes_upstream_total)),
        cell(bytes(proxy.bytes_downstream_total)),
    ];
    let heads = ["PROXY", "LISTEN", "BALANCE", "OPEN", "WAITING", "TOTAL", "SENT", "RECEIVED"];
    let mut lines = vec![output.table("", &heads, &[row])];
    let rejected: Vec<_> = proxy
        .rejected_total
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{} {reason}", grouped(*count)))
        .collect();
    if !rejected.is_empty() {
        let text = format!("  rejected: {}", rejected.join(", "));
        lines.push(output.paint(Tone::Warning, &text));
    }
    lines.push(format!("  limits: {}", limits(&proxy.limits)));
    lines.push(backends_table(&proxy.backends, output));
    lines.join("\n")
}

/// Returns backends as a table, each with its state and why.
pub(super) fn backends_table(backends: &[BackendStatus], output: &Output) -> String {
    let heads =
        ["BACKEND", "ADDRESS", "STATE", "WEIGHT", "OPEN", "TOTAL", "FAILED", "CONNECT", "WHY"];
    let rows: Vec<_> = backends
        .iter()
        .map(|backend| {
            let (tone, state) = state(backend);
            let cell = |text: String| (Tone::Plain, text);
            vec![
                cell(backend.name.clone()),
                cell(backend.address.to_string()),
                (tone, state.to_owned()),
                cell(backend.weight.to_string()),
                cell(grouped(backend.connections)),
                cell(grouped(backend.connections_total)),
                cell(grouped(backend.connect_failures_total)),
                cell(format!("{} us", grouped(backend.connect_ewma_us))),
                cell(why(backend)),
            ]
        })
        .collect();
    output.table("  ", &heads, &rows)
}

/// Returns a backend's state in one word.
pub(super) fn state(backend: &BackendStatus) -> (Tone, &'static str) {
    match (backend.removed, backend.enabled, backend.healthy, backend.connections) {
        (true, ..) => (Tone::Warning, "leaving"),
        (_, false, _, 0) => (Tone::Warning, "disabled"),
        (_, false, _, _) => (Tone::Warning, "draining"),
        (_, _, true, _) => (Tone::Good, "up"),
        (_, _, false, _) => (Tone::Bad, "down"),
    }
}

fn why(backend: &BackendStatus) -> String {
    let probe = backend.last_probe.as_deref().unwrap_or("not probed yet");
    let since = format_duration(Duration::from_secs(backend.since_seconds));
    let health = if backend.healthy { "healthy" } else { "unhealthy" };
    format!("{health} for {since}: {probe}")
}

fn limits(limits: &LimitsStatus) -> String {
    let time = |ms| format_duration(Duration::from_millis(ms));
    format!(
        "{} open, {} waiting, backlog {}; {} files, enough for {} open; connect {}, idle {}, \
         queue {}; {} retries",
        grouped(limits.connections),
        grouped(limits.queue),
        grouped(limits.backlog),
        grouped(limits.files),
        grouped(limits.connections_by_files),
        time(limits.connect_timeout_ms),
        time(limits.idle_timeout_ms),
        time(limits.queue_timeout_ms),
        limits.retries,
    )
}

/// Returns a number of bytes with its binary unit.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 || unit == "TiB" {
            let digits = if unit == "B" { 0 } else { 1 };
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_have_the_unit_that_keeps_them_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }
}

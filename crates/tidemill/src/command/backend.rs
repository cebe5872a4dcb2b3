//! `tidemill backend`: backends of the running node, and what is asked of them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidemill_proxy::status::{BackendStatus, ProxyStatus};

use super::status::{List, NodeArguments, backends_table};
use super::{Common, Failure, Output};
use crate::client::{Client, segment};
use crate::config::nearest;

/// List backends, or take one out of service and back while the node runs
///
/// What is set here holds until the node stops; the configuration file is not changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    node: NodeArguments,
    /// Only this proxy [default: every proxy]
    #[arg(long, global = true, value_name = "NAME")]
    proxy: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show backends with their state
    List,
    /// Give it no new connections; open ones end by themselves
    Drain(Target),
    /// Let it take connections again, if it is healthy
    Enable(Target),
    /// Give it no new connections and close the open ones
    Disable(Target),
    /// Change its share of new connections
    Weight {
        #[command(flatten)]
        target: Target,
        /// Relative to the other backends; 0 takes no new connections
        weight: u16,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// Name as in the configuration, or address
    backend: String,
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let client = arguments.node.client(common)?;
    let proxies: List<ProxyStatus> = client.get("/api/v1/proxies")?;
    let proxies = chosen(proxies.items, arguments.proxy.as_deref())?;
    match &arguments.action {
        Action::List => {
            show(&proxies, output);
            Ok(())
        }
        Action::Drain(target) => {
            change(&client, &proxies, target, &json!({ "state": "draining" }), output)
        }
        Action::Enable(target) => {
            change(&client, &proxies, target, &json!({ "state": "enabled" }), output)
        }
        Action::Disable(target) => {
            change(&client, &proxies, target, &json!({ "state": "disabled" }), output)
        }
        Action::Weight { target, weight } => {
            change(&client, &proxies, target, &json!({ "weight": weight }), output)
        }
    }
}

/// Applies a change to a backend in every chosen proxy that has it, and shows it as it is then.
fn change(
    client: &Client,
    proxies: &[ProxyStatus],
    target: &Target,
    wanted: &Value,
    output: &Output,
) -> Result<(), Failure> {
    let wanted_name = target.backend.as_str();
    let mut changed = Vec::new();
    for proxy in proxies {
        if proxy.backends.iter().any(|backend| is_called(backend, wanted_name)) {
            let (name, backend) = (segment(&proxy.name), segment(wanted_name));
            let path = format!("/api/v1/proxies/{name}/backends/{backend}");
            let backends: List<BackendStatus> = client.patch(&path, wanted)?;
            changed.push(ProxyStatus { backends: backends.items, ..proxy.clone() });
        }
    }
    if changed.is_empty() {
        let known: Vec<_> =
            proxies.iter().flat_map(|p| &p.backends).map(|b| b.name.as_str()).collect();
        return Err(unknown("backend", wanted_name, &known));
    }
    show(&changed, output);
    Ok(())
}

fn show(proxies: &[ProxyStatus], output: &Output) {
    if output.is_json {
        let items: Vec<_> = proxies
            .iter()
            .map(|proxy| json!({ "proxy": proxy.name, "backends": proxy.backends }))
            .collect();
        output.json(&json!({ "items": items, "next": null }));
        return;
    }
    let parts: Vec<_> = proxies
        .iter()
        .map(|proxy| format!("{}\n{}", proxy.name, backends_table(&proxy.backends, output)))
        .collect();
    output.line(&parts.join("\n\n"));
}

/// Returns the proxies to look at: all, or the one named.
fn chosen(proxies: Vec<ProxyStatus>, name: Option<&str>) -> Result<Vec<ProxyStatus>, Failure> {
    let Some(name) = name else { return Ok(proxies) };
    match proxies.iter().find(|proxy| proxy.name == name) {
        Some(proxy) => Ok(vec![proxy.clone()]),
        None => {
            let known: Vec<_> = proxies.iter().map(|proxy| proxy.name.as_str()).collect();
            Err(unknown("proxy", name, &known))
        }
    }
}

/// Returns the failure for a name that nothing has, with the nearest or all that there are.
pub(super) fn unknown(what: &str, name: &str, known: &[&str]) -> Failure {
    let right = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => format!("there is {}", known.join(", ")),
    };
    Failure::input(format!("no {what} is called `{name}`; {right}"))
}

fn is_called(backend: &BackendStatus, name: &str) -> bool {
    backend.name == name || backend.address.to_string() == name
}

const EXAMPLES: &str = "\
Examples:
  tidemill backend list
  tidemill backend drain 127.0.0.1:6379
  tidemill backend weight --proxy redis 127.0.0.1:6380 5
  tidemill backend enable 127.0.0.1:6379";

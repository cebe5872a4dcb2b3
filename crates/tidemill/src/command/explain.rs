//! `tidemill explain`: where a connection would go, and why.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use tidemill_proxy::status::Explanation;

use super::backend::unknown;
use super::output::Tone;
use super::status::NodeArguments;
use super::{Common, Failure, Output};
use crate::client::{Client, segment};

/// Tell where a connection would go and why, and why a backend is out
///
/// Asks the running node. Where none runs, the configuration is explained with every backend taken
/// to be healthy. Exits 1 when the connection would go nowhere.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The proxy's name
    #[arg(long, value_name = "NAME")]
    listener: String,
    /// The client's address, with or without a port
    #[arg(long, value_name = "ADDR", value_parser = client_address)]
    from: SocketAddr,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let explanation = explain(common, arguments, output)?;
    if output.is_json {
        output.json(&explanation);
    } else {
        output.line(&describe(&explanation, output));
    }
    if explanation.backends.iter().any(|candidate| candidate.eligible) {
        Ok(())
    } else {
        Err(Failure::answer(format!("a connection to {} would go nowhere", explanation.proxy)))
    }
}

fn explain(
    common: &Common,
    arguments: &Arguments,
    output: &Output,
) -> Result<Explanation, Failure> {
    let Arguments { listener, from, node } = arguments;
    let client = node.client(common);
    // With --node somebody in particular is asked.
    if node.is_named() || client.as_ref().is_ok_and(Client::is_answered) {
        let path = format!("/api/v1/proxies/{}/explain?from={from}", segment(listener));
        return client?.get(&path);
    }
    let config = common.load()?;
    let Some(proxy) = config.proxies.iter().find(|proxy| proxy.name == *listener) else {
        let known: Vec<_> = config.proxies.iter().map(|proxy| proxy.name.as_str()).collect();
        return Err(unknown("proxy", listener, &known));
    };
    output.note("no node runs: every backend is taken to be healthy");
    tidemill_proxy::explain_settings(proxy, *from)
        .map_err(|error| Failure::input(error.to_string()))
}

fn describe(explanation: &Explanation, output: &Output) -> String {
    let rows: Vec<_> = explanation
        .backends
        .iter()
        .map(|candidate| {
            let is_chosen = explanation.chosen == Some(candidate.address);
            let (tone, state) = match (is_chosen, candidate.eligible) {
                (true, _) => (Tone::Good, "chosen"),
                (_, true) => (Tone::Plain, "in"),
                (_, false) => (Tone::Bad, "out"),
            };
            vec![
                (Tone::Plain, candidate.name.clone()),
                (Tone::Plain, candidate.address.to_string()),
                (tone, state.to_owned()),
                (Tone::Plain, format!("{:.1} %", candidate.share * 100.0)),
                (Tone::Plain, candidate.why.clone()),
            ]
        })
        .collect();
    let Explanation { proxy, from, balance, why, .. } = explanation;
    let table = output.table("  ", &["BACKEND", "ADDRESS", "STATE", "SHARE", "WHY"], &rows);
    format!("{from} -> {proxy} ({balance}): {why}\n{table}")
}

/// Parses a client's address; one without a port has port 0.
fn client_address(text: &str) -> Result<SocketAddr, String> {
    let plain = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    text.parse()
        .or_else(|_| plain())
        .map_err(|_| "expected an IP address, such as 192.0.2.7 or 192.0.2.7:5000".to_owned())
}

const EXAMPLES: &str = "\
Examples:
  tidemill explain --listener redis --from 192.0.2.7
  tidemill explain --listener redis --from 192.0.2.7:5000 --json";

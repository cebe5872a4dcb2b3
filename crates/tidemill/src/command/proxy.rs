//! `tidemill proxy`: a proxy without a file.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use clap::Args;
use tidemill_proxy::core::settings::{Policy, ProxySettings};

use super::up::listen_address;
use super::{Common, Failure};
use crate::config::{Config, Endpoint, Machine, parse_endpoint};
use crate::node::{self, Plan};

/// Run a proxy without a configuration file
///
/// Everything that has no flag has its default, as `tidemill check --sample` shows it. Nothing is
/// written to disk.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Where clients connect; port 0 takes a free one
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    listen: SocketAddr,
    /// Where connections go; a name stands for every address it resolves to. May be repeated
    #[arg(
        long = "backend",
        value_name = "ADDR[,weight=N]",
        required = true,
        value_parser = weighted_backend
    )]
    backends: Vec<(Endpoint, u16)>,
    /// How a backend is chosen
    #[arg(
        long,
        value_name = "NAME",
        default_value = "round-robin",
        value_parser = clap::builder::PossibleValuesParser::new(Policy::ALL.map(|(name, _)| name))
    )]
    balance: String,
    /// Data-plane threads [default: one per core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Serve page, /metrics and API here; the API takes the token in TIDEMILL_TOKEN
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    admin: Option<SocketAddr>,
    /// Whether anything is counted
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"])]
    metrics: String,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let machine = Machine::this();
    let mut backends = Vec::new();
    for (endpoint, weight) in &arguments.backends {
        let some = endpoint.backends(*weight, &machine).map_err(|reason| {
            let host = &endpoint.host;
            Failure::input(format!(
                "--backend {}: `{host}` does not resolve: {reason}; correct the name, or write an \
                 IP address",
                endpoint.written
            ))
        })?;
        backends.extend(some);
    }
    let mut proxy = ProxySettings::new("proxy", arguments.listen, backends);
    if let Some((_, policy)) = Policy::ALL.iter().find(|(name, _)| *name == arguments.balance) {
        proxy.balance = *policy;
    }
    let problems = proxy.validate();
    if !problems.is_empty() {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(Failure::input(lines.join("\n")));
    }
    let mut config = Config { proxies: vec![proxy], ..Config::default() };
    config.node.workers = arguments.workers;
    config.node.metrics = arguments.metrics == "on";
    let plan = Plan { config, text: None, source: None, admin: arguments.admin, demo: None };
    node::run(plan, node::LogSettings::new(common))
}

fn weighted_backend(text: &str) -> Result<(Endpoint, u16), String> {
    let (address, weight) = match text.split_once(',') {
        None => (text, 1),
        Some((address, option)) => {
            let weight = option.strip_prefix("weight=").and_then(|number| number.parse().ok());
            let wrong = || format!("\"{option}\" is no weight; write weight=N with N up to 65535");
            (address, weight.ok_or_else(wrong)?)
        }
    };
    let endpoint = parse_endpoint(address).map_err(|(reason, corrected)| match corrected {
        Some(corrected) => format!("{reason}; did you mean {corrected}?"),
        None => format!("{reason}; expected an address with a port, such as 127.0.0.1:6379"),
    })?;
    Ok((endpoint, weight))
}

const EXAMPLES: &str = "\
Examples:
  tidemill proxy --listen 127.0.0.1:8080 --backend 127.0.0.1:6379
  tidemill proxy --listen 0.0.0.0:80 --backend 10.0.0.1:80,weight=2 --backend 10.0.0.2:80 \\
                 --balance least-connections --admin 127.0.0.1:7070";

//! `tidemill up`: runs the node.

use std::net::SocketAddr;

use clap::Args;

use super::{Common, Failure};
use crate::config::{Machine, parse_listen};
use crate::node::{self, Plan};

/// Run the node: proxies, page, API and metrics
///
/// Reads the configuration, opens every listener, logs each address and then `ready`. A change of
/// the file, or SIGHUP, is applied while it runs; a file with an error changes nothing. SIGTERM or
/// Ctrl-C stops accepting, waits for open connections (at most `node.stop_deadline`) and exits; a
/// second one exits at once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Also run two small HTTP backends, a proxy over them and gentle traffic
    #[arg(
        long,
        value_name = "ADDR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:8080",
        value_parser = listen_address
    )]
    demo: Option<SocketAddr>,
}

pub(super) fn run(common: &Common, arguments: &Arguments) -> Result<(), Failure> {
    let source = common.source();
    let loaded = source.load(&Machine::this())?;
    node::run(
        Plan {
            config: loaded.config,
            text: loaded.text,
            source: Some(source),
            admin: None,
            demo: arguments.demo,
        },
        node::LogSettings::new(common),
    )
}

/// Parses an address to listen on for clap.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    parse_listen(text).map_err(|(reason, corrected)| match corrected {
        Some(corrected) => format!("{reason}; did you mean {corrected}?"),
        None => format!("{reason}; expected an IP address with a port, such as 127.0.0.1:8080"),
    })
}

const EXAMPLES: &str = "\
Examples:
  tidemill up                         with tidemill.toml in this folder
  tidemill --config shop.toml up      with another file
  tidemill up --demo                  a proxy on 127.0.0.1:8080 to try things on
  tidemill up --demo=127.0.0.1:9080   the same on another port";

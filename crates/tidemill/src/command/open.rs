//! `tidemill open`: a sign-in for the page.

use clap::Args;
use hyper::Method;
use serde_json::json;

use super::status::NodeArguments;
use super::{Common, Failure, Output};
use crate::client::Ask;
use crate::http::SignIn;
use crate::node::environment;

/// Print the page's address with a one-time sign-in, and open it where there is a display
///
/// The address is good for five minutes and once; the browser stays signed in for 30 days. Remove
/// `session` in node.data_dir and restart the node to sign every browser out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill open\n  firefox $(tidemill open --print)")]
pub(super) struct Arguments {
    /// Only print the address
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    node: NodeArguments,
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let client = arguments.node.client(common)?;
    let sign_in: SignIn = client.wait_for(&Ask::new(Method::POST, "/api/v1/sign-in"))?;
    let address = format!("http://{}{}", client.address(), sign_in.path);
    if output.is_json {
        let seconds = sign_in.expires_in_seconds;
        output.json(&json!({ "address": address, "expires_in_seconds": seconds }));
    } else {
        output.line(&address);
    }
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| environment(name).is_some());
    if has_display && !arguments.print && !output.is_json {
        start_browser(&address, output);
    }
    Ok(())
}

/// Hands the address to the desktop; the browser goes on when this process ends.
fn start_browser(address: &str, output: &Output) {
    use std::process::{Command, Stdio};

    let mut browser = Command::new("xdg-open");
    browser.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = browser.spawn() {
        output.note(&format!("cannot start a browser with xdg-open: {error}; open it yourself"));
    }
}

//! `tidemill check`: is the configuration good?

use clap::Args;
use serde_json::json;

use super::output::Tone;
use super::{Common, Failure, Output};
use crate::config::{self, LoadError, Machine};

/// Check the configuration and tell every error at once
///
/// Each error is one line on stderr: `file:line:column: what is wrong; what would be right`. Host
/// names are resolved, and limits are held against what this process may open; nothing is opened
/// and no node is asked. Exits 2 when something has to be changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Print the JSON schema of the configuration instead
    #[arg(long, conflicts_with = "sample")]
    schema: bool,
    /// Print a documented file with every key instead
    #[arg(long)]
    sample: bool,
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    if arguments.schema {
        output.json(&config::schema());
        return Ok(());
    }
    if arguments.sample {
        output.bytes(config::sample().as_bytes());
        return Ok(());
    }
    let source = common.source();
    let path = source.path().display().to_string();
    match source.load(&Machine::this()) {
        Ok(loaded) => {
            if output.is_json {
                output.json(&json!({ "file": path, "good": true, "problems": [] }));
            } else if loaded.text.is_none() {
                output.line(&format!("no {path} here: the built-in defaults hold"));
            } else {
                let good = output.paint(Tone::Good, "good");
                let proxies = match loaded.config.proxies.len() {
                    1 => "1 proxy".to_owned(),
                    count => format!("{count} proxies"),
                };
                output.line(&format!("{path}: {good}, {proxies}"));
            }
            Ok(())
        }
        Err(error) => {
            if output.is_json {
                output.json(&match &error {
                    LoadError::Invalid(problems) => {
                        json!({ "file": path, "good": false, "problems": problems })
                    }
                    LoadError::Unreadable { .. } => {
                        json!({ "file": path, "good": false, "problems": [],
                                "unreadable": error.to_string() })
                    }
                });
            }
            Err(error.into())
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  tidemill check
  tidemill --config shop.toml check
  tidemill check --sample > tidemill.toml";

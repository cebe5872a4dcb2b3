//! `tidemill files`: how the files of the workspace stand, and what becomes of those that vanished.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::task::at_desk;
use super::{Common, Failure, Output};
use crate::client::Ask;
use crate::desk::{Desk, Purpose};

/// Files of the workspace: problems, and files that vanished at once
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill files\n  tidemill files restore")]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Delete the tasks and values whose files vanished at once
    Confirm,
    /// Write the files that vanished at once again
    Restore,
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let ask = match &arguments.action {
        None => Ask::get("/api/v1/files"),
        Some(Action::Confirm) => Ask::post("/api/v1/files", json!({ "vanished": "delete" })),
        Some(Action::Restore) => Ask::post("/api/v1/files", json!({ "vanished": "restore" })),
    };
    at_desk(common, Purpose::Read, async |desk| show(desk, &ask, output).await)
}

async fn show(desk: &Desk, ask: &Ask, output: &Output) -> Result<(), Failure> {
    let status: Value = desk.ask(ask).await?;
    let held = status["held"].as_u64().unwrap_or(0);
    let problems = status["problems"].as_object();
    if output.is_json {
        output.json(&status);
    } else {
        output.line(&format!("{} files at the last scan", status["files"]));
        for (path, why) in problems.into_iter().flatten() {
            output.line(&format!("{path}: {}", why.as_str().unwrap_or_default()));
        }
    }
    if held > 0 {
        return Err(Failure::answer(format!(
            "{held} files vanished at once and nothing was deleted; `tidemill files confirm` deletes \
             what they stood for, `tidemill files restore` writes them again"
        )));
    }
    Ok(())
}

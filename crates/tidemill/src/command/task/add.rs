//! `tidemill task add`.

use clap::Args;
use serde_json::Value;

use super::fields::{Fields, lengthen_ids};
use super::tell;
use crate::client::Ask;
use crate::command::{Failure, Output};
use crate::desk::Desk;

/// Add a task
///
/// Makes the workspace where there is none yet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill task add Write the changelog --label docs\n  \
                  git log -1 --format=%B | tidemill task add \"Review the last change\" --body -")]
pub(super) struct Arguments {
    /// What is to be done, in a line
    #[arg(required = true)]
    title: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

pub(super) async fn run(
    desk: &Desk,
    arguments: &Arguments,
    output: &Output,
) -> Result<(), Failure> {
    let mut body = arguments.fields.body()?;
    body.retain(|_, value| !value.is_null());
    lengthen_ids(desk, &mut body).await?;
    body.insert("title".to_owned(), arguments.title.join(" ").into());
    let task: Value = desk.ask(&Ask::post("/api/v1/tasks", body.into())).await?;
    tell(&task, "added", output)
}

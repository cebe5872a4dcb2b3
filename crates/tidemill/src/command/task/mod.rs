//! `tidemill task`: the tasks of the workspace, with a node running or without.

mod add;
mod claim;
mod draft;
mod edit;
mod fields;
mod list;
mod show;
mod view;

pub(super) use fields::{count, text_or_stdin};
pub(super) use list::show_hits;

use std::future::Future;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::{Common, Failure, Output};
use crate::client::Ask;
use crate::desk::{Desk, Purpose};
use view::read_task;

/// Tasks: add, list, show, edit, take, search
///
/// Works on the workspace that the configuration names (`.workspace` here without one): through the
/// node where one serves it, otherwise straight on its store. Ids may be shortened to a prefix that
/// is unique.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Add(add::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Edit(edit::Arguments),
    /// Set tasks to done
    Done {
        /// Ids, or unique prefixes of them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Say something about a task
    Comment {
        /// Id, or a unique prefix of it
        id: String,
        /// What to say; `-` reads it from standard input
        text: String,
    },
    /// Show what happened to a task, oldest first
    Log {
        /// Id, or a unique prefix of it
        id: String,
    },
    Search(list::SearchArguments),
    Claim(claim::Arguments),
    Resolve(show::ResolveArguments),
    /// Remove a task; an edit made elsewhere meanwhile brings it back
    Remove {
        /// Id, or a unique prefix of it
        id: String,
    },
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let purpose = match &arguments.action {
        Action::Add(_) => Purpose::Write,
        Action::Search(_) => Purpose::Search,
        _ => Purpose::Read,
    };
    at_desk(common, purpose, async |desk| match &arguments.action {
        Action::Add(arguments) => add::run(desk, arguments, output).await,
        Action::List(arguments) => list::run(desk, arguments, output).await,
        Action::Search(arguments) => list::search(desk, arguments, output).await,
        Action::Show(arguments) => show::run(desk, arguments, output).await,
        Action::Log { id } => show::log(desk, id, output).await,
        Action::Resolve(arguments) => show::resolve(desk, arguments, output).await,
        Action::Edit(arguments) => edit::run(desk, arguments, output).await,
        Action::Claim(arguments) => claim::run(desk, arguments, output).await,
        Action::Done { ids } => {
            for id in ids {
                let change = json!({ "status": "done" });
                tell(&patch(desk, id, change).await?, "done", output)?;
            }
            Ok(())
        }
        Action::Comment { id, text } => {
            let id = desk.task_id(id).await?;
            let text = text_or_stdin(text)?;
            let path = format!("/api/v1/tasks/{id}/comments");
            let comment: Value = desk.ask(&Ask::post(path, json!({ "text": text }))).await?;
            if output.is_json {
                output.json(&comment);
            }
            Ok(())
        }
        Action::Remove { id } => {
            let id = desk.task_id(id).await?;
            let path = format!("/api/v1/tasks/{id}");
            desk.ask::<Value>(&Ask::new(Method::DELETE, path)).await?;
            if !output.is_json {
                output.line(&format!("removed {id}"));
            }
            Ok(())
        }
    })
}

/// Opens the workspace, does one thing and lets go of it.
pub(super) fn at_desk<F>(common: &Common, purpose: Purpose, act: F) -> Result<(), Failure>
where
    F: AsyncFnOnce(&Desk) -> Result<(), Failure>,
{
    block_on(async {
        let desk = Desk::open(common, purpose).await?;
        let result = act(&desk).await;
        desk.close().await;
        result
    })
}

/// Runs a command's future to its end on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::outside(format!("cannot start: {error}")))?;
    runtime.block_on(future)
}

/// Changes a task by id or prefix and returns it as it is then.
async fn patch(desk: &Desk, id: &str, change: Value) -> Result<Value, Failure> {
    let id = desk.task_id(id).await?;
    let path = format!("/api/v1/tasks/{id}");
    desk.ask(&Ask::new(Method::PATCH, path).with_body(change)).await
}

/// Says what was done to a task, or prints it whole for machines.
fn tell(task: &Value, done: &str, output: &Output) -> Result<(), Failure> {
    if output.is_json {
        output.json(task);
        return Ok(());
    }
    let task = read_task(task)?;
    output.line(&format!("{done}: {} {}", view::short_id(&task), task.title));
    Ok(())
}

const EXAMPLES: &str = "\
Examples:
  tidemill task add \"Pool buffers per worker\" --priority high --label memory
  tidemill task list --label memory
  tidemill task claim --role performance --lease 30m
  tidemill task edit 01JD4K                 in $EDITOR
  tidemill task edit 01JD4K --status doing  without it
  tidemill task done 01JD4K 01JD4M";

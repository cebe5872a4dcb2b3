//! `tidemill task edit`: by flags, or as text in an editor.
//!
//! What the person changed is sent with the version that was shown. When somebody else changed the
//! task meanwhile, but other fields, the change is made on top; where the same field changed,
//! nothing is sent and the text is kept.

use std::fs;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value};

use super::fields::{Fields, lengthen_ids};
use super::view::read_task;
use super::{draft, tell};
use crate::client::Ask;
use crate::command::{Failure, Output};
use crate::desk::Desk;
use crate::node::{environment, random_hex};

/// Change a task, in $EDITOR or by flags
///
/// Without flags the task opens as text in VISUAL, else EDITOR, else vi: its fields as TOML between
/// `+++`, then its body. Only what you change is sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill task edit 01JD4K\n  \
                  tidemill task edit 01JD4K --priority critical --assignee ada")]
pub(super) struct Arguments {
    /// Id, or a unique prefix of it
    id: String,
    /// What is to be done, in a line
    #[arg(long)]
    title: Option<String>,
    #[command(flatten)]
    fields: Fields,
}

pub(super) async fn run(
    desk: &Desk,
    arguments: &Arguments,
    output: &Output,
) -> Result<(), Failure> {
    let mut change = arguments.fields.body()?;
    if let Some(title) = &arguments.title {
        change.insert("title".to_owned(), title.as_str().into());
    }
    if change.is_empty() {
        return edit_text(desk, &arguments.id, output).await;
    }
    lengthen_ids(desk, &mut change).await?;
    tell(&super::patch(desk, &arguments.id, change.into()).await?, "changed", output)
}

async fn edit_text(desk: &Desk, id: &str, output: &Output) -> Result<(), Failure> {
    let id = desk.task_id(id).await?;
    let path = format!("/api/v1/tasks/{id}");
    let shown = read_task(&desk.ask(&Ask::get(&path)).await?)?;
    let text = draft::write(&shown);
    let draft = Draft::create(&text)?;
    let edited = draft.edit()?;
    let mut change = draft::changes(&shown, &edited)
        .map_err(|reason| Failure::input(format!("{reason}; {}", draft.kept())))?;
    if change.is_empty() {
        draft.remove();
        output.note("nothing was changed");
        return Ok(());
    }
    lengthen_ids(desk, &mut change).await.map_err(|failure| draft.keep(failure))?;
    let sent = send(desk, &path, &shown, change).await;
    let task = sent.map_err(|failure| draft.keep(failure))?;
    draft.remove();
    tell(&task, "changed", output)
}

/// Sends a change for the version that was shown, or a newer one that differs in other fields.
async fn send(
    desk: &Desk,
    path: &str,
    shown: &tidemill_workstream::model::Task,
    change: Map<String, Value>,
) -> Result<Value, Failure> {
    let mut version = shown.version;
    for _ in 0..ATTEMPTS_MAX {
        let ask = Ask::new(Method::PATCH, path).with_body(change.clone().into());
        let answer = desk.send(&ask.if_match(format!("\"{version}\""))).await?;
        if answer.status != StatusCode::PRECONDITION_FAILED {
            return answer.read();
        }
        let now = read_task(&desk.ask(&Ask::get(path)).await?)?;
        let elsewhere = draft::changes(shown, &draft::write(&now)).map_err(Failure::outside)?;
        if let Some((field, value)) = elsewhere.iter().find(|(name, _)| change.contains_key(*name))
        {
            return Err(Failure::answer(format!(
                "somebody changed {field} while you edited; it is now {value}"
            )));
        }
        version = now.version;
    }
    Err(Failure::answer("the task changes too often to be edited now"))
}

/// The file that the editor works on.
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Makes a file that only this user can read.
    fn create(text: &str) -> Result<Self, Failure> {
        use std::os::unix::fs::OpenOptionsExt as _;

        let name = format!("tidemill-task-{}.md", &random_hex()?[..16]);
        let path = std::env::temp_dir().join(name);
        let failure = |error| Failure::outside(format!("cannot write {}: {error}", path.display()));
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failure)?;
        Ok(Self { path })
    }

    /// Runs the editor and returns what it left.
    fn edit(&self) -> Result<String, Failure> {
        let editor = environment("VISUAL").or_else(|| environment("EDITOR"));
        if editor.is_none() && !std::io::stdin().is_terminal() {
            self.remove();
            return Err(Failure::input(
                "there is no terminal for an editor; set EDITOR, or use flags such as --status",
            ));
        }
        let editor = editor.unwrap_or_else(|| "vi".to_owned());
        run_editor(&editor, &self.path)?;
        fs::read_to_string(&self.path).map_err(|error| {
            Failure::outside(format!("cannot read {}: {error}", self.path.display()))
        })
    }

    fn remove(&self) {
        // In the system's folder for temporary files; what cannot be removed goes with it.
        let _ = fs::remove_file(&self.path);
    }

    fn keep(&self, failure: Failure) -> Failure {
        failure.with(&self.kept())
    }

    fn kept(&self) -> String {
        format!("nothing was sent, your text is in {}", self.path.display())
    }
}

/// Runs an editor that may be a command with arguments, as the shell would.
fn run_editor(editor: &str, path: &Path) -> Result<(), Failure> {
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(path)
        .stdin(Stdio::inherit())
        .status()
        .map_err(|error| Failure::outside(format!("cannot run the editor `{editor}`: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let kept = path.display();
    Err(Failure::outside(format!("the editor `{editor}` ended with {status}; see {kept}")))
}

/// Others who change the task between two attempts.
const ATTEMPTS_MAX: usize = 3;

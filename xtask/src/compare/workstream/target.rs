//! Who is compared: their commands, and how each gets its 1,000 tasks.
//!
//! Backlog.md comes from npm in one version into `target/compare/tools`; its store is filled with
//! files as it writes them, because a thousand of its commands take half an hour. Taskwarrior
//! imports JSON. Ours is filled by a thousand commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::Action;
use crate::error::{Context, Error, Result};
use crate::{packages, process};

/// A task manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Tidemill,
    Backlog,
    Taskwarrior,
}

/// The stores and programs of all targets.
#[derive(Debug)]
pub(super) struct Bench {
    scratch: PathBuf,
    tidemill: PathBuf,
    tools: PathBuf,
}

impl Target {
    pub(super) const ALL: [Self; 3] = [Self::Tidemill, Self::Backlog, Self::Taskwarrior];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tidemill => "tidemill",
            Self::Backlog => "backlog.md",
            Self::Taskwarrior => "taskwarrior",
        }
    }
}

impl Bench {
    /// Makes empty stores.
    pub(super) fn new(target_dir: &Path) -> Result<Self> {
        let scratch = target_dir.join(format!("compare/scratch-{}", std::process::id()));
        let tools = target_dir.join("compare/tools");
        for folder in Target::ALL.map(|target| scratch.join(target.name())) {
            fs::create_dir_all(&folder)
                .context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(Self { scratch, tidemill: target_dir.join("release/tidemill"), tools })
    }

    /// Gives a target its tasks.
    pub(super) fn fill(&self, target: Target) -> Result<()> {
        match target {
            Target::Tidemill => {
                (0..TASKS).try_for_each(|number| self.act(target, Action::Create, number))
            }
            Target::Backlog => self.fill_backlog(),
            Target::Taskwarrior => {
                let tasks: Vec<_> = (0..TASKS)
                    .map(|number| {
                        let at = "20261121T090000Z";
                        json!({
                            "description": title(number), "status": "pending", "entry": at,
                            "annotations": [{ "entry": at, "description": body(number) }],
                        })
                    })
                    .collect();
                let file = self.folder(target).join("import.json");
                let text = serde_json::to_string(&tasks).expect("plain values");
                fs::write(&file, text).context(|| format!("cannot write {}", file.display()))?;
                let mut command = self.taskwarrior()?;
                command.arg("import").arg(&file);
                finished(command).map(drop)
            }
        }
    }

    /// Runs one command to its end and looks whether its answer is right.
    pub(super) fn act(&self, target: Target, action: Action, number: u32) -> Result<()> {
        let mut command = match target {
            Target::Tidemill => {
                let mut command = Command::new(&self.tidemill);
                command.arg("task").current_dir(self.folder(target));
                command
            }
            Target::Backlog => self.backlog(),
            Target::Taskwarrior => self.taskwarrior()?,
        };
        let (title, body) = (title(number), body(number));
        match (target, action) {
            (Target::Tidemill, Action::Create) => command.args(["add", &title, "--body", &body]),
            (Target::Tidemill, Action::List) => command.args(["list", "--limit", "2000"]),
            (Target::Tidemill, Action::Search) => command.args(["search", SOUGHT]),
            (Target::Backlog, Action::Create) => {
                command.args(["task", "create", &title, "--description", &body, "--plain"])
            }
            (Target::Backlog, Action::List) => command.args(["task", "list", "--plain"]),
            (Target::Backlog, Action::Search) => command.args(["search", SOUGHT, "--plain"]),
            (Target::Taskwarrior, Action::Create) => command.args(["add", &title]),
            (Target::Taskwarrior, Action::List) => command.arg("list"),
            (Target::Taskwarrior, Action::Search) => {
                command.args([format!("/{SOUGHT}/"), "list".to_owned()])
            }
        };
        let answer = finished(command)?;
        let wanted: &[&str] = match action {
            Action::Create => &[],
            Action::List => &["step-0000", "step-0500", "step-0999"],
            Action::Search => &["step-0777"],
        };
        match wanted.iter().find(|title| !answer.contains(*title)) {
            Some(title) => Err(Error::outside(format!("the answer lacks {title}"))),
            None => Ok(()),
        }
    }

    fn fill_backlog(&self) -> Result<()> {
        let program = self.tools.join("node_modules/.bin/backlog");
        if !program.exists() {
            let mut npm = packages::command("npm")?;
            npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]);
            npm.arg(&self.tools).arg(BACKLOG);
            finished(npm)?;
        }
        let folder = self.folder(Target::Backlog);
        let mut git = packages::command("git")?;
        git.args(["init", "--quiet"]).current_dir(&folder);
        finished(git)?;
        let mut init = self.backlog();
        init.args(["init", "compare", "--defaults"]);
        finished(init)?;
        let mut configure = self.backlog();
        configure.args(["config", "set", "remoteOperations", "false"]);
        finished(configure)?;
        for number in 0..TASKS {
            let (id, title, body) = (number + 1, title(number), body(number));
            let name = format!("task-{id} - {}.md", title.replace(' ', "-"));
            let text = format!(
                "---\nid: TASK-{id}\ntitle: {title}\nstatus: To Do\nassignee: []\n\
                 created_date: '2026-11-21 09:00'\nlabels: []\ndependencies: []\n---\n\n\
                 ## Description\n\n<!-- SECTION:DESCRIPTION:BEGIN -->\n{body}\n\
                 <!-- SECTION:DESCRIPTION:END -->\n"
            );
            let path = folder.join("backlog/tasks").join(name);
            fs::write(&path, text).context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn backlog(&self) -> Command {
        let mut command = Command::new(self.tools.join("node_modules/.bin/backlog"));
        command.current_dir(self.folder(Target::Backlog)).env("NO_COLOR", "1");
        command
    }

    fn taskwarrior(&self) -> Result<Command> {
        let mut command = packages::command("task")?;
        let data = self.folder(Target::Taskwarrior);
        command.arg("rc:/dev/null").arg(format!("rc.data.location={}", data.display()));
        command.args(["rc.confirmation=off", "rc.color=off", "rc.defaultwidth=200"]);
        Ok(command)
    }

    fn folder(&self, target: Target) -> PathBuf {
        self.scratch.join(target.name())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.scratch) {
            eprintln!("cannot remove {}: {error}", self.scratch.display());
        }
    }
}

fn finished(command: Command) -> Result<String> {
    let called = format!("{command:?}");
    let output = process::run(command, COMMAND_LIMIT)?;
    if output.success {
        return Ok(output.stdout);
    }
    let Some(line) = output.stderr.lines().next() else {
        return Err(Error::outside(format!("{called} failed without a word")));
    };
    Err(Error::outside(format!("{called}: {line}")))
}

fn title(number: u32) -> String {
    format!("step-{number:04} turn wheel {}", number % 17)
}

fn body(number: u32) -> String {
    let sought = if number == 777 { SOUGHT } else { "plain" };
    format!("Grind the corn of farm {} before the tide turns; {sought} matter.", number % 31)
}

/// Stands in the body of one task.
const SOUGHT: &str = "quernstone";
const TASKS: u32 = 1_000;
const BACKLOG: &str = "backlog.md@1.52.0";
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

//! `tidemill job`: durable jobs, through the running node or straight in their store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidemill_scheduler::core::{Priority, State};
use tidemill_scheduler::durable::{
    Cancelled, Command, Error, Filter, Job, JobId, JobSpec, JobStore, Logs, Work,
};

use super::output::Tone;
use super::status::{List, NodeArguments};
use super::{Common, Failure, Output};
use crate::client::Client;
use crate::config::{format_duration, parse_duration};
use crate::http::jobs::LogText;
use crate::jobs::{self, Folders};
use crate::node::DataDir;

/// Submit commands to run, see what became of them, read their output
///
/// A job is kept until it has ended, over crashes and restarts of the node. Where no node runs,
/// it is put straight into the store, and the node runs it when it starts.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    node: NodeArguments,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Have a command run, in this folder, with a clean environment
    Submit(Box<Submission>),
    /// Show jobs, the newest first; in a cluster those that wait come first
    List {
        /// Only those in this state
        #[arg(long, value_name = "STATE", value_parser = str::parse::<State>)]
        state: Option<State>,
        /// Only those of this priority
        #[arg(long, value_name = "PRIORITY", value_parser = str::parse::<Priority>)]
        priority: Option<Priority>,
        /// Show so many at most
        #[arg(
            long,
            value_name = "N",
            default_value = "50",
            value_parser = clap::value_parser!(u16).range(1..=1_000)
        )]
        limit: u16,
        /// Go on where a page before ended
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Show all that is known about a job
    Show {
        /// Its id
        id: JobId,
    },
    /// End a job, or keep it from beginning
    Cancel {
        /// Its id
        id: JobId,
    },
    /// Print what a job printed
    Logs {
        /// Its id
        id: JobId,
        /// Go on until it has ended
        #[arg(short, long)]
        follow: bool,
    },
}

#[derive(Debug, Args)]
struct Submission {
    /// How urgent it is: low, normal, high, critical or emergency
    #[arg(
        long,
        value_name = "PRIORITY",
        default_value = "normal",
        value_parser = str::parse::<Priority>
    )]
    priority: Priority,
    /// End an attempt that takes longer, such as 30s or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Make a failed attempt again, up to so many times
    #[arg(long, value_name = "N", default_value = "0")]
    retries: u32,
    /// Submit it once: a second submission with the same key is the same job
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Run it there [default: this folder]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Give it a variable. May be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Who is asked.
enum Target {
    Node(Client),
    Store { runtime: tokio::runtime::Runtime, store: Arc<dyn JobStore>, logs: Logs },
}

pub(super) fn run(common: &Common, arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let target = Target::find(common, &arguments.node)?;
    match &arguments.action {
        Action::Submit(submission) => {
            let job = target.submit(submission.spec()?)?;
            if output.is_json {
                output.json(&job);
            } else {
                output.line(&job.id.to_string());
            }
            if matches!(target, Target::Store { .. }) {
                output.note("no node runs: the job is in its store and runs when one starts");
            }
            Ok(())
        }
        Action::List { state, priority, limit, after } => {
            let limit = usize::from(*limit);
            let filter = Filter { state: *state, priority: *priority, limit, after: after.clone() };
            let list = target.list(filter)?;
            if output.is_json {
                output.json(&list);
            } else {
                output.line(&table(&list.items, output));
                if let Some(next) = &list.next {
                    output.note(&format!("there may be more: --after {next}"));
                }
            }
            Ok(())
        }
        Action::Show { id } => show(&target.find_job(*id)?, output),
        Action::Cancel { id } => show(&target.cancel(*id)?, output),
        Action::Logs { id, follow } => logs(&target, *id, *follow, output),
    }
}

impl Submission {
    fn spec(&self) -> Result<JobSpec, Failure> {
        let here = || {
            std::env::current_dir().map_err(|error| {
                Failure::input(format!("this folder is unknown: {error}; name one with --folder"))
            })
        };
        let folder = match &self.folder {
            Some(folder) => std::path::absolute(folder).map_err(|error| {
                Failure::input(format!("--folder {}: {error}", folder.display()))
            })?,
            None => here()?,
        };
        let environment: BTreeMap<_, _> = self.environment.iter().cloned().collect();
        let arguments = self.command.clone();
        let spec = JobSpec {
            work: Work::Command(Command { arguments, folder: Some(folder), environment }),
            priority: self.priority,
            timeout: self.timeout,
            retries: self.retries,
            key: self.key.clone(),
        };
        spec.check().map_err(failure)?;
        Ok(spec)
    }
}

impl Target {
    /// Finds the running node, or else the store that it would use.
    fn find(common: &Common, node: &NodeArguments) -> Result<Self, Failure> {
        let client = node.client(common);
        if node.is_named() || client.as_ref().is_ok_and(Client::is_answered) {
            return client.map(Self::Node);
        }
        let config = common.load()?;
        let data_dir = DataDir::locate(&config.node.data_dir, common.source().folder())?;
        data_dir.create()?;
        let folders = Folders::create(data_dir.path())?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| Failure::outside(format!("cannot start: {error}")))?;
        let store = runtime.block_on(jobs::open(&config, &folders)).map_err(failure)?;
        Ok(Self::Store { runtime, store, logs: folders.logs(&config) })
    }

    fn submit(&self, spec: JobSpec) -> Result<Job, Failure> {
        match self {
            Self::Node(client) => client.post("/api/v1/jobs", &request(&spec)),
            Self::Store { runtime, store, .. } => {
                let submitted = runtime.block_on(store.submit(vec![spec])).map_err(failure)?;
                let id = submitted.first().map(|submitted| submitted.id);
                self.find_job(id.ok_or_else(|| Failure::outside("the store gave no answer"))?)
            }
        }
    }

    fn list(&self, filter: Filter) -> Result<List<Job>, Failure> {
        match self {
            Self::Node(client) => {
                let mut path = format!("/api/v1/jobs?limit={}", filter.limit);
                let state = filter.state.map(|state| state.to_string());
                let priority = filter.priority.map(|priority| priority.to_string());
                for (name, value) in
                    [("state", state), ("priority", priority), ("after", filter.after)]
                {
                    if let Some(value) = value {
                        path.push_str(&format!("&{name}={}", crate::client::segment(&value)));
                    }
                }
                client.get(&path)
            }
            Self::Store { runtime, store, .. } => {
                let page = runtime.block_on(store.list(filter)).map_err(failure)?;
                Ok(List { items: page.jobs, next: page.next })
            }
        }
    }

    fn find_job(&self, id: JobId) -> Result<Job, Failure> {
        match self {
            Self::Node(client) => client.get(&format!("/api/v1/jobs/{id}")),
            Self::Store { runtime, store, .. } => runtime
                .block_on(store.find(id))
                .map_err(failure)?
                .ok_or_else(|| failure(Error::Unknown(id))),
        }
    }

    fn cancel(&self, id: JobId) -> Result<Job, Failure> {
        match self {
            Self::Node(client) => {
                client.patch(&format!("/api/v1/jobs/{id}"), &json!({ "state": "cancelled" }))
            }
            Self::Store { runtime, store, .. } => {
                match runtime.block_on(store.cancel(id, None)).map_err(failure)? {
                    Cancelled::Late(state) if state != State::Cancelled => {
                        Err(Failure::input(format!("job {id} had ended: {state}")))
                    }
                    _ => self.find_job(id),
                }
            }
        }
    }

    fn log(&self, id: JobId, from: u64) -> Result<LogText, Failure> {
        match self {
            Self::Node(client) => client.get(&format!("/api/v1/jobs/{id}/log?from={from}")),
            Self::Store { logs, .. } => {
                let is_final = self.find_job(id)?.progress.state.is_final();
                let part = logs.read(id, from, LOG_BYTES_MAX).map_err(failure)?;
                Ok(LogText::new(part, is_final))
            }
        }
    }
}

/// Prints what there is; with `follow`, until the job has ended.
fn logs(target: &Target, id: JobId, follow: bool, output: &Output) -> Result<(), Failure> {
    let mut from = 0;
    loop {
        let part = target.log(id, from)?;
        if part.begin > from {
            output
                .note(&format!("{} bytes of it are gone: they were the oldest", part.begin - from));
        }
        if output.is_json && !part.text.is_empty() {
            output.json_line(&json!({ "begin": part.begin, "text": part.text }));
        } else if !output.is_json {
            output.bytes(part.text.as_bytes());
        }
        let has_more = part.next > from && part.next < part.end;
        from = part.next.max(part.begin);
        if !has_more && (part.is_final || !follow) {
            return Ok(());
        }
        if !has_more {
            target.pause();
        }
    }
}

impl Target {
    /// Waits before the next look.
    fn pause(&self) {
        let look = async { tokio::time::sleep(FOLLOW_EVERY).await };
        match self {
            Self::Store { runtime, .. } => runtime.block_on(look),
            Self::Node(_) => Client::pause(FOLLOW_EVERY),
        }
    }
}

/// Returns a job as the API takes it.
fn request(spec: &JobSpec) -> Value {
    let Work::Command(command) = &spec.work else { return Value::Null };
    json!({
        "command": command.arguments,
        "folder": command.folder,
        "environment": command.environment,
        "priority": spec.priority.name(),
        "timeout_ms": spec.timeout.map(|timeout| timeout.as_millis() as u64),
        "retries": spec.retries,
        "key": spec.key,
    })
}

fn table(jobs: &[Job], output: &Output) -> String {
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            let plain = |text: String| (Tone::Plain, text);
            let state = job.progress.state;
            vec![
                plain(job.id.to_string()),
                (tone(state), state.to_string()),
                plain(job.spec.priority.to_string()),
                plain(job.progress.attempts.to_string()),
                plain(what(job)),
            ]
        })
        .collect();
    output.table("", &["ID", "STATE", "PRIORITY", "ATTEMPTS", "WHAT"], &rows)
}

fn show(job: &Job, output: &Output) -> Result<(), Failure> {
    if output.is_json {
        output.json(job);
        return Ok(());
    }
    let progress = &job.progress;
    let taken = progress.started_at_ms.zip(progress.ended_at_ms);
    let taken = taken.map(|(start, end)| Duration::from_millis(end.saturating_sub(start)));
    let lines = [
        ("id", Some(job.id.to_string())),
        ("state", Some(output.paint(tone(progress.state), progress.state.name()))),
        ("why", progress.reason.clone()),
        ("what", Some(what(job))),
        ("priority", Some(job.spec.priority.to_string())),
        ("timeout", job.spec.timeout.map(format_duration)),
        ("key", job.spec.key.clone()),
        ("attempts", Some(format!("{}, {} failed", progress.attempts, progress.failures))),
        ("retries", Some(job.spec.retries.to_string())),
        ("node", progress.node.clone()),
        ("took", taken.map(format_duration)),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| Some(format!("{name:<9} {}", value?)));
    output.line(&lines.collect::<Vec<_>>().join("\n"));
    Ok(())
}

/// Returns what a job does, in one line of bounded length.
fn what(job: &Job) -> String {
    let text = match &job.spec.work {
        Work::Command(command) => command.arguments.join(" "),
        Work::Handler { name, .. } => format!("handler {name}"),
        _ => "something that this version does not know".to_owned(),
    };
    let mut shown: String =
        text.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect();
    if text.chars().count() > 60 {
        shown.push('…');
    }
    shown
}

fn tone(state: State) -> Tone {
    match state {
        State::Completed => Tone::Good,
        State::Failed | State::TimedOut | State::Rejected => Tone::Bad,
        State::Cancelled => Tone::Warning,
        State::Pending | State::Running => Tone::Plain,
    }
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Unknown(_) => Failure::input(error.to_string()),
        error if error.is_invalid() => Failure::input(error.to_string()),
        error => Failure::outside(error.to_string()),
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

const FOLLOW_EVERY: Duration = Duration::from_millis(200);

const LOG_BYTES_MAX: usize = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  tidemill job submit --priority high --timeout 30s --retries 3 -- backup.sh /srv
  tidemill job submit --key report-2026-11 -- make report
  tidemill job list --state failed
  tidemill job logs -f 01JD3Z5V8QWERTY0123456789A
  tidemill job cancel 01JD3Z5V8QWERTY0123456789A";

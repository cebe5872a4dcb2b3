//! `tidemill perf`: what a program costs, counted and sampled.

mod record;
mod stat;

use std::process::{Command, ExitStatus};

use clap::{Args, Subcommand};

use super::{Failure, Output};

/// Count what a command costs, or sample where its time goes
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Stat(stat::Arguments),
    Record(record::Arguments),
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    match &arguments.action {
        Action::Stat(arguments) => stat::run(arguments, output),
        Action::Record(arguments) => record::run(arguments, output),
    }
}

/// A command with its arguments, behind `--`.
#[derive(Debug, Clone, Args)]
pub(super) struct Program {
    /// The command and its arguments, after `--`
    #[arg(last = true, value_name = "CMD")]
    words: Vec<std::ffi::OsString>,
}

impl Program {
    pub(super) fn is_given(&self) -> bool {
        !self.words.is_empty()
    }

    /// Returns the command, or the failure that says that none was given.
    pub(super) fn command(&self) -> Result<Command, Failure> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(Failure::input("no command is given; write it after `--`"));
        };
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }

    pub(super) fn shown(&self) -> String {
        let words = self.words.iter().map(|word| word.to_string_lossy().into_owned());
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Hands a command's own end on as ours: its exit code, or 128 and its signal.
pub(super) fn pass_on(status: Option<ExitStatus>) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt;
    let Some(status) = status.filter(|status| !status.success()) else { return Ok(()) };
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Err(Failure::of_command(code, format!("the command ended with {status}")))
}

/// Turns an error of the measuring into a failure with its blame.
pub(super) fn failed(error: &tidemill_profile::Error) -> Failure {
    if error.is_input() {
        Failure::input(error.to_string())
    } else {
        Failure::outside(error.to_string())
    }
}

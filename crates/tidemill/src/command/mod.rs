//! The commands: one definition from which parsing, help, man pages and completions come.
//!
//! Each command is a module with its flags and a `run`. A command returns a failure or nothing;
//! only [`run`] turns that into a message and an exit code:
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | good |
//! | 1 | it ran, and the answer is no |
//! | 2 | the command line or the configuration is wrong |
//! | 3 | something outside failed: an address is taken, no node answers |
//! | 130 | interrupted |

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::{Config, Machine, Source};

mod backend;
mod check;
mod explain;
mod failure;
mod files;
mod generate;
mod job;
mod mcp;
mod memory;
mod open;
mod output;
mod perf;
mod plan;
mod proxy;
mod signals;
mod status;
mod task;
mod trace;
mod tune;
mod up;

pub(crate) use failure::Failure;
pub(crate) use output::{Output, wants_colour};

/// Runs the command that `arguments` name, the program's own name first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are good; the rest is bad usage.
            let is_printed = error.print().is_ok();
            return ExitCode::from(if error.use_stderr() || !is_printed { 2 } else { 0 });
        }
    };
    let output = Output::new(cli.common.color, cli.common.json);
    let result = match &cli.command {
        Command::Up(arguments) => up::run(&cli.common, arguments),
        Command::Proxy(arguments) => proxy::run(&cli.common, arguments),
        Command::Check(arguments) => check::run(&cli.common, arguments, &output),
        Command::Status(arguments) => status::run(&cli.common, arguments, &output),
        Command::Backend(arguments) => backend::run(&cli.common, arguments, &output),
        Command::Explain(arguments) => explain::run(&cli.common, arguments, &output),
        Command::Tune(arguments) => tune::run(arguments, &output),
        Command::Perf(arguments) => perf::run(arguments, &output),
        Command::Trace(arguments) => trace::run(arguments, &output),
        Command::Job(arguments) => job::run(&cli.common, arguments, &output),
        Command::Task(arguments) => task::run(&cli.common, arguments, &output),
        Command::Memory(arguments) => memory::run(&cli.common, arguments, &output),
        Command::Plan(arguments) => plan::run(&cli.common, arguments, &output),
        Command::Files(arguments) => files::run(&cli.common, arguments, &output),
        Command::Mcp(arguments) => mcp::run(&cli.common, arguments),
        Command::Open(arguments) => open::run(&cli.common, arguments, &output),
        Command::Completions(arguments) => generate::completions(arguments, &output),
        Command::Man(arguments) => generate::man(arguments, &output),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// Returns the definition of every command and flag.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Serves, measures, finds, fixes and proves: network services on Linux.
#[derive(Debug, Parser)]
#[command(
    name = "tidemill",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Configuration file [default: tidemill.toml here, else built-in defaults]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print for machines: one JSON document on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Tell more; twice tells everything
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Tell only warnings; twice only errors
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) quiet: u8,
    /// When to use colour; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

impl Common {
    /// Returns where the configuration is read from.
    pub(crate) fn source(&self) -> Source {
        Source::new(self.config.as_deref())
    }

    /// Reads the configuration for a command that only looks something up in it.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        Ok(self.source().load(&Machine::this())?.config)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Arguments),
    Proxy(proxy::Arguments),
    Check(check::Arguments),
    Status(status::Arguments),
    Backend(backend::Arguments),
    Explain(explain::Arguments),
    Tune(tune::Arguments),
    Perf(perf::Arguments),
    Trace(trace::Arguments),
    Job(job::Arguments),
    Task(task::Arguments),
    Memory(memory::Arguments),
    Plan(plan::Arguments),
    Files(files::Arguments),
    Mcp(mcp::Arguments),
    Open(open::Arguments),
    Completions(generate::CompletionsArguments),
    Man(generate::ManArguments),
}

const EXAMPLES: &str = "\
Examples:
  tidemill up --demo       see it live: two backends, a proxy, traffic, a page
  tidemill proxy --listen 127.0.0.1:8080 --backend 127.0.0.1:6379
                           a proxy without a file
  tidemill task add \"Write the guide\"
                           a task in .workspace here, with or without a node
  tidemill check --sample > tidemill.toml
                           a file with every key, to start from

Exit codes: 0 good; 1 the answer is no; 2 bad usage or configuration; 3 something outside failed;
130 interrupted.";

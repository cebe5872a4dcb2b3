//! `tidemill tune`: find what makes a Cargo project slow, fix it, prove it.

mod gate;
mod progress;
mod selftest;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use tidemill_tune::attempt::Permissions;
use tidemill_tune::report::Report;
use tidemill_tune::session::{Options, Session};
use tidemill_tune::workload::{Target, Workload};
use tidemill_tune::{Error, ErrorKind};

use super::output::Tone;
use super::{Failure, Output};

/// Find what makes a Cargo project slow, try the fixes, keep what is proven
///
/// Builds a copy of the project under its target folder, measures the workload that tune.toml
/// names, ranks what it finds by CPU samples and allocations, and tries each fix alone: it has to
/// compile, pass the tests twice, print the same output, and be faster on interleaved runs, also
/// with another code layout. Your tree is not changed unless you ask with --apply.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Subcommands>,
    #[command(flatten)]
    session: SessionArguments,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Gate(gate::Arguments),
    Selftest(selftest::Arguments),
}

#[derive(Debug, Args)]
struct SessionArguments {
    /// Folder of the Cargo project [default: here]
    path: Option<PathBuf>,
    /// Measure this program of the project instead of what tune.toml names
    #[arg(long, value_name = "NAME", conflicts_with = "example")]
    bin: Option<String>,
    /// Measure this example of the project instead of what tune.toml names
    #[arg(long, value_name = "NAME")]
    example: Option<String>,
    /// Write the kept fixes into the project
    #[arg(long)]
    apply: bool,
    /// Commit each fix that is written, with its proof in the message
    #[arg(long, requires = "apply")]
    commit: bool,
    /// Write the report as Markdown to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the report with flame graphs as one HTML page to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Allow fixes to change what is not touched without asking
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Allowed>,
    /// Try only changes of code, not other ways to build
    #[arg(long)]
    no_levers: bool,
    /// Try at most this many fixes
    #[arg(long, value_name = "COUNT", default_value_t = 40)]
    trials: usize,
    /// Arguments of the program that --bin or --example names
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Allowed {
    /// Signatures and definitions that other crates see
    PublicApi,
    /// Code that is or becomes unsafe
    Unsafe,
    /// Cargo manifests
    Manifest,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    match &arguments.command {
        Some(Subcommands::Gate(arguments)) => gate::run(arguments, output),
        Some(Subcommands::Selftest(arguments)) => selftest::run(arguments, output),
        None => tune(&arguments.session, output),
    }
}

fn tune(arguments: &SessionArguments, output: &Output) -> Result<(), Failure> {
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from("."));
    let options = arguments.options()?;
    let (apply, commit) = (arguments.apply, arguments.commit);
    let (report, accepted) = progress::observed(output, move |observer, line| {
        let mut session = Session::open(&folder, options, observer)?;
        if apply {
            session.check_applicable()?;
        }
        let mut told = tell(line, session.notes(), 0);
        session.measure(observer)?;
        told = tell(line, session.notes(), told);
        session.find(observer)?;
        tell(line, session.notes(), told);
        let report = session.run(observer)?;
        let accepted = apply.then(|| session.accept(&[], commit)).transpose()?;
        Ok((report, accepted))
    })?;
    if output.is_json {
        output.json(&report);
    } else {
        output.line(&coloured(&report.markdown(), output));
    }
    for (path, text) in [
        (&arguments.markdown, Report::markdown as fn(&Report) -> String),
        (&arguments.html, Report::html),
    ]
    .map(|(path, render)| (path, render(&report)))
    {
        if let Some(path) = path {
            write(path, &text)?;
        }
    }
    if let Some(accepted) = accepted {
        output.note(&format!("{} fixes were written into the project", accepted.applied.len()));
        for left in &accepted.left {
            output.note(&format!("{left} touches a file that another fix changed: run tune again"));
        }
    }
    Ok(())
}

/// Writes the notes behind the first `told`, and returns how many are told now.
fn tell(line: &progress::Line, notes: &[String], told: usize) -> usize {
    notes.iter().skip(told).for_each(|note| line.note(note));
    notes.len()
}

impl SessionArguments {
    fn options(&self) -> Result<Options, Failure> {
        let target = match (&self.bin, &self.example) {
            (Some(name), _) => Some(Target::Bin(name.clone())),
            (None, Some(name)) => Some(Target::Example(name.clone())),
            (None, None) if self.args.is_empty() => None,
            (None, None) => {
                return Err(Failure::input(
                    "arguments behind -- belong to a program: name it with --bin or --example",
                ));
            }
        };
        let mut permissions = Permissions::default();
        permissions.public_api = self.allow.contains(&Allowed::PublicApi);
        permissions.unsafety = self.allow.contains(&Allowed::Unsafe);
        permissions.manifest = self.allow.contains(&Allowed::Manifest);
        let mut options = Options::default();
        options.permissions = permissions;
        options.trials_max = self.trials;
        options.levers = !self.no_levers;
        options.workload = target.map(|target| {
            let mut workload = Workload::new(target);
            workload.args = self.args.clone();
            workload
        });
        Ok(options)
    }
}

/// Writes a file that a person named.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::outside(format!("cannot write {}: {error}", path.display())))
}

/// Returns a report with its headings painted.
fn coloured(markdown: &str, output: &Output) -> String {
    let lines = markdown.lines().map(|line| {
        let tone = if line.starts_with('#') { Tone::Head } else { Tone::Plain };
        output.paint(tone, line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the failure that an error of a session is.
fn failure(error: &Error) -> Failure {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    match error.kind() {
        ErrorKind::Project => Failure::answer(message),
        ErrorKind::Request => Failure::input(message),
        ErrorKind::Cancelled => Failure::interrupt(message),
        _ => Failure::outside(message),
    }
}

const EXAMPLES: &str = "\
Examples:
  tidemill tune                        the project here, the workload of tune.toml
  tidemill tune --bin app -- --n 1000  one of its programs
  tidemill tune --apply --commit       keep what is proven, a commit each
  tidemill tune gate --baseline main   hold the budget of tune.toml
  tidemill tune selftest               how often the judge errs on this machine";

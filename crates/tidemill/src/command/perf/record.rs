//! `tidemill perf record`: samples of a command or a process, and what is made of them.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tidemill_profile::sampling::{HotFunction, Profile, Sampler};

use super::{Program, failed, pass_on};
use crate::command::output::{Tone, grouped};
use crate::command::signals::{Heard, Listener};
use crate::command::{Failure, Output};

/// Sample where the time of a command or a process goes
///
/// Takes stacks at a rate, without frame pointers in the program, looks up functions, inlined
/// functions and lines, and writes files by their endings: .svg a flame graph, .folded a line per
/// stack, .pb for pprof, .json for profiler.firefox.com. Exits with the command's exit code.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Samples per second of processor time
    #[arg(short = 'F', long, value_name = "HERTZ", default_value_t = 997)]
    frequency: u32,
    /// Bytes to copy of each stack, a multiple of 8 up to 65024
    #[arg(long, value_name = "BYTES", default_value_t = 32768)]
    stack_bytes: u32,
    /// Leave out what happens in the kernel
    #[arg(long)]
    no_kernel: bool,
    /// File to write, several times if wanted [default: tidemill-profile.svg]
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// Functions to list
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top: usize,
    /// Sample a running process instead, until it ends or Ctrl-C
    #[arg(long, conflicts_with = "words")]
    pid: Option<u32>,
    /// Seconds to sample for
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    #[command(flatten)]
    program: Program,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let files = files(&arguments.output)?;
    let mut sampler =
        Sampler::new().frequency(arguments.frequency).stack_bytes(arguments.stack_bytes);
    if arguments.no_kernel {
        sampler = sampler.without_kernel();
    }
    let listener = Listener::new().map_err(|error| Failure::outside(error.to_string()))?;
    let (recording, title) = if let Some(pid) = arguments.pid {
        (sampler.attach(pid), format!("process {pid}"))
    } else {
        (sampler.spawn(arguments.program.command()?), arguments.program.shown())
    };
    let recording = recording.map_err(|error| failed(&error))?;
    let stopper = recording.stopper();
    let is_command = arguments.program.is_given();
    let is_over = Arc::new(AtomicBool::new(false));
    listener.on_each(move |heard| {
        // An interrupt from the terminal reaches the command as well; its end is waited for.
        if heard == Heard::Terminate || !is_command {
            stopper.stop();
        }
    });
    if let Some(seconds) = arguments.duration {
        let stopper = recording.stopper();
        let is_over = Arc::clone(&is_over);
        crate::command::signals::after(Duration::from_secs(seconds), move || {
            is_over.store(true, Ordering::Relaxed);
            stopper.stop();
        });
    }
    let profile = recording.wait().map_err(|error| failed(&error))?;
    // First what needs no file: it is not lost where one cannot be written.
    show(&profile, arguments, &files, output);
    for (path, form) in &files {
        let bytes = form.render(&profile, &title);
        fs::write(path, bytes).map_err(|error| cannot_write(path, &error))?;
    }
    if !output.is_json {
        let names: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
        output.aside(&format!("written: {}", names.join(", ")));
    }
    if is_over.load(Ordering::Relaxed) {
        // We have ended it ourselves, as was asked for.
        return Ok(());
    }
    pass_on(profile.status())
}

/// What a file is to hold.
#[derive(Debug, Clone, Copy)]
enum Form {
    FlameGraph,
    Folded,
    Pprof,
    Firefox,
}

impl Form {
    fn of(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => Ok(Self::FlameGraph),
            Some("folded" | "txt") => Ok(Self::Folded),
            Some("pb" | "pprof") => Ok(Self::Pprof),
            Some("json") => Ok(Self::Firefox),
            _ => Err(Failure::input(format!(
                "{}: the ending says what is written: .svg, .folded, .pb or .json",
                path.display()
            ))),
        }
    }

    fn render(self, profile: &Profile, title: &str) -> Vec<u8> {
        match self {
            Self::FlameGraph => profile.flame_graph(title).into_bytes(),
            Self::Folded => profile.folded().into_bytes(),
            Self::Pprof => profile.pprof(),
            Self::Firefox => profile.firefox_json(title).into_bytes(),
        }
    }
}

/// Looks at the files before anything is sampled, so that nothing is lost to a misspelt name.
fn files(asked: &[PathBuf]) -> Result<Vec<(PathBuf, Form)>, Failure> {
    let default = [PathBuf::from("tidemill-profile.svg")];
    let asked = if asked.is_empty() { &default } else { asked };
    let file = |path: &PathBuf| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            return Err(Failure::input(format!("{}: there is no such folder", path.display())));
        }
        let form = Form::of(path)?;
        let is_there = path.exists();
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(|error| cannot_write(path, &error))?;
        if !is_there {
            // A command that cannot be started leaves no empty file.
            fs::remove_file(path).map_err(|error| cannot_write(path, &error))?;
        }
        Ok((path.clone(), form))
    };
    asked.iter().map(file).collect()
}

fn show(profile: &Profile, arguments: &Arguments, files: &[(PathBuf, Form)], output: &Output) {
    let hot = profile.hot_functions(arguments.top);
    let names: Vec<_> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    if output.is_json {
        output.json(&json!({
            "samples": profile.samples(),
            "frequency_hertz": profile.frequency(),
            "duration_seconds": profile.duration().as_secs_f64(),
            "threads": profile.threads().len(),
            "complete_share": profile.complete_share(),
            "under_main_share": profile.share_under("main"),
            "losses": profile.losses(),
            "kernel_refused": profile.kernel_refused().map(ToString::to_string),
            "functions": hot,
            "lines": profile.hot_lines(arguments.top),
            "files": names,
        }));
        return;
    }
    output.aside(&summary(profile));
    if !hot.is_empty() {
        let rows: Vec<_> = hot.iter().map(row).collect();
        let heads = ["SELF", "TOTAL", "FUNCTION", "PLACE"];
        output.aside(&output.table("  ", &heads, &rows));
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::outside(format!("cannot write {}: {error}", path.display()))
}

fn summary(profile: &Profile) -> String {
    let losses = profile.losses();
    let seconds = profile.duration().as_secs_f64();
    let mut text = if profile.samples() == 0 {
        format!(
            "no samples in {seconds:.2} s: it used less processor time than lies between two \
             samples, {:.2} ms at {} Hz (--frequency)",
            1e3 / f64::from(profile.frequency()),
            profile.frequency(),
        )
    } else {
        format!(
            "{} samples in {seconds:.2} s, {:.1} % followed to the thread's first function, \
             {:.1} % under main",
            grouped(profile.samples()),
            profile.complete_share() * 100.0,
            profile.share_under("main") * 100.0,
        )
    };
    let lost = [
        (losses.records, "records lost, the ring was full"),
        (losses.throttled, "times throttled by the kernel"),
        (losses.cut_stacks, "stacks deeper than their copy (--stack-bytes)"),
        (losses.broken_stacks, "stacks not followed to the end"),
        (losses.shortened_stacks, "stacks shortened, too many different ones"),
        (losses.moments, "samples without a time in .json"),
    ];
    for (count, what) in lost.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("\n  {} {what}", grouped(count)));
    }
    if let Some(reason) = profile.kernel_refused() {
        text.push_str(&format!("\n  without the kernel's part: {reason}"));
    }
    text
}

fn row(hot: &HotFunction) -> Vec<(Tone, String)> {
    let place = hot.place.as_ref().map(|(file, line)| format!("{file}:{line}"));
    vec![
        (Tone::Plain, format!("{:.1} %", hot.self_share * 100.0)),
        (Tone::Plain, format!("{:.1} %", hot.total_share * 100.0)),
        (Tone::Plain, hot.function.clone()),
        (Tone::Plain, place.unwrap_or_else(|| hot.module.clone())),
    ]
}

const EXAMPLES: &str = "\
Examples:
  tidemill perf record -- ./server --once
  tidemill perf record -o flame.svg -o stacks.folded -F 4999 -- ./server --once
  tidemill perf record --pid 4711 --duration 10 -o profile.json";

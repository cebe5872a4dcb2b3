//! `tidemill perf stat`: counters of a command or a process.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tidemill_profile::counters::{Answer, Counters, Event, Reading, Source, Target};

use super::{Program, failed, pass_on};
use crate::command::output::grouped;
use crate::command::signals::{Heard, Listener};
use crate::command::{Failure, Output};

/// Count events of a command and of everything that it starts
///
/// Prints to stderr when the command has ended, and exits with its exit code. What this machine
/// does not count says why, and what was counted instead. With --pid a running process is counted
/// until it ends, --duration is over, or Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Events to count; a comma joins those that are counted at the same time
    #[arg(short, long = "event", value_name = "EVENTS")]
    events: Vec<String>,
    /// Count a running process instead
    #[arg(long, conflicts_with = "words")]
    pid: Option<u32>,
    /// Seconds to count a running process for
    #[arg(long, value_name = "SECONDS", requires = "pid")]
    duration: Option<u64>,
    #[command(flatten)]
    program: Program,
}

pub(super) fn run(arguments: &Arguments, output: &Output) -> Result<(), Failure> {
    let mut builder = Counters::builder();
    for group in groups(&arguments.events)? {
        builder = builder.group(group);
    }
    let listener = Listener::new().map_err(|error| Failure::outside(error.to_string()))?;
    if let Some(pid) = arguments.pid {
        let target = Target::ProcessAndChildren(pid);
        let mut counters = builder.open(target).map_err(|error| failed(&error))?;
        let start = now();
        counters.enable().map_err(|error| failed(&error))?;
        wait(pid, arguments.duration, &listener);
        let elapsed = now() - start;
        let readings = counters.read().map_err(|error| failed(&error))?;
        show(&format!("process {pid}"), &readings, elapsed, None, output);
        return Ok(());
    }
    let command = arguments.program.command()?;
    let running = builder.spawn(command).map_err(|error| failed(&error))?;
    let terminator = running.terminator().map_err(|error| failed(&error))?;
    // An interrupt from the terminal reaches the command as well; its end is waited for.
    listener.on_each(move |heard| {
        if heard == Heard::Terminate {
            terminator.terminate();
        }
    });
    let counts = running.wait().map_err(|error| failed(&error))?;
    let usage = Some((counts.user, counts.system, counts.peak_bytes, counts.status.code()));
    show(&arguments.program.shown(), &counts.readings, counts.elapsed, usage, output);
    pass_on(Some(counts.status))
}

fn groups(asked: &[String]) -> Result<Vec<Vec<Event>>, Failure> {
    if asked.is_empty() {
        return Ok(Event::DEFAULT_GROUPS.iter().map(|group| group.to_vec()).collect());
    }
    let group = |text: &String| {
        let events = text.split(',').map(|name| name.trim().parse::<Event>());
        events.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))
    };
    asked.iter().map(group).collect()
}

/// Waits until the process ends, the time is over or a signal comes.
fn wait(pid: u32, seconds: Option<u64>, listener: &Listener) {
    let end = seconds.map(|seconds| now() + Duration::from_secs(seconds));
    let folder = format!("/proc/{pid}");
    while std::fs::exists(&folder).unwrap_or(false) && end.is_none_or(|end| now() < end) {
        let left = end.map_or(LOOK, |end| end.saturating_duration_since(now()).min(LOOK));
        if listener.next_within(left).is_some() {
            break;
        }
    }
}

/// Processor time in programs and in the kernel, most memory at once, exit code.
type Usage = (Duration, Duration, u64, Option<i32>);

fn show(
    what: &str,
    readings: &[Reading],
    elapsed: Duration,
    usage: Option<Usage>,
    output: &Output,
) {
    if output.is_json {
        output.json(&json!({
            "of": what,
            "events": readings,
            "elapsed_seconds": elapsed.as_secs_f64(),
            "user_seconds": usage.map(|(user, ..)| user.as_secs_f64()),
            "system_seconds": usage.map(|(_, system, ..)| system.as_secs_f64()),
            "peak_memory_bytes": usage.map(|(_, _, peak, _)| peak),
            "exit_code": usage.and_then(|(_, _, _, code)| code),
        }));
        return;
    }
    let mut text = format!("\n Counts for '{what}':\n\n");
    let busy_ns = readings.iter().find_map(|reading| {
        reading.answer.count().filter(|_| reading.event.is_clock()).map(|count| count.value)
    });
    for reading in readings {
        text.push_str(&line(reading, readings, busy_ns, elapsed));
        text.push('\n');
    }
    text.push_str(&format!("\n {:>17.6} seconds elapsed\n", elapsed.as_secs_f64()));
    if let Some((user, system, peak, _)) = usage {
        text.push_str(&format!(" {:>17.6} seconds user\n", user.as_secs_f64()));
        text.push_str(&format!(" {:>17.6} seconds system\n", system.as_secs_f64()));
        text.push_str(&format!(" {:>17} KiB most memory at once\n", grouped(peak / 1024)));
    }
    output.aside(&text);
}

fn line(reading: &Reading, all: &[Reading], busy_ns: Option<u64>, elapsed: Duration) -> String {
    let name = reading.event.name();
    let Some(count) = reading.answer.count() else {
        let Answer::Unsupported { reason } = &reading.answer else { return String::new() };
        return format!(" {:>17} {name:<24}  {reason}", "<not supported>");
    };
    let is_time = reading.event.is_clock()
        || matches!(reading.answer, Answer::Instead { source: Source::TaskClock, .. });
    let value =
        if is_time { format!("{:.2} ms", float(count.value) / 1e6) } else { grouped(count.value) };
    let mut remark = remark(reading.event, count.value, all, busy_ns, elapsed);
    if count.running_share() < 0.999 {
        remark.push_str(&format!("  (counted {:.1} % of the time)", count.running_share() * 100.0));
    }
    if let Answer::Instead { source, reason, .. } = &reading.answer {
        let source = match source {
            Source::UserOnly => "without the kernel's part",
            Source::TaskClock => "task-clock instead",
            Source::ResourceUsage => "from the process' account",
            _ => "something near it",
        };
        remark = format!("  {source}: {reason}");
    }
    format!(" {value:>17} {name:<24}{remark}").trim_end().to_owned()
}

/// Says what a count means beside the others.
fn remark(
    event: Event,
    value: u64,
    all: &[Reading],
    busy_ns: Option<u64>,
    elapsed: Duration,
) -> String {
    let of = |event: Event| {
        let reading = all.iter().find(|reading| reading.event == event)?;
        let Answer::Counted(count) = &reading.answer else { return None };
        (count.value > 0).then(|| float(count.value))
    };
    let value = float(value);
    let busy_s = busy_ns.map(|nanoseconds| float(nanoseconds) / 1e9).filter(|busy| *busy > 0.0);
    let told = match event {
        Event::TaskClock | Event::CpuClock if !elapsed.is_zero() => {
            Some(format!("{:.3} processors in use", value / 1e9 / elapsed.as_secs_f64()))
        }
        Event::Instructions => of(Event::Cycles).map(|c| format!("{:.2} per cycle", value / c)),
        Event::BranchMisses => {
            of(Event::Branches).map(|b| format!("{:.2} % of branches", value / b * 100.0))
        }
        Event::CacheMisses => {
            of(Event::CacheReferences).map(|r| format!("{:.2} % of references", value / r * 100.0))
        }
        Event::Cycles => busy_s.map(|busy| format!("{:.3} GHz", value / busy / 1e9)),
        _ => busy_s.map(|busy| format!("{:.1} per second of processor", value / busy)),
    };
    told.map(|told| format!("  # {told}")).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "what is shown has fewer than 53 bits")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::disallowed_methods, reason = "the shell of this command")]
fn now() -> Instant {
    Instant::now()
}

const LOOK: Duration = Duration::from_millis(100);
const EXAMPLES: &str = "\
Examples:
  tidemill perf stat -- gzip -k file
  tidemill perf stat -e cycles,instructions -e page-faults -- ./server --once
  tidemill perf stat --pid 4711 --duration 10 --json";

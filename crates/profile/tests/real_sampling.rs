//! Sampling of a real release binary: line tables only, no frame pointers.
//!
//! `tests/programs/busy.rs` is built as such by the `rustc` that builds the tests. Where the kernel
//! refuses samples, the tests print `skipped:` with its reason.
#![expect(clippy::disallowed_methods, reason = "the tests measure real time")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidemill_profile::Error;
use tidemill_profile::sampling::{Profile, Recording, Sampler};

/// Builds the program once, with further flags; the folder lives as long as the tests.
fn built(name: &str, flags: &[&str]) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| TempDir::new().expect("a temporary folder"));
    let path = folder.path().join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/busy.rs");
    let status = Command::new("rustc")
        .args(["--edition", "2024", "-C", "opt-level=3", "-C", "debuginfo=line-tables-only"])
        .args(["-C", "force-frame-pointers=no", "-o"])
        .args([path.as_os_str(), source.as_ref()])
        .args(flags)
        .status();
    assert!(status.expect("rustc builds the tests").success());
    path
}

fn busy(program: &Path, milliseconds: u32, threads: u32) -> Command {
    let mut command = Command::new(program);
    command.args([milliseconds.to_string(), threads.to_string()]);
    command
}

/// Returns what was asked for, or prints why this kernel refuses it.
fn allowed<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if error.is_refused() => {
            // A standard output that is closed has nobody to tell.
            let _ = writeln!(std::io::stdout(), "skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn sampled(command: Command) -> Option<Profile> {
    let recording = allowed(Sampler::new().spawn(command))?;
    Some(recording.wait().expect("recorded"))
}

#[test]
fn more_than_95_percent_is_under_main() {
    for (name, flags) in [
        ("pie", &[][..]),
        ("fixed", &["-C", "relocation-model=static"]),
        ("static-pie", &["-C", "target-feature=+crt-static"]),
    ] {
        let program = built(name, flags);
        let Some(profile) = sampled(busy(&program, 1000, 1)) else { return };
        assert!(profile.status().is_some_and(|status| status.success()), "{name}");
        assert!(profile.samples() > 20, "{name}: {} samples", profile.samples());
        assert_eq!(profile.losses().records, 0, "{name}");
        let (main, burn) = (profile.share_under("busy::main"), profile.share_under("busy::burn"));
        assert!(main > 0.95, "{name}: {main} under main, {:?}", profile.losses());
        assert!(burn > 0.95, "{name}: {burn} under burn");
        assert!(profile.complete_share() > 0.95, "{name}: {}", profile.complete_share());
    }
}

#[test]
fn threads_are_followed_to_their_start() {
    let program = built("threads", &[]);
    let Some(profile) = sampled(busy(&program, 1000, 3)) else { return };
    assert!(profile.complete_share() > 0.95, "{:?}", profile.losses());
    let mut under: HashMap<&str, (u64, u64)> = HashMap::new();
    for stack in profile.stacks() {
        let is_helper = stack.thread.name.starts_with("helper-");
        let root = if is_helper { "thread_start" } else { "busy::main" };
        let is_rooted = stack.frames.iter().any(|frame| frame.function.contains(root));
        let sum = under.entry(&stack.thread.name).or_default();
        *sum = (sum.0 + stack.samples, sum.1 + u64::from(is_rooted) * stack.samples);
    }
    for name in ["helper-1", "helper-2"] {
        let (all, rooted) = under.get(name).copied().unwrap_or_default();
        assert!(all > 10 && rooted * 100 > all * 95, "{name}: {rooted} of {all}");
    }
}

#[test]
fn hot_functions_have_inlined_ones_files_and_lines() {
    let program = built("hot", &[]);
    let Some(profile) = sampled(busy(&program, 1000, 1)) else { return };
    let hot = profile.hot_functions(1000);
    let of = |name: &str| {
        let found = hot.iter().find(|hot| hot.function.ends_with(name));
        found.unwrap_or_else(|| panic!("no {name} in {hot:#?}"))
    };
    let burn = of("busy::burn");
    assert!(burn.total_share > 0.95, "{burn:?}");
    let (file, line) = burn.place.as_ref().expect("line tables");
    assert!(file.ends_with("busy.rs") && (28..40).contains(line), "{file}:{line}");
    // It is inlined everywhere, and is there by its own name all the same.
    let mixed = of("mixed");
    assert!(mixed.total_samples > 0, "{mixed:?}");
    let inlined = profile.stacks().any(|stack| {
        stack.frames.iter().any(|frame| frame.is_inlined && frame.function.ends_with("mixed"))
    });
    assert!(inlined, "mixed is inlined");
    let own: u64 = hot.iter().map(|hot| hot.self_samples).sum();
    assert_eq!(own, profile.samples(), "each sample has one innermost function");
    assert!(profile.hot_lines(3).iter().all(|line| line.self_samples > 0 && line.line > 0));
}

#[test]
fn each_form_holds_every_sample() {
    let program = built("forms", &[]);
    let Some(profile) = sampled(busy(&program, 300, 2)) else { return };
    let folded = profile.folded();
    let sum: u64 = folded
        .lines()
        .map(|line| line.rsplit_once(' ').expect("a count").1.parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(sum, profile.samples());
    assert!(folded.lines().any(|line| line.starts_with("helper-1;")), "{folded}");

    let graph = profile.flame_graph("a <title>");
    assert!(graph.contains("a &lt;title&gt;") && graph.contains("busy::burn: "));
    let opened = graph.matches("<g ").count();
    assert!(opened > 10 && opened == graph.matches("</g>").count());

    let firefox: serde_json::Value =
        serde_json::from_str(&profile.firefox_json("busy")).expect("JSON");
    let threads = firefox["threads"].as_array().expect("threads");
    let lengths =
        threads.iter().map(|thread| thread["samples"]["length"].as_u64().expect("length"));
    assert_eq!(lengths.sum::<u64>(), profile.samples());
    for thread in threads {
        check_firefox_thread(thread);
    }
    assert_eq!(pprof_samples(&profile.pprof()), profile.samples());
}

/// Every index of a column points into the table it is for, and every column has its length.
fn check_firefox_thread(thread: &serde_json::Value) {
    let column = |table: &str, name: &str| -> Vec<Option<u64>> {
        let column = thread[table][name].as_array().unwrap_or_else(|| panic!("{table}.{name}"));
        assert_eq!(thread[table]["length"].as_u64(), Some(column.len() as u64), "{table}.{name}");
        column.iter().map(serde_json::Value::as_u64).collect()
    };
    let length = |table: &str| thread[table]["length"].as_u64().expect("length");
    let strings = thread["stringArray"].as_array().expect("strings").len() as u64;
    for (table, name, limit) in [
        ("samples", "stack", length("stackTable")),
        ("stackTable", "prefix", length("stackTable")),
        ("stackTable", "frame", length("frameTable")),
        ("frameTable", "func", length("funcTable")),
        ("funcTable", "name", strings),
        ("funcTable", "fileName", strings),
        ("funcTable", "resource", length("resourceTable")),
        ("resourceTable", "name", strings),
    ] {
        let column = column(table, name);
        assert!(column.iter().flatten().all(|index| *index < limit), "{table}.{name}");
    }
}

/// Sums the first value of every sample of a pprof message, read as the format says.
fn pprof_samples(message: &[u8]) -> u64 {
    let mut sum = 0;
    for (field, sample) in fields(message).into_iter().filter(|(field, _)| *field == 2) {
        let value = fields(sample).into_iter().find(|(field, _)| *field == 2);
        let (_, packed) = value.unwrap_or_else(|| panic!("no value in field {field}"));
        sum += variable(&mut &packed[..]);
    }
    sum
}

/// Takes a message apart into fields with a length; numbers are left out.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = variable(&mut message);
        if key & 7 == 0 {
            variable(&mut message);
            continue;
        }
        assert_eq!(key & 7, 2, "only numbers and what has a length");
        let length = usize::try_from(variable(&mut message)).expect("in memory");
        let (bytes, rest) = message.split_at(length);
        found.push((key >> 3, bytes));
        message = rest;
    }
    found
}

fn variable(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

#[inline(never)]
fn work_of_this_test(time: Duration) -> u64 {
    let end = Instant::now() + time;
    let mut sum = 0_u64;
    while Instant::now() < end {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
    sum
}

#[test]
fn this_process_and_a_running_one_are_sampled() {
    let Some(recording) = allowed(Sampler::new().frequency(499).this_process()) else { return };
    black_box(work_of_this_test(Duration::from_millis(300)));
    let profile = recording.stop().expect("recorded");
    assert!(profile.share_under("work_of_this_test") > 0.0, "{}", profile.folded());
    assert_eq!(profile.status(), None);
    let recorder = profile.threads().iter().find(|thread| thread.name == "profile-recorder");
    let is_sampled = profile.stacks().any(|stack| Some(stack.thread) == recorder);
    assert!(!is_sampled, "the recorder does not see itself");

    let mut child = busy(&built("attached", &[]), 700, 2).spawn().expect("it was built");
    let attached = Sampler::new().attach(child.id()).and_then(Recording::wait);
    assert!(child.wait().expect("a child").success());
    let Some(profile) = allowed(attached) else { return };
    assert!(profile.samples() > 10, "{}", profile.samples());
    assert!(profile.share_under("busy::burn") > 0.9, "{:?}", profile.losses());
}

#[test]
fn children_and_what_they_become_are_followed() {
    let program = built("forked", &[]);
    let script = format!("{0} 200 1 & {0} 200 1; wait", program.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let Some(profile) = sampled(command) else { return };
    let programs: std::collections::HashSet<u32> = profile
        .stacks()
        .filter(|stack| stack.frames.iter().any(|frame| frame.function == "busy::burn"))
        .map(|stack| stack.thread.pid)
        .collect();
    assert_eq!(programs.len(), 2, "{}", profile.folded());
}

#[test]
fn a_stack_deeper_than_its_copy_is_counted_as_such() {
    let mut command = busy(&built("deep", &[]), 200, 1);
    command.env("NOTHING", "x");
    let Some(recording) = allowed(Sampler::new().stack_bytes(1024).spawn(command)) else { return };
    let profile = recording.wait().expect("recorded");
    assert!(profile.losses().cut_stacks > 0, "{:?}", profile.losses());
    assert!(profile.complete_share() < 1.0);
}

#[test]
fn stopping_ends_the_command() {
    let start = Instant::now();
    let command = busy(&built("stopped", &[]), 60_000, 1);
    let Some(recording) = allowed(Sampler::new().spawn(command)) else { return };
    let profile = recording.stop().expect("recorded");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert!(profile.status().is_some_and(|status| !status.success()));
}

#[test]
fn what_cannot_be_sampled_is_an_error_that_says_so() {
    let fails = |result: Result<Recording, Error>, part: &str| {
        let error = result.expect_err(part);
        assert!(error.is_input() && error.to_string().contains(part), "{error}");
    };
    let command = || Command::new("true");
    fails(Sampler::new().frequency(0).spawn(command()), "a frequency of 0 Hz");
    fails(Sampler::new().frequency(u32::MAX).spawn(command()), "out of range");
    fails(Sampler::new().stack_bytes(1001).spawn(command()), "1001 bytes");
    fails(Sampler::new().attach(u32::MAX / 2), "no process has the id");
    let spawned = Sampler::new().spawn(Command::new("/no/such/program"));
    if spawned.as_ref().is_err_and(Error::is_refused) {
        return;
    }
    fails(spawned, "cannot run `/no/such/program`");
}

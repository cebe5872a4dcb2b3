//! `cargo xtask test`: every check in turn, each one's output streamed, a table at the end.
//!
//! A failed step never hides the next: all of them run and the exit code tells whether all were
//! good. `--quick` leaves out integration tests whose file name begins with `real_` (other people's
//! servers) or `fault_` (things killed, starved and slowed), which together take minutes. A test
//! that cannot run prints a line `skipped: …`; those lines are collected into the table. Whatever a
//! step leaves running is ended and makes the step fail.

use std::io::{BufRead, BufReader, IsTerminal, PipeReader, Write};
use std::path::Path;
use std::process::Command;

use crate::cargo::Workspace;
use crate::error::{Error, Result};
use crate::kernel::{self, Outcome};
use crate::packages::{self, FOR_KERNEL, FOR_TESTS, Package};
use crate::{clock, interrupt, models, process, tidy};

/// Runs every step below `root` and prints the table; returns true when all were good.
///
/// # Errors
///
/// Fails on an interrupt, after the table.
pub(crate) fn run(root: &Path, quick: bool) -> Result<bool> {
    run_steps(STEPS, root, quick)
}

/// Runs what needs the emulated machine, and nothing else.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_kernel_alone(root: &Path) -> Result<bool> {
    run_steps(KERNEL_STEPS, root, false)
}

fn run_steps(steps: &[Step], root: &Path, quick: bool) -> Result<bool> {
    let mut rows = Vec::new();
    for step in steps {
        if interrupt::received() {
            break;
        }
        println!("\n=== {} ===", step.name);
        let start = clock::now();
        let mut report = Report::default();
        match (step.run)(root, quick, &mut report) {
            Ok(()) => {}
            Err(error) if error.is_interrupt() => report.failed("interrupted"),
            Err(error) => report.failed(&error.to_string()),
        }
        rows.push(Row { name: step.name, seconds: (clock::now() - start).as_secs_f64(), report });
    }
    print!("{}", table(&rows));
    interrupt::check()?;
    Ok(rows.iter().all(|row| row.report.failures.is_empty()))
}

struct Step {
    name: &'static str,
    run: fn(&Path, bool, &mut Report) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "packages", run: |_, _, report| install(FOR_TESTS, report) },
    Step {
        name: "format",
        run: |root, _, report| cargo(root, &["fmt", "--all", "--check"], report),
    },
    Step {
        name: "clippy",
        run: |root, _, report| {
            let mut arguments = vec!["clippy", "--workspace", "--all-targets"];
            arguments.extend(["--features", TEST_FEATURES, "--features", BENCH_FEATURES]);
            arguments.extend(["--", "-Dwarnings"]);
            cargo(root, &arguments, report)
        },
    },
    Step {
        name: "docs",
        run: |root, _, report| cargo(root, &["doc", "--workspace", "--no-deps"], report),
    },
    Step { name: "tidy", run: check_tidy },
    Step { name: "tests", run: run_tests },
    Step {
        name: "doc tests",
        run: |root, _, report| {
            let arguments = ["test", "--workspace", "--doc", "--no-fail-fast"];
            cargo(root, &arguments, report)
        },
    },
    Step { name: "models", run: models::run },
    Step { name: "kernel", run: run_kernel },
];

/// The kernel step alone, with what it needs: `test --kernel`.
const KERNEL_STEPS: &[Step] = &[
    Step { name: "packages", run: |_, _, report| install(FOR_KERNEL, report) },
    Step { name: "kernel", run: run_kernel },
];

/// What a step has to say besides its time.
#[derive(Debug, Default)]
pub(crate) struct Report {
    failures: Vec<String>,
    skipped: Vec<String>,
    tests_passed: u64,
}

impl Report {
    fn failed(&mut self, why: &str) {
        self.failures.push(why.to_owned());
    }

    /// Notes that something was not checked, and why.
    pub(crate) fn skipped(&mut self, why: &str) {
        self.skipped.push(why.to_owned());
    }
}

fn install(wanted: &[&'static Package], report: &mut Report) -> Result<()> {
    let missing = packages::missing(wanted);
    if missing.is_empty() {
        println!("all {} are there", wanted.len());
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|package| package.name()).collect();
    println!("missing: {}", names.join(" "));
    // Without them the tests that need them skip and say so; the others are worth running.
    if let Err(error) = packages::install(&missing) {
        report.skipped.push(error.to_string());
    }
    Ok(())
}

/// Boots the emulated machine.
fn run_kernel(root: &Path, quick: bool, report: &mut Report) -> Result<()> {
    if quick {
        report.skipped("kernel: left out by --quick");
        return Ok(());
    }
    let workspace = Workspace::read(root)?;
    match kernel::run(root, &workspace.target_dir.join("kernel"))? {
        Outcome::Passed => {}
        Outcome::Failed(why) => report.failed(&why),
        Outcome::Skipped(why) => {
            println!("skipped: {why}");
            report.skipped(&why);
        }
    }
    Ok(())
}

fn check_tidy(root: &Path, _quick: bool, report: &mut Report) -> Result<()> {
    let findings = tidy::run(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        report.failed(&format!("{} findings", findings.len()));
    }
    Ok(())
}

/// Unit, property and integration tests; documentation tests are a step of their own.
fn run_tests(root: &Path, quick: bool, report: &mut Report) -> Result<()> {
    let workspace = Workspace::read(root)?;
    let targets = workspace.members.iter().flat_map(|member| &member.tests);
    let (slow, fast): (Vec<_>, Vec<_>) = targets.partition(|name| is_slow(name));
    let mut arguments = vec!["test", "--workspace", "--no-fail-fast", "--features", TEST_FEATURES];
    if quick {
        arguments.extend(["--lib", "--bins"]);
        arguments.extend(fast.iter().flat_map(|name| ["--test", name.as_str()]));
        report.skipped.extend(slow.iter().map(|name| format!("{name}: left out by --quick")));
    } else {
        arguments.extend(["--lib", "--bins", "--tests", "--examples"]);
    }
    cargo(root, &arguments, report)
}

/// Features that nothing in the workspace asks for and that have tests.
const TEST_FEATURES: &str = "tidemill-metrics/bridges,tidemill-metrics/otlp";

/// Features that only benchmarks have.
const BENCH_FEATURES: &str = "tidemill-metrics/peers";

fn is_slow(test_target: &str) -> bool {
    ["real_", "fault_"].iter().any(|prefix| test_target.starts_with(prefix))
}

/// Runs cargo with `arguments`.
fn cargo(root: &Path, arguments: &[&str], report: &mut Report) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(arguments).env("RUSTDOCFLAGS", "-Dwarnings");
    stream(root, command, report)
}

/// Runs a command at the root and copies what it prints, keeping what belongs in the table.
pub(crate) fn stream(root: &Path, mut command: Command, report: &mut Report) -> Result<()> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    println!("$ {}", words.join(" "));
    command.current_dir(root);
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let (status, left, seen) = process::stream(command, copy_and_collect)?;
    let seen = seen.ok_or_else(|| Error::outside("the output could not be read"))?;
    report.skipped.extend(seen.skipped);
    report.tests_passed += seen.tests_passed;
    if !status.success() {
        report.failed(&status.to_string());
    }
    if !left.is_empty() {
        report.failed(&format!("left running: {}", left.join(", ")));
    }
    Ok(())
}

/// Copies lines to standard output; keeps `skipped:` lines and counts passed tests.
fn copy_and_collect(output: PipeReader) -> Report {
    let mut report = Report::default();
    let mut lines = BufReader::new(output);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
        // Who closed our standard output wants the exit code only.
        let _ = std::io::stdout().write_all(&bytes);
        let line = String::from_utf8_lossy(&bytes);
        report.skipped.extend(skip_reason(&line));
        report.tests_passed += passed(&line).unwrap_or(0);
        bytes.clear();
    }
    report
}

/// The reason in a line `skipped: reason`, which may stand behind `test name ... `.
fn skip_reason(line: &str) -> Option<String> {
    let line = line.trim();
    let rest = line.rsplit_once(" ... ").map_or(line, |(_, rest)| rest);
    rest.strip_prefix("skipped:").map(|reason| reason.trim().to_owned())
}

/// The count in `test result: ok. 12 passed; 0 failed; …`.
fn passed(line: &str) -> Option<u64> {
    let rest = line.trim().strip_prefix("test result:")?;
    let mut words = rest.split_whitespace();
    let count = words.nth(1)?;
    count.parse().ok()
}

struct Row {
    name: &'static str,
    seconds: f64,
    report: Report,
}

/// The closing table: one line for each step, then what was skipped and why.
fn table(rows: &[Row]) -> String {
    let mut text = format!("\n{:<10} {:<7} {:>8}  note\n", "step", "result", "seconds");
    for Row { name, seconds, report } in rows {
        let result = if report.failures.is_empty() { "ok" } else { "FAILED" };
        let mut notes = report.failures.clone();
        if report.tests_passed > 0 {
            notes.push(format!("{} tests passed", report.tests_passed));
        }
        if !report.skipped.is_empty() {
            notes.push(format!("{} skipped", report.skipped.len()));
        }
        let line = format!("{name:<10} {result:<7} {seconds:>8.1}  {}", notes.join("; "));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let mut skipped: Vec<_> = rows.iter().flat_map(|row| &row.report.skipped).collect();
    skipped.sort();
    skipped.dedup();
    for reason in skipped {
        text.push_str(&format!("skipped: {reason}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_test_runner_are_understood() {
        assert_eq!(skip_reason("skipped: no promtool\n").as_deref(), Some("no promtool"));
        assert_eq!(skip_reason("test a::b ... skipped: no wrk").as_deref(), Some("no wrk"));
        assert_eq!(skip_reason("the word skipped: is not first"), None);
        assert_eq!(passed("test result: ok. 12 passed; 0 failed; 0 ignored;\n"), Some(12));
        assert_eq!(passed("test result: FAILED. 3 passed; 1 failed;"), Some(3));
        assert_eq!(passed("running 12 tests"), None);
    }

    #[test]
    fn slow_tests_are_known_by_their_name() {
        assert!(is_slow("real_redis") && is_slow("fault_backend_killed"));
        assert!(!is_slow("realistic") && !is_slow("reload"));
    }

    #[test]
    fn the_table_names_failures_and_skips() {
        let rows = [
            Row { name: "format", seconds: 0.44, report: Report::default() },
            Row {
                name: "tests",
                seconds: 61.0,
                report: Report {
                    failures: vec!["exit status: 101".to_owned()],
                    skipped: vec!["no wrk".to_owned(), "no wrk".to_owned()],
                    tests_passed: 12,
                },
            },
        ];
        let want = "\nstep       result   seconds  note\n\
            format     ok           0.4\n\
            tests      FAILED      61.0  exit status: 101; 12 tests passed; 2 skipped\n\
            skipped: no wrk\n";
        assert_eq!(table(&rows), want);
    }
}

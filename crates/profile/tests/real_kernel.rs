//! The kernel's tracing for real, as root with a tracefs of our own mount namespace.
//!
//! `examples/trace_init.rs` is the program; the same boots in the emulated machine, where functions
//! can be traced too. Where this is not root or has no tracefs, it prints `skipped:`.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// Returns the example as it is now, also where only this test was built.
fn program() -> PathBuf {
    let build = ["build", "--quiet", "--package", "tidemill-profile", "--example", "trace_init"];
    let status = Command::new(env!("CARGO")).args(build).status();
    assert!(status.expect("cargo runs the tests").success());
    let test = std::env::current_exe().expect("a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("target/debug");
    folder.join("examples/trace_init")
}

/// Runs a shell line with tracefs mounted for it alone; `None` where that cannot be.
fn with_tracefs(line: &str) -> Option<String> {
    let script = format!("mount -t tracefs nodev /sys/kernel/tracing || exit 77; {line}");
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output();
    let output = output.ok().filter(|output| output.status.code() != Some(77));
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.filter(|text| !text.is_empty());
    if text.is_none() {
        // A standard output that is closed has nobody to tell.
        let _ = writeln!(std::io::stdout(), "skipped: no tracefs can be mounted here (root?)");
    }
    text
}

#[test]
fn events_functions_names_leftovers_and_commands() {
    let Some(console) = with_tracefs(&program().display().to_string()) else { return };
    assert_eq!(console.lines().last(), Some("TRACE PASS"), "{console}");
    if let Some(refused) = console.lines().find(|line| line.starts_with("functions: refused")) {
        assert!(refused.contains("what still works: trace events"), "{refused}");
        let _ = writeln!(std::io::stdout(), "skipped: {refused}");
    }
}

#[test]
fn without_tracefs_it_says_how_to_mount_it() {
    let script = format!("umount -a -t tracefs; umount -a -t debugfs; {}", program().display());
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output();
    let console = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let console = console.unwrap_or_default();
    if console.is_empty() {
        let _ = writeln!(std::io::stdout(), "skipped: no mount namespace can be made here (root?)");
        return;
    }
    assert!(console.contains("mount -t tracefs nodev /sys/kernel/tracing"), "{console}");
}

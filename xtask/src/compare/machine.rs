//! What a result depends on besides the code: processor, kernel, compiler, versions of the peers.
//!
//! Never the machine's name or a path on it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::packages;

/// Describes the machine in lines `what: value`; what cannot be found out is `unknown`.
pub(crate) fn describe(root: &Path) -> String {
    let facts = [
        ("commit", commit(root)),
        ("processor", processor()),
        ("memory", after("/proc/meminfo", "MemTotal:")),
        ("kernel", first_line("/proc/sys/kernel/osrelease")),
        ("congestion control", first_line("/proc/sys/net/ipv4/tcp_congestion_control")),
        ("system", after("/etc/os-release", "PRETTY_NAME=").map(|name| name.replace('"', ""))),
        ("rustc", said("rustc", &["--version"])),
        ("haproxy", said("haproxy", &["-v"])),
        ("nginx", said("nginx", &["-v"])),
        ("redis", said("redis-server", &["--version"])),
        ("wrk", said("wrk", &["-v"])),
        ("iperf3", said("iperf3", &["--version"])),
    ];
    let lines = facts
        .map(|(name, fact)| format!("{name}: {}\n", fact.unwrap_or_else(|| "unknown".to_owned())));
    lines.concat()
}

fn commit(root: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if changed { format!("{commit} with local changes") } else { commit })
}

fn processor() -> Option<String> {
    let model = after("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let count = std::thread::available_parallelism().ok()?;
    Some(format!("{}, {count} in use", model.trim_start_matches([':', ' ', '\t'])))
}

/// The first line of a file.
fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.to_owned())
}

/// What follows `start` in the first line that begins with it.
fn after(path: &str, start: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(start))?;
    Some(rest.trim().to_owned())
}

/// The first line that a program prints about itself, on either output.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(packages::find_program(program)?).args(arguments).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

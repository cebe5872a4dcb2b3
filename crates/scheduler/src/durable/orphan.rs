//! Processes that an earlier runner started and did not live to end.
//!
//! A runner that was killed leaves its commands running, and their jobs will run again. Before it
//! claims anything, the next runner kills every process whose environment names it as the runner.
//! The environment of a process is what it was started with; one that hides it is not found.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::command::RUNNER_VARIABLE;

/// Kills the processes of earlier runners with this folder; returns how many there were.
pub(super) fn kill_all(folder: &Path) -> usize {
    let mut mark = format!("{RUNNER_VARIABLE}=").into_bytes();
    mark.extend_from_slice(folder.as_os_str().as_bytes());
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names.filter(|name| kill_if_marked(name, &mark)).count()
}

fn kill_if_marked(name: &OsStr, mark: &[u8]) -> bool {
    let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { return false };
    let Some(process) = Pid::from_raw(number) else { return false };
    // Opened before it is looked at: the signal goes to what was seen, or to nobody.
    let Ok(handle) = pidfd_open(process, PidfdFlags::empty()) else { return false };
    let environment = fs::read(Path::new("/proc").join(name).join("environ")).unwrap_or_default();
    let is_marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark);
    is_marked
        && process != rustix::process::getpid()
        && pidfd_send_signal(handle, Signal::KILL).is_ok()
}

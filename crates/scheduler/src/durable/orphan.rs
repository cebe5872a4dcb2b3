//! Processes that an earlier runner started and did not live to end.
//!
//! A runner that was killed leaves its commands running, and their jobs will run again. Before it
//! claims anything, the next runner kills every process whose environment names it as the runner.
//! The environment of a process is what it was started with; one that hides it is not found.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::command::RUNNER_VARIABLE;

/// Ends the processes of earlier runners with this folder; returns how many there were. Blocks
/// until they are gone, but not for ever. To be called before their jobs are said to be over.
pub fn end_orphans(folder: &Path) -> usize {
    let mut mark = format!("{RUNNER_VARIABLE}=").into_bytes();
    mark.extend_from_slice(canonical(folder).as_os_str().as_bytes());
    let mut killed = 0;
    // One that is not seen yet may be another's child by the time that one is killed.
    for _ in 0..PASSES_MAX {
        let Ok(entries) = fs::read_dir("/proc") else { break };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        match names.filter(|name| kill_if_marked(name, &mark)).count() {
            0 => break,
            some => killed += some,
        }
    }
    killed
}

/// Returns the one name of a folder, by which its runner's processes are known.
pub(super) fn canonical(folder: &Path) -> PathBuf {
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

fn kill_if_marked(name: &OsStr, mark: &[u8]) -> bool {
    let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else { return false };
    let Some(process) = Pid::from_raw(number) else { return false };
    // Opened before it is looked at: the signal goes to what was seen, or to nobody.
    let Ok(handle) = pidfd_open(process, PidfdFlags::empty()) else { return false };
    let environment = fs::read(Path::new("/proc").join(name).join("environ")).unwrap_or_default();
    let is_marked = environment.split(|byte| *byte == 0).any(|variable| variable == mark);
    if !is_marked
        || process == rustix::process::getpid()
        || pidfd_send_signal(&handle, Signal::KILL).is_err()
    {
        return false;
    }
    // A killed process is gone as soon as it is out of the kernel; where it is not, the next
    // pass sees it again.
    let _ = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&GONE_MAX));
    true
}

const PASSES_MAX: usize = 50;

const GONE_MAX: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

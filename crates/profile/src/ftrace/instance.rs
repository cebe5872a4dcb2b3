//! An instance of the kernel's tracing: a folder that is ours alone.
//!
//! Its name tells the process that made it, and when that process started, so that a later one with
//! the same id is not taken for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Losses, Tracefs};
use crate::Error;
use crate::error::Kind;

/// An instance; removed on drop.
#[derive(Debug)]
pub(super) struct Instance {
    folder: PathBuf,
    name: String,
}

impl Instance {
    pub(super) fn create(tracefs: &Tracefs) -> Result<Self, Error> {
        let pid = process::id();
        let start = start_time(pid).unwrap_or(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{pid}-{start}-{number}");
        let folder = tracefs.root().join("instances").join(&name);
        fs::create_dir(&folder).map_err(|error| refused(&folder, error))?;
        Ok(Self { folder, name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        let path = self.path(file);
        fs::write(&path, text).map_err(|error| refused(&path, error))
    }

    pub(super) fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.path(file))
    }

    /// Returns true when the tracer for functions is in use.
    pub(super) fn has_function_tracer(&self) -> bool {
        self.read("current_tracer").is_ok_and(|tracer| tracer.trim() == "function")
    }

    pub(super) fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        let Ok(cpus) = fs::read_dir(self.path("per_cpu")) else { return losses };
        for cpu in cpus.flatten() {
            let stats = fs::read_to_string(cpu.path().join("stats")).unwrap_or_default();
            let number = |name: &str| {
                let line = stats.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|rest| rest.trim_start_matches(':').trim().parse::<u64>().ok())
            };
            losses.overwritten += number("overrun").unwrap_or(0);
            losses.dropped +=
                number("dropped events").unwrap_or(0) + number("commit overrun").unwrap_or(0);
        }
        losses
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Whoever removes it next will; there is nobody to tell here.
        let _ = remove(&self.folder);
    }
}

/// Turns everything off and removes the folder, which the kernel does as a whole.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    for (file, text) in [("tracing_on", "0"), ("events/enable", "0"), ("current_tracer", "nop")] {
        // Removing does the same; this only ends the cost at once when somebody still reads.
        let _ = fs::write(folder.join(file), text);
    }
    fs::remove_dir(folder)
}

/// Returns true for the name of an instance whose process has ended.
pub(super) fn is_left_over(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let mut numbers = rest.split('-').map(str::parse::<u64>);
    let (Some(Ok(pid)), Some(Ok(start)), Some(Ok(_)), None) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next())
    else {
        return false;
    };
    u32::try_from(pid).ok().and_then(start_time) != Some(start)
}

/// Returns when a process started, in ticks since the machine did; `None` when it is gone.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Says what a refusal by the kernel means.
pub(super) fn refused(path: &Path, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::PermissionDenied {
        return Error::io(format!("{} refuses", path.display()), source);
    }
    if rustix::process::geteuid().is_root() {
        let works = "trace events (`--event sched:sched_switch`) where instances can be made";
        return Kind::Locked { what: "this part of tracing", works }.into();
    }
    Kind::Rights { path: path.display().to_string(), source }.into()
}

static NEXT: AtomicU32 = AtomicU32::new(0);
const PREFIX: &str = "tidemill-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ours_whose_process_is_gone_is_left_over() {
        let pid = process::id();
        let start = start_time(pid).expect("this process runs");
        assert!(!is_left_over(&format!("tidemill-{pid}-{start}-0")));
        assert!(is_left_over(&format!("tidemill-{pid}-{}-0", start + 1)), "another's id");
        assert!(is_left_over("tidemill-4294967295-1-0"));
        for stranger in ["foo", "tidemill", "tidemill-1", "tidemill-a-b-c", "tidemill-1-2-3-4"] {
            assert!(!is_left_over(stranger), "{stranger}");
        }
    }
}

//! Why the kernel does not count an event.

use std::fmt;
use std::fs;
use std::io;

use serde::Serialize;

/// Why an event is not counted, or not everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// The machine shows no hardware counters; most virtual machines do not.
    NoPmu,
    /// There are hardware counters, but not for this event.
    NotOnThisProcessor,
    /// `kernel.perf_event_paranoid` forbids it to this user.
    Paranoid {
        /// The level in force.
        level: i32,
    },
    /// A filter of system calls forbids `perf_event_open`, as container engines do by default.
    Seccomp,
    /// The kernel was built without performance events.
    NoPerf,
    /// The kernel answered something else.
    Kernel {
        /// The number of the error.
        code: i32,
        /// What it means.
        message: String,
    },
}

impl Reason {
    /// Reads an error of `perf_event_open` in the light of what this process may do.
    pub(crate) fn of(error: &io::Error, is_hardware: bool) -> Self {
        let code = error.raw_os_error().unwrap_or(0);
        match code {
            libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV | libc::ENXIO if is_hardware => {
                if has_pmu() {
                    Self::NotOnThisProcessor
                } else {
                    Self::NoPmu
                }
            }
            libc::EACCES | libc::EPERM => {
                let level = paranoid_level();
                // Ordinary users may count their own programs up to level 2, and root at any.
                let is_forbidden = level.is_some_and(|level| level > 0) && !is_root();
                match level {
                    Some(level) if is_forbidden && (code == libc::EACCES || !is_filtered()) => {
                        Self::Paranoid { level }
                    }
                    _ if is_filtered() => Self::Seccomp,
                    _ => Self::kernel(code, error),
                }
            }
            libc::ENOSYS if is_filtered() => Self::Seccomp,
            libc::ENOSYS => Self::NoPerf,
            _ => Self::kernel(code, error),
        }
    }

    fn kernel(code: i32, error: &io::Error) -> Self {
        Self::Kernel { code, message: error.to_string() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPmu => f.write_str("this machine shows no hardware counters (no PMU)"),
            Self::NotOnThisProcessor => f.write_str("this processor does not count it"),
            Self::Paranoid { level } => write!(
                f,
                "kernel.perf_event_paranoid is {level}; as root: sysctl \
                 kernel.perf_event_paranoid=1"
            ),
            Self::Seccomp => f.write_str(
                "a seccomp filter forbids perf_event_open; containers need one that allows it",
            ),
            Self::NoPerf => f.write_str("this kernel was built without performance events"),
            Self::Kernel { message, .. } => f.write_str(message),
        }
    }
}

fn has_pmu() -> bool {
    ["cpu", "cpu_core", "armv8_pmuv3", "armv8_pmuv3_0"]
        .iter()
        .any(|name| fs::exists(format!("/sys/bus/event_source/devices/{name}")).unwrap_or(false))
}

fn paranoid_level() -> Option<i32> {
    fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?.trim().parse().ok()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns true when a filter of system calls is in force for this process.
fn is_filtered() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_event_of_the_hardware_is_told_from_other_errors() {
        let enoent = io::Error::from_raw_os_error(libc::ENOENT);
        let want = if has_pmu() { Reason::NotOnThisProcessor } else { Reason::NoPmu };
        assert_eq!(Reason::of(&enoent, true), want);
        assert!(matches!(Reason::of(&enoent, false), Reason::Kernel { code: libc::ENOENT, .. }));
    }
}

//! A child and everything it starts: watched, bounded, and ended as a whole.

use std::process::Child;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, prlimit,
};

use super::clock;
use crate::error::Error;
use crate::progress::Stop;

/// The process group of a child that has not been waited for, so its number is still its own.
pub(crate) struct Group {
    leader: Pid,
    pidfd: rustix::fd::OwnedFd,
}

impl Group {
    pub(crate) fn of(child: &Child) -> Result<Self, Error> {
        let leader = Pid::from_child(child);
        let pidfd = pidfd_open(leader, PidfdFlags::empty()).map_err(|error| {
            // Without a descriptor nobody would end it; the group is ours until it is waited for.
            let _ = kill_process_group(leader, Signal::KILL);
            Error::machine("cannot watch a process (pidfd_open, Linux 5.3)").because(error)
        })?;
        Ok(Self { leader, pidfd })
    }

    /// Bounds what it may write into one file, so that a run-away output ends it and not the disk.
    pub(crate) fn limit_output(&self) -> Result<(), Error> {
        let limit = Rlimit { current: Some(OUTPUT_BYTES_MAX), maximum: Some(OUTPUT_BYTES_MAX) };
        match prlimit(Some(self.leader), Resource::Fsize, limit) {
            // It may be over already.
            Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => {
                self.kill();
                Err(Error::machine("cannot limit the output of a process").because(error))
            }
        }
    }

    /// Waits for its end; false and the end of the group when the time is over.
    pub(crate) fn wait(&self, timeout: Duration, stop: &Stop) -> Result<bool, Error> {
        let deadline = clock::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            let slice = left.min(STOP_LATENCY_MAX);
            let slice = Timespec {
                tv_sec: i64::try_from(slice.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: slice.subsec_nanos().into(),
            };
            let mut events = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut events, Some(&slice)) {
                Ok(0) => {}
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    return Err(Error::machine("cannot wait for a process").because(error));
                }
            }
            stop.check()?;
            if left.is_zero() {
                self.kill();
                return Ok(false);
            }
        }
    }

    pub(crate) fn kill(&self) {
        // The only failure is that nobody is left, which is what was wanted.
        let _ = kill_process_group(self.leader, Signal::KILL);
    }
}

/// A workload that writes more than 1 GiB is measured by its disk.
pub(super) const OUTPUT_BYTES_MAX: u64 = 1 << 30;

/// How long a running program may go on after the session was told to stop.
const STOP_LATENCY_MAX: Duration = Duration::from_millis(100);

//! Processes held by a descriptor, which no later process with the same id takes the place of.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::Error;
use crate::error::Kind;

/// Asks a command to end, from any thread.
#[derive(Debug)]
pub struct Terminator(OwnedFd);

impl Terminator {
    pub(crate) fn of(pidfd: &OwnedFd) -> Result<Self, Error> {
        let copy = pidfd.try_clone();
        Ok(Self(copy.map_err(|error| Error::io("a descriptor cannot be copied", error))?))
    }

    /// Sends SIGTERM; one that has ended already is left alone.
    pub fn terminate(&self) {
        // The only thing that can fail is that it has ended.
        let _ = pidfd_send_signal(&self.0, Signal::TERM);
    }
}

/// A running process whose end is waited for, though it is not our child.
#[derive(Debug)]
pub struct Watched(OwnedFd);

impl Watched {
    /// Begins to watch a process.
    ///
    /// # Errors
    ///
    /// When there is no such process, or no room for another open file.
    pub fn new(pid: u32) -> Result<Self, Error> {
        open_pidfd(pid).map(Self)
    }

    /// Waits for its end, at most `within`; returns true when it has ended, also while its parent
    /// has not taken note of that yet (a zombie).
    ///
    /// # Errors
    ///
    /// When the kernel has no memory for the waiting.
    pub fn ended_within(&self, within: Duration) -> Result<bool, Error> {
        let seconds = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec: seconds, tv_nsec: within.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(Error::io("the process cannot be waited for", error.into())),
        }
    }
}

pub(crate) fn open_pidfd(pid: u32) -> Result<OwnedFd, Error> {
    let gone = || Error::from(Kind::NoProcess { pid });
    let id = Pid::from_raw(pid.cast_signed()).ok_or_else(gone)?;
    pidfd_open(id, PidfdFlags::empty()).map_err(|error| match error {
        rustix::io::Errno::SRCH => gone(),
        error => Error::io(format!("process {pid} cannot be watched"), error.into()),
    })
}

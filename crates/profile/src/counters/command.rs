//! Counting a command from its first instruction to its end.
//!
//! The events are opened on the thread that starts the command, which inherits them, and begin
//! with its `exec`: nothing of ours is counted, and no instruction of the command is missed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::usage::Usage;
use super::{Builder, Reading, Target};
use crate::Error;
use crate::clock;
use crate::error::Kind;
use crate::perf::attributes::flag;

/// A command that runs and is counted. Dropping it leaves it running.
#[derive(Debug)]
pub struct Running {
    pid: u32,
    pidfd: OwnedFd,
    thread: JoinHandle<Result<CommandCounts, Error>>,
}

/// What a command needed.
#[derive(Debug, Clone)]
pub struct CommandCounts {
    /// Every event that was asked for.
    pub readings: Vec<Reading>,
    /// How it ended.
    pub status: ExitStatus,
    /// Time from its start to its end.
    pub elapsed: Duration,
    /// Time of its processors in programs, children included.
    pub user: Duration,
    /// Time of its processors in the kernel for it.
    pub system: Duration,
    /// The most memory it had at once, in bytes; the kernel never says less than what the process
    /// that started it had.
    pub peak_bytes: u64,
}

impl Builder {
    /// Starts a command and counts it with every process and thread that it starts.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or there is no room for more open files.
    pub fn spawn(&self, command: Command) -> Result<Running, Error> {
        let builder = self.clone();
        let (started, start) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("profile-counter".to_owned())
            .spawn(move || builder.run(command, &started))
            .map_err(|error| Error::io("the counter's thread cannot be started", error))?;
        let Ok((pid, pidfd)) = start.recv() else {
            // It ended before it could tell a pid, so it has the reason.
            return Err(match thread.join() {
                Ok(Err(error)) => error,
                Ok(Ok(_)) | Err(_) => Kind::Thread { what: "the counter" }.into(),
            });
        };
        Ok(Running { pid, pidfd, thread })
    }

    fn run(
        &self,
        mut command: Command,
        started: &SyncSender<(u32, OwnedFd)>,
    ) -> Result<CommandCounts, Error> {
        let flags = flag::INHERIT | flag::ENABLE_ON_EXEC;
        let counters = self.open_threads(&[0], flags, Target::ThisThread)?;
        let start = clock::now();
        let child = command.spawn().map_err(|source| {
            let program = command.get_program().to_string_lossy().into_owned();
            Error::from(Kind::Command { program, source })
        })?;
        let id = child.id().cast_signed();
        let pid = Pid::from_raw(id).expect("a child's id is positive");
        let pidfd = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| Error::io("the command cannot be watched", error.into()))?;
        // Whoever started this thread waits for the answer or does not need it.
        let _ = started.send((child.id(), pidfd));
        let (status, usage, peak_bytes) =
            wait(id).map_err(|error| Error::io("cannot wait for the command", error))?;
        let elapsed = clock::now().saturating_duration_since(start);
        let readings = counters.read_with(&usage)?;
        let Usage { user, system, .. } = usage;
        Ok(CommandCounts { readings, status, elapsed, user, system, peak_bytes })
    }
}

impl Running {
    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns what asks the command to end, from another thread.
    ///
    /// # Errors
    ///
    /// When there is no room for another open file.
    pub fn terminator(&self) -> Result<Terminator, Error> {
        let copy = self.pidfd.try_clone();
        Ok(Terminator(copy.map_err(|error| Error::io("a descriptor cannot be copied", error))?))
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When a counter cannot be read.
    pub fn wait(self) -> Result<CommandCounts, Error> {
        let lost = Kind::Thread { what: "the counter" };
        self.thread.join().unwrap_or_else(|_| Err(lost.into()))
    }
}

/// Asks a command to end.
#[derive(Debug)]
pub struct Terminator(OwnedFd);

impl Terminator {
    /// Sends SIGTERM; one that has ended already is left alone.
    pub fn terminate(&self) {
        // The only thing that can fail is that it has ended.
        let _ = pidfd_send_signal(&self.0, Signal::TERM);
    }
}

/// Waits for a child and takes its account.
fn wait(pid: i32) -> io::Result<(ExitStatus, Usage, u64)> {
    let mut status = 0;
    let mut account = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to locals of the right type that outlive the call.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, account.as_mut_ptr()) };
        if waited == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: it was zeroed, which is a valid value, and the kernel has filled it in.
    let account = unsafe { account.assume_init() };
    let time = |value: libc::timeval| {
        let seconds = u64::try_from(value.tv_sec).unwrap_or(0);
        Duration::from_secs(seconds)
            + Duration::from_micros(u64::try_from(value.tv_usec).unwrap_or(0))
    };
    let count = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
    let usage = Usage {
        user: time(account.ru_utime),
        system: time(account.ru_stime),
        minor_faults: count(account.ru_minflt),
        major_faults: count(account.ru_majflt),
        switches: count(account.ru_nvcsw) + count(account.ru_nivcsw),
        is_known: true,
    };
    Ok((ExitStatus::from_raw(status), usage, count(account.ru_maxrss) * 1024))
}

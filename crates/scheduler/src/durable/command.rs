//! One command: started in a process group of its own, its output kept, its whole group ended.
//!
//! ```text
//! spawn (new group, clean environment) --> limits --> output is read until the leader ends
//!    what is left of the group then is killed     end(): TERM to the group, KILL after the grace
//! ```
//!
//! The leader is reaped last: as long as it is not, its number cannot become another group's. A
//! process that leaves the group (`setsid`) is out of reach here; `orphan` finds it by its
//! environment at the next start. Limits are set from outside right after the start, before the
//! program's loader is done; nothing of ours runs between fork and exec.
//!
//! A command gets the variables of [`Environment`], those of its job, and
//! `TIDEMILL_JOB_ID`, `TIDEMILL_JOB_ATTEMPT`, `TIDEMILL_JOB_KEY`, `TIDEMILL_JOB_RUNNER`.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, kill_process_group, pidfd_open, prlimit,
};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until, timeout};

use super::job::{Command, Job};
use super::log::{LogWriter, Logs};
use super::progress::End;

/// The variables that every command gets; nothing else of the runner's own environment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Names and values.
    pub variables: Vec<(OsString, OsString)>,
}

/// What one process of a command may take; core files are never written.
///
/// # Defaults
///
/// 1,024 open files, memory without a limit.
#[derive(Clone, Copy, Debug)]
pub struct ResourceLimits {
    /// Bytes of address space; more is refused to the process.
    pub memory_bytes: Option<u64>,
    /// Open files.
    pub files: u64,
}

impl Default for ResourceLimits {
    fn default() -> Self {
        Self { memory_bytes: None, files: 1_024 }
    }
}

/// Where and how commands run.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) environment: Environment,
    pub(super) limits: ResourceLimits,
    pub(super) logs: Logs,
    /// Where a command without a folder runs; also what marks this runner's processes.
    pub(super) folder: PathBuf,
}

/// A command under way; dropping it kills its group.
#[derive(Debug)]
pub(super) struct Running {
    child: Option<Child>,
    group: Pid,
    ended: AsyncFd<OwnedFd>,
    output: Option<pipe::Receiver>,
    log: LogWriter,
    buffer: Box<[u8]>,
    /// Bytes that may still be read before `window_end`.
    allowance: usize,
    window_end: Instant,
}

impl Running {
    /// Starts a job's command.
    ///
    /// # Errors
    ///
    /// With the end of an attempt that could not begin.
    pub(super) fn start(
        command: &Command,
        job: &Job,
        surroundings: &Surroundings,
    ) -> Result<Self, End> {
        let folder = command.folder.as_deref().unwrap_or(&surroundings.folder);
        let program = command.arguments.first().map_or("", String::as_str);
        if !folder.is_dir() {
            return Err(never(format!("the folder {} is not there", folder.display())));
        }
        let log = surroundings.logs.append(job.id).map_err(|error| broken("its log", &error))?;
        let (output, input) = io::pipe().map_err(|error| broken("a pipe", &error))?;
        let copy = input.try_clone().map_err(|error| broken("a pipe", &error))?;
        let mut process = std::process::Command::new(program);
        process
            .args(command.arguments.iter().skip(1))
            .current_dir(folder)
            .env_clear()
            .envs(surroundings.environment.variables.iter().map(|(name, value)| (name, value)))
            .envs(&command.environment)
            .env("TIDEMILL_JOB_ID", job.id.to_string())
            .env("TIDEMILL_JOB_ATTEMPT", job.progress.attempts.to_string())
            .env("TIDEMILL_JOB_KEY", key_of(job))
            .env(RUNNER_VARIABLE, &surroundings.folder)
            .stdin(Stdio::null())
            .stdout(input)
            .stderr(copy)
            .process_group(0);
        let child = process.spawn().map_err(|error| not_started(program, &error))?;
        drop(process); // and with it our ends of the pipe's input
        let group = Pid::from_child(&child);
        limit(group, &surroundings.limits);
        #[expect(deprecated, reason = "safe for an OwnedFd, which cannot be closed behind it")]
        let opened = pidfd_open(group, PidfdFlags::NONBLOCK)
            .map_err(io::Error::from)
            .and_then(AsyncFd::new)
            .and_then(|ended| Ok((ended, pipe::Receiver::from_owned_fd(output.into())?)));
        let (ended, output) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                reap(group, child);
                return Err(broken("its supervision", &error));
            }
        };
        Ok(Self {
            child: Some(child),
            group,
            ended,
            output: Some(output),
            log,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            allowance: OUTPUT_BYTES_MAX,
            window_end: Instant::now() + OUTPUT_WINDOW,
        })
    }

    /// Keeps what the command prints until it ends. May be called again after it was dropped.
    pub(super) async fn wait(&mut self) -> End {
        loop {
            let is_allowed = self.allowance > 0;
            tokio::select! {
                biased;
                _ = self.ended.readable() => break,
                () = sleep_until(self.window_end), if !is_allowed => {
                    self.allowance = OUTPUT_BYTES_MAX;
                    self.window_end = Instant::now() + OUTPUT_WINDOW;
                }
                read = read(&mut self.output, &mut self.buffer), if is_allowed => {
                    self.keep(read);
                }
            }
        }
        self.drain();
        self.collect()
    }

    /// Asks the group to end, and kills what is left after `grace`.
    pub(super) async fn end(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        // Stopped processes hear it only when they go on.
        self.signal(Signal::CONT);
        if timeout(grace, self.wait()).await.is_err() {
            self.signal(Signal::KILL);
            self.wait().await;
        }
    }

    fn keep(&mut self, read: io::Result<usize>) {
        match read {
            Ok(count @ 1..) => {
                self.allowance = self.allowance.saturating_sub(count);
                if let Err(error) = self.log.write(&self.buffer[..count]) {
                    // The job goes on; its output is no promise.
                    tracing::debug!("a job's output is not kept: {error}");
                }
            }
            // Everybody has closed it.
            _ => self.output = None,
        }
    }

    /// Keeps what is in the pipe, without waiting for whoever else may hold it open.
    fn drain(&mut self) {
        for _ in 0..DRAIN_READS {
            let Some(output) = &self.output else { return };
            match output.try_read(&mut self.buffer) {
                Ok(count @ 1..) => self.keep(Ok(count)),
                _ => return,
            }
        }
    }

    /// Kills what the leader left behind, reaps it and tells how it ended.
    fn collect(&mut self) -> End {
        self.signal(Signal::KILL);
        let Some(mut child) = self.child.take() else {
            return broken("its end", &io::Error::other("it was collected before"));
        };
        // It has ended: this does not block.
        match child.wait() {
            Ok(status) => end_of(status),
            Err(error) => broken("its end", &error),
        }
    }

    /// Signals the group, as long as its number is its own.
    fn signal(&self, signal: Signal) {
        if self.child.is_some() {
            // All of it may have ended.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            reap(self.group, child);
        }
    }
}

/// Returns the key under which a job's effects are made.
pub(super) fn key_of(job: &Job) -> String {
    job.spec.key.clone().unwrap_or_else(|| job.id.to_string())
}

/// Reads when there is something; waits for ever when nobody can write any more.
async fn read(output: &mut Option<pipe::Receiver>, buffer: &mut [u8]) -> io::Result<usize> {
    let Some(output) = output else { return std::future::pending().await };
    loop {
        output.readable().await?;
        match output.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Kills a group and waits for its leader where that may block.
fn reap(group: Pid, mut child: Child) {
    let _ = kill_process_group(group, Signal::KILL);
    let mut wait = move || {
        // A killed child ends; there is nobody to tell of it.
        let _ = child.wait();
    };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(wait)),
        Err(_) => wait(),
    }
}

fn limit(process: Pid, limits: &ResourceLimits) {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let memory = limits.memory_bytes.map(|bytes| (Resource::As, bytes));
    let files = [(Resource::Nofile, limits.files), (Resource::Core, 0)];
    for (resource, value) in files.into_iter().chain(memory) {
        // It may have ended already.
        if let Err(error) = prlimit(Some(process), resource, both(value)) {
            tracing::debug!("{resource:?} of a job is not limited: {error}");
        }
    }
}

fn end_of(status: ExitStatus) -> End {
    let reason = match (status.code(), status.signal()) {
        (Some(0), _) => return End::Completed,
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "it ended without a status".to_owned(),
    };
    End::Failed { reason, may_retry: true }
}

fn not_started(program: &str, error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::NotFound if Path::new(program).components().count() > 1 => {
            never(format!("there is no program {program}"))
        }
        io::ErrorKind::NotFound => {
            never(format!("there is no program {program} in PATH; write its whole path"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ArgumentListTooLong => {
            never(format!("cannot run {program}: {error}"))
        }
        _ => End::Failed { reason: format!("cannot run {program}: {error}"), may_retry: true },
    }
}

fn never(reason: String) -> End {
    End::Failed { reason, may_retry: false }
}

fn broken(what: &str, error: &io::Error) -> End {
    End::Failed { reason: format!("cannot open {what}: {error}"), may_retry: true }
}

/// Marks the processes of one runner.
pub(super) const RUNNER_VARIABLE: &str = "TIDEMILL_JOB_RUNNER";

const BUFFER_BYTES: usize = 64 << 10;

/// A command that prints faster waits: 16 MiB a second.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

const OUTPUT_WINDOW: Duration = Duration::from_micros(62_500);

/// A pipe holds less than this many buffers.
const DRAIN_READS: usize = 32;

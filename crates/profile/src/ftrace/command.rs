//! Tracing a command from its start to its end.
//!
//! The thread that starts the command is traced together with what it starts; the command inherits
//! that from its first instruction on. The thread itself then only waits, and its own records are
//! left out.

use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Losses, Record, Stream, Tracefs, Tracer};
use crate::Error;
use crate::error::Kind;

/// What to trace.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    events: Vec<(String, Option<String>)>,
    functions: Vec<String>,
}

/// A command that runs and is traced. Dropping it ends the tracing, not the command.
#[derive(Debug)]
pub struct Trace {
    // Before the tracer: the instance cannot be removed while its pipe is open.
    stream: Stream,
    tracer: Tracer,
    starter: u32,
    pid: u32,
    pidfd: OwnedFd,
    ended: Receiver<std::io::Result<ExitStatus>>,
    thread: Option<JoinHandle<()>>,
    status: Option<ExitStatus>,
    is_drained: bool,
}

impl Plan {
    /// Begins with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event, and the filter that its records pass.
    #[must_use]
    pub fn event(mut self, event: &str, filter: Option<&str>) -> Self {
        self.events.push((event.to_owned(), filter.map(str::to_owned)));
        self
    }

    /// Adds a function of the kernel, or a pattern.
    #[must_use]
    pub fn function(mut self, name: &str) -> Self {
        self.functions.push(name.to_owned());
        self
    }

    /// Starts a command and traces it with every process and thread that it starts.
    ///
    /// # Errors
    ///
    /// When something named is not there, the kernel or missing rights refuse, or the command
    /// cannot be started.
    pub fn spawn(&self, command: Command) -> Result<Trace, Error> {
        let mut tracer = Tracer::new(&Tracefs::find()?)?;
        for (event, filter) in &self.events {
            tracer.event(event, filter.as_deref())?;
        }
        tracer.functions(self.functions.iter().map(String::as_str))?;
        let (to_starter, orders) = sync_channel(1);
        let (to_us, answers) = sync_channel(1);
        let (at_end, ended) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("trace-starter".to_owned())
            .spawn(move || start(command, &orders, &to_us, &at_end))
            .map_err(|error| Error::io("the starter's thread cannot be started", error))?;
        let lost = || Error::from(Kind::Thread { what: "the starter" });
        let Ok(Answer::Ready { tid }) = answers.recv() else { return Err(lost()) };
        tracer.thread(tid)?;
        let stream = tracer.start()?;
        to_starter.send(()).map_err(|_| lost())?;
        match answers.recv() {
            Ok(Answer::Started { pid, pidfd }) => Ok(Trace {
                stream,
                tracer,
                starter: tid,
                pid,
                pidfd,
                ended,
                thread: Some(thread),
                status: None,
                is_drained: false,
            }),
            Ok(Answer::Failed(error)) => Err(error),
            Ok(Answer::Ready { .. }) | Err(_) => Err(lost()),
        }
    }
}

impl Trace {
    /// Returns the command's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the next record; `None` when the command has ended and everything was read.
    ///
    /// # Errors
    ///
    /// When the trace cannot be read, or the command not waited for.
    pub fn next_record(&mut self) -> Result<Option<Record>, Error> {
        loop {
            let patience = if self.is_drained { Duration::ZERO } else { LOOK };
            match self.stream.next_within(patience)? {
                Some(record) if record.tid == self.starter => {}
                Some(record) => return Ok(Some(record)),
                None if self.is_drained => return Ok(None),
                None => self.look()?,
            }
        }
    }

    /// Asks the command to end with SIGTERM.
    pub fn terminate(&self) {
        // The only thing that can fail is that it has ended.
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
    }

    /// Returns how the command ended, once [`next_record`](Self::next_record) was at its end.
    pub fn status(&self) -> Option<ExitStatus> {
        self.status
    }

    /// Returns what was lost so far.
    pub fn losses(&self) -> Losses {
        self.tracer.losses()
    }

    /// Looks whether the command has ended; then tracing stops and the rest is read.
    fn look(&mut self) -> Result<(), Error> {
        match self.ended.try_recv() {
            Ok(status) => {
                let failed = |error| Error::io("cannot wait for the command", error);
                self.status = Some(status.map_err(failed)?);
                if let Some(thread) = self.thread.take() {
                    // It has nothing left to do.
                    let _ = thread.join();
                }
                self.tracer.stop()?;
                self.is_drained = true;
                Ok(())
            }
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(Kind::Thread { what: "the starter" }.into()),
        }
    }
}

enum Answer {
    Ready { tid: u32 },
    Started { pid: u32, pidfd: OwnedFd },
    Failed(Error),
}

/// Tells its id, waits until it is traced, starts the command, waits for its end.
fn start(
    mut command: Command,
    orders: &Receiver<()>,
    answers: &SyncSender<Answer>,
    at_end: &SyncSender<std::io::Result<ExitStatus>>,
) {
    let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    // A channel that is closed means that nobody wants the answer any more.
    if answers.send(Answer::Ready { tid }).is_err() || orders.recv().is_err() {
        return;
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(source) => {
            let program = command.get_program().to_string_lossy().into_owned();
            let _ = answers.send(Answer::Failed(Kind::Command { program, source }.into()));
            return;
        }
    };
    let pid = child.id();
    let id = Pid::from_raw(pid.cast_signed()).expect("a child's id is positive");
    // It is not waited for yet, so the id is still its own.
    let answer = match pidfd_open(id, PidfdFlags::empty()) {
        Ok(pidfd) => Answer::Started { pid, pidfd },
        Err(error) => Answer::Failed(Error::io("the command cannot be watched", error.into())),
    };
    let _ = answers.send(answer);
    let _ = at_end.send(child.wait());
}

const LOOK: Duration = Duration::from_millis(50);

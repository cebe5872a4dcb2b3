//! Why a view could not be opened. The message says what failed, whose fault it is and what helps.

use std::io;

use crate::counters::Reason;

/// Why something could not be measured, sampled or traced.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

impl Error {
    /// Returns true when what was asked for cannot be: a name, a number or a command is wrong.
    pub fn is_input(&self) -> bool {
        use Kind::{Command, Event, Filter, Frequency, Function, NoProcess, Nothing, StackBytes};
        matches!(
            *self.0,
            Command { .. }
                | Event { .. }
                | Filter { .. }
                | Frequency { .. }
                | Function { .. }
                | NoProcess { .. }
                | Nothing
                | StackBytes { .. }
        )
    }

    /// Returns true when the kernel or missing rights refuse it; another machine may not.
    pub fn is_refused(&self) -> bool {
        matches!(
            *self.0,
            Kind::Refused { .. }
                | Kind::Foreign { .. }
                | Kind::Locked { .. }
                | Kind::Rights { .. }
                | Kind::NoTracefs
        )
    }

    /// Returns true when there is no such process, or no longer.
    pub fn is_gone(&self) -> bool {
        matches!(*self.0, Kind::NoProcess { .. })
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Kind::Io { what: what.into(), source }.into()
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Box::new(kind))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("cannot run `{program}`: {}", why_not_run(source))]
    Command { program: String, source: io::Error },
    #[error("no process has the id {pid}; it may have ended")]
    NoProcess { pid: u32 },
    #[error("process {pid} may not be watched by this user; run as its owner or as root")]
    Foreign { pid: u32 },
    #[error("a frequency of {frequency} Hz is out of range: 1 to {max} samples a second")]
    Frequency { frequency: u32, max: u32 },
    #[error("a stack copy of {bytes} bytes is out of range: 1024 to 65024, a multiple of 8")]
    StackBytes { bytes: u32 },
    #[error("{what} cannot be opened: {reason}")]
    Refused { what: &'static str, reason: Reason },
    #[error(
        "too many files are open for the {events} events of process {pid}: one for each thread \
         and processor; raise `ulimit -n`"
    )]
    Descriptors { pid: u32, events: usize },
    #[error("no event is called `{name}`{hint}")]
    Event { name: String, hint: String },
    #[error("the filter `{filter}` of {event} is not valid: {message}")]
    Filter { event: String, filter: String, message: String },
    #[error("no kernel function matches `{name}`{hint}")]
    Function { name: String, hint: String },
    #[error("nothing to trace: name at least one event or one function")]
    Nothing,
    #[error(
        "tracefs is not mounted, so the kernel cannot be traced; as root: \
         mount -t tracefs nodev /sys/kernel/tracing"
    )]
    NoTracefs,
    #[error(
        "{path} may be used by root only ({source}); tracing needs root or a tracefs mounted with \
         a group of yours (gid=)"
    )]
    Rights { path: String, source: io::Error },
    #[error(
        "this kernel refuses {what} even to root (EPERM: it is locked down or built without it); \
         what still works: {works}"
    )]
    Locked { what: &'static str, works: &'static str },
    #[error("this kernel has no {tracer} tracer; it has: {available}")]
    NoTracer { tracer: String, available: String },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("{what} ended without an answer")]
    Thread { what: &'static str },
}

fn why_not_run(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such program here or on the PATH".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be executed".to_owned(),
        _ => error.to_string(),
    }
}

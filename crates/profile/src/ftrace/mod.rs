//! What the kernel does for a program: its functions and its trace points, as a stream of records.
//!
//! ```text
//! Tracefs::find -> Tracer::new       an instance of our own: nobody else's tracing is touched
//!                    .event, .functions, .thread
//!                    .start -> Stream    parsed lines of trace_pipe, until none comes for a time
//!                                        drop: events off, tracer off, instance removed
//! ```
//!
//! The instance is called `tidemill-PID-START-N`. One whose process is gone was left by a crash and
//! is removed when the next tracer is made. Bounds: the kernel's buffer of 4 MiB per
//! processor, which overwrites the oldest and counts what it overwrote ([`Tracer::losses`]).
//!
//! Never: mounts tracefs, touches the global instance, traces without a filter when functions are
//! traced.

mod command;
mod filter;
mod instance;
mod record;
mod stream;
mod tracefs;

pub use command::{Plan, Trace};
use instance::Instance;
pub use record::{Content, Record};
pub use stream::Stream;
pub use tracefs::Tracefs;

use crate::Error;
use crate::error::Kind;

/// A tracer with its own instance; everything is put back on drop.
#[derive(Debug)]
pub struct Tracer {
    instance: Instance,
    is_traced: bool,
}

/// What a trace has lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Losses {
    /// Records that the kernel's buffer overwrote before they were read.
    pub overwritten: u64,
    /// Records that the kernel could not take while it took another.
    pub dropped: u64,
}

impl Tracer {
    /// Makes an instance, after removing those that crashed runs have left.
    ///
    /// # Errors
    ///
    /// When this process may not, or the kernel has no instances.
    pub fn new(tracefs: &Tracefs) -> Result<Self, Error> {
        tracefs.remove_leftovers();
        let instance = Instance::create(tracefs)?;
        instance.write("tracing_on", "0")?;
        instance.write("buffer_size_kb", &BUFFER_KIB.to_string())?;
        // Older kernels have no such file and wake the reader at the first record anyway.
        let _ = instance.write("buffer_percent", "0");
        Ok(Self { instance, is_traced: false })
    }

    /// Traces an event, such as `sched:sched_switch`, where a filter such as `prev_prio < 100`
    /// holds.
    ///
    /// # Errors
    ///
    /// When there is no such event, or the filter is not valid; the message is the kernel's.
    pub fn event(&mut self, event: &str, filter: Option<&str>) -> Result<(), Error> {
        filter::enable_event(&self.instance, event, filter)?;
        self.is_traced = true;
        Ok(())
    }

    /// Traces every call of functions whose names match, such as `tcp_v4_connect` or `tcp_v4_*`.
    ///
    /// # Errors
    ///
    /// When a name matches none of the kernel's functions, or this kernel does not trace
    /// functions; then events may still work.
    pub fn functions<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) -> Result<(), Error> {
        let names: Vec<&str> = names.into_iter().collect();
        if names.is_empty() {
            return Ok(());
        }
        filter::check_functions(&self.instance, &names)?;
        filter::set_tracer(&self.instance, "function")?;
        self.is_traced = true;
        Ok(())
    }

    /// Traces only a thread and what it starts from now on; without this, the whole machine.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn thread(&mut self, tid: u32) -> Result<(), Error> {
        let id = tid.to_string();
        self.instance.write("options/event-fork", "1")?;
        self.instance.write("set_event_pid", &id)?;
        if self.instance.has_function_tracer() {
            self.instance.write("options/function-fork", "1")?;
            self.instance.write("set_ftrace_pid", &id)?;
        }
        Ok(())
    }

    /// Begins.
    ///
    /// # Errors
    ///
    /// When neither an event nor a function was named, or the kernel refuses.
    pub fn start(&mut self) -> Result<Stream, Error> {
        if !self.is_traced {
            return Err(Kind::Nothing.into());
        }
        let stream = Stream::open(&self.instance)?;
        self.instance.write("tracing_on", "1")?;
        Ok(stream)
    }

    /// Ends tracing; what is in the buffer can still be read.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.instance.write("tracing_on", "0")
    }

    /// Returns what was lost so far, summed over the processors.
    pub fn losses(&self) -> Losses {
        self.instance.losses()
    }

    /// Returns the name of the instance.
    pub fn instance_name(&self) -> &str {
        self.instance.name()
    }
}

const BUFFER_KIB: u32 = 4096;

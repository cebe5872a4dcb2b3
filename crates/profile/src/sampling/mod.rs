//! Where time goes: stacks of a command, of a running process, or of this one, taken at a rate.
//!
//! ```text
//! Sampler --spawn, attach, this_process--> Recording --wait, stop--> Profile
//!                                             |
//!   kernel: cpu-clock event per processor --> ring --> recorder thread
//!           registers + copy of the stack              orders by time, keeps mappings,
//!                                                      unwinds by DWARF rules, counts in a tree
//! ```
//!
//! The clock is that of the processor in use (`cpu-clock`), which every machine has: a thread that
//! sleeps is not sampled. Programs need no frame pointers: the rules in `.eh_frame` are followed on
//! a copy of the stack. Symbols, inlined functions and lines come from the files after the end.
//!
//! Bounds: a ring of 8 MiB per processor (smaller where locked memory is short), stacks
//! and files as `stacks`, `image` and `processes` say. What did not fit is in [`Losses`].
//!
//! ```no_run
//! use std::process::Command;
//! use tidemill_profile::sampling::Sampler;
//!
//! let mut command = Command::new("./target/release/server");
//! command.arg("--once");
//! let profile = Sampler::new().frequency(997).spawn(command)?.wait()?;
//! for hot in profile.hot_functions(10) {
//!     println!("{:5.1} % {} {:?}", hot.self_share * 100.0, hot.function, hot.place);
//! }
//! # Ok::<(), tidemill_profile::Error>(())
//! ```

mod firefox;
mod flame;
mod image;
mod kernel;
mod pprof;
mod processes;
mod profile;
mod recorder;
mod stacks;
mod symbols;

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};

pub use processes::Thread;
pub(crate) use processes::threads_of;
pub use profile::{Frame, HotFunction, HotLine, Losses, Profile, Stack};
use recorder::{Recorded, Recorder};
pub(crate) use symbols::{OwnSymbols, own_processes};

use crate::Error;
use crate::error::Kind;

/// How samples are taken.
///
/// # Defaults
///
/// 997 samples a second of processor time (a prime, so that it does not beat with timers), stack
/// copies of 32 KiB, the kernel's part where the kernel allows it.
#[derive(Debug, Clone)]
pub struct Sampler {
    frequency: u32,
    stack_bytes: u32,
    is_kernel_wanted: bool,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { frequency: 997, stack_bytes: 32 << 10, is_kernel_wanted: true }
    }
}

impl Sampler {
    /// Begins with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes this many samples per second of processor time.
    #[must_use]
    pub fn frequency(mut self, hertz: u32) -> Self {
        self.frequency = hertz;
        self
    }

    /// Copies at most this much of a stack, a multiple of 8 from 1024 to 65024. Deeper stacks are
    /// counted in [`Losses::cut_stacks`].
    #[must_use]
    pub fn stack_bytes(mut self, bytes: u32) -> Self {
        self.stack_bytes = bytes;
        self
    }

    /// Leaves out what happens in the kernel.
    #[must_use]
    pub fn without_kernel(mut self) -> Self {
        self.is_kernel_wanted = false;
        self
    }

    /// Starts a command and samples it and every process and thread that it starts.
    ///
    /// # Errors
    ///
    /// When the command cannot be started, a setting is out of range, or the kernel refuses.
    pub fn spawn(&self, command: Command) -> Result<Recording, Error> {
        self.record(Target::Command(Box::new(command)))
    }

    /// Samples a running process, and what its threads start from now on, until it ends or
    /// [`Recording::stop`]. Its children that run already are not sampled.
    ///
    /// # Errors
    ///
    /// When there is no such process, a setting is out of range, or the kernel refuses.
    pub fn attach(&self, pid: u32) -> Result<Recording, Error> {
        self.record(Target::Process(pid))
    }

    /// Samples this process without the recorder's own thread, until [`Recording::stop`].
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    pub fn this_process(&self) -> Result<Recording, Error> {
        self.attach(std::process::id())
    }

    fn record(&self, target: Target) -> Result<Recording, Error> {
        self.check()?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| Error::io("an eventfd cannot be made", error.into()))?;
        let stop = Arc::new(stop);
        let (started, start) = sync_channel(1);
        let (sampler, stopped) = (self.clone(), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("profile-recorder".to_owned())
            .spawn(move || {
                // Events belong to the thread that opens them, and a command inherits them from
                // the thread that starts it: so this thread does both.
                let recorder = match Recorder::start(&sampler, target) {
                    Ok(recorder) => recorder,
                    Err(error) => {
                        // The one who waits for the answer is there until it came.
                        let _ = started.send(Err(error));
                        return None;
                    }
                };
                let _ = started.send(Ok(recorder.pid()));
                Some(recorder.run(stopped.as_fd()))
            })
            .map_err(|error| Error::io("the recorder's thread cannot be started", error))?;
        let pid = start.recv().map_err(|_| Kind::Thread { what: "the recorder" })??;
        Ok(Recording { pid, stop: Stopper(stop), thread: Some(thread) })
    }

    fn check(&self) -> Result<(), Error> {
        let max = frequency_max();
        if self.frequency == 0 || self.frequency > max {
            return Err(Kind::Frequency { frequency: self.frequency, max }.into());
        }
        let bytes = self.stack_bytes;
        if !(1024..=65024).contains(&bytes) || !bytes.is_multiple_of(8) {
            return Err(Kind::StackBytes { bytes }.into());
        }
        Ok(())
    }
}

/// Samples being taken. Dropping it ends them, and the command with SIGTERM.
#[derive(Debug)]
pub struct Recording {
    pid: u32,
    stop: Stopper,
    thread: Option<JoinHandle<Option<Result<Recorded, Error>>>>,
}

impl Recording {
    /// Returns the id of the process: the command's, or the one attached to.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns what ends the recording from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// Waits until the command or the process has ended or somebody stops the recording, then
    /// looks up the symbols: some hundred milliseconds for each large program.
    ///
    /// # Errors
    ///
    /// When the end could not be waited for.
    pub fn wait(mut self) -> Result<Profile, Error> {
        let thread = self.thread.take().expect("taken here only, and `self` is gone then");
        let lost = Kind::Thread { what: "the recorder" };
        match thread.join() {
            Ok(Some(recorded)) => Ok(Profile::new(recorded?)),
            Ok(None) | Err(_) => Err(lost.into()),
        }
    }

    /// Ends the recording now; a command is asked to end with SIGTERM and waited for.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn stop(self) -> Result<Profile, Error> {
        self.stop.stop();
        self.wait()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.stop();
            // Nobody is left who could be told how it went.
            let _ = thread.join();
        }
    }
}

/// Ends a recording from anywhere.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<OwnedFd>);

impl Stopper {
    /// Ends the recording of a process. A command is sent SIGTERM the first time, SIGKILL the
    /// second, and the recording ends with it.
    pub fn stop(&self) {
        // The counter is full only when nobody reads it any more, and then it has ended.
        let _ = rustix::io::write(&*self.0, &1_u64.to_ne_bytes());
    }
}

/// What is sampled.
#[derive(Debug)]
enum Target {
    Command(Box<Command>),
    Process(u32),
}

/// Returns the most samples per second that this kernel takes.
fn frequency_max() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/perf_event_max_sample_rate");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(FREQUENCY_MAX_DEFAULT)
}

const FREQUENCY_MAX_DEFAULT: u32 = 100_000;
const RING_BYTES: usize = 8 << 20;

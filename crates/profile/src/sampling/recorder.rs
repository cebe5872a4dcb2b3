//! The thread that opens the events, reads the rings and counts the stacks.
//!
//! Each processor has its own ring, so records of one thread may lie in several. They are put in
//! order by their time before they are applied: of what a round read, only records older than the
//! round before are applied, because a younger one may still have a predecessor in a ring that was
//! read earlier. What waits is at most what two rounds brought, and at most [`WAITING_BYTES_MAX`]:
//! beyond it everything is applied at once.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::processes::{End, Processes, Unwound, threads_of};
use super::profile::Losses;
use super::stacks::Stacks;
use super::{RING_BYTES, Sampler, Target};
use crate::Error;
use crate::clock;
use crate::counters::Reason;
use crate::error::Kind;
use crate::perf::attributes::{Attributes, flag, kind, sample};
use crate::perf::descriptor::{Descriptor, Scope};
use crate::perf::record::Record;
use crate::perf::registers;
use crate::perf::ring::Ring;
use crate::watch::open_pidfd;

/// Everything that was seen, before symbols are looked up.
pub(crate) struct Recorded {
    pub(crate) processes: Processes,
    pub(crate) stacks: Stacks,
    pub(crate) timeline: Vec<Moment>,
    pub(crate) losses: Losses,
    pub(crate) frequency: u32,
    pub(crate) duration: Duration,
    pub(crate) kernel_refused: Option<Reason>,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) complete: u64,
}

/// When a stack was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) time_ns: u64,
    pub(crate) thread: u32,
    pub(crate) node: u32,
}

/// Open events and what was read from them so far.
pub(crate) struct Recorder {
    rings: Vec<(Descriptor, Ring, bool)>,
    /// Events of further threads, which write into the rings of the first.
    _others: Vec<Descriptor>,
    command: Option<Child>,
    pid: u32,
    pidfd: OwnedFd,
    started: Instant,
    /// By time, each with the bytes that it took in its ring.
    waiting: Vec<(u64, usize, Record)>,
    waiting_bytes: usize,
    recorded: Recorded,
}

impl Recorder {
    /// Opens the events and starts the command, if it is one.
    pub(crate) fn start(sampler: &Sampler, target: Target) -> Result<Self, Error> {
        let mut opened = Opened::new(sampler);
        let mut processes = Processes::default();
        let (command, pid) = match target {
            Target::Command(command) => {
                opened.open(0)?;
                let child = spawn(*command)?;
                let pid = child.id();
                (Some(child), pid)
            }
            Target::Process(pid) => {
                opened.open_process(pid)?;
                processes.adopt(pid);
                (None, pid)
            }
        };
        let pidfd = open_pidfd(pid)?;
        let recorded = Recorded {
            processes,
            stacks: Stacks::default(),
            timeline: Vec::new(),
            losses: Losses::default(),
            frequency: sampler.frequency,
            duration: Duration::ZERO,
            kernel_refused: opened.kernel_refused,
            status: None,
            complete: 0,
        };
        Ok(Self {
            rings: opened.rings,
            _others: opened.others,
            command,
            pid,
            pidfd,
            started: clock::now(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            recorded,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Reads until the process ends or `stop` becomes readable (twice, for a stubborn command).
    pub(crate) fn run(mut self, stop: BorrowedFd<'_>) -> Result<Recorded, Error> {
        let mut before_ns = 0;
        let mut stops = 0;
        loop {
            let (is_stopped, is_over) = self.wait(stop)?;
            if is_stopped {
                let mut count = [0; 8];
                // Empties it; that it was readable is all there is to know.
                let _ = rustix::io::read(stop, &mut count);
                stops += 1;
                if self.command.is_some() {
                    self.end_command(stops);
                }
            }
            if is_over || (is_stopped && self.command.is_none()) {
                break;
            }
            let now_ns = clock::monotonic_ns();
            self.round(before_ns);
            before_ns = now_ns;
        }
        for (event, _, _) in &self.rings {
            // An event whose thread is gone has stopped already.
            let _ = event.disable();
        }
        self.round(u64::MAX);
        self.recorded.duration = clock::now().saturating_duration_since(self.started);
        if let Some(mut child) = self.command.take() {
            let status = child.wait();
            self.recorded.status =
                Some(status.map_err(|error| Error::io("cannot wait for the command", error))?);
        }
        Ok(self.recorded)
    }

    /// Waits for records, a request to stop, or the end of the process.
    fn wait(&mut self, stop: BorrowedFd<'_>) -> Result<(bool, bool), Error> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(stop, PollFlags::IN),
            PollFd::new(&self.pidfd, PollFlags::IN),
        ];
        let open = self.rings.iter().filter(|(_, _, is_open)| *is_open);
        fds.extend(open.map(|(event, _, _)| PollFd::new(event, PollFlags::IN)));
        match poll(&mut fds, Some(&ROUND)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::io("cannot wait for samples", error.into())),
        }
        let seen: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        let open = self.rings.iter_mut().filter(|(_, _, is_open)| *is_open);
        for ((_, _, is_open), seen) in open.zip(&seen[2..]) {
            // Its thread has ended; what others write into its ring is read each round anyway.
            *is_open = !seen.intersects(PollFlags::HUP | PollFlags::ERR);
        }
        Ok((!seen[0].is_empty(), !seen[1].is_empty()))
    }

    /// Reads every ring and applies what is not younger than `until_ns`.
    fn round(&mut self, until_ns: u64) {
        let (waiting, bytes) = (&mut self.waiting, &mut self.waiting_bytes);
        for (_, ring, _) in &mut self.rings {
            ring.drain(|record| {
                if let Some((time_ns, read)) = Record::read(record) {
                    *bytes += record.len();
                    waiting.push((time_ns, record.len(), read));
                }
            });
        }
        waiting.sort_by_key(|(time_ns, ..)| *time_ns);
        let count = if self.waiting_bytes > WAITING_BYTES_MAX {
            waiting.len()
        } else {
            waiting.partition_point(|(time_ns, ..)| *time_ns <= until_ns)
        };
        let due: Vec<_> = waiting.drain(..count).collect();
        for (_, bytes, record) in due {
            self.waiting_bytes -= bytes;
            self.apply(&record);
        }
    }

    fn apply(&mut self, record: &Record) {
        let recorded = &mut self.recorded;
        match record {
            Record::Sample(sample) => {
                let Unwound { thread, places, end } = recorded.processes.unwind(sample);
                let node = recorded.stacks.add(thread, &places);
                match end {
                    End::Root => recorded.complete += 1,
                    End::Cut => recorded.losses.cut_stacks += 1,
                    End::Lost => recorded.losses.broken_stacks += 1,
                }
                if recorded.timeline.len() < MOMENTS_MAX {
                    recorded.timeline.push(Moment { time_ns: sample.time_ns, thread, node });
                } else {
                    recorded.losses.moments += 1;
                }
            }
            Record::Lost(count) => recorded.losses.records += count,
            Record::Throttled => recorded.losses.throttled += 1,
            record => recorded.processes.apply(record),
        }
    }

    fn end_command(&mut self, stops: u32) {
        let signal = if stops == 1 { Signal::TERM } else { Signal::KILL };
        // The child is not yet waited for, so its id is still its own.
        if let Some(pid) = Pid::from_raw(self.pid.cast_signed()) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Events being opened: one for each thread and processor, one ring for each processor.
struct Opened<'a> {
    sampler: &'a Sampler,
    cpus: Vec<i32>,
    attributes: Attributes,
    kernel_refused: Option<Reason>,
    is_attached: bool,
    rings: Vec<(Descriptor, Ring, bool)>,
    others: Vec<Descriptor>,
}

impl<'a> Opened<'a> {
    fn new(sampler: &'a Sampler) -> Self {
        let mut attributes = Attributes::new(kind::SOFTWARE, CPU_CLOCK);
        attributes.frequency = u64::from(sampler.frequency);
        attributes.sample_type = sample::IP
            | sample::TID
            | sample::TIME
            | sample::CALLCHAIN
            | sample::USER_REGISTERS
            | sample::USER_STACK;
        attributes.flags |= FLAGS;
        if !sampler.is_kernel_wanted {
            attributes.flags |= flag::EXCLUDE_KERNEL;
        }
        attributes.wakeup_bytes = u32::try_from(RING_BYTES / 4).expect("2 MiB");
        attributes.user_registers = registers::MASK;
        attributes.user_stack_bytes = sampler.stack_bytes;
        attributes.clock_id = libc::CLOCK_MONOTONIC;
        Self {
            sampler,
            cpus: online_cpus(),
            attributes,
            kernel_refused: None,
            is_attached: false,
            rings: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Opens the events of every thread of a process, also of those that appear meanwhile.
    fn open_process(&mut self, pid: u32) -> Result<(), Error> {
        self.is_attached = true;
        let own = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
        let mut known = HashSet::from([own]);
        for _ in 0..LOOKS_MAX {
            let threads = threads_of(pid);
            if threads.is_empty() {
                return Err(Kind::NoProcess { pid }.into());
            }
            let new: Vec<u32> = threads.into_iter().filter(|tid| known.insert(*tid)).collect();
            if new.is_empty() {
                break;
            }
            for tid in new {
                match self.open(tid.cast_signed()) {
                    // A thread may end while it is looked at.
                    Err(error) if error.is_gone() && tid != pid => {}
                    result => result?,
                }
            }
        }
        Ok(())
    }

    /// Opens the events of one thread; 0 is this one, with a command that it will start.
    fn open(&mut self, thread: i32) -> Result<(), Error> {
        if !self.is_attached {
            self.attributes.flags |= flag::ENABLE_ON_EXEC;
        }
        for index in 0..self.cpus.len() {
            let scope = Scope { thread, cpu: self.cpus[index] };
            let event = self.open_event(scope)?;
            if let Some((first, _, _)) = self.rings.get(index) {
                let shared = event.share_ring_of(first);
                shared.map_err(|error| Error::io("a ring cannot be shared", error))?;
                self.others.push(event);
            } else {
                let ring = Ring::map(&event, RING_BYTES)
                    .map_err(|error| Error::io("the ring for samples cannot be mapped", error))?;
                self.rings.push((event, ring, true));
            }
            if self.is_attached {
                let newest = self.others.last().unwrap_or(&self.rings[index].0);
                let enabled = newest.enable();
                enabled.map_err(|error| Error::io("sampling cannot be started", error))?;
            }
        }
        Ok(())
    }

    fn open_event(&mut self, scope: Scope) -> Result<Descriptor, Error> {
        let error = match Descriptor::open(&self.attributes, scope, None) {
            Ok(event) => return Ok(event),
            Err(error) => error,
        };
        let pid = scope.thread.cast_unsigned();
        let is_kernel_in = self.attributes.flags & flag::EXCLUDE_KERNEL == 0;
        match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) if is_kernel_in && self.sampler.is_kernel_wanted => {
                self.attributes.flags |= flag::EXCLUDE_KERNEL;
                let event = self.open_event(scope)?;
                self.kernel_refused = Some(Reason::of(&error, false));
                Ok(event)
            }
            Some(libc::ESRCH) => Err(Kind::NoProcess { pid }.into()),
            Some(libc::EACCES) if self.is_attached => Err(Kind::Foreign { pid }.into()),
            Some(libc::EMFILE | libc::ENFILE) => {
                let events = self.rings.len() + self.others.len() + 1;
                Err(Kind::Descriptors { pid, events }.into())
            }
            _ => {
                let reason = Reason::of(&error, false);
                Err(Kind::Refused { what: "the cpu-clock event", reason }.into())
            }
        }
    }
}

fn spawn(mut command: Command) -> Result<Child, Error> {
    command.spawn().map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        Kind::Command { program, source }.into()
    })
}

/// Returns the processors in use, from a list such as `0-3,8`.
fn online_cpus() -> Vec<i32> {
    let text: io::Result<String> = fs::read_to_string("/sys/devices/system/cpu/online");
    let cpus = parse_cpus(text.as_deref().unwrap_or("0").trim());
    if cpus.is_empty() { vec![0] } else { cpus }
}

fn parse_cpus(list: &str) -> Vec<i32> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            cpus.extend((first..=last).take(CPUS_MAX));
        }
    }
    cpus
}

const CPU_CLOCK: u64 = 0;
const FLAGS: u64 = flag::INHERIT
    | flag::EXCLUDE_HYPERVISOR
    | flag::MMAP
    | flag::MMAP2
    | flag::COMM
    | flag::COMM_EXEC
    | flag::TASK
    | flag::FREQUENCY
    | flag::WATERMARK
    | flag::SAMPLE_ID_ALL
    | flag::EXCLUDE_CALLCHAIN_USER
    | flag::USE_CLOCK_ID;
/// The longest time between two looks at the rings.
const ROUND: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const WAITING_BYTES_MAX: usize = 256 << 20;
const MOMENTS_MAX: usize = 1 << 20;
const LOOKS_MAX: usize = 16;
const CPUS_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(parse_cpus("0-1"), [0, 1]);
        assert_eq!(parse_cpus("0,2-3,7"), [0, 2, 3, 7]);
        assert_eq!(parse_cpus(""), [0; 0]);
    }
}

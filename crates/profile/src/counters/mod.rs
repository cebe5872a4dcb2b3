//! Counting what the processor and the kernel do for a thread, a process or a command.
//!
//! ```text
//! Counters::builder().group(events)... .open(target) -> Counters --enable, read--> Vec<Reading>
//!                                      .spawn(command) -> Running --wait--> CommandCounts
//! ```
//!
//! Events of a group are on the processor's counters at the same time, so ratios between them
//! hold. When there are more groups than counters the kernel lets them take turns, and each value
//! is scaled by the time it was enabled over the time it was counted; [`Count`] tells both.
//!
//! Every event asked for has an answer: a count, a count of something near it with the reason, or
//! the reason alone. A count that would be 0 because the kernel's part may not be seen is such a
//! reason too.
//!
//! Cost: one descriptor for each event and thread; nothing is interrupted while it counts.

mod command;
mod event;
mod group;
mod reason;
mod usage;

use serde::Serialize;

pub use command::{CommandCounts, Running, Terminator};
pub use event::Event;
use group::{Slot, ThreadGroups};
pub use reason::Reason;
use usage::Usage;

use crate::Error;
use crate::error::Kind;
use crate::perf::attributes::flag;
use crate::sampling::threads_of;

/// Which events to count, in which groups.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    groups: Vec<Vec<Event>>,
}

/// Whose events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The thread that opens the counters.
    ThisThread,
    /// Another thread, by its id.
    Thread(u32),
    /// Every thread of a process, those to come included.
    Process(u32),
    /// The same, and every process that it starts from now on.
    ProcessAndChildren(u32),
}

/// Open counters; closed on drop.
#[derive(Debug)]
pub struct Counters {
    slots: Vec<Slot>,
    threads: Vec<ThreadGroups>,
    target: Target,
    before: Usage,
}

/// An event that was asked for, and the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// The event.
    pub event: Event,
    /// Its count, or why there is none.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What is known of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// It was counted.
    Counted(Count),
    /// Something near it was counted.
    Instead {
        /// What it is.
        source: Source,
        /// Its count.
        #[serde(flatten)]
        count: Count,
        /// Why the event itself was not.
        reason: Reason,
    },
    /// It was not counted.
    Unsupported {
        /// Why.
        reason: Reason,
    },
}

/// Where a count comes from that is not the event's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Source {
    /// The same event, in the program only and not in the kernel.
    UserOnly,
    /// The time on a processor, in nanoseconds, where cycles are not counted.
    TaskClock,
    /// What the kernel accounts to each process anyway.
    ResourceUsage,
}

/// A count and how much of the time it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Events, scaled up to the whole time; nanoseconds for clocks.
    pub value: u64,
    /// Events as they were counted.
    pub raw: u64,
    /// Nanoseconds in which it should have been counted.
    pub enabled_ns: u64,
    /// Nanoseconds in which it was.
    pub running_ns: u64,
}

impl Counters {
    /// Begins a set without events.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts counting, all groups of all threads.
    ///
    /// # Errors
    ///
    /// When the kernel refuses what it had promised.
    pub fn enable(&mut self) -> Result<(), Error> {
        self.before = Usage::of(self.target);
        let started = self.threads.iter().try_for_each(ThreadGroups::enable);
        started.map_err(|error| Error::io("the counters cannot be started", error))
    }

    /// Stops counting; the counts stay.
    ///
    /// # Errors
    ///
    /// As [`enable`](Self::enable).
    pub fn disable(&mut self) -> Result<(), Error> {
        let stopped = self.threads.iter().try_for_each(ThreadGroups::disable);
        stopped.map_err(|error| Error::io("the counters cannot be stopped", error))
    }

    /// Reads every event that was asked for, in that order; a system call for each group.
    ///
    /// # Errors
    ///
    /// When a counter cannot be read.
    pub fn read(&self) -> Result<Vec<Reading>, Error> {
        let usage = Usage::of(self.target).since(&self.before);
        self.read_with(&usage)
    }

    fn read_with(&self, usage: &Usage) -> Result<Vec<Reading>, Error> {
        let mut sums = vec![Count::default(); self.slots.len()];
        for thread in &self.threads {
            let read = thread.read(&mut sums);
            read.map_err(|error| Error::io("a counter cannot be read", error))?;
        }
        Ok(self.slots.iter().zip(sums).map(|(slot, sum)| slot.reading(sum, usage)).collect())
    }
}

impl Builder {
    /// Adds events that are to be counted at the same time. Those that cannot share a group are
    /// counted alone.
    #[must_use]
    pub fn group(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.groups.push(events.into_iter().collect());
        self
    }

    /// Opens the counters, stopped.
    ///
    /// # Errors
    ///
    /// When there is no such thread or process, or no room for more open files. An event that is
    /// not supported is no error but an answer.
    pub fn open(&self, target: Target) -> Result<Counters, Error> {
        let (threads, flags) = match target {
            Target::ThisThread => (vec![0], 0),
            Target::Thread(tid) => (vec![tid], 0),
            Target::Process(pid) => (threads_of(pid), flag::INHERIT | flag::INHERIT_THREAD),
            Target::ProcessAndChildren(pid) => (threads_of(pid), flag::INHERIT),
        };
        if threads.is_empty() {
            let (Target::Process(pid) | Target::ProcessAndChildren(pid)) = target else {
                return Err(Kind::Thread { what: "the list of threads" }.into());
            };
            return Err(Kind::NoProcess { pid }.into());
        }
        self.open_threads(&threads, flags, target)
    }

    fn open_threads(&self, ids: &[u32], flags: u64, target: Target) -> Result<Counters, Error> {
        let mut slots: Vec<Slot> = self.groups.iter().flatten().copied().map(Slot::new).collect();
        let mut threads = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            match ThreadGroups::open(&self.groups, id.cast_signed(), flags, &mut slots) {
                Ok(groups) => threads.push(groups),
                // Threads other than the first may end while they are looked at.
                Err(error) if error.is_gone() && index > 0 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Counters { slots, threads, target, before: Usage::default() })
    }
}

impl Count {
    /// Returns the part of the time in which it was counted, 0 to 1; less than 1 when groups took
    /// turns.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn running_share(&self) -> f64 {
        if self.enabled_ns == 0 { 1.0 } else { self.running_ns as f64 / self.enabled_ns as f64 }
    }

    /// Returns a count that was never off.
    fn whole(value: u64) -> Self {
        Self { value, raw: value, enabled_ns: 0, running_ns: 0 }
    }

    /// Adds what another thread counted, each scaled by its own times.
    fn add(&mut self, raw: u64, enabled_ns: u64, running_ns: u64) {
        let is_partial = running_ns > 0 && running_ns < enabled_ns;
        let scaled = u128::from(raw) * u128::from(enabled_ns) / u128::from(running_ns.max(1));
        self.value += if is_partial { u64::try_from(scaled).unwrap_or(u64::MAX) } else { raw };
        self.raw += raw;
        self.enabled_ns += enabled_ns;
        self.running_ns += running_ns;
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::whole(0)
    }
}

impl Answer {
    /// Returns the count, of the event or of what stands for it.
    pub fn count(&self) -> Option<Count> {
        match self {
            Self::Counted(count) | Self::Instead { count, .. } => Some(*count),
            Self::Unsupported { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_half_the_time_counts_twice() {
        let mut count = Count::default();
        count.add(100, 1000, 500);
        count.add(7, 400, 400);
        assert_eq!((count.value, count.raw), (207, 107));
        assert!((count.running_share() - 900.0 / 1400.0).abs() < 1e-9);
        count.add(0, 10, 0);
        assert_eq!(count.value, 207);
    }
}

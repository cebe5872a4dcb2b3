//! The open events of one thread, in groups, and what to do when one is refused.
//!
//! ```text
//! open with the kernel's part
//!   refused for lack of rights -> without it, unless all of it is in the kernel
//!   no place in the group      -> alone
//!   cycles refused             -> task-clock in its stead
//!   else                       -> what the kernel accounts anyway, or the reason
//! ```
//! What the first thread found holds for the others.

use std::io;

use super::usage::Usage;
use super::{Answer, Count, Event, Reading, Reason, Source};
use crate::Error;
use crate::error::Kind;
use crate::perf::attributes::{Attributes, flag, format};
use crate::perf::descriptor::{Descriptor, Scope};

/// An event that was asked for and how it is counted.
#[derive(Debug)]
pub(super) struct Slot {
    event: Event,
    way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    Untried,
    Whole,
    UserOnly(Reason),
    TaskClock(Reason),
    None(Reason),
}

/// Groups of one thread; each with its leader first, and the slot of each event.
#[derive(Debug)]
pub(super) struct ThreadGroups(Vec<Vec<(Descriptor, usize)>>);

impl Slot {
    pub(super) fn new(event: Event) -> Self {
        Self { event, way: Way::Untried }
    }

    /// Makes the answer out of what was counted, or of what the kernel accounted.
    pub(super) fn reading(&self, count: Count, usage: &Usage) -> Reading {
        let instead =
            |source, reason: &Reason| Answer::Instead { source, count, reason: reason.clone() };
        let answer = match &self.way {
            // A thread was there, or opening would have failed; none tried means none was asked.
            Way::Untried | Way::Whole => Answer::Counted(count),
            Way::UserOnly(reason) => instead(Source::UserOnly, reason),
            Way::TaskClock(reason) => instead(Source::TaskClock, reason),
            Way::None(reason) => match usage.of_event(self.event) {
                Some(value) => Answer::Instead {
                    source: Source::ResourceUsage,
                    count: Count::whole(value),
                    reason: reason.clone(),
                },
                None => Answer::Unsupported { reason: reason.clone() },
            },
        };
        Reading { event: self.event, answer }
    }

    /// Opens the event for a thread in the way found before, or finds one.
    fn open(
        &mut self,
        scope: Scope,
        flags: u64,
        leader: Option<&Descriptor>,
    ) -> Result<Option<Descriptor>, io::Error> {
        if self.way == Way::Untried {
            return self.find(scope, flags, leader);
        }
        let (event, extra) = match &self.way {
            Way::None(_) => return Ok(None),
            Way::UserOnly(_) => (self.event, flag::EXCLUDE_KERNEL),
            Way::TaskClock(_) => return open_task_clock(flags, scope, leader).map(Some),
            Way::Whole | Way::Untried => (self.event, 0),
        };
        open_event(event, flags | extra, scope, leader).map(Some)
    }

    fn find(
        &mut self,
        scope: Scope,
        flags: u64,
        leader: Option<&Descriptor>,
    ) -> Result<Option<Descriptor>, io::Error> {
        let open = |event, flags| open_event(event, flags, scope, leader);
        let error = match open(self.event, flags) {
            Ok(descriptor) => {
                self.way = Way::Whole;
                return Ok(Some(descriptor));
            }
            Err(error) => error,
        };
        let code = error.raw_os_error();
        if matches!(code, Some(libc::ESRCH | libc::EMFILE | libc::ENFILE))
            || (code == Some(libc::EINVAL) && leader.is_some())
        {
            return Err(error);
        }
        let mut reason = Reason::of(&error, self.event.is_hardware());
        if matches!(code, Some(libc::EACCES | libc::EPERM)) {
            match open(self.event, flags | flag::EXCLUDE_KERNEL) {
                Ok(descriptor) if !self.event.is_of_kernel() => {
                    self.way = Way::UserOnly(reason);
                    return Ok(Some(descriptor));
                }
                Ok(_) => {}
                // Rights are asked for before the hardware is: this is the deeper reason.
                Err(deeper) => reason = Reason::of(&deeper, self.event.is_hardware()),
            }
        }
        if matches!(self.event, Event::Cycles | Event::RefCycles)
            && let Ok(descriptor) = open_task_clock(flags, scope, leader)
        {
            self.way = Way::TaskClock(reason);
            return Ok(Some(descriptor));
        }
        self.way = Way::None(reason);
        Ok(None)
    }
}

impl ThreadGroups {
    /// Opens every group for a thread; 0 is the calling one.
    pub(super) fn open(
        wanted: &[Vec<Event>],
        thread: i32,
        flags: u64,
        slots: &mut [Slot],
    ) -> Result<Self, Error> {
        let scope = Scope { thread, cpu: -1 };
        let mut groups = Vec::new();
        let mut index = 0;
        for events in wanted {
            let mut group: Vec<(Descriptor, usize)> = Vec::new();
            for _ in events {
                let leader = group.first().map(|(leader, _)| leader);
                match slots[index].open(scope, flags, leader) {
                    Ok(Some(descriptor)) => group.push((descriptor, index)),
                    Ok(None) => {}
                    Err(error) if leader.is_some() && !is_fatal(&error) => {
                        let alone = slots[index].open(scope, flags, None);
                        let alone = alone.map_err(|error| failure(&error, thread, index + 1))?;
                        groups.extend(alone.map(|descriptor| vec![(descriptor, index)]));
                    }
                    Err(error) => return Err(failure(&error, thread, index + 1)),
                }
                index += 1;
            }
            groups.push(group);
        }
        groups.retain(|group| !group.is_empty());
        Ok(Self(groups))
    }

    pub(super) fn enable(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|group| group[0].0.enable())
    }

    pub(super) fn disable(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|group| group[0].0.disable())
    }

    /// Adds what this thread counted to the sums of the slots.
    pub(super) fn read(&self, sums: &mut [Count]) -> io::Result<()> {
        for group in &self.0 {
            // How many, enabled, running, then a value for each event in the order of opening.
            let mut numbers = vec![0; 3 + group.len()];
            let read = group[0].0.read(&mut numbers)?;
            if read < numbers.len() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            for ((_, slot), raw) in group.iter().zip(&numbers[3..]) {
                sums[*slot].add(*raw, numbers[1], numbers[2]);
            }
        }
        Ok(())
    }
}

/// Opens the clock, without the kernel's part where that is all that is allowed.
fn open_task_clock(
    flags: u64,
    scope: Scope,
    leader: Option<&Descriptor>,
) -> io::Result<Descriptor> {
    let open = |flags| open_event(Event::TaskClock, flags, scope, leader);
    open(flags).or_else(|_| open(flags | flag::EXCLUDE_KERNEL))
}

/// Opens one event; in a group, whether it counts is up to the leader.
///
/// Software events that are enabled one after the other behind their leader may never be scheduled
/// in and then count nothing, without an error (seen on Linux 6.18).
fn open_event(
    event: Event,
    flags: u64,
    scope: Scope,
    leader: Option<&Descriptor>,
) -> io::Result<Descriptor> {
    let (kind, config) = event.code();
    let mut attributes = Attributes::new(kind, config);
    attributes.flags |= flags;
    if leader.is_some() {
        attributes.flags &= !flag::DISABLED;
    }
    attributes.read_format = format::GROUP | format::TIME_ENABLED | format::TIME_RUNNING;
    Descriptor::open(&attributes, scope, leader)
}

fn is_fatal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EMFILE | libc::ENFILE))
}

fn failure(error: &io::Error, thread: i32, events: usize) -> Error {
    let pid = thread.cast_unsigned();
    match error.raw_os_error() {
        Some(libc::ESRCH) => Kind::NoProcess { pid }.into(),
        Some(libc::EMFILE | libc::ENFILE) => Kind::Descriptors { pid, events }.into(),
        _ => Kind::Refused { what: "a counter", reason: Reason::of(error, false) }.into(),
    }
}

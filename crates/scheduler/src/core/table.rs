//! The table of all tasks: slots that are numbered, linked and used again.
//!
//! Slots come in chunks of [`CHUNK`] that never move and are never returned, so growing copies
//! nothing, and a place is never more than one step away. A slot that is given back counts its
//! generation up. Lists run through the slots themselves (no allocation to queue a task, O(1) to
//! take it out of the middle):
//!
//! | link | lists |
//! |---|---|
//! | `age` | ready tasks of one class, the oldest first |
//! | `turn` | ready tasks of a priority and class without a deadline; finished ones; free slots |

use std::sync::Arc;
use std::time::Duration;

use super::moment::Moment;
use super::priority::Priority;
use super::retry::Retry;
use super::state::State;
use super::task::{Class, Record, Spec, TaskId};

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Table<P> {
    chunks: Vec<Box<[Slot<P>]>>,
    free: u32,
    used: u32,
}

/// One task. Kept small: what few tasks have is in [`Extras`].
#[derive(Debug)]
pub(super) struct Slot<P> {
    /// What the shell runs; absent while it runs it and after the end.
    pub(super) payload: Option<P>,
    pub(super) extras: Option<Box<Extras>>,
    pub(super) submitted: Moment,
    pub(super) ready: Moment,
    pub(super) started: Moment,
    pub(super) ended: Moment,
    /// Its place in the order of coming: drawn when it was submitted, anew when it is ready.
    pub(super) order: u64,
    generation: u32,
    pub(super) attempts: u32,
    pub(super) age: Link,
    pub(super) turn: Link,
    /// How many tasks wait for this one.
    pub(super) dependents: u32,
    /// How many tasks this one waits for.
    pub(super) waits: u32,
    pub(super) phase: Phase,
    pub(super) priority: Priority,
    pub(super) class: Class,
}

/// What few tasks have.
#[derive(Debug, Default)]
pub(super) struct Extras {
    pub(super) deadline: Option<Moment>,
    pub(super) not_before: Option<Moment>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Retry,
    pub(super) every: Option<Duration>,
    pub(super) key: Option<Arc<str>>,
    /// What it waits for, while it waits.
    pub(super) after: Vec<TaskId>,
    pub(super) reason: Option<Arc<str>>,
    /// When the next timer of this task rings.
    pub(super) timer: Option<Moment>,
    pub(super) cancelling: bool,
}

/// Where a slot is, more finely than its [`State`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Free,
    /// Waits for other tasks.
    Waiting,
    /// Waits for its time.
    Delayed,
    /// Waits for a slot.
    Ready,
    Running,
    Ended(State),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) before: u32,
    pub(super) after: u32,
}

/// The ends of a list through [`Slot::age`] or [`Slot::turn`].
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u32,
    pub(super) last: u32,
}

/// Picks one of the two links of a slot.
pub(super) type Through<P> = fn(&mut Slot<P>) -> &mut Link;

impl<P> Table<P> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, used: 0 }
    }

    /// Takes a free slot, with a new generation and nothing in it but these.
    pub(super) fn take(&mut self, spec: &Spec, payload: P, now: Moment) -> u32 {
        let index = if self.free == NONE { self.grow() } else { self.free };
        let slot = self.slot_mut(index);
        let free = slot.turn.after;
        *slot = Slot {
            payload: Some(payload),
            extras: Extras::of(spec),
            submitted: now,
            generation: slot.generation,
            phase: Phase::Waiting,
            priority: spec.priority,
            class: spec.class,
            ..Slot::free(slot.generation)
        };
        self.free = free;
        index
    }

    /// Gives a slot back; its name is no longer known.
    pub(super) fn release(&mut self, index: u32) {
        let free = self.free;
        let slot = self.slot_mut(index);
        let generation = slot.generation.checked_add(1).unwrap_or(1);
        *slot = Slot { turn: Link { before: NONE, after: free }, ..Slot::free(generation) };
        self.free = index;
    }

    /// Returns the place of a task that is known.
    pub(super) fn find(&self, id: TaskId) -> Option<u32> {
        if id.index() >= self.used {
            return None;
        }
        let slot = self.slot(id.index());
        (slot.generation == id.generation() && slot.phase != Phase::Free).then(|| id.index())
    }

    pub(super) fn slot(&self, index: u32) -> &Slot<P> {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    pub(super) fn slot_mut(&mut self, index: u32) -> &mut Slot<P> {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    pub(super) fn id(&self, index: u32) -> TaskId {
        TaskId::new(index, self.slot(index).generation)
    }

    /// Returns every place that may hold a task.
    pub(super) fn places(&self) -> std::ops::Range<u32> {
        0..self.used
    }

    pub(super) fn push_back(&mut self, list: &mut List, through: Through<P>, index: u32) {
        *through(self.slot_mut(index)) = Link { before: list.last, after: NONE };
        if list.last == NONE {
            list.first = index;
        } else {
            through(self.slot_mut(list.last)).after = index;
        }
        list.last = index;
    }

    pub(super) fn unlink(&mut self, list: &mut List, through: Through<P>, index: u32) {
        let nowhere = Link { before: NONE, after: NONE };
        let link = std::mem::replace(through(self.slot_mut(index)), nowhere);
        if link.before == NONE {
            list.first = link.after;
        } else {
            through(self.slot_mut(link.before)).after = link.after;
        }
        if link.after == NONE {
            list.last = link.before;
        } else {
            through(self.slot_mut(link.after)).before = link.before;
        }
    }

    /// Adds a chunk of free slots and returns the first.
    fn grow(&mut self) -> u32 {
        let first = self.used;
        let next = |offset: u32| if offset + 1 == CHUNK as u32 { NONE } else { first + offset + 1 };
        let slot =
            |offset| Slot { turn: Link { before: NONE, after: next(offset) }, ..Slot::free(1) };
        self.chunks.push((0..CHUNK as u32).map(slot).collect());
        self.used += CHUNK as u32;
        first
    }
}

impl<P> Slot<P> {
    fn free(generation: u32) -> Self {
        let nowhere = Link { before: NONE, after: NONE };
        Self {
            payload: None,
            extras: None,
            submitted: Moment::NEVER,
            ready: Moment::NEVER,
            started: Moment::NEVER,
            ended: Moment::NEVER,
            order: 0,
            generation,
            attempts: 0,
            age: nowhere,
            turn: nowhere,
            dependents: 0,
            waits: 0,
            phase: Phase::Free,
            priority: Priority::Low,
            class: Class(0),
        }
    }

    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Free | Phase::Waiting | Phase::Delayed | Phase::Ready => State::Pending,
            Phase::Running => State::Running,
            Phase::Ended(state) => state,
        }
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        self.extras.as_ref()?.deadline
    }

    pub(super) fn is_cancelling(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.cancelling)
    }

    pub(super) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(super) fn record(&self, id: TaskId) -> Record {
        let known = |moment: Moment| (moment != Moment::NEVER).then_some(moment);
        Record {
            id,
            state: self.state(),
            priority: self.priority,
            class: self.class,
            submitted: self.submitted,
            ready: known(self.ready),
            started: known(self.started),
            ended: known(self.ended),
            attempts: self.attempts,
            reason: self.extras.as_ref().and_then(|extras| extras.reason.clone()),
        }
    }
}

impl Extras {
    fn of(spec: &Spec) -> Option<Box<Self>> {
        let Spec { deadline, not_before, timeout, retry, every, ref key, .. } = *spec;
        let plain = deadline.is_none()
            && not_before.is_none()
            && timeout.is_none()
            && retry.attempts_max <= 1
            && every.is_none()
            && key.is_none();
        let key = key.clone();
        (!plain).then(|| {
            let rest = Self::default();
            Box::new(Self { deadline, not_before, timeout, retry, every, key, ..rest })
        })
    }
}

impl List {
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };
}

/// Slots are allocated so many at a time.
pub(super) const CHUNK: usize = 256;

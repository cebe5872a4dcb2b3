//! The state machine of all tasks of one scheduler.
//!
//! ```text
//! submit --> Waiting --> Delayed --> Ready -- start_next --> Running -- finish --> Ended
//!            for tasks   for time    for a slot                 |                    |
//!                           ^                                   |                forgotten by
//!                           +---- retry, next beat -------------+               count and age
//! ```
//!
//! What starts next, among tasks that are ready:
//!
//! 1. After [`AGING_SHARE`](super::AGING_SHARE) - 1 other starts, the oldest of all, when it is
//!    overdue and a slot is free that is not reserved.
//! 2. The highest priority for which a slot is free: free slots, less those reserved for higher
//!    priorities and not used by them.
//! 3. Within it the nearest deadline, then age; or what [`Order`] says. Classes at their limit are
//!    passed over, but for Emergency.
//!
//! Costs: each operation is O(log n) at most, and O(1) for a task without deadline, timer, key and
//! dependencies. `P` is what the shell runs; the machine only keeps it while the task waits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::limits::{InvalidLimits, Limits};
use super::moment::Moment;
use super::order::Order;
use super::priority::Priority;
use super::ready::Ready;
use super::state::State;
use super::statistics::{Statistics, Totals};
use super::table::{List, NONE, Phase, Table};
use super::task::{Class, DEPENDENCIES_MAX, Record, Rejection, Spec, TaskId};
use super::waits::Waits;

/// All tasks of one scheduler, and the rules by which they move.
#[derive(Debug)]
pub struct Machine<P> {
    pub(super) limits: Limits,
    pub(super) order: Order,
    pub(super) table: Table<P>,
    pub(super) ready: Ready,
    pub(super) waits: Waits,
    /// When, order, slot.
    pub(super) timers: BTreeSet<(Moment, u64, u32)>,
    pub(super) keys: HashMap<Arc<str>, TaskId>,
    pub(super) finished: List,
    pub(super) finished_count: usize,
    pub(super) running: [usize; Priority::COUNT],
    pub(super) running_class: Vec<usize>,
    /// Classes below their limit.
    pub(super) class_room: u64,
    pub(super) starts_since_overdue: u32,
    pub(super) closed: bool,
    pub(super) tasks: [[usize; Priority::COUNT]; State::COUNT],
    pub(super) totals: Vec<[Totals; Priority::COUNT]>,
    pub(super) dropped: Vec<Dropped<P>>,
}

/// An attempt to begin now.
#[derive(Debug)]
pub struct Start<P> {
    /// Which task.
    pub id: TaskId,
    /// What to run.
    pub payload: P,
    /// How urgent it is.
    pub priority: Priority,
    /// What kind of work it is.
    pub class: Class,
    /// The number of the attempt, the first being 1.
    pub attempt: u32,
    /// How long it was ready.
    pub queue_time: Duration,
}

/// When an attempt ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its first instant.
    pub began: Moment,
    /// Its last.
    pub ended: Moment,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the ways in which an attempt ends")]
pub enum Outcome {
    /// It did what it was asked.
    Completed,
    /// It could not, or panicked.
    Failed(Arc<str>),
    /// It was broken off because it was asked to.
    Cancelled,
    /// It was broken off because its time was up.
    TimedOut,
}

/// What became of a task whose attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it ended, is to run again, or was nobody's")]
pub enum Finish {
    /// It ended like this.
    Ended(State),
    /// It will run again.
    Again,
    /// No such attempt is running.
    Unknown,
}

/// What a request to cancel led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "it waited, ran, or had ended")]
pub enum Cancel {
    /// It had not begun, and never will.
    Ended,
    /// It runs and has to be asked to stop; [`Due::Abort`] follows if it does not.
    Asked,
    /// It had ended before, or is not known.
    TooLate,
}

/// What has to be done to a running task because of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two reasons to break off")]
pub enum Due {
    /// It ran for its timeout: break it off.
    TimedOut(TaskId),
    /// It was asked to stop and did not: break it off.
    Abort(TaskId),
}

/// A task that ended while it waited.
#[derive(Debug)]
pub struct Dropped<P> {
    /// What is known about it.
    pub record: Record,
    /// Why, when it was rejected.
    pub rejection: Option<Rejection>,
    /// What will not be run.
    pub payload: Option<P>,
}

impl<P> Machine<P> {
    /// Returns a machine without tasks.
    ///
    /// # Errors
    ///
    /// When the limits contradict each other.
    pub fn new(limits: Limits, order: Order) -> Result<Self, InvalidLimits> {
        limits.check()?;
        let classes = limits.classes.len();
        Ok(Self {
            table: Table::new(),
            ready: Ready::new(classes),
            waits: Waits::default(),
            timers: BTreeSet::new(),
            keys: HashMap::new(),
            finished: List::EMPTY,
            finished_count: 0,
            running: [0; Priority::COUNT],
            running_class: vec![0; classes],
            class_room: u64::MAX >> (64 - classes),
            starts_since_overdue: 0,
            closed: false,
            tasks: [[0; Priority::COUNT]; State::COUNT],
            totals: vec![Default::default(); classes],
            dropped: Vec::new(),
            limits,
            order,
        })
    }

    /// Takes a task.
    ///
    /// # Errors
    ///
    /// Gives the payload back with the reason when it is not taken.
    pub fn submit(
        &mut self,
        spec: &Spec,
        payload: P,
        now: Moment,
    ) -> Result<TaskId, (Rejection, P)> {
        self.forget_surplus();
        if let Err(rejection) = self.admit(spec) {
            self.count_refused(spec.class, spec.priority);
            return Err((rejection, payload));
        }
        Ok(self.take(spec, payload, now))
    }

    /// Takes a task that asks for nothing but a priority and a class, and that was admitted
    /// outside: nothing is checked but the class.
    ///
    /// # Panics
    ///
    /// When there is no such class.
    pub fn accept(
        &mut self,
        priority: Priority,
        class: Class,
        payload: P,
        submitted: Moment,
    ) -> TaskId {
        self.forget_surplus();
        assert!(usize::from(class.0) < self.limits.classes.len(), "the caller checks the class");
        self.take(&Spec { priority, class, ..Spec::default() }, payload, submitted)
    }

    /// Makes a task that waits wait for another one as well.
    ///
    /// # Errors
    ///
    /// When that would close a circle, either is not known, the first has begun, or the second
    /// ended without completing. Nothing is changed then.
    pub fn depend(&mut self, task: TaskId, on: TaskId) -> Result<(), Rejection> {
        let pending = |index: &u32| self.table.slot(*index).state() == State::Pending;
        let Some(index) = self.table.find(task).filter(pending) else {
            return Err(Rejection::NotPending { task });
        };
        if !self.dependency(on)? {
            return Ok(());
        }
        if self.waits.reaches(index, on.index()) {
            return Err(Rejection::Cyclic { task, on });
        }
        let slot = self.table.slot(index);
        if slot.waits as usize >= DEPENDENCIES_MAX {
            return Err(Rejection::TooManyDependencies { count: DEPENDENCIES_MAX + 1 });
        }
        match slot.phase {
            Phase::Ready => self.ready.remove(&mut self.table, index),
            Phase::Delayed => self.set_timer(index, None),
            _ => {}
        }
        self.table.slot_mut(index).phase = Phase::Waiting;
        self.wait_for(index, on);
        Ok(())
    }

    /// Starts the next attempt, when one may start now.
    pub fn start_next(&mut self, now: Moment) -> Option<Start<P>> {
        let index = self.choose(now)?;
        self.ready.remove(&mut self.table, index);
        self.change(index, Phase::Running);
        let slot = self.table.slot_mut(index);
        let payload = slot.payload.take().expect("a task that waits has its payload");
        slot.started = now;
        slot.attempts += 1;
        let start = Start {
            payload,
            priority: slot.priority,
            class: slot.class,
            attempt: slot.attempts,
            queue_time: now.since(slot.ready),
            id: self.table.id(index),
        };
        let timeout = self.table.slot(index).extras.as_ref().and_then(|extras| extras.timeout);
        if let Some(timeout) = timeout {
            self.set_timer(index, Some(now + timeout));
        }
        let class = usize::from(start.class.0);
        self.running[start.priority.index()] += 1;
        self.running_class[class] += 1;
        self.look_at_class(class);
        let totals = self.totals(index);
        totals.started += 1;
        totals.queue_time += start.queue_time;
        totals.queue_time_max = totals.queue_time_max.max(start.queue_time);
        Some(start)
    }

    /// Takes note that an attempt ended. `payload` is what can be run again, for another attempt
    /// or beat; without it the task has ended. `ran` is when it really began and ended, which may
    /// be later than it was started here. `random` draws the jitter of a retry.
    ///
    /// A task that was asked to stop ends as cancelled, however it ended by itself. The payload
    /// comes back unless it will run again.
    pub fn finish(
        &mut self,
        id: TaskId,
        outcome: Outcome,
        payload: Option<P>,
        ran: Ran,
        random: u64,
    ) -> (Finish, Option<P>) {
        let running = |index: &u32| self.table.slot(*index).phase == Phase::Running;
        let Some(index) = self.table.find(id).filter(running) else {
            return (Finish::Unknown, payload);
        };
        self.forget_surplus();
        let now = ran.ended;
        self.leave_running(index, &outcome, ran);
        let (state, reason) = match outcome {
            Outcome::Completed => (State::Completed, None),
            Outcome::Failed(reason) => (State::Failed, Some(reason)),
            Outcome::Cancelled => (State::Cancelled, None),
            Outcome::TimedOut => (State::TimedOut, None),
        };
        let slot = self.table.slot_mut(index);
        if reason.is_some() || slot.extras.as_ref().is_some_and(|extras| extras.reason.is_some()) {
            slot.extras_mut().reason = reason;
        }
        if slot.is_cancelling() {
            self.end(index, State::Cancelled, None, now);
            return (Finish::Ended(State::Cancelled), payload);
        }
        let again = payload.is_some().then(|| self.again_at(index, state, now, random));
        if let Some(at) = again.flatten() {
            self.change(index, Phase::Delayed);
            let slot = self.table.slot_mut(index);
            slot.payload = payload;
            slot.extras_mut().not_before = Some(at);
            self.release(index, now);
            return (Finish::Again, None);
        }
        self.end(index, state, None, now);
        (Finish::Ended(state), payload)
    }

    /// Asks for the end of a task. One that waits ends at once; one that runs has `grace` to end
    /// by itself.
    pub fn cancel(&mut self, id: TaskId, now: Moment, grace: Duration) -> Cancel {
        let Some(index) = self.table.find(id) else { return Cancel::TooLate };
        match self.table.slot(index).phase {
            Phase::Free | Phase::Ended(_) => Cancel::TooLate,
            Phase::Running => {
                let slot = self.table.slot_mut(index);
                if !slot.is_cancelling() {
                    slot.extras_mut().cancelling = true;
                    self.set_timer(index, Some(now + grace));
                }
                Cancel::Asked
            }
            Phase::Waiting | Phase::Delayed | Phase::Ready => {
                self.end(index, State::Cancelled, None, now);
                Cancel::Ended
            }
        }
    }

    /// Refuses every task from now on, and cancels what waits for its time and would repeat or
    /// begin after `until`.
    pub fn close(&mut self, now: Moment, until: Moment) {
        self.closed = true;
        for index in self.table.places() {
            let slot = self.table.slot(index);
            let in_vain = slot.phase == Phase::Delayed
                && slot.extras.as_ref().is_some_and(|extras| {
                    extras.every.is_some() || extras.timer.is_some_and(|at| at > until)
                });
            if in_vain {
                self.end(index, State::Cancelled, None, now);
            }
        }
    }

    /// Moves on what is due, forgets what is old, and returns one running task to break off, when
    /// there is one. To be called until it returns `None`.
    pub fn poll(&mut self, now: Moment) -> Option<Due> {
        self.forget_surplus();
        self.forget_old(now);
        while let Some((at, _, index)) = self.timers.first().copied() {
            if at > now {
                break;
            }
            self.set_timer(index, None);
            let id = self.table.id(index);
            match self.table.slot(index).phase {
                Phase::Running if self.table.slot(index).is_cancelling() => {
                    return Some(Due::Abort(id));
                }
                Phase::Running => return Some(Due::TimedOut(id)),
                _ => self.make_ready(index, at),
            }
        }
        None
    }

    /// Returns when [`poll`](Self::poll) has something to do, as far as is known now.
    pub fn next_timer(&self) -> Option<Moment> {
        let timer = self.timers.first().map(|(at, ..)| *at);
        let first = self.finished.first;
        let old = (first != NONE).then(|| self.table.slot(first).ended + self.limits.finished_age);
        timer.into_iter().chain(old).min()
    }

    /// Returns the tasks that ended while they waited, since this was last asked.
    pub fn take_dropped(&mut self) -> Vec<Dropped<P>> {
        std::mem::take(&mut self.dropped)
    }

    /// Returns what is known about a task.
    pub fn record(&self, id: TaskId) -> Option<Record> {
        self.table.find(id).map(|index| self.table.slot(index).record(id))
    }

    /// Returns what a task that waits will run.
    pub fn payload(&self, id: TaskId) -> Option<&P> {
        self.table.find(id).and_then(|index| self.table.slot(index).payload.as_ref())
    }

    /// Returns what is known about every task that has not ended.
    pub fn unfinished(&self) -> Vec<Record> {
        let places = self.table.places().filter(|index| {
            !matches!(self.table.slot(*index).phase, Phase::Free | Phase::Ended(_))
        });
        places.map(|index| self.table.slot(index).record(self.table.id(index))).collect()
    }

    /// Returns true when a task is ready, whether or not one may start.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns how many tasks wait.
    pub fn pending(&self) -> usize {
        self.tasks[State::Pending.index()].iter().sum()
    }

    /// Returns how many tasks run.
    pub fn running(&self) -> usize {
        self.running.iter().sum()
    }

    /// Returns the limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns how many tasks are known now, by state and priority.
    pub fn tasks(&self) -> &[[usize; Priority::COUNT]; State::COUNT] {
        &self.tasks
    }

    /// Returns what was counted since the start, by class and priority.
    pub fn all_totals(&self) -> &[[Totals; Priority::COUNT]] {
        &self.totals
    }

    /// Reads everything that is counted.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            tasks: self.tasks,
            totals: self.totals.clone(),
            concurrency: self.concurrency(),
            estimates: self.order.estimates(self.limits.classes.len()),
        }
    }

    /// Counts a task that was refused before it reached the machine.
    pub fn count_refused(&mut self, class: Class, priority: Priority) {
        if let Some(totals) = self.totals.get_mut(usize::from(class.0)) {
            totals[priority.index()].refused += 1;
        }
    }
}

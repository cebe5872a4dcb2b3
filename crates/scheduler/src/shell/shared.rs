//! What submitters, workers, parked futures and the timekeeper share.
//!
//! | field | lock | held for |
//! |---|---|---|
//! | `core` | one mutex | a batch: ends go in, new tasks go in, the next attempts come out |
//! | `inbox` | a mutex per shard | one push, one swap |
//! | `benches` | a mutex per worker | a few attempts moved |
//! | `controls` | one mutex | tasks with a token, a callback or a future that was not ready |
//!
//! Order: `core` before `inbox`; nothing else is held while another is taken. Values, futures,
//! callbacks and wakers are never dropped or called under a lock.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Clock;
use super::executor::Executor;
use super::inbox::{Entry, Inbox};
use super::instruments::Instruments;
use super::job::{Abort, BoxJob, Control, EveryEnd, drop_job};
use super::sleepers::Sleepers;
use crate::core::{
    Cancel, Dropped, Due, Finish, Machine, Moment, Outcome, Ran, Record, Rejection, Spec, Start,
    State, TaskId,
};
use crate::error::TaskError;

pub(super) struct Shared {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) clock: Clock,
    core: Mutex<Core>,
    pub(super) inbox: Inbox,
    /// Tasks in the inbox, and those that wait in the machine.
    inbox_count: AtomicUsize,
    pending: AtomicUsize,
    queue: usize,
    pub(super) classes: Vec<String>,
    pub(super) benches: Vec<Bench>,
    pub(super) workers: Sleepers,
    pub(super) timekeeper: Sleepers,
    /// When the timekeeper wakes up by itself.
    pub(super) armed: AtomicU64,
    pub(super) drained: Sleepers,
    controls: Mutex<Controls>,
    /// Aborts that found nothing to break off yet.
    early_count: AtomicUsize,
    /// Emergency tasks that no worker has looked for yet.
    pub(super) urgent: AtomicUsize,
    closed: AtomicBool,
    pub(super) stopped: AtomicBool,
    pub(super) grace: Duration,
    instruments: Option<Instruments>,
    on_end: Option<EveryEnd>,
    callback_panics: AtomicU64,
    /// Tasks with a callback, or all when there is one for all.
    callbacks: AtomicBool,
}

struct Core {
    machine: Machine<BoxJob>,
    scratch: Vec<Entry>,
}

/// What one worker has in hand. Others may take from it while its worker is held up.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Bench {
    pub(super) count: AtomicUsize,
    pub(super) items: Mutex<Items>,
}

#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) todo: VecDeque<Start<BoxJob>>,
    pub(super) done: Vec<Done>,
}

/// An attempt that ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) start: Start<BoxJob>,
    pub(super) outcome: Outcome,
    pub(super) ran: Ran,
}

#[derive(Debug, Default)]
struct Controls {
    by_task: HashMap<TaskId, Arc<Control>>,
    early: HashMap<TaskId, Abort>,
}

/// A task whose end is known, to be shown.
struct Ended {
    id: TaskId,
    job: Option<BoxJob>,
    error: Option<TaskError>,
    record: Option<Box<Record>>,
}

/// The choices of the builder.
pub(super) struct Parts {
    pub(super) executor: Arc<dyn Executor>,
    pub(super) machine: Machine<BoxJob>,
    pub(super) classes: Vec<String>,
    pub(super) workers: usize,
    pub(super) grace: Duration,
    pub(super) instruments: Option<Instruments>,
    pub(super) on_end: Option<EveryEnd>,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            executor: parts.executor,
            clock: Clock::new(),
            queue: parts.machine.limits().queue,
            core: Mutex::new(Core { machine: parts.machine, scratch: Vec::new() }),
            inbox: Inbox::new(),
            inbox_count: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            classes: parts.classes,
            benches: (0..parts.workers).map(|_| Bench::default()).collect(),
            workers: Sleepers::default(),
            timekeeper: Sleepers::default(),
            armed: AtomicU64::new(u64::MAX),
            drained: Sleepers::default(),
            controls: Mutex::new(Controls::default()),
            early_count: AtomicUsize::new(0),
            urgent: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            grace: parts.grace,
            instruments: parts.instruments,
            callbacks: AtomicBool::new(parts.on_end.is_some()),
            on_end: parts.on_end,
            callback_panics: AtomicU64::new(0),
        }
    }

    /// Takes a task that asks for nothing but a priority and a class.
    pub(super) fn submit_plain(&self, entry: Entry) -> Result<(), (Rejection, BoxJob)> {
        let is_known = usize::from(entry.class.0) < self.classes.len();
        let is_urgent = entry.priority == crate::core::Priority::Emergency;
        let ahead = self.inbox_count.fetch_add(1, Ordering::Relaxed);
        let has_room = ahead + self.pending.load(Ordering::Relaxed) < self.queue;
        let refused = if has_room && is_known && !self.closed.load(Ordering::Relaxed) {
            self.inbox.push(entry).err()
        } else {
            Some(entry)
        };
        if let Some(entry) = refused {
            self.inbox_count.fetch_sub(1, Ordering::Relaxed);
            let Entry { job, priority, class, .. } = entry;
            let spec = Spec { priority, class, ..Spec::default() };
            return self.submit(&spec, job).map(drop);
        }
        if is_urgent {
            self.urgent.fetch_add(1, Ordering::Relaxed);
        }
        self.workers.wake_one();
        Ok(())
    }

    /// Takes any task.
    pub(super) fn submit(&self, spec: &Spec, job: BoxJob) -> Result<TaskId, (Rejection, BoxJob)> {
        let now = self.clock.now();
        let mut core = self.core();
        let id = core.machine.submit(spec, job, now)?;
        core.machine.payload(id).into_iter().for_each(|job| job.assign(id));
        self.leave(core, Vec::new());
        if spec.priority == crate::core::Priority::Emergency {
            self.urgent.fetch_add(1, Ordering::Relaxed);
        }
        self.workers.wake_one();
        Ok(id)
    }

    /// Notes what has ended, takes in what was submitted, and starts up to `count` attempts into
    /// `todo`. Returns how many.
    pub(super) fn exchange(
        &self,
        done: Vec<Done>,
        count: usize,
        todo: &mut Vec<Start<BoxJob>>,
    ) -> usize {
        let now = self.clock.now();
        if let Some(instruments) = &self.instruments {
            done.iter().for_each(|done| instruments.ran(done));
        }
        let mut core = self.core_without_inbox();
        let ended = done.into_iter().filter_map(|done| self.finish(&mut core, done)).collect();
        self.take_in(&mut core);
        self.urgent.store(0, Ordering::Relaxed);
        let started = std::iter::from_fn(|| core.machine.start_next(now)).take(count);
        let before = todo.len();
        todo.extend(started);
        let count = todo.len() - before;
        self.leave(core, ended);
        count
    }

    /// Asks for the end of a task.
    pub(super) fn cancel(&self, id: TaskId) -> Cancel {
        let control = self.controls().by_task.get(&id).cloned();
        let grace = match &control {
            Some(control) if control.is_cooperative => self.grace,
            _ => Duration::ZERO,
        };
        let now = self.clock.now();
        let mut core = self.core();
        let cancel = core.machine.cancel(id, now, grace);
        self.leave(core, Vec::new());
        if let (Cancel::Asked, Some(control)) = (cancel, control) {
            control.token.cancel();
        }
        cancel
    }

    /// Refuses tasks from now on, and cancels what would begin after `until`.
    pub(super) fn close(&self, until: Moment) {
        self.closed.store(true, Ordering::SeqCst);
        let now = self.clock.now();
        let mut core = self.core();
        core.machine.close(now, until);
        self.leave(core, Vec::new());
    }

    /// Moves on what is due and breaks off what has to be; returns when to do so again.
    pub(super) fn tend(&self) -> Option<Moment> {
        let now = self.clock.now();
        let mut core = self.core();
        let mut due = Vec::new();
        while let Some(next) = core.machine.poll(now) {
            due.push(next);
        }
        let next = core.machine.next_timer();
        self.armed.store(next.map_or(u64::MAX, Moment::as_nanos), Ordering::SeqCst);
        let has_ready = core.machine.has_ready();
        self.leave(core, Vec::new());
        for due in due {
            match due {
                Due::Abort(id) => self.abort(id, Abort::Cancelled),
                Due::TimedOut(id) => self.abort(id, Abort::TimedOut),
            }
        }
        if has_ready {
            self.workers.wake_one();
        }
        next
    }

    /// Makes a running task reachable for [`cancel`](Self::cancel) and aborts.
    pub(super) fn register(&self, id: TaskId, control: &Arc<Control>) {
        let early = {
            let mut controls = self.controls();
            controls.by_task.insert(id, Arc::clone(control));
            let early = controls.early.remove(&id);
            self.early_count.store(controls.early.len(), Ordering::Relaxed);
            early
        };
        if let Some(why) = early {
            control.abort(why);
        }
    }

    /// Looks at the machine with everything that was submitted in it.
    pub(super) fn look<R>(&self, look: impl FnOnce(&mut Machine<BoxJob>) -> R) -> R {
        let mut core = self.core();
        let result = look(&mut core.machine);
        self.leave(core, Vec::new());
        result
    }

    /// Looks at the machine and changes nothing, so that nobody has to be told.
    pub(super) fn look_quietly<R>(&self, look: impl FnOnce(&Machine<BoxJob>) -> R) -> R {
        look(&self.core().machine)
    }

    /// Returns true when an attempt could start now.
    pub(super) fn has_startable(&self) -> bool {
        self.core_without_inbox().machine.can_start()
    }

    pub(super) fn expect_callbacks(&self) {
        self.callbacks.store(true, Ordering::Relaxed);
    }

    pub(super) fn callback_panics(&self) -> u64 {
        self.callback_panics.load(Ordering::Relaxed)
    }

    /// Brings gauges and counters up to date.
    pub(super) fn refresh(&self) {
        let core = self.core();
        if let Some(instruments) = &self.instruments {
            instruments.refresh(&core.machine, self.callback_panics());
        }
        self.leave(core, Vec::new());
    }

    fn abort(&self, id: TaskId, why: Abort) {
        let control = {
            let mut controls = self.controls();
            let control = controls.by_task.get(&id).cloned();
            if control.is_none() {
                controls.early.insert(id, why);
                self.early_count.store(controls.early.len(), Ordering::Relaxed);
            }
            control
        };
        if let Some(control) = control {
            control.abort(why);
        }
    }

    /// Tells the machine of an end; returns what there is to show.
    fn finish(&self, core: &mut Core, done: Done) -> Option<Ended> {
        let Done { start: Start { id, payload: mut job, .. }, outcome, ran } = done;
        let mut payload = None;
        let mut kept = None;
        let reason = match &outcome {
            Outcome::Failed(reason) => Some(Arc::clone(reason)),
            _ => None,
        };
        if job.repeats() {
            if let Some(control) = job.control() {
                control.rearm();
            }
            payload = Some(job);
        } else {
            kept = Some(job);
        }
        let (finish, back) = core.machine.finish(id, outcome, payload, ran, fastrand::u64(..));
        let Finish::Ended(state) = finish else { return None };
        job = back.or(kept)?;
        let record = self
            .callbacks
            .load(Ordering::Relaxed)
            .then(|| core.machine.record(id))
            .flatten()
            .map(Box::new);
        Some(Ended { id, error: error_of(state, reason, None), job: Some(job), record })
    }

    /// Gives the machine back: notes what changed, then shows what ended.
    fn leave(&self, mut core: MutexGuard<'_, Core>, mut ended: Vec<Ended>) {
        let now_pending = core.machine.pending();
        self.pending.store(now_pending, Ordering::Relaxed);
        ended.extend(core.machine.take_dropped().into_iter().map(dropped));
        let next = core.machine.next_timer().map_or(u64::MAX, Moment::as_nanos);
        let is_drained = now_pending == 0 && core.machine.running() == 0;
        if let Some(instruments) = &self.instruments
            && (is_drained || instruments.is_due())
        {
            instruments.refresh(&core.machine, self.callback_panics());
        }
        drop(core);
        if next < self.armed.load(Ordering::SeqCst) {
            self.armed.store(next, Ordering::SeqCst);
            self.timekeeper.wake_all();
        }
        for ended in ended {
            self.show(ended);
        }
        if is_drained {
            self.drained.wake_all();
        }
    }

    fn show(&self, ended: Ended) {
        let Ended { id, job, error, record } = ended;
        let control = job.as_ref().and_then(|job| job.control());
        if control.is_some() || self.has_early() {
            self.forget(id);
        }
        let callback = control.and_then(|control| control.take_callback());
        if let (Some(record), Some(callback)) = (&record, callback) {
            self.call(|| callback(record));
        }
        if let (Some(record), Some(on_end)) = (&record, &self.on_end) {
            self.call(|| on_end(record));
        }
        if let Some(job) = job {
            job.show(error);
            drop_job(job);
        }
    }

    /// Forgets how to reach a task that has ended.
    pub(super) fn forget(&self, id: TaskId) {
        let mut controls = self.controls();
        controls.by_task.remove(&id);
        controls.early.remove(&id);
        self.early_count.store(controls.early.len(), Ordering::Relaxed);
    }

    /// Runs a callback; a panic in it is counted.
    fn call(&self, callback: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(callback)).is_err() {
            self.callback_panics.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the machine, with everything in it that was submitted.
    fn core(&self) -> MutexGuard<'_, Core> {
        let mut core = self.core_without_inbox();
        self.take_in(&mut core);
        core
    }

    fn core_without_inbox(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_in(&self, core: &mut Core) {
        let Core { machine, scratch } = core;
        let mut count = 0;
        self.inbox.drain(scratch, |entry| {
            let Entry { job, submitted, priority, class } = entry;
            let id = machine.accept(priority, class, job, submitted);
            if let Some(job) = machine.payload(id) {
                job.assign(id);
            }
            count += 1;
        });
        if count > 0 {
            self.pending.store(machine.pending(), Ordering::Relaxed);
            self.inbox_count.fetch_sub(count, Ordering::Relaxed);
        }
    }

    fn controls(&self) -> MutexGuard<'_, Controls> {
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns true when an abort may wait for this task to be reachable.
    pub(super) fn has_early(&self) -> bool {
        self.early_count.load(Ordering::Relaxed) > 0
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("executor", &self.executor).finish_non_exhaustive()
    }
}

fn dropped(dropped: Dropped<BoxJob>) -> Ended {
    let Dropped { record, rejection, payload } = dropped;
    let reason = record.reason.clone();
    let error = error_of(record.state, reason, rejection);
    Ended { id: record.id, error, job: payload, record: Some(Box::new(record)) }
}

fn error_of(
    state: State,
    reason: Option<Arc<str>>,
    rejection: Option<Rejection>,
) -> Option<TaskError> {
    match state {
        State::Failed => Some(TaskError::Failed(reason.unwrap_or_default())),
        State::TimedOut => Some(TaskError::TimedOut),
        State::Rejected => rejection.map(|rejection| TaskError::Rejected(Box::new(rejection))),
        State::Pending | State::Running | State::Completed => None,
        State::Cancelled => Some(TaskError::Cancelled),
    }
}

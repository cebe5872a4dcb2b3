//! One worker: a long-lived task of the executor that polls users' futures itself.
//!
//! ```text
//! loop { exchange a batch with the machine; poll each future once; let the executor breathe }
//! ```
//!
//! A future that is ready at its first poll costs no task of the executor and no waker. One that
//! is not is handed to the executor with a waker of its own ([`super::parked`]).
//!
//! A batch is as large as [`BATCH_TIME`] of work, judged by the last ones, and at most
//! [`BATCH_MAX`] or the worker's share of the concurrency. Where tasks are so short that reading
//! the clock counts, [`CHUNK_MAX`] share two readings. What lies on a worker's bench beyond the
//! chunk in hand can be taken by a worker that has nothing to do, also its ends: so when one future
//! holds its worker up, the rest goes on elsewhere within [`HELP_AFTER`]. An Emergency ends the
//! batch after the chunk in hand.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::executor::YieldNow;
use super::job::BoxJob;
use super::job::{Abort, drop_job, poll_job};
use super::parked::Parked;
use super::shared::{Bench, Done, Items, Shared};
use crate::core::{Moment, Outcome, Ran, Start};

/// Works until the scheduler stops.
pub(super) async fn work(shared: Arc<Shared>, number: usize) {
    let mut pace = Pace::new(&shared);
    let mut in_vain = 0;
    while !shared.stopped.load(Ordering::Relaxed) {
        if refill(&shared, number, pace.batch()) || help(&shared, number) {
            in_vain = 0;
            run_batch(&shared, number, &mut pace);
        } else if in_vain < LOOKS {
            in_vain += 1;
        } else {
            sleep(&shared, number).await;
            in_vain = 0;
            continue;
        }
        YieldNow::default().await;
    }
}

impl Bench {
    pub(super) fn items(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, items: &Items) {
        self.count.store(items.todo.len() + items.done.len(), Ordering::Relaxed);
    }
}

/// How long tasks take lately, and what follows from it.
#[derive(Debug)]
struct Pace {
    nanos: f64,
    batch_max: usize,
}

impl Pace {
    fn new(shared: &Shared) -> Self {
        let concurrency = shared.look(|machine| machine.limits().concurrency);
        let share = concurrency / (2 * shared.benches.len());
        Self { nanos: BATCH_TIME.as_nanos() as f64, batch_max: share.clamp(1, BATCH_MAX) }
    }

    fn record(&mut self, time: Duration, count: usize) {
        let nanos = time.as_nanos() as f64 / count as f64;
        // Slowness is believed at once, quickness after a while.
        self.nanos = if nanos > self.nanos { nanos } else { self.nanos * 0.75 + nanos * 0.25 };
    }

    fn batch(&self) -> usize {
        let fit = BATCH_TIME.as_nanos() as f64 / self.nanos.max(1.0);
        (fit as usize).clamp(1, self.batch_max)
    }

    fn chunk(&self) -> usize {
        if self.nanos < CHUNK_BELOW.as_nanos() as f64 { CHUNK_MAX } else { 1 }
    }
}

/// Exchanges what ended for what starts; returns whether there is something to do.
fn refill(shared: &Shared, number: usize, batch: usize) -> bool {
    let bench = &shared.benches[number];
    let (done, left) = {
        let mut items = bench.items();
        let done = std::mem::take(&mut items.done);
        bench.note(&items);
        (done, items.todo.len())
    };
    let is_urgent = shared.urgent.load(Ordering::Relaxed) > 0;
    let count = if is_urgent { batch.max(1) } else { batch.saturating_sub(left) };
    let mut started = Vec::with_capacity(count);
    shared.exchange(done, count, &mut started);
    let is_shareable = started.len() + left > CHUNK_MAX;
    {
        let mut items = bench.items();
        // What was chosen now comes before what was chosen earlier: it may be an Emergency.
        for start in started.into_iter().rev() {
            items.todo.push_front(start);
        }
        bench.note(&items);
        if items.todo.is_empty() {
            return false;
        }
    }
    if is_shareable {
        shared.workers.wake_one();
    }
    true
}

/// Takes from the others' benches: half of what is to do, and all ends.
fn help(shared: &Shared, number: usize) -> bool {
    let others = (1..shared.benches.len()).map(|step| (number + step) % shared.benches.len());
    for other in others {
        let bench = &shared.benches[other];
        if bench.count.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let (mut todo, mut done) = {
            let mut items = bench.items();
            let keep = items.todo.len() / 2;
            let todo = items.todo.split_off(keep);
            let done = std::mem::take(&mut items.done);
            bench.note(&items);
            (todo, done)
        };
        let mine = &shared.benches[number];
        let mut items = mine.items();
        let found = !todo.is_empty() || !done.is_empty();
        items.todo.append(&mut todo);
        items.done.append(&mut done);
        mine.note(&items);
        if found {
            return true;
        }
    }
    false
}

/// Polls what is on the bench, until it is empty, time is up, or an Emergency waits.
fn run_batch(shared: &Arc<Shared>, number: usize, pace: &mut Pace) {
    let bench = &shared.benches[number];
    let begin = shared.clock.now();
    let mut now = begin;
    let mut chunk = Vec::with_capacity(CHUNK_MAX);
    let mut done = Vec::with_capacity(CHUNK_MAX);
    loop {
        {
            let mut items = bench.items();
            items.done.append(&mut done);
            let is_over = now.since(begin) >= BATCH_TIME * 2
                || shared.urgent.load(Ordering::Relaxed) > 0 && !chunk_is_first(now, begin);
            if !is_over {
                let count = pace.chunk().min(items.todo.len());
                chunk.extend(items.todo.drain(..count));
            }
            bench.note(&items);
        }
        if chunk.is_empty() {
            return;
        }
        let count = chunk.len();
        let chunk_begin = now;
        for start in chunk.drain(..) {
            run(shared, start, now, &mut done);
        }
        now = shared.clock.now();
        share_time(&mut done, chunk_begin, now);
        pace.record(now.since(chunk_begin), count);
    }
}

/// Returns true before anything of this batch was polled: an Emergency is in it then.
fn chunk_is_first(now: Moment, begin: Moment) -> bool {
    now == begin
}

/// Polls one future for the first time in this attempt.
fn run(shared: &Arc<Shared>, mut start: Start<BoxJob>, now: Moment, done: &mut Vec<Done>) {
    if let Some(control) = start.payload.control() {
        let control = Arc::clone(control);
        shared.register(start.id, &control);
        if let Some(why) = control.aborted() {
            start.payload.as_mut().rewind();
            done.push(Done {
                start,
                outcome: outcome_of(why),
                ran: Ran { began: now, ended: now },
            });
            return;
        }
    }
    let mut context = Context::from_waker(Waker::noop());
    match poll_job(&mut start.payload, &mut context) {
        Poll::Ready(attempt) => {
            let outcome = match attempt {
                Ok(()) => Outcome::Completed,
                Err(reason) => Outcome::Failed(reason),
            };
            done.push(Done { start, outcome, ran: Ran { began: now, ended: now } });
        }
        Poll::Pending => Parked::spawn(shared, start, now),
    }
}

pub(super) fn outcome_of(why: Abort) -> Outcome {
    match why {
        Abort::Cancelled => Outcome::Cancelled,
        Abort::TimedOut => Outcome::TimedOut,
    }
}

/// Spreads the time of a chunk evenly over what ended in it.
fn share_time(done: &mut [Done], begin: Moment, end: Moment) {
    let share = end.since(begin) / u32::try_from(done.len().max(1)).unwrap_or(u32::MAX);
    let mut at = begin;
    for done in done {
        done.ran.began = at;
        at = at + share;
        done.ran.ended = at;
    }
}

/// Sleeps until there may be something to do.
async fn sleep(shared: &Shared, number: usize) {
    // While another has something in hand, look again soon: it may be held up.
    let others_busy = || shared.benches.iter().any(|bench| bench.count.load(Ordering::Relaxed) > 0);
    let mut timer = others_busy().then(|| shared.executor.sleep(HELP_AFTER));
    let mut registered = false;
    let asleep = std::future::poll_fn(|context| {
        if registered {
            // Woken, or the timer rang.
            return Poll::Ready(());
        }
        registered = true;
        shared.workers.register(number, context.waker());
        let has_work = !shared.inbox.is_empty()
            || shared.urgent.load(Ordering::SeqCst) > 0
            || shared.stopped.load(Ordering::SeqCst)
            || shared.has_startable();
        let rang = timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        if has_work || rang { Poll::Ready(()) } else { Poll::Pending }
    });
    pin!(asleep).await;
    shared.workers.withdraw(number);
}

/// Drops what is left on the benches when the scheduler goes.
pub(super) fn clear(shared: &Shared) {
    for bench in &shared.benches {
        let todo = std::mem::take(&mut bench.items().todo);
        for start in todo {
            start.payload.show(Some(crate::error::TaskError::Cancelled));
            drop_job(start.payload);
        }
    }
}

/// As much work as a worker takes at once.
const BATCH_TIME: Duration = Duration::from_micros(40);

/// As many tasks as it takes at once.
const BATCH_MAX: usize = 128;

/// Tasks shorter than this share clock readings.
const CHUNK_BELOW: Duration = Duration::from_nanos(500);

/// As many of them.
const CHUNK_MAX: usize = 32;

/// How long a worker may be held up before another one takes over what it had in hand.
const HELP_AFTER: Duration = Duration::from_millis(1);

/// Looks for work before a worker goes to sleep: waking up is dearer than a few looks.
const LOOKS: u32 = 8;

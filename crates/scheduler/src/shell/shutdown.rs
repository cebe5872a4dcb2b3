//! The end of a scheduler, in order.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use super::shared::Shared;
use crate::core::{Cancel, Record};

/// What a shutdown found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shutdown {
    /// Tasks that were cancelled, as they stand at the end.
    pub cancelled: Vec<Record>,
    /// Tasks that go on nevertheless: closures that did not look at their token, futures that do
    /// not return from a poll.
    pub left: Vec<Record>,
}

pub(super) async fn run(shared: &Arc<Shared>, drain: Duration) -> Shutdown {
    let until = shared.clock.now() + drain;
    let before = shared.look(|machine| machine.unfinished());
    shared.close(until);
    wait(shared, drain).await;
    let mut asked = Vec::new();
    for record in before {
        let now = shared.look(|machine| machine.record(record.id));
        let ended = now.as_ref().is_some_and(|now| now.state.is_final());
        if ended && now.as_ref().is_some_and(|now| now.state != crate::core::State::Cancelled) {
            continue;
        }
        if ended || shared.cancel(record.id) != Cancel::TooLate {
            asked.push(record);
        }
    }
    if !asked.is_empty() {
        wait(shared, shared.grace * 2).await;
    }
    let left = shared.look(|machine| machine.unfinished());
    let is_left = |record: &Record| left.iter().any(|left| left.id == record.id);
    let cancelled = asked
        .into_iter()
        .filter(|record| !is_left(record))
        .map(|record| shared.look(|machine| machine.record(record.id)).unwrap_or(record));
    let cancelled = cancelled.collect();
    shared.stopped.store(true, Ordering::SeqCst);
    shared.workers.wake_all();
    shared.timekeeper.wake_all();
    shared.refresh();
    Shutdown { cancelled, left }
}

/// Waits until nothing waits or runs, at most so long.
async fn wait(shared: &Arc<Shared>, limit: Duration) {
    let mut timer = shared.executor.sleep(limit);
    let drained = std::future::poll_fn(|context| {
        shared.drained.register(0, context.waker());
        let is_drained =
            shared.look_quietly(|machine| machine.pending() == 0 && machine.running() == 0);
        if is_drained || timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    });
    pin!(drained).await;
    shared.drained.withdraw(0);
}

//! One task of the executor that does what is due: delays, retries, timeouts, grace, forgetting.
//!
//! It sleeps until the earliest timer of the machine, and is woken when an earlier one is set.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::shared::Shared;
use crate::core::Moment;

/// Keeps time until the scheduler stops.
pub(super) async fn keep(shared: Arc<Shared>) {
    while !shared.stopped.load(Ordering::SeqCst) {
        let next = shared.tend();
        sleep_until(&shared, next).await;
    }
}

async fn sleep_until(shared: &Shared, next: Option<Moment>) {
    let now = shared.clock.now();
    let mut timer = next.map(|next| shared.executor.sleep(next.since(now)));
    let armed = next.map_or(u64::MAX, Moment::as_nanos);
    std::future::poll_fn(|context| {
        shared.timekeeper.register(0, context.waker());
        let is_earlier = shared.armed.load(Ordering::SeqCst) < armed;
        let is_due = timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready());
        if is_earlier || is_due || shared.stopped.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    shared.timekeeper.withdraw(0);
}

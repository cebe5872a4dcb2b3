//! A future that was not ready at its first poll: a task of the executor, with a waker of its own.
//!
//! It is polled again at once, because the first poll had a waker that wakes nobody. When it is
//! broken off, the user's future is dropped before the end is made known; a closure on a thread
//! cannot be dropped, so its end is made known when it returns.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::job::{BoxJob, Control, poll_job, rewind_job};
use super::shared::{Done, Shared};
use super::worker::outcome_of;
use crate::core::{Moment, Outcome, Ran, Start};

pub(super) struct Parked {
    shared: Arc<Shared>,
    control: Arc<Control>,
    began: Moment,
    start: Option<Start<BoxJob>>,
}

impl Parked {
    pub(super) fn spawn(shared: &Arc<Shared>, start: Start<BoxJob>, began: Moment) {
        let control = match start.payload.control() {
            Some(control) => Arc::clone(control), // was registered before the first poll
            None => {
                let control = Arc::new(Control::new(None, false, None));
                shared.register(start.id, &control);
                control
            }
        };
        let shared_too = Arc::clone(shared);
        let parked = Self { shared: shared_too, control, began, start: Some(start) };
        shared.executor.spawn(Box::pin(parked));
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(start) = self.start.take() else { return };
        let ran = Ran { began: self.began, ended: self.shared.clock.now() };
        self.shared.forget(start.id);
        self.shared.exchange(vec![Done { start, outcome, ran }], 0, &mut Vec::new());
        if self.shared.has_startable() {
            self.shared.workers.wake_one();
        }
    }
}

impl Future for Parked {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(start) = &mut this.start else { return Poll::Ready(()) };
        this.control.watch(context.waker());
        if let Some(why) = this.control.aborted().filter(|_| !this.control.is_closure) {
            rewind_job(&mut start.payload);
            this.end(outcome_of(why));
            return Poll::Ready(());
        }
        let Poll::Ready(attempt) = poll_job(&mut start.payload, context) else {
            return Poll::Pending;
        };
        let outcome = match (this.control.aborted(), attempt) {
            (Some(why), _) => outcome_of(why),
            (None, Ok(())) => Outcome::Completed,
            (None, Err(reason)) => Outcome::Failed(reason),
        };
        this.end(outcome);
        Poll::Ready(())
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // The executor went away under it.
        if let Some(start) = &mut self.start {
            rewind_job(&mut start.payload);
            self.end(Outcome::Cancelled);
        }
    }
}

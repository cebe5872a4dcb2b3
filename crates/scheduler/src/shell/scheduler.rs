//! The scheduler as its users see it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::builder::Builder;
use super::handle::Handle;
use super::shared::Shared;
use super::shutdown::{self, Shutdown};
use super::task::Task;
use super::token::CancelToken;
use super::worker;
use crate::core::{Cancel, Class, Record, Rejection, Statistics, TaskId};

/// Runs tasks in the order of their urgency. Clones are the same scheduler.
///
/// When the last clone is dropped, tasks that wait are cancelled and futures that run are left to
/// the executor; [`shutdown`](Self::shutdown) ends it in order.
#[derive(Clone)]
pub struct Scheduler {
    owner: Arc<Owner>,
}

/// Stops the workers when the last user goes.
struct Owner {
    shared: Arc<Shared>,
}

impl Scheduler {
    /// Returns a builder with every default in place.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn start(shared: Arc<Shared>) -> Self {
        Self { owner: Arc::new(Owner { shared }) }
    }

    /// Submits a future with normal priority; see [`task`](Self::task) for more.
    ///
    /// # Errors
    ///
    /// When the queue is full or the scheduler is shutting down; the future is dropped then.
    pub fn submit<F>(&self, future: F) -> Result<Handle<F::Output>, Rejection>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.task().submit(future)
    }

    /// Submits a closure that may block, with normal priority. It is given a token to look at,
    /// because a closure cannot be broken off.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub fn submit_blocking<T, C>(&self, closure: C) -> Result<Handle<T>, Rejection>
    where
        T: Send + 'static,
        C: FnOnce(CancelToken) -> T + Send + 'static,
    {
        self.task().submit_blocking(closure)
    }

    /// Begins to describe a task.
    pub fn task(&self) -> Task<'_> {
        Task::new(&self.owner.shared)
    }

    /// Makes a task that waits wait for another one as well.
    ///
    /// # Errors
    ///
    /// When that would close a circle, either is unknown, the first has begun, or the second ended
    /// without completing. Nothing is changed then.
    pub fn depend(&self, task: TaskId, on: TaskId) -> Result<(), Rejection> {
        self.owner.shared.look(|machine| machine.depend(task, on))
    }

    /// Asks for the end of a task; see [`Handle::cancel`].
    pub fn cancel(&self, id: TaskId) -> Cancel {
        self.owner.shared.cancel(id)
    }

    /// Returns what is known about a task.
    pub fn status(&self, id: TaskId) -> Option<Record> {
        self.owner.shared.look(|machine| machine.record(id))
    }

    /// Returns what is known about every task that has not ended.
    pub fn unfinished(&self) -> Vec<Record> {
        self.owner.shared.look(|machine| machine.unfinished())
    }

    /// Reads everything that is counted.
    pub fn statistics(&self) -> Statistics {
        self.owner.shared.look(|machine| machine.statistics())
    }

    /// Returns how many completion callbacks panicked.
    pub fn callback_panics(&self) -> u64 {
        self.owner.shared.callback_panics()
    }

    /// Brings gauges and counters up to date; they follow by themselves after 1,024 ends, and when
    /// nothing is left to do.
    pub fn refresh_metrics(&self) {
        self.owner.shared.refresh();
    }

    /// Returns the class of this name.
    pub fn class(&self, name: &str) -> Option<Class> {
        let number = self.owner.shared.classes.iter().position(|class| class == name)?;
        u8::try_from(number).ok().map(Class)
    }

    /// Returns the name of a class.
    pub fn class_name(&self, class: Class) -> Option<&str> {
        self.owner.shared.classes.get(usize::from(class.0)).map(String::as_str)
    }

    /// Ends the scheduler in order: takes no more tasks, cancels what repeats or would begin too
    /// late, lets the rest end within `drain`, then cancels what is left and waits for that, twice
    /// the grace at most.
    ///
    /// # Cancel safety
    ///
    /// Giving it up leaves a scheduler that takes no tasks; it may be called again.
    pub async fn shutdown(&self, drain: Duration) -> Shutdown {
        shutdown::run(&self.owner.shared, drain).await
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.close(crate::core::Moment::ORIGIN);
        for record in shared.look(|machine| machine.unfinished()) {
            shared.cancel(record.id);
        }
        shared.stopped.store(true, Ordering::SeqCst);
        worker::clear(shared);
        shared.workers.wake_all();
        shared.timekeeper.wake_all();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.owner.shared.fmt(f)
    }
}

//! What a submitter keeps of a task.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::cell::Cell;
use super::shared::Shared;
use crate::core::{Cancel, Record, TaskId};
use crate::error::TaskError;

/// A task that was submitted: awaits its result, reports its state, asks for its end.
///
/// Dropping it lets the task go on.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` may be given up and taken up again.
pub struct Handle<T> {
    pub(super) cell: Arc<Cell<T>>,
    pub(super) shared: Arc<Shared>,
}

impl<T> Handle<T> {
    /// Returns the task's name.
    pub fn id(&self) -> TaskId {
        loop {
            if let Some(id) = self.cell.id() {
                return id;
            }
            // It is in the inbox: a look takes it in.
            self.shared.look(|_| ());
        }
    }

    /// Returns what is known about the task; `None` when that is forgotten.
    pub fn status(&self) -> Option<Record> {
        let id = self.id();
        self.shared.look(|machine| machine.record(id))
    }

    /// Asks for the end of the task. One that waits ends at once; one that runs is asked by its
    /// token, and broken off when it has none or its grace is over.
    pub fn cancel(&self) -> Cancel {
        self.shared.cancel(self.id())
    }

    /// Returns true when the result is there.
    pub fn is_finished(&self) -> bool {
        self.cell.is_shown()
    }
}

impl<T> Future for Handle<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    ///
    /// When it is polled after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.cell.poll(context)
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("id", &self.cell.id()).finish_non_exhaustive()
    }
}

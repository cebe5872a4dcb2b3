//! Where the result of a task waits for whoever awaits it.
//!
//! The job writes the value when its future is ready; it becomes visible when the machine has
//! taken note of the end, so that nobody sees a result of a task that still counts as running.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::core::TaskId;
use crate::error::TaskError;

#[derive(Debug)]
pub(super) struct Cell<T> {
    /// The task's number; 0 while it is in the inbox.
    id: AtomicU64,
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
enum Inner<T> {
    /// Nothing yet; who is to be woken.
    Empty(Option<Waker>),
    /// The value is there, the machine does not know yet.
    Held(T, Option<Waker>),
    Shown(Result<T, TaskError>),
    Taken,
}

impl<T> Cell<T> {
    pub(super) fn new() -> Self {
        Self { id: AtomicU64::new(0), inner: Mutex::new(Inner::Empty(None)) }
    }

    pub(super) fn assign(&self, id: TaskId) {
        self.id.store(id.as_u64(), Ordering::Release);
    }

    pub(super) fn id(&self) -> Option<TaskId> {
        let id = self.id.load(Ordering::Acquire);
        (id != 0).then(|| TaskId::from_u64(id))
    }

    /// Keeps the value until the end is known.
    pub(super) fn hold(&self, value: T) {
        let mut inner = self.inner();
        let waker = inner.take_waker();
        *inner = Inner::Held(value, waker);
    }

    /// Shows the value that is held, or the error instead.
    pub(super) fn show(&self, error: Option<TaskError>) {
        let mut inner = self.inner();
        let waker = inner.take_waker();
        let old = std::mem::replace(&mut *inner, Inner::Taken);
        let (result, rest) = match (error, old) {
            (None, Inner::Held(value, _)) => (Ok(value), None),
            (Some(error), old) => (Err(error), Some(old)),
            // A task completes by a value only; who lost it was cancelled on the way.
            (None, old) => (Err(TaskError::Cancelled), Some(old)),
        };
        *inner = Inner::Shown(result);
        drop(inner);
        drop(rest); // a value's drop is the user's code: not under the lock
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Result<T, TaskError>> {
        let mut inner = self.inner();
        match &mut *inner {
            Inner::Empty(waker) | Inner::Held(_, waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            Inner::Shown(_) | Inner::Taken => {}
        }
        match std::mem::replace(&mut *inner, Inner::Taken) {
            Inner::Shown(result) => Poll::Ready(result),
            _ => panic!("a handle was polled after it gave its result"),
        }
    }

    pub(super) fn is_shown(&self) -> bool {
        matches!(*self.inner(), Inner::Shown(_) | Inner::Taken)
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn take_waker(&mut self) -> Option<Waker> {
        match self {
            Self::Empty(waker) | Self::Held(_, waker) => waker.take(),
            Self::Shown(_) | Self::Taken => None,
        }
    }
}

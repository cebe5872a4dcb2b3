//! What the machine keeps of a task: its future, or what makes one, and the way to its result.
//!
//! One allocation holds the user's future and the reference to the [`Cell`]; another, the cell,
//! lives as long as a handle. What only some tasks have, token and callback, is in [`Control`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::cell::Cell;
use super::token::CancelToken;
use crate::core::{Record, TaskId};
use crate::error::TaskError;

/// A task as the shell runs it.
pub(super) type BoxJob = Pin<Box<dyn Job>>;

/// How an attempt went: well, or with this reason.
pub(super) type Attempt = Result<(), Arc<str>>;

pub(super) trait Job: Send {
    /// Goes on with the attempt, or begins one.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Attempt>;

    /// Drops what is left of an attempt, so that another can begin.
    fn rewind(self: Pin<&mut Self>);

    /// Returns true when another attempt can be made.
    fn repeats(&self) -> bool;

    fn assign(&self, id: TaskId);

    /// Shows the result of the last attempt, or the error instead.
    fn show(&self, error: Option<TaskError>);

    fn control(&self) -> Option<&Arc<Control>>;
}

impl fmt::Debug for dyn Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("repeats", &self.repeats()).finish_non_exhaustive()
    }
}

pin_project! {
    /// One future, one attempt.
    pub(super) struct Once<F: Future> {
        #[pin]
        pub(super) future: Option<F>,
        pub(super) cell: Arc<Cell<F::Output>>,
        pub(super) control: Option<Arc<Control>>,
    }
}

impl<F> Job for Once<F>
where
    F: Future + Send,
    F::Output: Send,
{
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Attempt> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        let Poll::Ready(value) = future.poll(context) else { return Poll::Pending };
        this.future.set(None);
        this.cell.hold(value);
        Poll::Ready(Ok(()))
    }

    fn rewind(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }

    fn repeats(&self) -> bool {
        false
    }

    fn assign(&self, id: TaskId) {
        self.cell.assign(id);
    }

    fn show(&self, error: Option<TaskError>) {
        self.cell.show(error);
    }

    fn control(&self) -> Option<&Arc<Control>> {
        self.control.as_ref()
    }
}

pin_project! {
    /// A closure that makes a future for each attempt.
    pub(super) struct Repeated<M, F, T> {
        pub(super) make: M,
        #[pin]
        pub(super) future: Option<F>,
        pub(super) cell: Arc<Cell<T>>,
        pub(super) control: Option<Arc<Control>>,
    }
}

impl<M, F, T, E> Job for Repeated<M, F, T>
where
    M: FnMut() -> F + Send,
    F: Future<Output = Result<T, E>> + Send,
    T: Send,
    E: fmt::Display,
{
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Attempt> {
        let mut this = self.project();
        if this.future.is_none() {
            let future = (this.make)();
            this.future.set(Some(future));
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        let Poll::Ready(result) = future.poll(context) else { return Poll::Pending };
        this.future.set(None);
        Poll::Ready(match result {
            Ok(value) => {
                this.cell.hold(value);
                Ok(())
            }
            Err(error) => Err(error.to_string().into()),
        })
    }

    fn rewind(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }

    fn repeats(&self) -> bool {
        true
    }

    fn assign(&self, id: TaskId) {
        self.cell.assign(id);
    }

    fn show(&self, error: Option<TaskError>) {
        self.cell.show(error);
    }

    fn control(&self) -> Option<&Arc<Control>> {
        self.control.as_ref()
    }
}

/// Called once with what became of a task.
pub(super) type Callback = Box<dyn FnOnce(&Record) + Send>;

/// Called with what became of every task.
pub(super) type EveryEnd = Box<dyn Fn(&Record) + Send + Sync>;

/// What some tasks have besides their future: how to stop it, and who wants to hear of its end.
pub(super) struct Control {
    pub(super) token: CancelToken,
    /// The task looks at the token, so it is given time to stop by itself.
    pub(super) is_cooperative: bool,
    /// Breaking it off frees nothing: a closure on a thread goes on.
    pub(super) is_closure: bool,
    callback: Mutex<Option<Callback>>,
    /// 0, or why the attempt is to be broken off.
    abort: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

/// Why an attempt is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Abort {
    Cancelled = 1,
    TimedOut = 2,
}

impl Control {
    pub(super) fn new(
        token: Option<CancelToken>,
        is_closure: bool,
        callback: Option<Callback>,
    ) -> Self {
        Self {
            is_cooperative: token.is_some(),
            token: token.unwrap_or_default(),
            is_closure,
            callback: Mutex::new(callback),
            abort: AtomicU8::new(0),
            waker: Mutex::new(None),
        }
    }

    /// Has the attempt broken off at its next poll, which comes at once.
    pub(super) fn abort(&self, why: Abort) {
        self.token.cancel();
        self.abort.store(why as u8, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn aborted(&self) -> Option<Abort> {
        match self.abort.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Abort::Cancelled),
            _ => Some(Abort::TimedOut),
        }
    }

    /// Forgets why an attempt was broken off, for the next one.
    pub(super) fn rearm(&self) {
        self.abort.store(0, Ordering::Release);
    }

    /// Sets who is woken by an abort; to be followed by a look at [`aborted`](Self::aborted).
    pub(super) fn watch(&self, waker: &Waker) {
        let mut slot = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(old) => old.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }

    pub(super) fn take_callback(&self) -> Option<Callback> {
        self.callback.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("aborted", &self.aborted()).finish_non_exhaustive()
    }
}

/// Polls a job; a panic is a failure of the attempt and goes no further.
pub(super) fn poll_job(job: &mut BoxJob, context: &mut Context<'_>) -> Poll<Attempt> {
    match catch_unwind(AssertUnwindSafe(|| job.as_mut().poll(context))) {
        Ok(poll) => poll,
        Err(panic) => {
            rewind_job(job);
            Poll::Ready(Err(format!("panicked: {}", panic_text(&*panic)).into()))
        }
    }
}

/// Drops what is left of an attempt; a panic in that is the user's and ends here.
pub(super) fn rewind_job(job: &mut BoxJob) {
    // A future that panics when dropped is gone nevertheless.
    let _ = catch_unwind(AssertUnwindSafe(|| job.as_mut().rewind()));
}

/// Drops a job and the user's future in it; a panic in that is the user's and ends here.
pub(super) fn drop_job(job: BoxJob) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(job)));
}

/// Returns what a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

//! What the shell needs of a runtime: a few long-lived tasks, threads for closures, a timer.
//!
//! The scheduler polls most futures itself; the executor sees one task per worker, one for the
//! timers, and one for each future that was not ready at its first poll.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;

/// A future that is somebody else's to poll.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A closure for a thread that may block.
pub type BoxClosure = Box<dyn FnOnce() + Send>;

/// A runtime that carries a scheduler.
pub trait Executor: fmt::Debug + Send + Sync + 'static {
    /// Polls a future to its end. One that is dropped before was cancelled.
    fn spawn(&self, future: BoxFuture);

    /// Runs a closure where blocking hurts nobody.
    fn spawn_blocking(&self, closure: BoxClosure);

    /// Returns a future that is ready after this time.
    fn sleep(&self, duration: Duration) -> BoxFuture;

    /// Returns how many futures are polled at the same time; the number of workers to have.
    fn parallelism(&self) -> usize;
}

/// Carries a scheduler on tokio; the runtime needs its timer enabled.
#[derive(Clone, Debug)]
pub struct Tokio(Handle);

impl Tokio {
    /// Uses the runtime of this handle.
    pub fn new(handle: Handle) -> Self {
        Self(handle)
    }

    /// Uses the runtime that the caller is in, when there is one.
    pub fn current() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }
}

impl Executor for Tokio {
    fn spawn(&self, future: BoxFuture) {
        drop(self.0.spawn(future));
    }

    fn spawn_blocking(&self, closure: BoxClosure) {
        drop(self.0.spawn_blocking(closure));
    }

    fn sleep(&self, duration: Duration) -> BoxFuture {
        let _inside = self.0.enter();
        Box::pin(tokio::time::sleep(duration))
    }

    fn parallelism(&self) -> usize {
        self.0.metrics().num_workers()
    }
}

/// Lets others run once.
#[derive(Debug, Default)]
pub(super) struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

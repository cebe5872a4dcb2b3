//! A wish to stop that a task can look at.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Tells a task that its end is wanted. Clones share the wish.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cancelled: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl CancelToken {
    /// Returns a token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns true once the end is wanted; one relaxed load.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Waits until the end is wanted.
    ///
    /// # Cancel safety
    ///
    /// Dropping it forgets the waiter; nothing is lost.
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled { token: self, key: None }
    }

    /// Asks for the end, and wakes who waits for that.
    pub fn cancel(&self) {
        let wakers = {
            let mut waiting = self.0.waiting();
            self.0.cancelled.store(true, Ordering::Relaxed);
            std::mem::take(&mut waiting.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready when the token is cancelled.
#[derive(Debug)]
#[must_use = "a future does nothing unless polled"]
pub struct Cancelled<'a> {
    token: &'a CancelToken,
    key: Option<u64>,
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let token = self.token;
        let mut waiting = token.0.waiting();
        // Read under the lock that `cancel` writes under: no wake-up falls between.
        if token.is_cancelled() {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            waiting.next += 1;
            waiting.next
        });
        waiting.wakers.insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.token.0.waiting().wakers.remove(&key);
        }
    }
}

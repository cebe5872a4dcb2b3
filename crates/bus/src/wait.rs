//! The two kinds of every queue: those that are only polled and those that can be waited on.
//!
//! The kind is a type parameter, so that a queue which nobody waits on has no trace of waiting in
//! it: no fence, no field, no branch. A data plane that polls many queues takes [`Polling`];
//! threads and tasks that have nothing else to do take [`Waiting`].

use std::fmt;

use crate::event::Event;

/// How a queue is waited on: [`Polling`] or [`Waiting`].
pub trait Wait: notify::Notify + Default + fmt::Debug + Send + Sync + 'static {}

/// The queue has `try_` forms only; the caller decides when to try again.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Polling;

/// Threads may block on the queue and tasks may await it.
///
/// Costs a SeqCst fence (about 20 cycles) and a load for each push and pop, or batch of them, and
/// a lock only while somebody waits.
#[derive(Debug)]
pub struct Waiting {
    /// For those who pop.
    pub(crate) values: Event,
    /// For those who push.
    pub(crate) space: Event,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { values: Event::new(), space: Event::new() }
    }
}

impl Wait for Polling {}
impl Wait for Waiting {}

/// Seals [`Wait`]: what a queue tells those who wait on it.
pub(crate) mod notify {
    /// Called by a queue after each change.
    #[expect(unnameable_types, reason = "seals the public trait")]
    pub trait Notify {
        /// `count` values can be popped that could not before.
        fn pushed(&self, count: usize);
        /// Room for `count` values has been made.
        fn popped(&self, count: usize);
        /// The queue is closed: every waiter must look.
        fn closed(&self) {
            self.pushed(usize::MAX);
            self.popped(usize::MAX);
        }
    }
}

impl notify::Notify for Polling {
    #[inline(always)]
    fn pushed(&self, _count: usize) {}

    #[inline(always)]
    fn popped(&self, _count: usize) {}
}

impl notify::Notify for Waiting {
    #[inline]
    fn pushed(&self, count: usize) {
        self.values.notify(count);
    }

    #[inline]
    fn popped(&self, count: usize) {
        self.space.notify(count);
    }
}

//! The budget of file descriptors, over all proxies and workers.
//!
//! A connection takes two descriptors, so both are reserved before the first is taken: a client is
//! then left in the kernel's queue until it can be served, instead of being accepted and reset.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Descriptors of one connection: the client's and the backend's.
pub(crate) const PER_CONNECTION: u64 = 2;

/// How many connections may be open, and how many are.
#[derive(Debug)]
pub(crate) struct Descriptors {
    files: u64,
    connections_max: AtomicU64,
    open: AtomicU64,
    none_open: Notify,
}

/// The descriptors of one connection; given back on drop.
#[derive(Debug)]
pub(crate) struct Reservation(Arc<Descriptors>);

impl Descriptors {
    /// Creates the budget of a process that may open `files` descriptors.
    pub(crate) fn new(files: u64) -> Arc<Self> {
        Arc::new(Self {
            files,
            connections_max: AtomicU64::new(0),
            open: AtomicU64::new(0),
            none_open: Notify::new(),
        })
    }

    /// Sets aside what everything but connections needs; at least one connection stays possible.
    pub(crate) fn set_aside(&self, others: u64) {
        let rest = self.files.saturating_sub(others);
        self.connections_max.store((rest / PER_CONNECTION).max(1), Ordering::Relaxed);
    }

    /// Returns how many descriptors the process may open.
    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    /// Returns how many connections they suffice for.
    pub(crate) fn connections_max(&self) -> u64 {
        self.connections_max.load(Ordering::Relaxed)
    }

    /// Reserves the descriptors of one connection, if there are any left.
    pub(crate) fn reserve(self: &Arc<Self>) -> Option<Reservation> {
        let max = self.connections_max();
        let below = |open| (open < max).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).ok()?;
        Some(Reservation(Arc::clone(self)))
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let notified = self.none_open.notified();
            if self.open.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Release: who sees zero sees the sockets closed.
        if self.0.open.fetch_sub(1, Ordering::Release) == 1 {
            self.0.none_open.notify_waiters();
        }
    }
}

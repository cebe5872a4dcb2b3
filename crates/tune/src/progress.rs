//! How a session tells where it is, and how it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Error;

/// A flag that ends a session at its next step. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks the session to end: running commands are killed, copies are removed.
    pub fn request(&self) {
        // Relaxed: the flag carries no other data, and every reader asks again soon.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns true once somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns the error of a stopped session once somebody asked.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn check(&self) -> Result<(), Error> {
        if self.is_requested() { Err(Error::cancelled()) } else { Ok(()) }
    }
}

/// One step of a session, told while it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub what: String,
    /// Steps done of `total`.
    pub done: u64,
    /// All steps of this part, at most.
    pub total: u64,
    /// The time that this part may still take, where it can be told.
    pub left: Option<Duration>,
}

/// What every part that takes time is given.
#[derive(Clone, Copy)]
pub struct Observer<'a> {
    tell: &'a (dyn Fn(&Progress) + Sync),
    stop: &'a Stop,
}

impl<'a> Observer<'a> {
    /// Returns an observer that calls `tell` for each step and ends when `stop` is requested.
    #[must_use]
    pub fn new(tell: &'a (dyn Fn(&Progress) + Sync), stop: &'a Stop) -> Self {
        Self { tell, stop }
    }

    /// Tells a step whose end cannot be foreseen.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) once somebody asked to stop.
    pub fn begin(&self, what: impl Into<String>) -> Result<(), Error> {
        self.step(what, 0, 1, None)
    }

    /// Tells step `done` of `total`.
    ///
    /// # Errors
    ///
    /// As [`Observer::begin`].
    pub fn step(
        &self,
        what: impl Into<String>,
        done: u64,
        total: u64,
        left: Option<Duration>,
    ) -> Result<(), Error> {
        (self.tell)(&Progress { what: what.into(), done, total, left });
        self.stop.check()
    }

    /// Returns the flag that ends the session.
    #[must_use]
    pub fn stop(&self) -> &'a Stop {
        self.stop
    }
}

impl std::fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("stop", self.stop).finish_non_exhaustive()
    }
}

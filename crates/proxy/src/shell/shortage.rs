//! Says in the log that something ran out, and that it is there again: one line for each regime,
//! however many connections it concerns.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether something is short at present.
#[derive(Debug, Default)]
pub(crate) struct Shortage(AtomicBool);

impl Shortage {
    /// Takes note that something is short; the first time, the log says `what`.
    pub(crate) fn begin(&self, proxy: &str, what: &dyn Display) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!("proxy {proxy}: {what}");
        }
    }

    /// Takes note that it is there; the first time after a shortage, the log says `what`.
    pub(crate) fn end(&self, proxy: &str, what: &str) {
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("proxy {proxy}: {what}");
        }
    }
}

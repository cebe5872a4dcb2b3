//! Says in the log that something ran out, and that it is there again: one line for each regime,
//! however many connections it concerns, and at most one regime in [`QUIET`].

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::clock;

/// A shortage that returns within this time after it was announced is not announced again.
const QUIET: Duration = Duration::from_secs(10);

/// Whether something is short at present.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    short: AtomicBool,
    announced: Mutex<Announced>,
}

#[derive(Debug, Default)]
struct Announced {
    at: Option<Instant>,
    /// The shortage stands in the log, its end does not.
    open: bool,
}

impl Shortage {
    /// Takes note that something is short; where that is news, the log says `what`.
    pub(crate) fn begin(&self, proxy: &str, what: &dyn Display) {
        if self.short.swap(true, Ordering::Relaxed) {
            return;
        }
        let now = clock::now();
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if !announced.open && announced.at.is_none_or(|at| now.duration_since(at) >= QUIET) {
            *announced = Announced { at: Some(now), open: true };
            tracing::warn!("proxy {proxy}: {what}");
        }
    }

    /// Takes note that it is there; after a shortage that stands in the log, the log says `what`.
    pub(crate) fn end(&self, proxy: &str, what: &str) {
        if !self.short.load(Ordering::Relaxed) || !self.short.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut announced.open) {
            tracing::info!("proxy {proxy}: {what}");
        }
    }
}

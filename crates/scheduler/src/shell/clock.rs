//! The only place of this crate that reads the clock.

use std::time::Instant;

use crate::core::Moment;

/// Counts from its own making.
#[derive(Debug)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
    pub(super) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// Reads the monotonic clock: about 50 ns.
    pub(super) fn now(&self) -> Moment {
        Moment::ORIGIN + self.origin.elapsed()
    }
}

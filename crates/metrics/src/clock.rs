//! The only place of this crate that reads a clock: for timers, and for the moment at which a
//! series began. Everything else takes `now`.

use std::time::{Instant, SystemTime};

/// Reads the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one monotonic clock of this crate")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Reads the wall clock.
#[expect(clippy::disallowed_methods, reason = "the one wall clock of this crate")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

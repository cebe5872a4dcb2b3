//! The only place of this crate that reads the clock.
//!
//! A reading is a system call on machines without a vDSO clock, so the data plane takes one per
//! accepted connection and per timer expiry, and none per byte moved.

use std::time::Instant;

/// Reads the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

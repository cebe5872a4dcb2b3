//! The one place of the crate that reads a clock.

use std::time::Instant;

/// Returns the present moment.
#[expect(clippy::disallowed_methods, reason = "the one clock of this crate's shell")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

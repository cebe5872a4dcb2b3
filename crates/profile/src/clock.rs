//! The only place of this crate that reads clocks.

use std::time::{Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Reads the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Reads the calendar's clock, for the date in a profile.
#[expect(clippy::disallowed_methods, reason = "the one clock of this crate")]
pub(crate) fn date() -> SystemTime {
    SystemTime::now()
}

/// Reads the clock that samples are stamped with, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanoseconds
}

//! When the connections of a removed backend or listener are closed.

use std::time::{Duration, Instant};

use super::random::fraction;
use super::settings::{DURATION_MAX, Drain};

/// Returns when a connection whose drain began at `start` is to be closed if it is still open.
///
/// With random words the moments are spread evenly over the last `jitter` before the deadline, so
/// that clients do not all return at once; a jitter longer than the deadline counts as the
/// deadline.
pub fn close_at(start: Instant, drain: Drain, random: u64) -> Instant {
    let deadline = drain.deadline.min(DURATION_MAX);
    let jitter = drain.jitter.min(deadline);
    let early: Duration = jitter.mul_f64(fraction(random));
    start + deadline - early
}

//! Slow start: a backend that came up is given its weight bit by bit.

use std::time::Duration;

use super::balance::WEIGHT_ONE;

/// Returns the effective weight, in 1/[`WEIGHT_ONE`], of a backend that has been up for
/// `since_up`.
///
/// It grows in a straight line from a tenth of the full weight to all of it at the end of `ramp`.
/// It is 0 only for a `weight` of 0, and full at once if `ramp` is zero.
pub fn effective_weight(weight: u16, since_up: Duration, ramp: Duration) -> u32 {
    let full = u32::from(weight) * WEIGHT_ONE;
    if since_up >= ramp {
        return full;
    }
    let done = since_up.as_secs_f64() / ramp.as_secs_f64();
    let part = FLOOR + (1.0 - FLOOR) * done;
    // At least 25 for weight 1: the floor keeps it above 0.
    (f64::from(full) * part) as u32
}

/// Part of the weight at the start, as in Envoy's slow start.
const FLOOR: f64 = 0.1;

//! The better of two random backends, by peak EWMA of the connect time and open connections.
//!
//! Comparing two instead of all keeps workers that see the same numbers from herding, and the
//! longest queue is still exponentially shorter than with one random choice (Mitzenmacher: "The
//! Power of Two Choices in Randomized Load Balancing", 1996). The score is Finagle's and
//! linkerd's: latency times the connections there would be.

use super::{Fleet, Load, WEIGHT_ONE, weighted};
use crate::core::random::Draws;

/// Draws two backends by weight, the second from the others, and returns the one with the lower
/// [`score`]; the first if these are equal.
pub(super) fn pick(fleet: &(impl Fleet + ?Sized), draws: &mut Draws) -> Option<usize> {
    let first = weighted::pick(fleet, None, draws)?;
    let Some(second) = weighted::pick(fleet, Some(first), draws) else {
        return Some(first);
    };
    let better = score(fleet.load(second)) < score(fleet.load(first));
    Some(if better { second } else { first })
}

/// Returns the cost of one more connection: connect time in microseconds times one more than the
/// connections for each unit of weight.
///
/// A backend never measured costs nothing while it has no connection, so that it is tried, and
/// more than any measured one while the first is under way, so that it is not flooded.
pub(super) fn score(load: Load) -> f64 {
    let per_weight =
        f64::from(load.connections) * f64::from(WEIGHT_ONE) / f64::from(load.weight.max(1));
    let connect_us = match (load.ewma_us, load.connections) {
        (0, 0) => 0.0,
        (0, _) => UNMEASURED_US,
        (ewma_us, _) => f64::from(ewma_us),
    };
    connect_us * (per_weight + 1.0)
}

/// Above every score of a measured backend: those stay below 2^32 us * (2^32 * 2^8 + 1).
const UNMEASURED_US: f64 = (1_u128 << 73) as f64;

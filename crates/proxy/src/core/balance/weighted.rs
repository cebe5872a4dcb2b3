//! Weighted random: each backend is drawn with the probability of its weight in the sum.

use super::Fleet;
use crate::core::random::Draws;

/// Draws a backend by weight, `except` one.
pub(super) fn pick(
    fleet: &(impl Fleet + ?Sized),
    except: Option<usize>,
    draws: &mut Draws,
) -> Option<usize> {
    let eligible = || {
        (0..fleet.len())
            .filter(|index| Some(*index) != except)
            .map(|index| (index, u64::from(fleet.weight(index))))
            .filter(|(_, weight)| *weight > 0)
    };
    let total = eligible().map(|(_, weight)| weight).sum();
    let mut left = draws.below(total);
    let mut last = None;
    for (index, weight) in eligible() {
        if left < weight {
            return Some(index);
        }
        left -= weight;
        last = Some(index);
    }
    // Reached only when weights were lowered since they were summed up.
    last
}

//! Fewest open connections for its weight; among equals, drawn by weight.
//!
//! Drawing matters twice: workers that see the same counts do not all run to the same backend,
//! and an idle fleet is used by weight instead of from the top of the list (nginx's `least_conn`
//! takes turns there for the same reason).

use std::cmp::Ordering;

use super::{Fleet, Load};
use crate::core::random::Draws;

pub(super) fn pick(fleet: &(impl Fleet + ?Sized), draws: &mut Draws) -> Option<usize> {
    let mut best: Option<(usize, Load)> = None;
    let mut tied_weight = 0;
    for index in 0..fleet.len() {
        let load = fleet.load(index);
        if load.weight == 0 {
            continue;
        }
        let weight = u64::from(load.weight);
        match best.map_or(Ordering::Less, |(_, best)| compare(load, best)) {
            Ordering::Less => {
                best = Some((index, load));
                tied_weight = weight;
            }
            Ordering::Equal => {
                tied_weight += weight;
                if draws.below(tied_weight) < weight {
                    best = Some((index, load));
                }
            }
            Ordering::Greater => {}
        }
    }
    best.map(|(index, _)| index)
}

/// Orders two loads, neither of weight 0, by connections per weight, exactly.
pub(super) fn compare(a: Load, b: Load) -> Ordering {
    let cross = |load: Load, other: Load| u64::from(load.connections) * u64::from(other.weight);
    cross(a, b).cmp(&cross(b, a))
}

//! Weighted rendezvous hashing: every backend bids for a client, the highest bid wins.
//!
//! A bid depends on the client, one backend and its weight only. So when a backend leaves, its
//! clients go elsewhere and nobody else's do; when one joins or gains weight, clients move to it
//! and nowhere else (Thaler, Ravishankar: "Using Name-Based Mappings to Increase Hit Rates",
//! IEEE/ACM ToN 1998). Bids of `-weight / ln(hash)` make the shares exactly the weights
//! (Schindelhauer, Schomaker: "Weighted Distributed Hash Tables", SPAA 2005).

use super::{Fleet, hash};
use crate::core::random::fraction;

pub(super) fn pick(fleet: &(impl Fleet + ?Sized), key: u64) -> Option<usize> {
    let mut best: Option<(usize, Bid)> = None;
    for index in 0..fleet.len() {
        let weight = fleet.weight(index);
        if weight == 0 {
            continue;
        }
        let bid = Bid { hash: hash::pair(key, fleet.id(index)), weight };
        if best.as_ref().is_none_or(|(_, best)| bid.beats(best)) {
            best = Some((index, bid));
        }
    }
    best.map(|(index, _)| index)
}

/// What a backend offers for a client.
struct Bid {
    hash: u64,
    weight: u32,
}

impl Bid {
    fn beats(&self, other: &Self) -> bool {
        if self.weight == other.weight {
            // The value grows with the hash: no need for two logarithms.
            self.hash > other.hash
        } else {
            self.value() > other.value()
        }
    }

    fn value(&self) -> f64 {
        // Half a step away from 0 and 1, where the logarithm is infinite or nothing.
        -f64::from(self.weight) / (fraction(self.hash) + 0.5_f64.powi(54)).ln()
    }
}

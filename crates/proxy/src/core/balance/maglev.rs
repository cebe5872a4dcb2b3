//! Maglev consistent hashing: one look-up in a table that nodes with the same backends agree on.
//!
//! Each backend has its own order of preference over the slots of the table; they take turns in
//! claiming the first slot on their list that is still free (Eisenbud et al.: "Maglev: A Fast and
//! Reliable Software Network Load Balancer", NSDI 2016, section 3.4). Turns come in proportion
//! to weight, so with equal weights the slots held differ by at most one. When a backend leaves
//! and the table is built anew, its slots are shared out and few others change hands.
//!
//! Limits: the table's size is a prime, 65,537 or at least 100 slots for each backend, 4 bytes a
//! slot; building costs size * log(backends).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Fleet, hash};
use crate::core::random::mix;

/// The look-up table of [`Policy::Maglev`](crate::core::settings::Policy::Maglev), built by the
/// control side and shared by all workers.
///
/// It holds for the backends it was built from, in their order, and their full weights. A backend
/// that is out, or still in slow start, needs no new table: the clients it does not take for now
/// are spread over the others by source-hash, and nobody else moves.
#[derive(Debug)]
pub struct Maglev {
    /// Index of the backend that holds each slot; empty when no backend has weight.
    slots: Vec<u32>,
    /// Id and full weight of each backend.
    backends: Vec<(u64, u32)>,
}

impl Maglev {
    /// Builds the table for backends given as [`backend_id`](super::backend_id) and full weight
    /// in the unit of [`Load::weight`](super::Load); one of weight 0 gets no slot, each other at
    /// least one.
    ///
    /// The same backends in another order give the same table, up to the indices in it.
    pub fn new(backends: &[(u64, u32)]) -> Self {
        let mut order: Vec<usize> =
            (0..backends.len()).filter(|index| backends[*index].1 > 0).collect();
        order.sort_by_key(|index| backends[*index].0);
        let size = prime_from(SIZE_MIN.max(order.len() as u64 * SLOTS_PER_BACKEND));
        let mut claims: Vec<Claim> =
            order.iter().map(|index| Claim::new(backends[*index], *index as u32, size)).collect();

        // The next turn of each backend: (when, rank).
        let mut turns: BinaryHeap<Reverse<(u64, usize)>> =
            (0..claims.len()).map(|rank| Reverse((0, rank))).collect();
        let mut slots = vec![FREE; if claims.is_empty() { 0 } else { size as usize }];
        for _ in 0..slots.len() {
            let mut next = turns.peek_mut().expect("every backend with weight has a next turn");
            let Reverse((when, rank)) = &mut *next;
            let claim = &mut claims[*rank];
            claim.take(&mut slots);
            *when = claim.turn_next();
        }
        Self { slots, backends: backends.to_vec() }
    }

    /// Returns the slots of the table; 0 when no backend has weight.
    pub fn size(&self) -> usize {
        self.slots.len()
    }

    /// Returns the holder of the client's slot, unless it does not take the client at present or
    /// the table is for other backends.
    pub(super) fn pick(&self, fleet: &(impl Fleet + ?Sized), key: u64) -> Option<usize> {
        let size = self.slots.len() as u64;
        let index = self.slots[key.checked_rem(size)? as usize] as usize;
        let (id, weight_full) = self.backends[index];
        let current = index < fleet.len() && fleet.id(index) == id;
        (current && takes(key, id, fleet.weight(index), weight_full)).then_some(index)
    }

    /// Returns how many slots each backend holds.
    pub(super) fn slots_held(&self) -> Vec<usize> {
        let mut held = vec![0; self.backends.len()];
        for index in &self.slots {
            held[*index as usize] += 1;
        }
        held
    }

    /// Returns the part, 0 to 1, of its slots' clients that a backend takes at present.
    pub(super) fn part_taken(&self, fleet: &(impl Fleet + ?Sized), index: usize) -> f64 {
        let (id, weight_full) = self.backends[index];
        if weight_full == 0 || index >= fleet.len() || fleet.id(index) != id {
            return 0.0;
        }
        (f64::from(fleet.weight(index)) / f64::from(weight_full)).min(1.0)
    }
}

/// Returns true when this client is among the `weight / weight_full` that the backend takes.
fn takes(key: u64, id: u64, weight: u32, weight_full: u32) -> bool {
    let draw = hash::pair(key, id ^ TAKES_SALT) >> 32;
    draw * u64::from(weight_full) < u64::from(weight) << 32
}

/// One backend's way through the slots.
struct Claim {
    index: u32,
    weight: u64,
    /// The slot to ask for next; from one to the next it is `skip` slots, round the table.
    slot: u64,
    skip: u64,
    turns_taken: u64,
}

impl Claim {
    fn new((id, weight): (u64, u32), index: u32, size: u64) -> Self {
        Self {
            index,
            weight: u64::from(weight),
            slot: mix(id ^ OFFSET_SALT) % size,
            skip: mix(id ^ SKIP_SALT) % (size - 1) + 1,
            turns_taken: 0,
        }
    }

    /// Takes the first free slot in this backend's order; there must be one.
    ///
    /// The size is prime, so that steps of any length reach every slot.
    fn take(&mut self, slots: &mut [u32]) {
        let size = slots.len() as u64;
        while slots[self.slot as usize] != FREE {
            self.slot = (self.slot + self.skip) % size;
        }
        slots[self.slot as usize] = self.index;
        self.turns_taken += 1;
    }

    /// Returns when the next turn is: turn t of weight w falls at t / w, in fixed point.
    fn turn_next(&self) -> u64 {
        (u128::from(self.turns_taken) * TURN_SCALE / u128::from(self.weight)) as u64
    }
}

/// Returns the smallest prime that is not below `least`, which is at least 3.
fn prime_from(least: u64) -> u64 {
    let is_prime = |number: &u64| {
        let mut divisors = (3..).step_by(2).take_while(|divisor| divisor * divisor <= *number);
        !divisors.any(|divisor| number.is_multiple_of(divisor))
    };
    (least | 1..).step_by(2).find(is_prime).expect("there is a prime above every number")
}

/// The paper's smaller size.
const SIZE_MIN: u64 = 65_537;
/// The paper's rule for a spread within one percent.
const SLOTS_PER_BACKEND: u64 = 100;
const FREE: u32 = u32::MAX;
/// Turns below 2^32 over weights of at least 1 stay inside 64 bits, and weights up to 2^24 (the
/// largest configured one) are at least 2^8 steps apart from one turn to the next.
const TURN_SCALE: u128 = 1 << 32;
const OFFSET_SALT: u64 = 0x6f66_6673_6574_0001;
const SKIP_SALT: u64 = 0x736b_6970_0000_0002;
const TAKES_SALT: u64 = 0x7461_6b65_7300_0003;

//! Smooth weighted round-robin: backends take turns by weight, heavy ones not in a row.
//!
//! The algorithm is nginx's (Igor Sysoev, 2012): at each pick every backend gains its weight as
//! credit, the one with the most credit takes the connection and pays the sum of all weights. With
//! weights 5, 1, 1 that gives a a b a c a a, then begins anew: over a cycle each backend is chosen
//! exactly `weight` times.
//!
//! Credits are kept by backend id, so that a change of the fleet leaves those who stay in place.
//! They are bounded by twice the sum of weights, which they never reach while weights stand
//! still; without it a backend that has just paid for heavy company would wait for ages once
//! that company is gone.

use std::collections::HashMap;

use super::Fleet;

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct RoundRobin {
    /// One per backend, in the order of the fleet.
    turns: Vec<Turn>,
    /// Where ties are broken: at this index and from there on.
    start: usize,
    /// Largest credit or debt that is carried into the next pick.
    credit_max: i64,
}

#[derive(Debug)]
struct Turn {
    id: u64,
    credit: i64,
}

impl RoundRobin {
    /// Returns a sequence that prefers backend `start` (modulo their count) where several are due.
    pub(super) fn starting_at(start: usize) -> Self {
        Self { turns: Vec::new(), start, credit_max: 0 }
    }

    pub(super) fn pick(&mut self, fleet: &(impl Fleet + ?Sized)) -> Option<usize> {
        if !self.follows(fleet) {
            self.follow(fleet);
        }
        let start = self.start.checked_rem(self.turns.len())?;
        let mut total = 0;
        let (mut best, mut most) = (0, i64::MIN);
        for (index, turn) in self.turns.iter_mut().enumerate() {
            let weight = i64::from(fleet.weight(index));
            if weight == 0 {
                continue;
            }
            total += weight;
            turn.credit = turn.credit.clamp(-self.credit_max, self.credit_max) + weight;
            // Ties go to the first from `start` on, round the end of the list.
            let wins_tie = best < start && index >= start;
            if turn.credit > most || (turn.credit == most && wins_tie) {
                (best, most) = (index, turn.credit);
            }
        }
        if total == 0 {
            return None;
        }
        self.turns[best].credit -= total;
        self.credit_max = 2 * total;
        Some(best)
    }

    fn follows(&self, fleet: &(impl Fleet + ?Sized)) -> bool {
        self.turns.len() == fleet.len()
            && self.turns.iter().enumerate().all(|(index, turn)| turn.id == fleet.id(index))
    }

    fn follow(&mut self, fleet: &(impl Fleet + ?Sized)) {
        let credits: HashMap<u64, i64> =
            self.turns.drain(..).map(|turn| (turn.id, turn.credit)).collect();
        self.turns.extend((0..fleet.len()).map(|index| {
            let id = fleet.id(index);
            Turn { id, credit: credits.get(&id).copied().unwrap_or(0) }
        }));
    }
}

//! Which task waits for which.
//!
//! An ordered set of pairs (what is waited for, who waits): whoever waits for one task stands side
//! by side, and a pair goes away in O(log n) when either ends.

use std::collections::BTreeSet;

/// Pairs of places in the table.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeSet<(u32, u32)>);

impl Waits {
    /// Notes that `who` waits for `on`; returns false when that was known.
    pub(super) fn insert(&mut self, on: u32, who: u32) -> bool {
        self.0.insert((on, who))
    }

    /// Forgets a pair; returns false when it was not known.
    pub(super) fn remove(&mut self, on: u32, who: u32) -> bool {
        self.0.remove(&(on, who))
    }

    /// Returns who waits for `on`.
    pub(super) fn waiting(&self, on: u32) -> impl Iterator<Item = u32> {
        self.0.range((on, 0)..=(on, u32::MAX)).map(|(_, who)| *who)
    }

    /// Returns true when `who` waits for `on`, directly or through others. Looks at each task
    /// that waits for `on` once.
    pub(super) fn reaches(&self, on: u32, who: u32) -> bool {
        let mut seen = BTreeSet::from([on]);
        let mut open = vec![on];
        while let Some(place) = open.pop() {
            if place == who {
                return true;
            }
            open.extend(self.waiting(place).filter(|next| seen.insert(*next)));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_found_through_others_and_not_backwards() {
        let mut waits = Waits::default();
        for (on, who) in [(1, 2), (2, 3), (1, 3), (4, 3)] {
            assert!(waits.insert(on, who));
        }
        assert!(!waits.insert(1, 2));
        assert_eq!(waits.waiting(1).collect::<Vec<_>>(), [2, 3]);
        assert!(waits.reaches(1, 3) && waits.reaches(2, 2));
        assert!(!waits.reaches(3, 1) && !waits.reaches(4, 2));
        assert!(waits.remove(2, 3) && !waits.remove(2, 3));
        assert!(!waits.reaches(2, 3));
    }
}

//! Counter cells: many counters on one cache line, one line for each thread.
//!
//! ```text
//! chunk of 16 counters     counter 0   1   2  ..  15
//!   slot 0 (thread a)    | 8 bytes |   |   |    |    |  <- 128 bytes; x86 prefetches in pairs
//!   slot 1 (thread b)    |         |   |   |    |    |     of 64: 128 keep threads apart
//!   ..                   |         |   |   |    |    |
//!   shared (all others)  |         |   |   |    |    |
//! ```
//!
//! | cell | written by | how |
//! |---|---|---|
//! | of a slot | the slot's holder only | relaxed load and store: nothing to lose or lock |
//! | shared | threads without a slot of this registry | relaxed `fetch_add` |
//!
//! All orderings are relaxed because no other memory is published through a cell. Cells only grow,
//! so a reading lies between the sum when it began and the sum when it ended. A counter costs 8
//! bytes for each slot and 8 for the shared cell.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::slot;
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// The cells of one counter, until it is dropped.
#[derive(Debug)]
pub(crate) struct CounterCells {
    /// One for each slot and the shared one; none when recording is off.
    lines: Arc<[Line]>,
    index: usize,
    arena: Weak<Arena>,
}

impl CounterCells {
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        self.add_as(slot::mine(), n);
    }

    /// Adds as the holder of `slot`.
    #[inline]
    pub(crate) fn add_as(&self, slot: usize, n: u64) {
        let shared = self.lines.len().wrapping_sub(1);
        let Some(line) = self.lines.get(slot.min(shared)) else { return };
        let cell = &line.0[self.index % COUNTERS_PER_LINE];
        if slot < shared {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        } else {
            cell.fetch_add(n, Relaxed);
        }
    }

    /// Sums the cells.
    pub(crate) fn sum(&self) -> u64 {
        let cells = self.lines.iter().map(|line| line.0[self.index].load(Relaxed));
        cells.fold(0, u64::wrapping_add)
    }
}

impl Drop for CounterCells {
    fn drop(&mut self) {
        if let Some(arena) = self.arena.upgrade() {
            // The last handle is gone, so nobody writes; the lock hands the zeros on.
            let mut free = arena.free.lock().unwrap_or_else(PoisonError::into_inner);
            self.lines.iter().for_each(|line| line.0[self.index].store(0, Relaxed));
            free.push((Arc::clone(&self.lines), self.index));
        }
    }
}

/// Where the counters of one registry come from. What is given back is used again, so it holds as
/// much as there were counters at a time.
#[derive(Debug)]
pub(crate) struct Arena {
    slots: Option<usize>,
    free: Mutex<Vec<(Arc<[Line]>, usize)>>,
}

impl Arena {
    /// Makes an empty arena for threads with a slot below `slots`; `None` switches recording off.
    pub(crate) fn new(slots: Option<usize>) -> Arc<Self> {
        Arc::new(Self { slots, free: Mutex::default() })
    }

    /// Returns a counter at zero.
    pub(crate) fn counter(self: &Arc<Self>) -> CounterCells {
        let Some(slots) = self.slots else {
            return CounterCells { lines: Arc::from([]), index: 0, arena: Weak::new() };
        };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            let lines: Arc<[Line]> = (0..=slots).map(|_| Line::default()).collect();
            free.extend((0..COUNTERS_PER_LINE).rev().map(|index| (Arc::clone(&lines), index)));
        }
        let (lines, index) = free.pop().expect("it was filled where it was empty");
        CounterCells { lines, index, arena: Arc::downgrade(self) }
    }
}

/// Two cache lines of cells.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Line(pub(crate) [AtomicU64; COUNTERS_PER_LINE]);

pub(crate) const COUNTERS_PER_LINE: usize = 16;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counters_on_one_line_are_separate() {
        let arena = Arena::new(Some(2));
        let counters: Vec<_> = (0..40).map(|_| arena.counter()).collect();
        for (n, counter) in counters.iter().enumerate() {
            counter.add_as(n % 4, n as u64 + 1);
        }
        for (n, counter) in counters.iter().enumerate() {
            assert_eq!(counter.sum(), n as u64 + 1);
        }
    }

    #[test]
    fn a_dropped_counter_is_used_again_from_zero() {
        let arena = Arena::new(Some(1));
        let kept = arena.counter();
        kept.add_as(0, 3);
        let counter = arena.counter();
        let index = counter.index;
        (0..2).for_each(|slot| counter.add_as(slot, 5));
        drop(counter);
        let again = arena.counter();
        assert_eq!((again.index, again.sum(), kept.sum()), (index, 0, 3));
    }

    #[test]
    fn threads_without_a_slot_of_their_own_lose_nothing() {
        let counter = Arena::new(Some(0)).counter();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add(1)));
            }
        });
        assert_eq!(counter.sum(), 80_000);
    }

    #[test]
    fn what_is_switched_off_counts_nothing() {
        let counter = Arena::new(None).counter();
        counter.add(1);
        assert_eq!(counter.sum(), 0);
    }
}

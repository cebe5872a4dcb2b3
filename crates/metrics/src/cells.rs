//! Sharded cells: every atomic sum of this crate.
//!
//! A [`Cells`] has `slots` numbers and a copy of all of them per shard. A thread adds to the copy
//! of its own shard; a reading sums a slot over the shards.
//!
//! ```text
//! shard 0: | slot 0 .. slot 15 | slot 16 .. |   <- lines of 128 bytes; x86 prefetches them in
//! shard 1: | slot 0 .. slot 15 | slot 16 .. |      pairs of 64, so 128 keeps shards apart
//! ```
//!
//! Rules: (1) every write is one atomic read-modify-write, so threads that share a shard lose
//! nothing, they are only slower; (2) all orderings are relaxed, because no other memory is
//! published through a cell; (3) slots only grow, so a reading lies between the sum when it began
//! and the sum when it ended.
//!
//! Threads are numbered as they first write, and the number is never reused: with as many shards
//! as threads the first ones have a line each, later ones share.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Numbers that many threads add to and few read.
#[derive(Debug)]
pub(crate) struct Cells {
    lines: Box<[Line]>,
    lines_per_shard: usize,
    shard_mask: usize,
}

impl Cells {
    /// Makes `slots` zeros in each of `shards` shards, rounded up to a power of two.
    pub(crate) fn new(slots: usize, shards: usize) -> Self {
        let shards = shards.next_power_of_two();
        let lines_per_shard = slots.div_ceil(SLOTS_PER_LINE);
        let lines = (0..shards * lines_per_shard).map(|_| Line::default()).collect();
        Self { lines, lines_per_shard, shard_mask: shards - 1 }
    }

    /// Returns the calling thread's shard, to add to.
    pub(crate) fn mine(&self) -> Shard<'_> {
        self.shard(thread_number() & self.shard_mask)
    }

    /// Sums a slot over the shards.
    pub(crate) fn sum(&self, slot: usize) -> u64 {
        self.shards(slot).fold(0, u64::wrapping_add)
    }

    /// Sums a slot that holds the bits of an `f64`.
    pub(crate) fn sum_f64(&self, slot: usize) -> f64 {
        self.shards(slot).map(f64::from_bits).sum()
    }

    fn shards(&self, slot: usize) -> impl Iterator<Item = u64> {
        (0..=self.shard_mask).map(move |shard| self.shard(shard).cell(slot).load(Relaxed))
    }

    fn shard(&self, shard: usize) -> Shard<'_> {
        let begin = shard * self.lines_per_shard;
        Shard(&self.lines[begin..begin + self.lines_per_shard])
    }
}

/// One copy of the slots.
pub(crate) struct Shard<'a>(&'a [Line]);

impl Shard<'_> {
    /// Adds to a slot; wraps at 2^64.
    pub(crate) fn add(&self, slot: usize, n: u64) {
        self.cell(slot).fetch_add(n, Relaxed);
    }

    /// Adds to a slot that holds the bits of an `f64`.
    pub(crate) fn add_f64(&self, slot: usize, n: f64) {
        let cell = self.cell(slot);
        let mut old = cell.load(Relaxed);
        loop {
            let new = (f64::from_bits(old) + n).to_bits();
            match cell.compare_exchange_weak(old, new, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    fn cell(&self, slot: usize) -> &AtomicU64 {
        &self.0[slot / SLOTS_PER_LINE].0[slot % SLOTS_PER_LINE]
    }
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; SLOTS_PER_LINE]);

fn thread_number() -> usize {
    THREAD_NUMBER.with(|number| {
        if number.get() == UNNUMBERED {
            number.set(THREADS_SEEN.fetch_add(1, Relaxed));
        }
        number.get()
    })
}

thread_local! {
    static THREAD_NUMBER: Cell<usize> = const { Cell::new(UNNUMBERED) };
}

static THREADS_SEEN: AtomicUsize = AtomicUsize::new(0);
const UNNUMBERED: usize = usize::MAX;
const SLOTS_PER_LINE: usize = 128 / size_of::<AtomicU64>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_past_the_first_line_are_separate() {
        let cells = Cells::new(40, 3);
        for slot in 0..40 {
            cells.mine().add(slot, slot as u64 + 1);
        }
        for slot in 0..40 {
            assert_eq!(cells.sum(slot), slot as u64 + 1);
        }
    }

    #[test]
    fn threads_beyond_the_shards_lose_nothing() {
        let cells = Cells::new(2, 2);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        cells.mine().add(0, 1);
                        cells.mine().add_f64(1, 0.5);
                    }
                });
            }
        });
        assert_eq!(cells.sum(0), 80_000);
        assert_eq!(cells.sum_f64(1).to_bits(), 40_000f64.to_bits());
    }
}

//! Histogram cells: buckets and a sum that always agree, without making a writer wait.
//!
//! Each slot has a copy of all cells, on lines of its own; threads without a slot share one more.
//!
//! ```text
//! shard:  | version | diverted | sum | bucket 0 | bucket 1 | ..      16 cells on each line
//! ```
//!
//! | cell | written by | rule |
//! |---|---|---|
//! | version of a slot | its holder | 1. odd while a record is being written, then even again |
//! | version of the shared shard | who makes it odd by a compare-exchange | 2. odd is a lock |
//! | diverted | readers | 3. counts the readers that copy this shard now |
//! | sum, buckets | who made the version odd | 4. only while it is odd |
//!
//! A reader (5) copies a slot's shard between two equal even versions, which it gets however busy
//! the holder is, because (6) a holder that sees itself diverted records into the shared shard if
//! that is free at once, and else into its own as ever, which makes the reader copy again. So the
//! holder of a slot never waits: not for a reader, not for another writer. (7) The shared shard is
//! copied under its lock. Each record is in one shard only and each shard is copied whole, so
//! buckets and sum of a reading are of exactly the same records.
//!
//! Orderings: the version's odd store comes before rule-4 stores by a Release fence, its even
//! store is Release; a reader's first load is Acquire, its second comes after an Acquire fence.
//! This is the sequence lock of Boehm, "Can Seqlocks Get Along With Programming Language Memory
//! Models?" (2012).

use crate::cells::{COUNTERS_PER_LINE, Line};
use crate::sync::{AtomicU64, Ordering, fence, wait};

/// Copies of a histogram's cells; none when recording is off.
#[derive(Debug)]
pub(crate) struct Shards {
    lines: Box<[Line]>,
    lines_per_shard: usize,
    buckets: usize,
    /// The number of slots, which is the index of the shared shard.
    shared: usize,
}

/// What [`Shards::read`] adds up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Totals {
    pub(crate) counts: Box<[u64]>,
    pub(crate) sum: f64,
}

impl Shards {
    /// Makes zeros for threads with a slot below `slots`; `None` switches recording off.
    pub(crate) fn new(buckets: usize, slots: Option<usize>) -> Self {
        let lines_per_shard = (FIRST_BUCKET + buckets).div_ceil(COUNTERS_PER_LINE);
        let shards = slots.map_or(0, |slots| slots + 1);
        let lines = (0..shards * lines_per_shard).map(|_| Line::default()).collect();
        Self { lines, lines_per_shard, buckets, shared: slots.unwrap_or(0) }
    }

    /// Counts `value` in `bucket` as the holder of `slot`.
    #[inline]
    pub(crate) fn record(&self, slot: usize, bucket: usize, value: f64) {
        if self.lines.is_empty() {
            return;
        }
        if slot >= self.shared {
            self.record_shared(bucket, value);
            return;
        }
        let shard = self.shard(slot);
        if shard.cell(DIVERTED).load(Ordering::Relaxed) != 0 && self.divert(bucket, value) {
            return;
        }
        let version = shard.cell(VERSION).load(Ordering::Relaxed);
        shard.cell(VERSION).store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        shard.add(bucket, value);
        shard.cell(VERSION).store(version.wrapping_add(2), Ordering::Release);
    }

    /// Adds up all shards. Buckets and sum are of the same records.
    pub(crate) fn read(&self) -> Totals {
        let mut totals = Totals { counts: vec![0; self.buckets].into(), sum: 0.0 };
        if self.lines.is_empty() {
            return totals;
        }
        let mut copy = totals.clone();
        for slot in 0..self.shared {
            self.shard(slot).copy(&mut copy);
            totals.add(&copy);
        }
        let shared = self.shard(self.shared);
        let version = shared.lock();
        shared.copy_cells(&mut copy);
        shared.unlock(version);
        totals.add(&copy);
        totals
    }

    #[cold]
    fn divert(&self, bucket: usize, value: f64) -> bool {
        let shared = self.shard(self.shared);
        let Some(version) = shared.try_lock() else { return false };
        shared.add(bucket, value);
        shared.unlock(version);
        true
    }

    #[cold]
    fn record_shared(&self, bucket: usize, value: f64) {
        let shared = self.shard(self.shared);
        let version = shared.lock();
        shared.add(bucket, value);
        shared.unlock(version);
    }

    #[inline]
    fn shard(&self, index: usize) -> Shard<'_> {
        let begin = index * self.lines_per_shard;
        Shard(&self.lines[begin..begin + self.lines_per_shard])
    }
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(ours, theirs)| *ours += theirs);
        self.sum += other.sum;
    }
}

/// One copy of the cells.
struct Shard<'a>(&'a [Line]);

impl Shard<'_> {
    #[inline]
    fn cell(&self, index: usize) -> &AtomicU64 {
        &self.0[index / COUNTERS_PER_LINE].0[index % COUNTERS_PER_LINE]
    }

    /// Adds one record; rule 4.
    #[inline]
    fn add(&self, bucket: usize, value: f64) {
        let count = self.cell(FIRST_BUCKET + bucket);
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        let sum = self.cell(SUM);
        let new = f64::from_bits(sum.load(Ordering::Relaxed)) + value;
        sum.store(new.to_bits(), Ordering::Relaxed);
    }

    /// Copies a slot's shard; rules 3 and 5. It ends: once the holder sees `diverted`, it can
    /// change this shard only while another thread holds the shared one.
    fn copy(&self, to: &mut Totals) {
        self.cell(DIVERTED).fetch_add(1, Ordering::Relaxed);
        let mut times = 0;
        loop {
            let before = self.cell(VERSION).load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                self.copy_cells(to);
                fence(Ordering::Acquire);
                if self.cell(VERSION).load(Ordering::Relaxed) == before {
                    break;
                }
            }
            wait(&mut times);
        }
        self.cell(DIVERTED).fetch_sub(1, Ordering::Relaxed);
    }

    fn copy_cells(&self, to: &mut Totals) {
        for (bucket, count) in to.counts.iter_mut().enumerate() {
            *count = self.cell(FIRST_BUCKET + bucket).load(Ordering::Relaxed);
        }
        to.sum = f64::from_bits(self.cell(SUM).load(Ordering::Relaxed));
    }

    /// Makes the version odd; rule 2.
    fn try_lock(&self) -> Option<u64> {
        let version = self.cell(VERSION).load(Ordering::Relaxed);
        let locked = version.wrapping_add(1);
        let free = version.is_multiple_of(2)
            && self
                .cell(VERSION)
                .compare_exchange(version, locked, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        free.then_some(locked)
    }

    fn lock(&self) -> u64 {
        let mut times = 0;
        loop {
            if let Some(version) = self.try_lock() {
                return version;
            }
            wait(&mut times);
        }
    }

    fn unlock(&self, locked: u64) {
        self.cell(VERSION).store(locked.wrapping_add(1), Ordering::Release);
    }
}

const VERSION: usize = 0;
const DIVERTED: usize = 1;
const SUM: usize = 2;
const FIRST_BUCKET: usize = 3;

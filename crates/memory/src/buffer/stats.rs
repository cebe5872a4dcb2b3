//! What a buffer pool has done and holds, for the caller to export as metrics.

use crate::block::BlockStats;

/// Sums over all classes, and each class.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferStats {
    /// One for each class, smallest first.
    pub classes: Vec<ClassStats>,
}

/// One size class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Capacity of a buffer in bytes.
    pub bytes: u64,
    /// Takings served from memory that was there.
    pub hits: u64,
    /// Takings that the kernel had to supply memory for, counted by the batch.
    pub misses: u64,
    /// Takings that failed.
    pub exhausted: u64,
    /// Buffers held now.
    pub in_use: u64,
    /// Most buffers held at once; up to two batches for each thread too high.
    pub high_water: u64,
    /// Buffers idle and backed by memory.
    pub idle: u64,
    /// Buffers whose memory was given back.
    pub cold: u64,
    /// Bytes that holders asked for.
    pub requested_bytes: u64,
    /// Damaged buffers that are never handed out again.
    pub quarantined: u64,
}

impl BufferStats {
    pub(super) fn of(pools: impl Iterator<Item = BlockStats>) -> Self {
        Self { classes: pools.map(ClassStats::of).collect() }
    }

    /// Returns takings served from memory that was there.
    pub fn hits(&self) -> u64 {
        self.sum(|class| class.hits)
    }

    /// Returns takings that the kernel had to supply memory for.
    pub fn misses(&self) -> u64 {
        self.sum(|class| class.misses)
    }

    /// Returns hits among all takings, from 0 to 1; 1 before the first.
    pub fn hit_rate(&self) -> f64 {
        share(self.hits(), self.hits() + self.misses(), 1.0)
    }

    /// Returns bytes of buffers held now.
    pub fn in_use_bytes(&self) -> u64 {
        self.sum(|class| class.in_use * class.bytes)
    }

    /// Returns bytes of idle buffers that are backed by memory.
    pub fn idle_bytes(&self) -> u64 {
        self.sum(|class| class.idle * class.bytes)
    }

    /// Returns the part of held bytes that nobody asked for, from 0 to 1.
    pub fn internal_fragmentation(&self) -> f64 {
        let held = self.in_use_bytes();
        share(held.saturating_sub(self.sum(|class| class.requested_bytes)), held, 0.0)
    }

    /// Returns the part of backed bytes that is idle, bound to classes nobody asks for, from 0 to
    /// 1.
    pub fn external_fragmentation(&self) -> f64 {
        share(self.idle_bytes(), self.idle_bytes() + self.in_use_bytes(), 0.0)
    }

    fn sum(&self, of: impl Fn(&ClassStats) -> u64) -> u64 {
        self.classes.iter().map(of).sum()
    }
}

impl ClassStats {
    fn of(pool: BlockStats) -> Self {
        let misses = pool.misses.min(pool.takes);
        let not_idle = pool.held + pool.cold + pool.quarantined;
        Self {
            bytes: pool.block_bytes,
            hits: pool.takes - misses,
            misses,
            exhausted: pool.exhausted,
            in_use: pool.held,
            high_water: pool.held_max,
            idle: pool.used.saturating_sub(not_idle),
            cold: pool.cold,
            requested_bytes: pool.requested_bytes,
            quarantined: pool.quarantined,
        }
    }

    /// Returns the part of held bytes that nobody asked for, from 0 to 1.
    pub fn internal_fragmentation(&self) -> f64 {
        let held = self.in_use * self.bytes;
        share(held.saturating_sub(self.requested_bytes), held, 0.0)
    }

    /// Returns the part of backed bytes that is idle, from 0 to 1.
    pub fn external_fragmentation(&self) -> f64 {
        share(self.idle, self.idle + self.in_use, 0.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people; 53 bits are plenty")]
fn share(part: u64, whole: u64, of_nothing: f64) -> f64 {
    if whole == 0 { of_nothing } else { part as f64 / whole as f64 }
}

//! Fixed blocks of memory, taken and given by any thread.
//!
//! [`BlockPool`] hands out [`Block`]s of one size from one address range that grows by chunks up
//! to a fixed maximum. Each thread works on its own magazine; threads meet in a lock-free list
//! once in a batch.
//!
//! Limits: 16,777,214 blocks; a thread keeps up to two batches to itself; 16 bytes of record for
//! each block. Taking or giving costs no locked instruction and no allocation but for the first
//! time on a thread.
//!
//! Fork: a child made by fork(2) keeps its copies of the blocks it holds, but may not take from
//! or give to an inherited pool: taking is [`TakeError::Forked`], giving leaves the memory to the
//! child's end. Signals: not for signal handlers.
//!
//! Reading order: `core.rs`, `magazine.rs`, `stack.rs`, `slots.rs`, `thread.rs`, `integrity.rs`.

mod builder;
pub(crate) mod core;
#[cfg(test)]
mod damage;
mod error;
mod integrity;
mod magazine;
#[cfg(test)]
mod models;
mod outstanding;
#[cfg(test)]
mod scenarios;
mod slots;
mod stack;
#[cfg(test)]
mod tests;
mod thread;

use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use self::core::Core;
pub use builder::{BlockPoolBuilder, PageLock};
pub use error::{BuildError, GiveError, TakeError, WrongPool};
pub use integrity::{Hardening, Incident};
use magazine::WHOLE_BLOCK;
pub use outstanding::Held;
use outstanding::Ticks;

use crate::sync::atomic::Ordering;

/// A pool of blocks of one size. Clones share it.
///
/// # Examples
///
/// ```
/// use tidemill_memory::BlockPool;
///
/// let pool = BlockPool::builder(4096).blocks_max(1024).build()?;
/// let mut block = pool.take()?;
/// block[..5].copy_from_slice(b"hello");
/// drop(block); // goes back to the pool
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BlockPool {
    /// First, for the fast path; `owner` holds it too.
    core: Arc<Core>,
    owner: Arc<Owner>,
}

impl BlockPool {
    /// Begins a pool of blocks of `block_bytes`.
    pub fn builder(block_bytes: usize) -> BlockPoolBuilder {
        BlockPoolBuilder::new(block_bytes)
    }

    pub(crate) fn from_core(core: Arc<Core>, lock_error: Option<io::Error>) -> Self {
        let owner = Owner { core: Arc::clone(&core), ticks: Ticks::default(), lock_error };
        Self { core, owner: Arc::new(owner) }
    }

    /// Takes a block. Its content is unspecified: zero, or what its last holder left.
    ///
    /// # Errors
    ///
    /// [`TakeError::Exhausted`] when all blocks are held: give some back and retry.
    /// [`TakeError::Refused`] when the kernel has no memory; [`TakeError::Forked`] in a child
    /// process.
    #[inline]
    #[track_caller]
    pub fn take(&self) -> Result<Block, TakeError> {
        Block::take(&self.core, WHOLE_BLOCK, Location::caller())
    }

    /// Gives a block back, as dropping it does, but only to the pool it comes from.
    ///
    /// # Errors
    ///
    /// Returns the block when it belongs to another pool.
    pub fn give(&self, block: Block) -> Result<(), WrongPool<Block>> {
        if block.core == self.core_address() { Ok(()) } else { Err(WrongPool(block)) }
    }

    /// Gives back a block that [`Block::into_raw`] let go.
    ///
    /// # Errors
    ///
    /// Names a pointer that is no held block of this pool; nothing happens to it. Two threads
    /// that give one pointer at the same time are told apart too.
    ///
    /// # Safety
    ///
    /// If `address` is a held block of this pool, the caller has the only right to it and no
    /// reference into it is left; all its bytes are initialised.
    pub unsafe fn give_raw(&self, address: NonNull<u8>) -> Result<(), GiveError> {
        let integrity = &self.core.integrity;
        let Some((block, is_first_byte)) = self.core.locate(address.as_ptr()) else {
            integrity.report(Incident::Foreign);
            return Err(GiveError::Foreign);
        };
        if !is_first_byte {
            integrity.report(Incident::Foreign);
            return Err(GiveError::Interior);
        }
        if !integrity.begin_raw_give(&self.core, block) {
            integrity.report(Incident::DoubleFree { block });
            return Err(GiveError::DoubleFree);
        }
        // SAFETY: the block is of this pool and held, by the check above; the caller gives up its
        // right to it.
        unsafe { Core::give(self.core_address(), block) };
        Ok(())
    }

    /// Tells the pool the time, for the age of held blocks. Call it a few times a second, or never.
    pub fn tick(&self, now: Instant) {
        self.core.set_stamp(self.owner.ticks.stamp(now));
    }

    /// Lists the blocks held at some moment during the call, longest held first.
    ///
    /// Looks at every block ever used: about 2 ns each.
    pub fn outstanding(&self, now: Instant) -> Vec<Held> {
        let carved = self.core.census().carved;
        let mut held: Vec<_> = (0..carved).filter_map(|block| self.held(block, now)).collect();
        held.sort_by_key(|held| std::cmp::Reverse(held.age));
        held
    }

    fn core_address(&self) -> NonNull<Core> {
        core_address(&self.core)
    }

    fn held(&self, block: u32, now: Instant) -> Option<Held> {
        let state = self.core.slots.get(block).state.load(Ordering::Relaxed);
        if !integrity::Integrity::is_held(state) {
            return None;
        }
        let site = self.core.sites.as_ref().and_then(|sites| sites.get(block));
        Some(Held {
            block,
            age: match site {
                Some((since, _)) => Some(now.saturating_duration_since(since)),
                None => self.owner.ticks.age(state, now),
            },
            site: site.map(|(_, site)| site),
        })
    }

    /// Returns sums over the pool, as of some moments during the call.
    pub fn stats(&self) -> BlockStats {
        let stats = self.stats_but_requested();
        BlockStats { requested_bytes: stats.held * stats.block_bytes, ..stats }
    }

    /// As [`stats`](Self::stats), with what [`Block::take_for`] was asked for.
    ///
    /// Looks at every block ever used: about 2 ns each.
    pub(crate) fn stats_of_requests(&self) -> BlockStats {
        let stats = self.stats_but_requested();
        let used = self.core.census().carved;
        BlockStats { requested_bytes: self.requested_bytes(used), ..stats }
    }

    fn stats_but_requested(&self) -> BlockStats {
        let census = self.core.census();
        let held = census.counts.taken.saturating_sub(census.counts.given);
        let stride = self.core.layout.stride as u64;
        BlockStats {
            takes: census.counts.taken,
            misses: census.misses.min(census.counts.taken),
            exhausted: census.exhausted,
            held,
            held_max: u64::from(census.out_max).max(held),
            requested_bytes: 0,
            parked: u64::from(census.out).saturating_sub(held),
            cold: u64::from(census.cold),
            used: u64::from(census.carved),
            available_max: u64::from(self.core.layout.blocks_max),
            committed_bytes: u64::from(census.committed) * stride,
            block_bytes: self.core.layout.block_bytes as u64,
            stride_bytes: stride,
            quarantined: self.core.integrity.quarantined(),
            incidents: self.core.integrity.incidents(),
            threads: census.threads as u64,
        }
    }

    fn requested_bytes(&self, carved: u32) -> u64 {
        let of_block = |block| {
            let slot = self.core.slots.get(block);
            let is_held = integrity::Integrity::is_held(slot.state.load(Ordering::Relaxed));
            if is_held { u64::from(slot.below.load(Ordering::Relaxed)) } else { 0 }
        };
        (0..carved).map(of_block).sum()
    }

    /// Returns the bytes of each block.
    pub fn block_bytes(&self) -> usize {
        self.core.layout.block_bytes
    }

    /// Returns the alignment of each block in bytes.
    pub fn align(&self) -> usize {
        self.core.layout.align
    }

    /// Says why pages are not locked although real-time mode asked for it, naming the right.
    pub fn lock_error(&self) -> Option<String> {
        self.owner.lock_error.as_ref().map(builder::describe_lock_error)
    }

    /// The clean-up's way in.
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// What [`Block::take_for`] takes from.
    pub(crate) fn shared_core(&self) -> &Arc<Core> {
        &self.core
    }
}

/// Sums over a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStats {
    /// Blocks ever taken.
    pub takes: u64,
    /// Takings that had to use memory the kernel must first supply. Counted by the batch.
    pub misses: u64,
    /// Takings that failed for lack of blocks or memory.
    pub exhausted: u64,
    /// Blocks held now.
    pub held: u64,
    /// Most blocks held or in magazines at once: above the most held by at most two batches for
    /// each thread.
    pub held_max: u64,
    /// Bytes the holders asked for.
    pub requested_bytes: u64,
    /// Blocks in the magazines of threads.
    pub parked: u64,
    /// Free blocks whose memory was given back to the kernel.
    pub cold: u64,
    /// Blocks taken at least once.
    pub used: u64,
    /// Blocks there can be.
    pub available_max: u64,
    /// Bytes of the chunks made usable so far.
    pub committed_bytes: u64,
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Bytes from one block to the next.
    pub stride_bytes: u64,
    /// Damaged blocks that are never handed out again.
    pub quarantined: u64,
    /// Incidents reported.
    pub incidents: u64,
    /// Threads with a magazine.
    pub threads: u64,
}

/// A block, held by its owner alone. Goes back to its pool on drop, on any thread.
///
/// Keeps its memory valid even when the pool's last handle goes first.
#[derive(Debug)]
pub struct Block {
    /// Two words in all, so that a block travels in registers: with three, the compiler copies it
    /// in wider pieces than it was written, and every move stalls (15 ns measured).
    core: NonNull<Core>,
    index: u32,
    /// For the buffer that is made of the block: how many bytes are written. At most the block's.
    pub(crate) filled: u32,
}

// SAFETY: a block is the only way to its bytes, as a `Box<[u8]>` is, and the pool behind `core`
// may be used by any thread.
unsafe impl Send for Block {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Block {}

impl Block {
    #[inline(always)]
    fn take(
        core: &Arc<Core>,
        requested: u32,
        site: &'static Location<'static>,
    ) -> Result<Self, TakeError> {
        let index = core.take(requested, site)?;
        Ok(Self { core: core_address(core), index, filled: 0 })
    }

    /// Takes a block of which `requested` bytes will be used, for the statistics.
    #[inline(always)]
    pub(crate) fn take_for(
        core: &Arc<Core>,
        requested: usize,
        site: &'static Location<'static>,
    ) -> Result<Self, TakeError> {
        #[expect(clippy::cast_possible_truncation, reason = "the builder bounds a block to 4 GiB")]
        let requested = requested as u32;
        Self::take(core, requested, site)
    }

    /// Lets go of the block without giving it back.
    ///
    /// It is leaked, and listed as outstanding, until [`BlockPool::give_raw`] gets the pointer.
    pub fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).address()
    }

    /// Returns the block's index in its pool.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    #[inline(always)]
    fn address(&self) -> NonNull<u8> {
        self.core().address(self.index())
    }

    #[inline(always)]
    fn core(&self) -> &Core {
        // SAFETY: a pool outlives the blocks that are held (see `core.rs`).
        unsafe { self.core.as_ref() }
    }

    /// Returns the counter of shared views that belongs to a held block.
    pub(crate) fn views(&self) -> &crate::sync::atomic::AtomicU32 {
        &self.core().slots.get(self.index()).info
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let len = self.core().layout.block_bytes;
        // SAFETY: the block has `len` bytes from its address on, all initialised: the kernel
        // hands out zeros, safe code writes only bytes, and `give_raw` demands it of the rest.
        unsafe { std::slice::from_raw_parts(self.address().as_ptr(), len) }
    }
}

impl DerefMut for Block {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.core().layout.block_bytes;
        // SAFETY: as in `deref`; the block is held by `self` alone, which is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.address().as_ptr(), len) }
    }
}

impl Drop for Block {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: `self` holds the block `index` of the pool `core` and ends here.
        unsafe { Core::give(self.core, self.index) };
    }
}

#[inline(always)]
fn core_address(core: &Arc<Core>) -> NonNull<Core> {
    // SAFETY: an `Arc` never points to null. Its own pointer, and not one made from a reference:
    // only that may be turned into an `Arc` again.
    unsafe { NonNull::new_unchecked(Arc::as_ptr(core).cast_mut()) }
}

/// Closes the pool when the last handle goes.
#[derive(Debug)]
struct Owner {
    core: Arc<Core>,
    ticks: Ticks,
    lock_error: Option<io::Error>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let blocks = self.core.close();
        if blocks > 0 {
            self.core.integrity.report(Incident::Held { blocks });
        }
    }
}

//! Choices for a block pool, checked before any memory is asked for.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::BlockPool;
use super::core::Core;
use super::error::BuildError;
use super::integrity::{Hardening, Hook, Incident, Integrity};
use super::magazine::{BATCH_MAX, WHOLE_BLOCK};
use super::outstanding::Sites;
use super::slots::NIL;
use crate::page_bytes;
use crate::region::Region;

/// What to do when pages cannot be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PageLock {
    /// Building fails and names the missing right.
    Required,
    /// The pool works without, and [`BlockPool::lock_error`] says why.
    IfPermitted,
}

/// Makes a [`BlockPool`].
///
/// # Defaults
///
/// Alignment 16; chunks of 1 MiB or one block; 64 Ki blocks at most (address space only, memory
/// comes with use); a batch of about 64 KiB, 2 to 32 blocks, never above a 16th of the pool; no
/// real-time mode, no huge pages, hardening off, call sites not recorded, any NUMA node.
#[derive(Clone)]
#[must_use]
pub struct BlockPoolBuilder {
    block_bytes: usize,
    align: usize,
    chunk_bytes: Option<usize>,
    blocks_max: usize,
    batch: Option<u32>,
    real_time: Option<PageLock>,
    huge_pages: bool,
    hardening: Hardening,
    call_sites: bool,
    hook: Option<Hook>,
    node: Option<u32>,
}

impl BlockPoolBuilder {
    pub(crate) fn new(block_bytes: usize) -> Self {
        Self {
            block_bytes,
            align: 16,
            chunk_bytes: None,
            blocks_max: 1 << 16,
            batch: None,
            real_time: None,
            huge_pages: false,
            hardening: Hardening::Off,
            call_sites: false,
            hook: None,
            node: None,
        }
    }

    /// Replaces the block size.
    pub(crate) fn block_bytes(mut self, bytes: usize) -> Self {
        self.block_bytes = bytes;
        self
    }

    /// Sets the alignment of each block in bytes, a power of two.
    pub fn align(mut self, bytes: usize) -> Self {
        self.align = bytes;
        self
    }

    /// Sets how many bytes the pool grows by.
    pub fn chunk_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = Some(bytes);
        self
    }

    /// Sets how many blocks there can be.
    pub fn blocks_max(mut self, blocks: usize) -> Self {
        self.blocks_max = blocks;
        self
    }

    /// Sets how many blocks move at once between a thread and the shared list.
    ///
    /// A thread keeps up to two batches to itself. A pool that grows gathers them before it reports
    /// exhaustion; a real-time pool does not, so size it for them.
    pub fn batch(mut self, blocks: u32) -> Self {
        self.batch = Some(blocks);
        self
    }

    /// Allocates, touches and locks all blocks now, and never grows.
    ///
    /// Taking then makes no system call and takes no lock, but for the first on each thread;
    /// `blocks_max` must count two batches for each thread that only gives.
    pub fn real_time(mut self, lock: PageLock) -> Self {
        self.real_time = Some(lock);
        self
    }

    /// Asks the kernel for huge pages; best with an alignment and chunks of 2 MiB.
    pub fn huge_pages(mut self, wanted: bool) -> Self {
        self.huge_pages = wanted;
        self
    }

    /// Sets how much the pool checks.
    pub fn hardening(mut self, level: Hardening) -> Self {
        self.hardening = level;
        self
    }

    /// Records where and when each block was taken: a debug mode, with a lock on each operation.
    pub fn record_call_sites(mut self, wanted: bool) -> Self {
        self.call_sites = wanted;
        self
    }

    /// Calls `hook` with every incident, on the thread that found it.
    ///
    /// It may use the pool. It must not panic.
    pub fn on_incident(mut self, hook: impl Fn(&Incident) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Binds the blocks to a NUMA node before anything touches them.
    pub fn node(mut self, node: u32) -> Self {
        self.node = Some(node);
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// Names the choice that cannot be had, or what the kernel refused.
    pub fn build(self) -> Result<BlockPool, BuildError> {
        let layout = self.layout()?;
        let bytes = layout.stride * layout.blocks_max as usize;
        let align = self.align.max(page_bytes());
        let refused = |what| move |source| BuildError::Refused { what, bytes, source };
        let region = Region::reserve(bytes, align).map_err(refused("address space"))?;
        if self.huge_pages {
            region.advise_huge_pages().map_err(refused("huge pages"))?;
        }
        if let Some(node) = self.node {
            crate::numa::bind(&region, node).map_err(|source| BuildError::Node { node, source })?;
        }
        let mut lock_error = None;
        if let Some(wanted) = self.real_time {
            region.commit(0, bytes).map_err(refused("memory"))?;
            match (region.lock(0, bytes), wanted) {
                (Ok(()), _) => {}
                (Err(source), PageLock::Required) => {
                    return Err(BuildError::NotLocked { bytes, source });
                }
                (Err(source), PageLock::IfPermitted) => lock_error = Some(source),
            }
            region.populate(0, bytes);
        }
        let integrity = Integrity::new(self.hardening, self.block_bytes, self.hook);
        let sites = self.call_sites.then(Sites::default);
        let core = Core::new(layout, region, integrity, sites)
            .map_err(|source| BuildError::Refused { what: "the block table", bytes, source })?;
        Ok(BlockPool::from_core(core, lock_error))
    }

    fn layout(&self) -> Result<Layout, BuildError> {
        if self.block_bytes == 0 {
            return Err(BuildError::ZeroBlock);
        }
        if !self.align.is_power_of_two() || self.align > ALIGN_MAX {
            return Err(BuildError::Alignment(self.align));
        }
        if self.blocks_max == 0 || self.blocks_max >= NIL as usize {
            return Err(BuildError::BlockCount(self.blocks_max));
        }
        let overflow = || BuildError::Overflow { blocks: self.blocks_max, block: self.block_bytes };
        let stride = self
            .block_bytes
            .checked_add(Integrity::guard_bytes(self.hardening))
            .and_then(|bytes| bytes.checked_next_multiple_of(self.align))
            .ok_or_else(overflow)?;
        let bytes = stride.checked_mul(self.blocks_max).ok_or_else(overflow)?;
        if bytes > isize::MAX as usize || self.block_bytes >= WHOLE_BLOCK as usize {
            return Err(overflow());
        }
        let chunk = self.chunk_bytes.unwrap_or(stride.max(CHUNK_BYTES));
        if chunk < stride {
            return Err(BuildError::ChunkTooSmall { chunk, block: stride });
        }
        let blocks_max = u32::try_from(self.blocks_max).expect("below 2^24");
        let batch = self.batch.unwrap_or_else(|| default_batch(stride, blocks_max));
        if batch == 0 || batch > BATCH_MAX {
            return Err(BuildError::Batch(batch));
        }
        Ok(Layout {
            block_bytes: self.block_bytes,
            stride,
            align: self.align,
            blocks_max,
            chunk_blocks: u32::try_from(chunk / stride).unwrap_or(u32::MAX).min(blocks_max),
            batch,
            is_real_time: self.real_time.is_some(),
            is_populated: self.real_time.is_some(),
        })
    }
}

impl std::fmt::Debug for BlockPoolBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockPoolBuilder")
            .field("block_bytes", &self.block_bytes)
            .field("blocks_max", &self.blocks_max)
            .finish_non_exhaustive()
    }
}

/// The checked sizes of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Bytes the user sees.
    pub(crate) block_bytes: usize,
    /// Bytes from one block to the next: a multiple of `align`, guard included.
    pub(crate) stride: usize,
    pub(crate) align: usize,
    pub(crate) blocks_max: u32,
    pub(crate) chunk_blocks: u32,
    pub(crate) batch: u32,
    pub(crate) is_real_time: bool,
    /// Every block is backed by memory from the start.
    pub(crate) is_populated: bool,
}

impl Layout {
    /// Returns the bytes of a range of blocks, from the region's first.
    pub(crate) fn span(&self, blocks: Range<u32>) -> Range<usize> {
        blocks.start as usize * self.stride..blocks.end as usize * self.stride
    }
}

fn default_batch(stride: usize, blocks_max: u32) -> u32 {
    let by_size = u32::try_from(BATCH_BYTES / stride).unwrap_or(u32::MAX).clamp(2, 32);
    by_size.min(blocks_max / 16).max(1)
}

/// Returns the reason that locking failed, in words that name the missing right.
pub(crate) fn describe_lock_error(error: &io::Error) -> String {
    format!("pages are not locked: {error}; CAP_IPC_LOCK or a higher memory-lock limit is missing")
}

const ALIGN_MAX: usize = 1 << 30;
const CHUNK_BYTES: usize = 1 << 20;
const BATCH_BYTES: usize = 64 << 10;

//! The shared heart of a block pool.
//!
//! ```text
//! take:  own magazine ─empty─▶ hot list ─▶ cold list ─▶ carve fresh ─▶ grow by a chunk ─▶
//! Exhausted give:  own magazine ─full──▶ hot list          (steps on the left are lock-free)
//! ```
//!
//! A block is in exactly one place: fresh (index at or above `carved`), in a list, in a magazine,
//! held by the user, or quarantined. Hot batches are backed by memory; cold ones were given back
//! to the kernel by the clean-up and fault on use.
//!
//! The registry's lock guards growth, coming and going of threads, and everything that seizes
//! magazines. Rule: nobody waits for the lock inside [`Magazine::enter`], because its holder may
//! wait for that magazine.
//!
//! Lifetime: handles and magazines count on the `Arc`. When the last handle goes with blocks
//! still held, one extra count is leaked to them and released by the last one given. The memory
//! itself goes at that moment, whoever else still has a count.

mod give;
mod release;
mod take;
mod threads;

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::asymmetric;
use crate::block::builder::Layout;
use crate::block::error::TakeError;
use crate::block::integrity::Integrity;
use crate::block::magazine::{Counts, Magazine};
use crate::block::outstanding::Sites;
use crate::block::slots::{Chain, Slots};
use crate::block::stack::Stack;
use crate::block::thread;
use crate::region::Region;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, Padded};

/// Everything the handles, magazines and blocks of one pool share.
///
/// In the order of use, as [`Magazine`] is.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Core {
    // Read by every operation, written almost never.
    /// Where this pool's entry is in each thread's table, in bytes.
    pub(crate) place: usize,
    base: NonNull<u8>,
    pub(crate) slots: Slots,
    pub(crate) layout: Layout,
    stamp: AtomicU32,
    pub(crate) batch: u32,
    forks: u64,
    closed: AtomicBool,
    pub(crate) integrity: Integrity,
    pub(crate) sites: Option<Sites>,
    // Written once in a batch of operations.
    hot: Stack,
    cold: Stack,
    flow: Padded<Flow>,
    registry: Mutex<Registry>,
}

// SAFETY: `base` is an address inside the region that the registry owns; its bytes are reached only
// through blocks, each of which has one holder. All else is atomic or locked.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

/// What moves between the lists and the threads. All but `carved` and `committed` only inform.
#[derive(Debug)]
struct Flow {
    /// Blocks below this index have been handed out at least once.
    carved: AtomicU32,
    /// Blocks below this index are backed by usable address space.
    committed: AtomicU32,
    /// Blocks outside the lists: held, or in magazines.
    out: AtomicU32,
    out_max: AtomicU32,
    /// Least depth of the hot list since the clean-up last asked.
    hot_low: AtomicU32,
    cold_blocks: AtomicU32,
    misses: AtomicU64,
    exhausted: AtomicU64,
}

/// What the lock guards.
#[derive(Debug)]
struct Registry {
    /// None once the pool is closed and its last block was given.
    region: Option<Region>,
    magazines: Vec<Arc<Magazine>>,
    /// Counts of threads that ended and of operations under this lock.
    departed: Counts,
    closed: bool,
    /// After closing: blocks still held.
    held_after_close: u64,
}

impl Registry {
    fn counts(&self) -> Counts {
        let mut counts = self.departed;
        for magazine in &self.magazines {
            counts.add(magazine.counts());
        }
        counts
    }
}

impl Core {
    pub(crate) fn new(
        layout: Layout,
        region: Region,
        integrity: Integrity,
        sites: Option<Sites>,
    ) -> std::io::Result<Arc<Self>> {
        asymmetric::prepare();
        thread::watch_forks();
        Ok(Arc::new(Self {
            place: thread::next_place(),
            slots: Slots::new(layout.blocks_max, integrity.link_key())?,
            batch: layout.batch,
            base: region.base(),
            layout,
            stamp: AtomicU32::new(1),
            forks: thread::forks(),
            closed: AtomicBool::new(false),
            integrity,
            sites,
            hot: Stack::new(),
            cold: Stack::new(),
            flow: Padded(Flow {
                carved: AtomicU32::new(0),
                committed: AtomicU32::new(if layout.is_populated { layout.blocks_max } else { 0 }),
                out: AtomicU32::new(0),
                out_max: AtomicU32::new(0),
                hot_low: AtomicU32::new(0),
                cold_blocks: AtomicU32::new(0),
                misses: AtomicU64::new(0),
                exhausted: AtomicU64::new(0),
            }),
            registry: Mutex::new(Registry {
                region: Some(region),
                magazines: Vec::new(),
                departed: Counts::default(),
                closed: false,
                held_after_close: 0,
            }),
        }))
    }

    /// Takes a block's index; the block is the caller's alone.
    #[inline(always)]
    pub(crate) fn take(
        self: &Arc<Self>,
        requested: u32,
        site: &'static Location<'static>,
    ) -> Result<u32, TakeError> {
        match thread::with(self, |magazine| magazine.take(self, requested)) {
            Some(Some(index)) => Ok(index),
            _ => self.take_slowly(requested, site),
        }
    }

    /// Takes back a block.
    ///
    /// # Safety
    ///
    /// `core` points to the pool of block `index`, which the caller holds and does not use again.
    #[inline(always)]
    pub(crate) unsafe fn give(core: NonNull<Self>, index: u32) {
        // SAFETY: a pool outlives its held blocks (see the file's head), and the block is held.
        let shared = unsafe { core.as_ref() };
        let given = thread::with(shared, |magazine| {
            // SAFETY: the caller's contract is the same.
            unsafe { magazine.give(shared, index) }
        });
        if given != Some(true) {
            // SAFETY: the fast path refused, so the block is still held and the pool alive; the
            // pointer came from `Arc::as_ptr`.
            unsafe { Arc::increment_strong_count(core.as_ptr()) };
            // SAFETY: this takes over the count added one line above.
            let core = unsafe { Arc::from_raw(core.as_ptr()) };
            core.give_slowly(index);
        }
    }

    /// Returns the first byte of a block.
    #[inline(always)]
    pub(crate) fn address(&self, index: u32) -> NonNull<u8> {
        // SAFETY: indices are below `blocks_max`, and the region spans `blocks_max` strides.
        unsafe { self.base.add(index as usize * self.layout.stride) }
    }

    /// Returns the index of the block that contains `address`, and whether it is its first byte.
    pub(crate) fn locate(&self, address: *const u8) -> Option<(u32, bool)> {
        let offset = address.addr().checked_sub(self.base.as_ptr().addr())?;
        let index = u32::try_from(offset / self.layout.stride).ok()?;
        let carved = index < self.flow.carved.load(Ordering::Acquire);
        carved.then_some((index, offset.is_multiple_of(self.layout.stride)))
    }

    /// Returns the mark that blocks taken now carry.
    #[inline(always)]
    pub(crate) fn stamp(&self) -> u32 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// Sets the mark that blocks taken from now on carry.
    pub(crate) fn set_stamp(&self, stamp: u32) {
        self.stamp.store(stamp, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Says whether this process is a fork of the one that made the pool.
    pub(crate) fn is_forked(&self) -> bool {
        self.forks != thread::forks()
    }

    /// Sends a batch to the hot list.
    #[cold]
    pub(crate) fn publish(&self, batch: Chain) {
        // Before the push: whoever pops these blocks adds them after it.
        self.flow.out.fetch_sub(batch.len, Ordering::Relaxed);
        self.hot.push(&self.slots, batch);
    }

    /// Returns sums as of some moments during the call.
    pub(crate) fn census(&self) -> Census {
        let registry = self.lock();
        Census {
            counts: registry.counts(),
            carved: self.flow.carved.load(Ordering::Relaxed),
            committed: self.flow.committed.load(Ordering::Relaxed),
            cold: self.flow.cold_blocks.load(Ordering::Relaxed),
            out: self.flow.out.load(Ordering::Relaxed),
            out_max: self.flow.out_max.load(Ordering::Relaxed),
            misses: self.flow.misses.load(Ordering::Relaxed),
            exhausted: self.flow.exhausted.load(Ordering::Relaxed),
            threads: registry.magazines.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Nothing that runs under the lock panics half-way through a change.
        self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Sums over a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Census {
    pub(crate) counts: Counts,
    pub(crate) carved: u32,
    pub(crate) committed: u32,
    pub(crate) cold: u32,
    pub(crate) out: u32,
    pub(crate) out_max: u32,
    pub(crate) misses: u64,
    pub(crate) exhausted: u64,
    pub(crate) threads: usize,
}

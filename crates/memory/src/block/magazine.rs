//! One thread's own store of blocks of one pool.
//!
//! A stack of up to two batches, after Bonwick and Adams, "Magazines and Vmem" (USENIX 2001): takes and
//! gives touch only its top; a whole batch comes from the shared list when it is empty, and the
//! lower half goes there when it is full, so at least one batch of operations lies between two
//! exchanges. An array and not a chain: a take then need not wait for the link of the last give.
//!
//! | field       | owner thread                        | seizing thread, under the registry's lock |
//! |-------------|-------------------------------------|-------------------------------------------|
//! | `detour`    | reads after raising `busy`          | sets and clears `SEIZED`                  |
//! | `busy`      | raised while it uses `stock`        | reads after the heavy fence               |
//! | `stock`     | only while `busy` and not detoured  | only while `SEIZED` and not `busy`        |
//! | counters    | writes while `busy`                 | reads                                     |
//!
//! Owner: 1 raise `busy`, 2 light fence, 3 read `detour`, 4 use `stock`, 5 lower `busy` (Release).
//! Seizer: a set `SEIZED`, b heavy fence, c read `busy` (Acquire), d use `stock` if it was low, e clear
//! `SEIZED` (Release). By the fences either 3 sees a, and the owner goes by the shared list, or c sees
//! 1, and the seizer waits or passes on. Modelled in `block/models.rs`.

use super::core::Core;
use super::slots::{Chain, Damaged, FREE};
use crate::asymmetric;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

/// The store of one thread.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Magazine {
    busy: AtomicBool,
    detour: AtomicU32,
    stock: UnsafeCell<Stock>,
    taken: AtomicU64,
    given: AtomicU64,
}

/// The blocks in a magazine; the most recently given is on top.
#[derive(Debug)]
pub(crate) struct Stock {
    len: u32,
    blocks: [u32; STOCK_MAX],
}

impl Stock {
    const fn new() -> Self {
        Self { len: 0, blocks: [0; STOCK_MAX] }
    }

    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<u32> {
        let top = self.len.checked_sub(1)?;
        self.len = top;
        // Masked, and never out of range by it: `top` is below `STOCK_MAX`, a power of two.
        Some(self.blocks[top as usize % STOCK_MAX])
    }

    /// Puts a block on top, first sending the lower half of a full stock to the shared list.
    #[inline(always)]
    fn push(&mut self, core: &Core, block: u32) {
        if self.len >= 2 * core.batch {
            self.publish_half(core);
        }
        self.blocks[self.len as usize % STOCK_MAX] = block;
        self.len += 1;
    }

    #[cold]
    fn publish_half(&mut self, core: &Core) {
        let half = core.batch as usize;
        // The blocks used longest ago go.
        core.publish(core.slots.chain(self.blocks[..half].iter().copied()));
        self.blocks.copy_within(half..self.len as usize, 0);
        self.len -= core.batch;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes in a batch; empties the stock on damage, because a rebuild follows.
    pub(crate) fn fill(&mut self, core: &Core, mut batch: Chain) -> Result<(), Damaged> {
        debug_assert!(self.len == 0 && batch.len as usize <= STOCK_MAX);
        let len = batch.len as usize;
        // Backwards, so that the batch's first block is taken first.
        for place in self.blocks[..len].iter_mut().rev() {
            *place = batch.pop(&core.slots)?.expect("a chain is as long as it says");
        }
        self.len = u32::try_from(len).expect("at most two batches");
        Ok(())
    }

    /// Forgets its blocks; a rebuild finds them.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    fn drain(&mut self, core: &Core) -> bool {
        let blocks = &self.blocks[..self.len as usize];
        for batch in blocks.chunks(core.batch as usize) {
            core.publish(core.slots.chain(batch.iter().copied()));
        }
        std::mem::take(&mut self.len) > 0
    }
}

// SAFETY: all fields but `stock` are atomic; `stock` is used by one thread at a time, as the
// protocol in the file's head argues and the loom model `seizing_excludes_the_owner` checks.
unsafe impl Sync for Magazine {}

impl Magazine {
    /// Makes an empty one; `detour` is 0 or [`CHECKED`].
    pub(crate) fn new(detour: u32) -> Self {
        Self {
            busy: AtomicBool::new(false),
            detour: AtomicU32::new(detour),
            stock: UnsafeCell::new(Stock::new()),
            taken: AtomicU64::new(0),
            given: AtomicU64::new(0),
        }
    }

    /// Takes the top block; none when there is none or a detour is set.
    #[inline(always)]
    pub(crate) fn take(&self, core: &Core, requested: u32) -> Option<u32> {
        self.enter_quickly(|stock| {
            let block = stock.pop()?;
            let slot = core.slots.get(block);
            slot.state.store(core.stamp(), Ordering::Relaxed);
            slot.below.store(requested, Ordering::Relaxed);
            add(&self.taken);
            Some(block)
        })?
    }

    /// Puts a block on top; false when a detour is set.
    #[inline(always)]
    pub(crate) fn give(&self, core: &Core, block: u32) -> bool {
        self.enter_quickly(|stock| {
            core.slots.get(block).state.store(FREE, Ordering::Relaxed);
            self.put(stock, core, block);
        })
        .is_some()
    }

    /// Puts a block on top of `stock`; only inside [`enter`](Self::enter).
    #[inline(always)]
    pub(crate) fn put(&self, stock: &mut Stock, core: &Core, block: u32) {
        stock.push(core, block);
        add(&self.given);
    }

    /// Runs `work` on the stock as its owner, through [`light`](asymmetric::light); none while it is seized.
    ///
    /// Only the thread the magazine belongs to calls this, and `work` never enters again.
    pub(crate) fn enter<R>(&self, work: impl FnOnce(&mut Stock) -> R) -> Option<R> {
        self.busy.store(true, Ordering::Relaxed);
        asymmetric::light();
        self.enter_fenced(SEIZED, work)
    }

    /// As [`enter`](Self::enter), and none too when the magazine was made for checks or full fences.
    #[inline(always)]
    fn enter_quickly<R>(&self, work: impl FnOnce(&mut Stock) -> R) -> Option<R> {
        self.busy.store(true, Ordering::Relaxed);
        // Where this is no fence for a seizer, `CHECKED` was set before the magazine was first used.
        asymmetric::quick();
        self.enter_fenced(SEIZED | CHECKED, work)
    }

    #[inline(always)]
    fn enter_fenced<R>(&self, detours: u32, work: impl FnOnce(&mut Stock) -> R) -> Option<R> {
        // Acquire pairs with the Release in `release`: what a seizer did to the stock is seen.
        if self.detour.load(Ordering::Acquire) & detours != 0 {
            self.busy.store(false, Ordering::Release);
            return None;
        }
        let result = self.stock.with_mut(|stock| {
            // SAFETY: `busy` is raised and no seizer was announced after it (rules 1 to 4), so no
            // other thread uses the stock; this thread does not enter twice.
            work(unsafe { &mut *stock })
        });
        // Release pairs with the Acquire in `is_busy`: a seizer sees our last operation.
        self.busy.store(false, Ordering::Release);
        Some(result)
    }

    /// Announces a seizure (rule a). The heavy fence follows once for all magazines.
    pub(crate) fn announce(&self) {
        self.detour.fetch_or(SEIZED, Ordering::Relaxed);
    }

    /// Says whether the owner is inside an operation (rule c).
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Sends all blocks of another thread's magazine to the hot list; false when there were none.
    ///
    /// # Safety
    ///
    /// The caller holds the registry's lock, announced the seizure, passed the heavy fence, and then
    /// saw [`is_busy`](Self::is_busy) false.
    pub(crate) unsafe fn empty(&self, core: &Core) -> bool {
        self.stock.with_mut(|stock| {
            // SAFETY: by the contract the owner sees the announcement before it would use the
            // stock, and the lock excludes other seizers.
            unsafe { &mut *stock }.drain(core)
        })
    }

    /// Forgets all blocks of another thread's magazine, for a rebuild.
    ///
    /// # Safety
    ///
    /// As for [`empty`](Self::empty).
    pub(crate) unsafe fn forget(&self) {
        self.stock.with_mut(|stock| {
            // SAFETY: as in `empty`.
            unsafe { &mut *stock }.clear();
        });
    }

    /// Ends a seizure (rule e).
    pub(crate) fn release(&self) {
        self.detour.fetch_and(!SEIZED, Ordering::Release);
    }

    /// Counts a taking; only inside [`enter`](Self::enter).
    pub(crate) fn count_taken(&self) {
        add(&self.taken);
    }

    /// Counts a giving; only inside [`enter`](Self::enter).
    pub(crate) fn count_given(&self) {
        add(&self.given);
    }

    /// Returns the counts so far: exact while seized or owned, else of some moments of late.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            taken: self.taken.load(Ordering::Relaxed),
            given: self.given.load(Ordering::Relaxed),
        }
    }
}

/// Sums over takings and givings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) taken: u64,
    pub(crate) given: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.given += other.given;
    }
}

/// Adds one without a locked instruction: the counter has one writer.
#[inline(always)]
fn add(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Most blocks in one batch as the builder allows it.
pub(crate) const BATCH_MAX: u32 = 64;
const STOCK_MAX: usize = 2 * BATCH_MAX as usize;
/// Detour: another thread is emptying this magazine.
pub(crate) const SEIZED: u32 = 1;
/// Detour: every operation is checked, recorded, or fully fenced, so none is quick. Never changes.
pub(crate) const CHECKED: u32 = 2;

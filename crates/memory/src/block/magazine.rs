//! One thread's own store of blocks of one pool.
//!
//! A stack of up to two batches, after Bonwick and Adams, "Magazines and Vmem" (USENIX 2001):
//! takes and gives touch only its top; a whole batch comes from the shared list when it is empty,
//! and the lower half goes there when it is full, so at least one batch of operations lies
//! between two exchanges. An array and not a chain: a take then need not wait for the link of the
//! last give.
//!
//! | field    | owner thread                       | seizing thread, under the registry's lock |
//! |----------|------------------------------------|-------------------------------------------|
//! | `detour` | reads after raising `busy`         | sets and clears `SEIZED`                  |
//! | `busy`   | raised while it uses `blocks`      | reads after the heavy fence               |
//! | `blocks` | only while `busy` and not detoured | only while `SEIZED` and not `busy`        |
//! | `word`   | writes while `busy`                | writes the length as it uses `blocks`     |
//! | `given`  | writes while `busy`                | reads                                     |
//!
//! Owner: 1 raise `busy`, 2 light fence, 3 read `detour`, 4 use `blocks`, 5 lower `busy`
//! (Release). Seizer: a set `SEIZED`, b heavy fence, c read `busy` (Acquire), d use `blocks` if
//! it was low, e clear `SEIZED` (Release). By the fences either 3 sees a, and the owner goes by
//! the shared list, or c sees 1, and the seizer waits or passes on. Modelled in
//! `block/models.rs`.

use super::core::Core;
use super::slots::{Chain, Damaged, FREE};
use crate::asymmetric;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

/// The store of one thread.
///
/// In the order of use, so that the offsets of what an operation needs fit into one byte.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Magazine {
    /// Blocks taken ever, above; blocks in the stock now, in the lowest [`LEN_BITS`]: one word, so
    /// that an operation reads and writes one.
    word: AtomicU64,
    given: AtomicU64,
    busy: AtomicBool,
    detour: AtomicU32,
    /// Blocks in two batches; never changes.
    full: u64,
    blocks: UnsafeCell<Blocks>,
}

/// The most recently given is on top, at the highest index in use.
type Blocks = [u32; STOCK_MAX];

/// The blocks in a magazine, for whoever may use them.
#[derive(Debug)]
pub(crate) struct Stock<'a> {
    word: &'a AtomicU64,
    blocks: &'a mut Blocks,
}

impl Stock<'_> {
    #[inline(always)]
    fn word(&self) -> u64 {
        self.word.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn set_word(&mut self, word: u64) {
        self.word.store(word, Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        usize::try_from(self.word() & LEN_MASK).expect("at most two batches")
    }

    fn set_len(&mut self, len: usize) {
        self.set_word(self.word() & !LEN_MASK | len as u64);
    }

    /// Takes the top block and adds `taken` to the count.
    #[inline(always)]
    fn pop_counted(&mut self, taken: u64) -> Option<u32> {
        let word = self.word();
        if word & LEN_MASK == 0 {
            return None;
        }
        let word = word.wrapping_add(taken.wrapping_sub(1));
        self.set_word(word);
        // Masked, and never changed by it: a length is at most `STOCK_MAX`, a power of two.
        Some(self.blocks[(word & (STOCK_MAX as u64 - 1)) as usize])
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.pop_counted(0)
    }

    /// Puts a block on top, first sending the lower half of a full stock to the shared list.
    #[inline(always)]
    fn push(&mut self, core: &Core, full: u64, block: u32) {
        let mut word = self.word();
        if word & LEN_MASK >= full {
            // By parts: a pointer to `self` would move it from registers to memory.
            word = publish_half(core, word, self.blocks);
        }
        self.blocks[(word & (STOCK_MAX as u64 - 1)) as usize] = block;
        self.set_word(word + 1);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in a batch; empties the stock on damage, because a rebuild follows.
    pub(crate) fn fill(&mut self, core: &Core, mut batch: Chain) -> Result<(), Damaged> {
        debug_assert!(self.is_empty() && batch.len as usize <= STOCK_MAX);
        let len = batch.len as usize;
        // Backwards, so that the batch's first block is taken first.
        for place in self.blocks[..len].iter_mut().rev() {
            *place = batch.pop(&core.slots)?.expect("a chain is as long as it says");
        }
        self.set_len(len);
        Ok(())
    }

    /// Forgets its blocks; a rebuild finds them.
    pub(crate) fn clear(&mut self) {
        self.set_len(0);
    }

    fn drain(&mut self, core: &Core) -> bool {
        let blocks = &self.blocks[..self.len()];
        for batch in blocks.chunks(core.batch as usize) {
            core.publish(core.slots.chain(batch.iter().copied()));
        }
        let had_some = !blocks.is_empty();
        self.set_len(0);
        had_some
    }
}

// SAFETY: all fields but `blocks` are atomic or never change; `blocks` is used by one thread at a
// time, as the protocol in the file's head argues and the loom model `seizing_excludes_the_owner`
// checks.
unsafe impl Sync for Magazine {}

impl Magazine {
    /// Makes an empty one for batches of `batch` blocks; `detour` is 0 or [`CHECKED`].
    pub(crate) fn new(batch: u32, detour: u32) -> Self {
        debug_assert!(batch <= BATCH_MAX);
        Self {
            word: AtomicU64::new(0),
            given: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            detour: AtomicU32::new(detour),
            full: 2 * u64::from(batch),
            blocks: UnsafeCell::new([0; STOCK_MAX]),
        }
    }

    /// Takes the top block; none when there is none or a detour is set. `requested` is not noted
    /// when it is [`WHOLE_BLOCK`].
    #[inline(always)]
    pub(crate) fn take(&self, core: &Core, requested: u32) -> Option<u32> {
        self.enter_quickly(|stock| {
            let block = stock.pop_counted(TAKEN_ONE)?;
            // SAFETY: a stock holds blocks that were given and blocks that `fill` followed links
            // through, which is checked; both are blocks of the pool.
            let slot = unsafe { core.slots.get_known(block) };
            slot.state.store(core.stamp(), Ordering::Relaxed);
            if requested != WHOLE_BLOCK {
                slot.below.store(requested, Ordering::Relaxed);
            }
            Some(block)
        })?
    }

    /// Puts a block on top; false when a detour is set.
    ///
    /// # Safety
    ///
    /// `block` is a block of the pool `core`, and the caller's alone.
    #[inline(always)]
    pub(crate) unsafe fn give(&self, core: &Core, block: u32) -> bool {
        self.enter_quickly(|stock| {
            // SAFETY: a block of the pool, by the contract.
            let slot = unsafe { core.slots.get_known(block) };
            slot.state.store(FREE, Ordering::Relaxed);
            self.put(stock, core, block);
        })
        .is_some()
    }

    /// Puts a block on top of `stock`; only inside [`enter`](Self::enter).
    #[inline(always)]
    pub(crate) fn put(&self, stock: &mut Stock<'_>, core: &Core, block: u32) {
        stock.push(core, self.full, block);
        add(&self.given);
    }

    /// Runs `work` on the stock as its owner, through [`light`](asymmetric::light); none while it
    /// is seized.
    ///
    /// Only the thread the magazine belongs to calls this, and `work` never enters again.
    pub(crate) fn enter<R>(&self, work: impl FnOnce(&mut Stock<'_>) -> R) -> Option<R> {
        self.busy.store(true, Ordering::Relaxed);
        asymmetric::light();
        self.enter_fenced(SEIZED, work)
    }

    /// As [`enter`](Self::enter), and none too when the magazine was made for checks or full
    /// fences.
    #[inline(always)]
    fn enter_quickly<R>(&self, work: impl FnOnce(&mut Stock<'_>) -> R) -> Option<R> {
        self.busy.store(true, Ordering::Relaxed);
        // Where this is no fence for a seizer, `CHECKED` was set before the magazine was first
        // used.
        asymmetric::quick();
        self.enter_fenced(SEIZED | CHECKED, work)
    }

    #[inline(always)]
    fn enter_fenced<R>(&self, detours: u32, work: impl FnOnce(&mut Stock<'_>) -> R) -> Option<R> {
        // Acquire pairs with the Release in `release`: what a seizer did to the stock is seen.
        if self.detour.load(Ordering::Acquire) & detours != 0 {
            self.busy.store(false, Ordering::Release);
            return None;
        }
        let result = self.blocks.with_mut(|blocks| {
            // SAFETY: `busy` is raised and no seizer was announced after it (rules 1 to 4), so no
            // other thread uses the blocks; this thread does not enter twice.
            let blocks = unsafe { &mut *blocks };
            work(&mut Stock { word: &self.word, blocks })
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
    /// The caller holds the registry's lock, announced the seizure, passed the heavy fence, and
    /// then saw [`is_busy`](Self::is_busy) false.
    pub(crate) unsafe fn empty(&self, core: &Core) -> bool {
        self.blocks.with_mut(|blocks| {
            // SAFETY: by the contract the owner sees the announcement before it would use the
            // blocks, and the lock excludes other seizers.
            let blocks = unsafe { &mut *blocks };
            Stock { word: &self.word, blocks }.drain(core)
        })
    }

    /// Forgets all blocks of another thread's magazine, for a rebuild.
    ///
    /// # Safety
    ///
    /// As for [`empty`](Self::empty).
    pub(crate) unsafe fn forget(&self) {
        self.blocks.with_mut(|blocks| {
            // SAFETY: as in `empty`.
            let blocks = unsafe { &mut *blocks };
            Stock { word: &self.word, blocks }.clear();
        });
    }

    /// Ends a seizure (rule e).
    pub(crate) fn release(&self) {
        self.detour.fetch_and(!SEIZED, Ordering::Release);
    }

    /// Counts a taking; only inside [`enter`](Self::enter).
    pub(crate) fn count_taken(&self) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word.wrapping_add(TAKEN_ONE), Ordering::Relaxed);
    }

    /// Counts a giving; only inside [`enter`](Self::enter).
    pub(crate) fn count_given(&self) {
        add(&self.given);
    }

    /// Returns the counts so far: exact while seized or owned, else of some moments of late.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            taken: self.word.load(Ordering::Relaxed) >> LEN_BITS,
            given: self.given.load(Ordering::Relaxed),
        }
    }
}

/// Sends the blocks used longest ago, half of a full stock, to the shared list; returns the word
/// for what is left.
#[cold]
#[inline(never)]
fn publish_half(core: &Core, word: u64, blocks: &mut Blocks) -> u64 {
    let half = core.batch as usize;
    core.publish(core.slots.chain(blocks[..half].iter().copied()));
    blocks.copy_within(half..2 * half, 0);
    word - half as u64
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
/// Bits of [`Magazine::word`] for the length of the stock. What is left counts takings for years.
const LEN_BITS: u32 = 8;
const LEN_MASK: u64 = (1 << LEN_BITS) - 1;
const TAKEN_ONE: u64 = 1 << LEN_BITS;
/// As the bytes requested: all of the block, which need not be noted.
pub(crate) const WHOLE_BLOCK: u32 = u32::MAX;
/// Detour: another thread is emptying this magazine.
pub(crate) const SEIZED: u32 = 1;
/// Detour: every operation is checked, recorded, or fully fenced, so none is quick. Never changes.
pub(crate) const CHECKED: u32 = 2;

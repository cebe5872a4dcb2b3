//! The shared heart of a block pool.
//!
//! ```text
//! take:  own magazine ─empty─▶ hot list ─▶ cold list ─▶ carve fresh ─▶ grow by a chunk ─▶ Exhausted
//! give:  own magazine ─full──▶ hot list          (steps on the left are lock-free)
//! ```
//!
//! A block is in exactly one place: fresh (index at or above `carved`), in a list, in a magazine, held by
//! the user, or quarantined. Hot batches are backed by memory; cold ones were given back to the kernel by
//! the clean-up and fault on use.
//!
//! The registry's lock guards growth, coming and going of threads, and everything that seizes
//! magazines. Rule: nobody waits for the lock inside [`Magazine::enter`], because its holder may wait
//! for that magazine.
//!
//! Lifetime: handles and magazines count on the `Arc`. When the last handle goes with blocks still
//! held, one extra count is leaked to them and released by the last one given. The memory itself goes at
//! that moment, whoever else still has a count.

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic as std_atomic;

use super::builder::Layout;
use super::error::TakeError;
use super::integrity::{Incident, Integrity};
use super::magazine::{CHECKED, Counts, Magazine, SEIZED};
use super::outstanding::Sites;
use super::slots::{Chain, Damaged, FREE, Slots};
use super::stack::Stack;
use super::thread;
use crate::asymmetric;
use crate::region::Region;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, Padded};

/// Everything the handles, magazines and blocks of one pool share.
#[derive(Debug)]
pub(crate) struct Core {
    // Read by every operation, written almost never.
    pub(crate) id: u64,
    pub(crate) slots: Slots,
    pub(crate) batch: u32,
    base: NonNull<u8>,
    pub(crate) layout: Layout,
    stamp: AtomicU32,
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
            id: NEXT_ID.fetch_add(1, std_atomic::Ordering::Relaxed),
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
    #[inline]
    pub(crate) fn take(
        self: &Arc<Self>,
        requested: u32,
        site: &'static Location<'static>,
    ) -> Result<u32, TakeError> {
        match thread::with(self.id, |magazine| magazine.take(self, requested)) {
            Some(Some(index)) => Ok(index),
            _ => self.take_slowly(requested, site),
        }
    }

    /// Takes back a block.
    ///
    /// # Safety
    ///
    /// `core` points to the pool of block `index`, which the caller holds and does not use again.
    #[inline]
    pub(crate) unsafe fn give(core: NonNull<Self>, index: u32, requested: u32) {
        // SAFETY: a pool outlives its held blocks (see the file's head), and the block is held.
        let shared = unsafe { core.as_ref() };
        let given = thread::with(shared.id, |magazine| magazine.give(shared, index, requested));
        if given != Some(true) {
            // SAFETY: the fast path refused, so the block is still held and the pool alive; the
            // pointer came from `Arc::as_ptr`.
            unsafe { Arc::increment_strong_count(core.as_ptr()) };
            // SAFETY: this takes over the count added one line above.
            let core = unsafe { Arc::from_raw(core.as_ptr()) };
            core.give_slowly(index, requested);
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
}

// Slow paths of taking.
impl Core {
    #[cold]
    #[inline(never)]
    fn take_slowly(
        self: &Arc<Self>,
        requested: u32,
        site: &'static Location<'static>,
    ) -> Result<u32, TakeError> {
        if self.is_forked() {
            return Err(TakeError::Forked);
        }
        let magazine = thread::magazine(self);
        loop {
            let found = self.take_from_anywhere(magazine.as_deref(), requested);
            match found {
                Ok(Some(index)) => {
                    if self.integrity.admit(self, index) {
                        if let Some(sites) = &self.sites {
                            sites.record(index, site);
                        }
                        return Ok(index);
                    }
                    self.forget_taken(magazine.as_deref(), requested);
                }
                Ok(None) => self.provide()?,
                Err(Damaged) => self.rebuild(),
            }
        }
    }

    /// Takes a block from the magazine or, where there is none or it is seized, from the lists.
    fn take_from_anywhere(
        &self,
        magazine: Option<&Magazine>,
        requested: u32,
    ) -> Result<Option<u32>, Damaged> {
        let own = magazine.and_then(|magazine| {
            magazine.enter(SEIZED, |chains| {
                if chains.loaded.len == 0 {
                    std::mem::swap(&mut chains.loaded, &mut chains.spare);
                }
                if chains.loaded.len == 0 {
                    chains.loaded = self.fetch()?;
                }
                let taken = self.claim(&mut chains.loaded)?;
                if taken.is_some() {
                    magazine.count_taken(requested);
                }
                Ok(taken)
            })
        });
        if let Some(result) = own {
            return result;
        }
        let mut registry = self.lock();
        let mut batch = self.fetch()?;
        let taken = self.claim(&mut batch)?;
        if batch.len > 0 {
            self.publish(batch);
        }
        if taken.is_some() {
            registry.departed.count_taken(requested);
        }
        Ok(taken)
    }

    /// Pops a block and marks it held.
    fn claim(&self, chain: &mut Chain) -> Result<Option<u32>, Damaged> {
        let Some(index) = chain.pop(&self.slots)? else { return Ok(None) };
        if self.integrity.claim(self, index) {
            return Ok(Some(index));
        }
        // Somebody holds it: the list is wrong, and so may be what follows.
        *chain = Chain::EMPTY;
        Err(Damaged)
    }

    /// Takes a batch off the lists, or carves one; empty when there is none.
    fn fetch(&self) -> Result<Chain, Damaged> {
        let batch = if let Some((batch, depth)) = self.hot.pop(&self.slots)? {
            if depth < self.flow.hot_low.load(Ordering::Relaxed) {
                self.flow.hot_low.fetch_min(depth, Ordering::Relaxed);
            }
            batch
        } else {
            self.flow.hot_low.store(0, Ordering::Relaxed);
            let (batch, is_backed) = match self.cold.pop(&self.slots)? {
                Some((batch, _)) => {
                    self.flow.cold_blocks.fetch_sub(batch.len, Ordering::Relaxed);
                    (batch, false)
                }
                None => (self.carve(), self.layout.is_populated),
            };
            if !is_backed {
                self.flow.misses.fetch_add(u64::from(batch.len), Ordering::Relaxed);
            }
            batch
        };
        if batch.len > 0 {
            let out = self.flow.out.fetch_add(batch.len, Ordering::Relaxed) + batch.len;
            if out > self.flow.out_max.load(Ordering::Relaxed) {
                self.flow.out_max.fetch_max(out, Ordering::Relaxed);
            }
        }
        Ok(batch)
    }

    /// Makes a batch of blocks that were never used.
    fn carve(&self) -> Chain {
        let batch = self.batch;
        let end = self.flow.committed.load(Ordering::Acquire);
        let carved = self.flow.carved.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |at| {
            (at < end).then(|| end.min(at + batch))
        });
        match carved {
            // Backwards, so that the lowest address is taken first.
            Ok(start) => self.slots.chain((start..end.min(start + batch)).rev()),
            Err(_) => Chain::EMPTY,
        }
    }

    /// Finds more blocks: a new chunk, else what idle threads keep in their magazines.
    ///
    /// Not called inside [`Magazine::enter`].
    fn provide(&self) -> Result<(), TakeError> {
        match self.grow() {
            Err(TakeError::Exhausted) if !self.layout.is_real_time => {
                if self.gather() {
                    Ok(())
                } else {
                    Err(TakeError::Exhausted)
                }
            }
            result => result,
        }
        .inspect_err(|_| {
            self.flow.exhausted.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Makes one more chunk usable, unless another thread just did.
    pub(crate) fn grow(&self) -> Result<(), TakeError> {
        let blocks_max = self.layout.blocks_max;
        // Checked before the lock: an exhausted real-time pool never waits.
        if self.flow.committed.load(Ordering::Acquire) == blocks_max && self.is_carved_out() {
            return Err(TakeError::Exhausted);
        }
        let registry = self.lock();
        if !self.is_carved_out() {
            return Ok(());
        }
        let committed = self.flow.committed.load(Ordering::Acquire);
        if committed == blocks_max {
            return Err(TakeError::Exhausted);
        }
        let region = registry.region.as_ref().expect("a pool with a handle has its region");
        let end = blocks_max.min(committed + self.layout.chunk_blocks);
        let range = self.layout.span(committed..end);
        region
            .commit(range.start, range.len())
            .map_err(|error| TakeError::Refused(error.raw_os_error().unwrap_or(0)))?;
        // Release pairs with the Acquire in `carve`: the chunk is usable before it is carved.
        self.flow.committed.store(end, Ordering::Release);
        Ok(())
    }

    fn is_carved_out(&self) -> bool {
        let carved = self.flow.carved.load(Ordering::Acquire);
        carved == self.flow.committed.load(Ordering::Acquire)
    }

    /// Moves what other threads keep in idle magazines to the hot list; false when that was nothing.
    ///
    /// Skips threads that are in the middle of an operation, so it waits for nobody but the lock.
    pub(crate) fn gather(&self) -> bool {
        let registry = self.lock();
        let mut found = self.hot.depth(&self.slots) > 0 || self.cold.depth(&self.slots) > 0;
        let counts = registry.counts();
        let held = counts.taken.wrapping_sub(counts.given);
        if u64::from(self.flow.out.load(Ordering::Relaxed)) == held {
            // Nothing lies in a magazine; a caller that polls an empty pool costs no fence.
            return found;
        }
        announce(&registry);
        for magazine in &registry.magazines {
            if !magazine.is_busy() {
                // SAFETY: announced and fenced above under the lock, and not busy since.
                found |= self.publish_all(unsafe { magazine.empty() });
            }
            magazine.release();
        }
        found
    }

    fn publish_all(&self, chains: [Chain; 2]) -> bool {
        let mut found = false;
        for chain in chains {
            if chain.len > 0 {
                self.publish(chain);
                found = true;
            }
        }
        found
    }
}

// Slow paths of giving.
impl Core {
    #[cold]
    #[inline(never)]
    fn give_slowly(self: Arc<Self>, index: u32, requested: u32) {
        if self.is_forked() {
            // The memory is this child's own copy; it goes when the child does.
            return;
        }
        if let Some(sites) = &self.sites {
            sites.clear(index);
        }
        let is_sound = self.integrity.examine(&self, index);
        let magazine = thread::magazine(&self);
        let given = magazine.and_then(|magazine| {
            magazine.enter(SEIZED, |chains| {
                if is_sound {
                    self.integrity.mark_free(&self, index);
                    magazine.put(chains, &self, index, requested);
                } else {
                    magazine.count_given(requested);
                }
            })
        });
        if given.is_none() {
            self.give_under_lock(index, requested, is_sound);
        }
    }

    fn give_under_lock(&self, index: u32, requested: u32, is_sound: bool) {
        let mut registry = self.lock();
        if registry.closed {
            registry.held_after_close -= 1;
            if registry.held_after_close == 0 {
                registry.region = None;
                // SAFETY: releases the count that `close` leaked for the held blocks, of which
                // this was the last; the caller has a count of its own.
                unsafe { Arc::decrement_strong_count(std::ptr::from_ref(self)) };
            }
            return;
        }
        registry.departed.count_given(requested);
        if is_sound {
            self.integrity.mark_free(self, index);
            let mut batch = Chain::EMPTY;
            batch.push(&self.slots, index);
            self.publish(batch);
        }
    }

    /// Undoes the count of a block that turned out damaged after it was taken.
    fn forget_taken(&self, magazine: Option<&Magazine>, requested: u32) {
        let counted = magazine
            .and_then(|magazine| magazine.enter(SEIZED, |_| magazine.count_given(requested)));
        if counted.is_none() {
            self.lock().departed.count_given(requested);
        }
    }
}

// Threads and the end.
impl Core {
    /// Makes a magazine for the calling thread; none when the pool is closed or forked.
    pub(crate) fn register(&self) -> Option<Arc<Magazine>> {
        if self.is_forked() {
            return None;
        }
        let mut registry = self.lock();
        if registry.closed {
            return None;
        }
        let is_checked = self.integrity.is_on() || self.sites.is_some();
        let magazine = Arc::new(Magazine::new(if is_checked { CHECKED } else { 0 }));
        registry.magazines.push(Arc::clone(&magazine));
        Some(magazine)
    }

    /// Takes back what an ending thread has.
    pub(crate) fn retire(&self, magazine: &Arc<Magazine>) {
        if self.is_forked() {
            return;
        }
        let mut registry = self.lock();
        if registry.closed {
            return;
        }
        magazine.announce();
        // SAFETY: the caller is the owner itself, so nobody is inside; the lock excludes seizers.
        self.publish_all(unsafe { magazine.empty() });
        registry.departed.add(magazine.counts());
        registry.magazines.retain(|other| !Arc::ptr_eq(other, magazine));
    }

    /// Ends the pool when its last handle goes; returns how many blocks are still held.
    pub(crate) fn close(self: &Arc<Self>) -> u64 {
        if self.is_forked() {
            return 0;
        }
        let mut registry = self.lock();
        registry.closed = true;
        self.closed.store(true, Ordering::Release);
        self.seize(&registry);
        // The seizure never ends: from here on every giving comes under the lock.
        let counts = registry.counts();
        registry.magazines.clear();
        let held = counts.taken.wrapping_sub(counts.given);
        registry.held_after_close = held;
        if held == 0 {
            registry.region = None;
        } else {
            // Released by the last block given.
            std::mem::forget(Arc::clone(self));
        }
        held
    }

    /// Waits until no owner is inside any magazine, and keeps them out.
    fn seize(&self, registry: &Registry) {
        announce(registry);
        for magazine in &registry.magazines {
            while magazine.is_busy() {
                // An operation is a few instructions; only a preempted owner makes us wait.
                crate::sync::thread::yield_now();
            }
        }
    }

    /// Makes the lists anew from the record of what is free.
    ///
    /// Everything else stands still meanwhile. Costs about 5 ns for each block ever carved.
    #[cold]
    pub(crate) fn rebuild(&self) {
        let registry = self.lock();
        self.seize(&registry);
        for magazine in &registry.magazines {
            // SAFETY: announced, fenced, not busy, under the lock. The links may be damaged, so
            // the chains are forgotten, not walked.
            let _ = unsafe { magazine.empty() };
        }
        self.hot.clear();
        self.cold.clear();
        let carved = self.flow.carved.load(Ordering::Acquire);
        let mut batch = Chain::EMPTY;
        let mut found = 0;
        for index in (0..carved).filter(|&index| self.integrity.is_free(self, index)) {
            batch.push(&self.slots, index);
            found += 1;
            if batch.len == self.batch {
                self.hot.push(&self.slots, std::mem::replace(&mut batch, Chain::EMPTY));
            }
        }
        if batch.len > 0 {
            self.hot.push(&self.slots, batch);
        }
        self.flow.cold_blocks.store(0, Ordering::Relaxed);
        self.flow.out.store(carved - found, Ordering::Relaxed);
        for magazine in &registry.magazines {
            magazine.release();
        }
        drop(registry);
        self.integrity.report(Incident::Rebuilt { free: found });
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // Nothing that runs under the lock panics half-way through a change.
        self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

// Clean-up: see `buffer/clean.rs` for who calls and when.
impl Core {
    /// Returns how many hot batches nobody needed since the last call.
    pub(crate) fn idle_batches(&self) -> u32 {
        let depth = self.hot.depth(&self.slots);
        self.flow.hot_low.swap(depth, Ordering::Relaxed).min(depth)
    }

    /// Gives the memory of up to `batches` hot batches back; returns bytes given back and whether
    /// the hot list had that many.
    ///
    /// `scratch` keeps its capacity between calls. Blocks smaller than a page are given back where
    /// neighbours are idle too.
    pub(crate) fn release(&self, batches: u32, scratch: &mut Vec<u32>) -> (usize, bool) {
        scratch.clear();
        // Held throughout: a rebuild must not see these blocks as lost.
        let registry = self.lock();
        let Some(region) = registry.region.as_ref() else { return (0, false) };
        let mut found = 0;
        while found < batches {
            // Damage is found again, and repaired, by the next taking.
            let Ok(Some((mut batch, _))) = self.hot.pop(&self.slots) else { break };
            while let Ok(Some(index)) = batch.pop(&self.slots) {
                scratch.push(index);
            }
            found += 1;
        }
        scratch.sort_unstable();
        let bytes = self.discard(region, scratch);
        for run in scratch.chunks(self.batch as usize) {
            // Lowest addresses are taken first again: later clean-ups then find long runs.
            let batch = self.slots.chain(run.iter().rev().copied());
            self.flow.cold_blocks.fetch_add(batch.len, Ordering::Relaxed);
            self.cold.push(&self.slots, batch);
        }
        (bytes, found == batches)
    }

    /// Discards the whole pages covered by the free blocks `sorted`, which the caller holds.
    fn discard(&self, region: &Region, sorted: &[u32]) -> usize {
        let mut bytes = 0;
        for run in sorted.chunk_by(|a, b| a + 1 == *b) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let span = self.layout.span(first..last + 1);
            let start = span.start.next_multiple_of(crate::page_bytes());
            let end = span.end - span.end % crate::page_bytes();
            if start >= end {
                continue;
            }
            // SAFETY: the caller took these blocks off the list, so nobody holds them, and the
            // range covers nothing else.
            if unsafe { region.discard(start, end - start) }.is_ok() {
                bytes += end - start;
                for &index in run {
                    // The poison may be gone; a sound block is free either way.
                    self.slots.get(index).state.store(FREE, Ordering::Relaxed);
                }
            }
        }
        bytes
    }
}

/// Asks all owners to stay out and passes the heavy fence.
fn announce(registry: &Registry) {
    for magazine in &registry.magazines {
        magazine.announce();
    }
    asymmetric::heavy();
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

/// Ids start at 1; the threads' tables use 0 for none.
static NEXT_ID: std_atomic::AtomicU64 = std_atomic::AtomicU64::new(1);

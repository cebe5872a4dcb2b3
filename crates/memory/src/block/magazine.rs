//! One thread's own store of blocks of one pool.
//!
//! Two chains of at most one batch each, as in Bonwick and Adams, "Magazines and Vmem" (USENIX 2001):
//! takes and gives touch only `loaded`; a whole batch moves to or from the shared list when both
//! chains are full or empty, so at least one batch of operations lies between two exchanges.
//!
//! | field       | owner thread                        | seizing thread, under the registry's lock |
//! |-------------|-------------------------------------|-------------------------------------------|
//! | `detour`    | reads after raising `busy`          | sets and clears `SEIZED`                  |
//! | `busy`      | raised while it uses `chains`       | reads after the heavy fence               |
//! | `chains`    | only while `busy` and not detoured  | only while `SEIZED` and not `busy`        |
//! | counters    | writes while `busy`                 | reads                                     |
//!
//! Owner: 1 raise `busy`, 2 light fence, 3 read `detour`, 4 use `chains`, 5 lower `busy` (Release).
//! Seizer: a set `SEIZED`, b heavy fence, c read `busy` (Acquire), d use `chains` if it was low, e clear
//! `SEIZED` (Release). By the fences either 3 sees a, and the owner goes by the shared list, or c sees
//! 1, and the seizer waits or passes on. Modelled in `block/models.rs`.

use super::core::Core;
use super::slots::{Chain, FREE};
use crate::asymmetric;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::sync::cell::UnsafeCell;

/// The store of one thread.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Magazine {
    busy: AtomicBool,
    detour: AtomicU32,
    chains: UnsafeCell<Chains>,
    taken: AtomicU64,
    given: AtomicU64,
    requested: AtomicU64,
}

/// The blocks in a magazine.
#[derive(Debug)]
pub(crate) struct Chains {
    pub(crate) loaded: Chain,
    pub(crate) spare: Chain,
}

// SAFETY: all fields but `chains` are atomic; `chains` is used by one thread at a time, as the
// protocol in the file's head argues and the loom model `seizing_excludes_the_owner` checks.
unsafe impl Sync for Magazine {}

impl Magazine {
    /// Makes an empty one; `detour` is 0 or [`CHECKED`].
    pub(crate) fn new(detour: u32) -> Self {
        Self {
            busy: AtomicBool::new(false),
            detour: AtomicU32::new(detour),
            chains: UnsafeCell::new(Chains { loaded: Chain::EMPTY, spare: Chain::EMPTY }),
            taken: AtomicU64::new(0),
            given: AtomicU64::new(0),
            requested: AtomicU64::new(0),
        }
    }

    /// Takes a block from `loaded` or `spare`; none when both are empty or a detour is set.
    #[inline(always)]
    pub(crate) fn take(&self, core: &Core, requested: u32) -> Option<u32> {
        self.enter(SEIZED | CHECKED, |chains| {
            if chains.loaded.len == 0 {
                if chains.spare.len == 0 {
                    return None;
                }
                std::mem::swap(&mut chains.loaded, &mut chains.spare);
            }
            let index = chains.loaded.head;
            let slot = core.slots.get(index);
            // Links are plain without `CHECKED`.
            let next = slot.next.load(Ordering::Relaxed);
            chains.loaded = Chain { head: next, len: chains.loaded.len - 1 };
            slot.state.store(core.stamp(), Ordering::Relaxed);
            self.count_taken(requested);
            Some(index)
        })?
    }

    /// Puts a block into `loaded`; false when a detour is set.
    #[inline(always)]
    pub(crate) fn give(&self, core: &Core, index: u32, requested: u32) -> bool {
        self.enter(SEIZED | CHECKED, |chains| {
            core.slots.get(index).state.store(FREE, Ordering::Relaxed);
            self.put(chains, core, index, requested);
        })
        .is_some()
    }

    /// Puts a block into `chains`, sending a full batch to the shared list where needed.
    #[inline(always)]
    pub(crate) fn put(&self, chains: &mut Chains, core: &Core, index: u32, requested: u32) {
        if chains.loaded.len >= core.batch {
            if chains.spare.len > 0 {
                core.publish(chains.spare);
            }
            chains.spare = chains.loaded;
            chains.loaded = Chain::EMPTY;
        }
        chains.loaded.push(&core.slots, index);
        self.count_given(requested);
    }

    /// Runs `work` on the chains as their owner; none when a flag of `detours` is set.
    ///
    /// Only the thread the magazine belongs to calls this, and `work` never calls it again.
    #[inline(always)]
    pub(crate) fn enter<R>(&self, detours: u32, work: impl FnOnce(&mut Chains) -> R) -> Option<R> {
        self.busy.store(true, Ordering::Relaxed);
        asymmetric::light();
        // Acquire pairs with the Release in `release`: what a seizer did to the chains is seen.
        if self.detour.load(Ordering::Acquire) & detours != 0 {
            self.busy.store(false, Ordering::Release);
            return None;
        }
        let result = self.chains.with_mut(|chains| {
            // SAFETY: `busy` is raised and no seizer was announced after it (rules 1 to 4), so no
            // other thread uses the chains; this thread does not enter twice.
            work(unsafe { &mut *chains })
        });
        // Release pairs with the Acquire in `seized`: a seizer sees our last operation.
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

    /// Empties the magazine of another thread.
    ///
    /// # Safety
    ///
    /// The caller holds the registry's lock, announced the seizure, passed the heavy fence, and then
    /// saw [`is_busy`](Self::is_busy) false.
    pub(crate) unsafe fn empty(&self) -> [Chain; 2] {
        self.chains.with_mut(|chains| {
            // SAFETY: by the contract the owner sees the announcement before it would use the
            // chains, and the lock excludes other seizers.
            let chains = unsafe { &mut *chains };
            let taken = [chains.loaded, chains.spare];
            chains.loaded = Chain::EMPTY;
            chains.spare = Chain::EMPTY;
            taken
        })
    }

    /// Ends a seizure (rule e).
    pub(crate) fn release(&self) {
        self.detour.fetch_and(!SEIZED, Ordering::Release);
    }

    /// Counts a taking; only inside [`enter`](Self::enter).
    #[inline(always)]
    pub(crate) fn count_taken(&self, requested: u32) {
        add(&self.taken, 1);
        add(&self.requested, u64::from(requested));
    }

    #[inline(always)]
    pub(crate) fn count_given(&self, requested: u32) {
        add(&self.given, 1);
        add(&self.requested, u64::from(requested).wrapping_neg());
    }

    /// Returns the counts so far: exact while seized or owned, else of some moments of late.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            taken: self.taken.load(Ordering::Relaxed),
            given: self.given.load(Ordering::Relaxed),
            requested: self.requested.load(Ordering::Relaxed),
        }
    }
}

/// Sums over takings and givings. `requested` is bytes taken minus bytes given; the part of one
/// thread may wrap below zero, the sum over all threads does not.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) taken: u64,
    pub(crate) given: u64,
    pub(crate) requested: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.taken = self.taken.wrapping_add(other.taken);
        self.given = self.given.wrapping_add(other.given);
        self.requested = self.requested.wrapping_add(other.requested);
    }

    pub(crate) fn count_taken(&mut self, requested: u32) {
        self.add(Self { taken: 1, given: 0, requested: u64::from(requested) });
    }

    pub(crate) fn count_given(&mut self, requested: u32) {
        let requested = u64::from(requested).wrapping_neg();
        self.add(Self { taken: 0, given: 1, requested });
    }
}

/// Adds without a locked instruction: the counter has one writer.
#[inline(always)]
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// Detour: another thread is emptying this magazine.
pub(crate) const SEIZED: u32 = 1;
/// Detour: every operation is checked or recorded, so none is fast.
pub(crate) const CHECKED: u32 = 2;

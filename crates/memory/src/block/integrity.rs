//! Finding damage, and living on.
//!
//! | level  | on taking                          | on giving                            | links   |
//! |--------|------------------------------------|--------------------------------------|---------|
//! | off    | -                                  | -                                    | plain   |
//! | canary | state, poison, guard               | state, guard; then poisons           | plain   |
//! | full   | state, poison, guard               | state, guard; then poisons           | encoded |
//!
//! A block whose guard or poison is damaged is quarantined: never handed out again. A damaged
//! link, or a block in a list that somebody holds, makes the lists be rebuilt from the states.
//! Every event is counted and goes to the hook, on the thread that found it, outside all locks.
//!
//! The guard is 16 bytes behind each block. Reads of guard and poison are volatile, because the
//! optimiser may otherwise assume that nobody wrote there.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::core::Core;
use super::slots::{FREE, GIVING, POISONED, QUARANTINED, STAMP_MAX, UNCHECKED};
use crate::sync::atomic::{AtomicU64, Ordering};

/// How much the pool checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Hardening {
    /// Nothing on the fast path; giving by raw pointer is still checked.
    #[default]
    Off,
    /// Guard words, poison after free, double free and foreign pointers. Costs a pass over the
    /// block on each taking and giving.
    Canary,
    /// As `Canary`, and encoded links, verified on each step, with rebuilding.
    Full,
}

/// Damage or misuse that a pool found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incident {
    /// The bytes behind a block were overwritten; the block is quarantined.
    Guard {
        /// The block's index.
        block: u32,
    },
    /// A free block was written to; it is quarantined.
    UseAfterFree {
        /// The block's index.
        block: u32,
    },
    /// A list was damaged and has been rebuilt.
    Rebuilt {
        /// Free blocks found.
        free: u32,
    },
    /// A raw pointer was given twice.
    DoubleFree {
        /// The block's index.
        block: u32,
    },
    /// A raw pointer was given that is no block of this pool.
    Foreign,
    /// The last handle went while blocks were held; their memory goes with the last of them.
    Held {
        /// How many.
        blocks: u64,
    },
}

/// Called with each incident.
pub(crate) type Hook = Arc<dyn Fn(&Incident) + Send + Sync>;

/// The checks of one pool and what they found.
pub(crate) struct Integrity {
    level: Hardening,
    key: u32,
    block_bytes: usize,
    hook: Option<Hook>,
    quarantined: AtomicU64,
    incidents: AtomicU64,
}

impl Integrity {
    pub(crate) fn new(level: Hardening, block_bytes: usize, hook: Option<Hook>) -> Self {
        let key = if level == Hardening::Full { random() | 1 } else { 0 };
        Self {
            level,
            key,
            block_bytes,
            hook,
            quarantined: AtomicU64::new(0),
            incidents: AtomicU64::new(0),
        }
    }

    /// Returns the bytes that a level adds behind each block.
    pub(crate) fn guard_bytes(level: Hardening) -> usize {
        if level == Hardening::Off { 0 } else { GUARD.len() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.level != Hardening::Off
    }

    pub(crate) fn link_key(&self) -> u32 {
        self.key
    }

    pub(crate) fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    pub(crate) fn incidents(&self) -> u64 {
        self.incidents.load(Ordering::Relaxed)
    }

    /// Marks a listed block held; false when it was not free, so the list is wrong.
    pub(crate) fn claim(&self, core: &Core, index: u32) -> bool {
        let state = &core.slots.get(index).state;
        if !self.is_on() {
            state.store(core.stamp(), Ordering::Relaxed);
            return true;
        }
        // An exchange: of two lists that lead to one block, one takes it.
        [(POISONED, UNCHECKED), (FREE, core.stamp())].into_iter().any(|(from, to)| {
            state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })
    }

    /// Checks a block just claimed; false when it was quarantined.
    pub(crate) fn admit(&self, core: &Core, index: u32) -> bool {
        if !self.is_on() {
            return true;
        }
        let state = &core.slots.get(index).state;
        let block = core.address(index);
        if state.load(Ordering::Relaxed) != UNCHECKED {
            self.write_guard(block);
            return true;
        }
        if !self.is_guarded(block) {
            self.quarantine(core, index, Incident::Guard { block: index });
            return false;
        }
        if !self.is_poisoned(block) {
            self.quarantine(core, index, Incident::UseAfterFree { block: index });
            return false;
        }
        state.store(core.stamp(), Ordering::Relaxed);
        true
    }

    /// Checks a block about to be given back, and poisons it; false when it was quarantined.
    pub(crate) fn examine(&self, core: &Core, index: u32) -> bool {
        if !self.is_on() {
            return true;
        }
        let block = core.address(index);
        if !self.is_guarded(block) {
            self.quarantine(core, index, Incident::Guard { block: index });
            return false;
        }
        // SAFETY: the giver holds the block until it is marked free, and it has `block_bytes`.
        unsafe { block.write_bytes(POISON, self.block_bytes) };
        true
    }

    /// Marks a block free. Only where a rebuild cannot see it unlisted: in the owner's magazine or
    /// under the lock.
    pub(crate) fn mark_free(&self, core: &Core, index: u32) {
        let state = if self.is_on() { POISONED } else { FREE };
        core.slots.get(index).state.store(state, Ordering::Release);
    }

    pub(crate) fn is_free(&self, core: &Core, index: u32) -> bool {
        matches!(core.slots.get(index).state.load(Ordering::Acquire), FREE | POISONED)
    }

    /// Says whether somebody holds the block.
    pub(crate) fn is_held(state: u32) -> bool {
        state != FREE && state <= STAMP_MAX
    }

    /// Reserves the right to give a held block by raw pointer; false when it is not held.
    pub(crate) fn begin_raw_give(&self, core: &Core, index: u32) -> bool {
        let state = &core.slots.get(index).state;
        let now = state.load(Ordering::Acquire);
        // An exchange: of two threads that give the same pointer, one succeeds.
        Self::is_held(now)
            && state.compare_exchange(now, GIVING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn report(&self, incident: Incident) {
        self.incidents.fetch_add(1, Ordering::Relaxed);
        if let Some(hook) = &self.hook {
            hook(&incident);
        }
    }

    fn quarantine(&self, core: &Core, index: u32, incident: Incident) {
        core.slots.get(index).state.store(QUARANTINED, Ordering::Release);
        self.quarantined.fetch_add(1, Ordering::Relaxed);
        self.report(incident);
    }

    fn write_guard(&self, block: NonNull<u8>) {
        let guard = self.guard_of(block);
        // SAFETY: the stride leaves room for the guard behind the block's bytes, and the caller
        // has just claimed the block.
        unsafe { guard.write_volatile(GUARD) };
    }

    fn is_guarded(&self, block: NonNull<u8>) -> bool {
        let guard = self.guard_of(block);
        // SAFETY: inside the block's stride; written when the block was first taken.
        unsafe { guard.read_volatile() == GUARD }
    }

    fn guard_of(&self, block: NonNull<u8>) -> NonNull<[u8; 16]> {
        // SAFETY: the stride of a hardened pool is at least `block_bytes` plus the guard.
        unsafe { block.add(self.block_bytes) }.cast()
    }

    fn is_poisoned(&self, block: NonNull<u8>) -> bool {
        let words = self.block_bytes / WORD;
        let whole = (0..words).all(|word| {
            // SAFETY: below `block_bytes`.
            let at = unsafe { block.add(word * WORD) }.cast::<[u8; WORD]>();
            // SAFETY: an array of bytes has alignment one, and the block is ours to read.
            unsafe { at.read_volatile() == [POISON; WORD] }
        });
        whole
            && (words * WORD..self.block_bytes).all(|byte| {
                // SAFETY: below `block_bytes`.
                let at = unsafe { block.add(byte) };
                // SAFETY: as above.
                unsafe { at.read_volatile() == POISON }
            })
    }
}

impl fmt::Debug for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Integrity").field("level", &self.level).finish_non_exhaustive()
    }
}

/// Returns bits that differ from process to process, from the standard hasher's random keys.
fn random() -> u32 {
    use std::hash::BuildHasher;
    let hash = std::collections::hash_map::RandomState::new().hash_one(0_u32);
    u32::try_from(hash >> 32).expect("the upper half has 32 bits")
}

const WORD: usize = 8;
const POISON: u8 = 0xdb;
/// No byte of it equals the poison or zero, so overruns of both are seen.
const GUARD: [u8; 16] = *b"\xa5tidemill\x99guard\x5a";

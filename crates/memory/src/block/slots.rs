//! What the pool knows about each block, kept apart from the user's bytes.
//!
//! Sixteen bytes for each block, all atomic, so that a thread that lost a race may read a stale
//! word without a data race; the generation in the list's head then makes its exchange fail.
//!
//! | field   | block is free                          | block is held              |
//! |---------|----------------------------------------|----------------------------|
//! | `next`  | next block of its batch                | stale                      |
//! | `below` | first of a batch: next batch down      | bytes asked for            |
//! | `info`  | first of a batch: depth and length     | count of shared views      |
//! | `state` | [`FREE`] or [`POISONED`]               | stamp of the taking, >= 1  |
//!
//! Who writes: the thread that holds the block, or whose magazine it lies in. `state` of a damaged
//! block is [`QUARANTINED`] for ever.
//!
//! With a key (`Hardening::Full`) the upper 8 bits of each link are a keyed hash of its place and
//! its target; without one they are zero. A link that decodes wrongly is damage, never followed.

use crate::sync::atomic::{AtomicU32, Ordering};

/// One block's record.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) next: AtomicU32,
    pub(crate) below: AtomicU32,
    pub(crate) info: AtomicU32,
    pub(crate) state: AtomicU32,
}

/// The records of all blocks a pool can ever have.
#[derive(Debug)]
pub(crate) struct Slots {
    table: Table,
    key: u32,
}

/// A link or list head that the pool itself cannot have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

impl Slots {
    /// Makes `count` records; `key` 0 leaves links plain.
    pub(crate) fn new(count: u32, key: u32) -> std::io::Result<Self> {
        Ok(Self { table: Table::new(count as usize)?, key })
    }

    /// Returns the record of block `index`.
    #[inline(always)]
    pub(crate) fn get(&self, index: u32) -> &Slot {
        self.table.get(index as usize)
    }

    /// As [`get`](Self::get), for indices that are known to be in the table.
    ///
    /// # Safety
    ///
    /// `index` is below [`len`](Self::len).
    #[inline(always)]
    pub(crate) unsafe fn get_known(&self, index: u32) -> &Slot {
        // SAFETY: as the caller vouches.
        unsafe { self.table.get_known(index as usize) }
    }

    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.table.len()).expect("made from a u32 count")
    }

    /// Returns the link word that leads from block `at` to block `to`.
    #[inline(always)]
    pub(crate) fn encode(&self, at: u32, to: u32) -> u32 {
        if self.key == 0 { to } else { to | self.tag(at, to) << INDEX_BITS }
    }

    /// Returns where the link word of block `at` leads.
    #[inline(always)]
    pub(crate) fn decode(&self, at: u32, word: u32) -> Result<u32, Damaged> {
        let to = word & NIL;
        if self.key == 0 {
            return Ok(to);
        }
        let sound = word >> INDEX_BITS == self.tag(at, to) && (to == NIL || to < self.len());
        if sound { Ok(to) } else { Err(Damaged) }
    }

    /// Links block `at` to block `to` inside a batch.
    #[inline(always)]
    pub(crate) fn link(&self, at: u32, to: u32) {
        // Relaxed: the batch is published by the exchange on the list's head, or stays with us.
        self.get(at).next.store(self.encode(at, to), Ordering::Relaxed);
    }

    /// Returns the block after `at` in its batch.
    #[inline(always)]
    pub(crate) fn follow(&self, at: u32) -> Result<u32, Damaged> {
        self.decode(at, self.get(at).next.load(Ordering::Relaxed))
    }

    /// Links all of `indices` into one batch.
    pub(crate) fn chain(&self, indices: impl Iterator<Item = u32>) -> Chain {
        let mut chain = Chain::EMPTY;
        for index in indices {
            self.link(index, chain.head);
            chain = Chain { head: index, len: chain.len + 1 };
        }
        chain
    }

    /// Mixes place, target and key to 8 bits (the finaliser of MurmurHash3).
    fn tag(&self, at: u32, to: u32) -> u32 {
        let mut hash = (at ^ self.key).wrapping_mul(0x9e37_79b9) ^ to;
        hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
        hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
        (hash ^ hash >> 16) >> INDEX_BITS
    }
}

/// Blocks linked through `next`: the first one and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) head: u32,
    pub(crate) len: u32,
}

impl Chain {
    pub(crate) const EMPTY: Self = Self { head: NIL, len: 0 };

    /// Puts a block in front.
    #[inline(always)]
    pub(crate) fn push(&mut self, slots: &Slots, index: u32) {
        slots.link(index, self.head);
        *self = Self { head: index, len: self.len + 1 };
    }

    /// Takes the front block.
    ///
    /// On damage the chain is left empty: what hung behind the bad link is found again by a
    /// rebuild.
    #[inline(always)]
    pub(crate) fn pop(&mut self, slots: &Slots) -> Result<Option<u32>, Damaged> {
        if self.len == 0 {
            return Ok(None);
        }
        let index = self.head;
        match slots.follow(index) {
            Ok(next) => {
                *self = Self { head: next, len: self.len - 1 };
                Ok(Some(index))
            }
            Err(damaged) => {
                *self = Self::EMPTY;
                Err(damaged)
            }
        }
    }
}

#[cfg(not(loom))]
mod table {
    use super::Slot;
    use crate::region::Region;

    /// Records in memory of their own, so that unused ones cost no page.
    #[derive(Debug)]
    pub(super) struct Table {
        region: Region,
        count: usize,
    }

    impl Table {
        pub(super) fn new(count: usize) -> std::io::Result<Self> {
            let bytes = count * size_of::<Slot>();
            let region = Region::reserve(bytes, align_of::<Slot>())?;
            region.commit(0, bytes)?;
            Ok(Self { region, count })
        }

        #[inline(always)]
        pub(super) fn get(&self, index: usize) -> &Slot {
            assert!(index < self.count, "a link stays inside the table");
            // SAFETY: asserted.
            unsafe { self.get_known(index) }
        }

        /// # Safety
        ///
        /// `index` is below `count`.
        #[inline(always)]
        pub(super) unsafe fn get_known(&self, index: usize) -> &Slot {
            let table = self.region.base().cast::<Slot>();
            // SAFETY: `index < count`, and `new` reserved and committed `count` records.
            let slot = unsafe { table.add(index) };
            // SAFETY: zero bytes are a valid `Slot` (four atomic integers); the region is aligned
            // for it, lives as long as `self`, and is only ever accessed through these atomics.
            unsafe { slot.as_ref() }
        }

        pub(super) fn len(&self) -> usize {
            self.count
        }
    }
}

#[cfg(loom)]
mod table {
    use super::{AtomicU32, Slot};

    #[derive(Debug)]
    pub(super) struct Table(Box<[Slot]>);

    impl Table {
        #[expect(clippy::unnecessary_wraps, reason = "the real table may fail")]
        pub(super) fn new(count: usize) -> std::io::Result<Self> {
            let slot = |_| Slot {
                next: AtomicU32::new(0),
                below: AtomicU32::new(0),
                info: AtomicU32::new(0),
                state: AtomicU32::new(0),
            };
            Ok(Self((0..count).map(slot).collect()))
        }

        pub(super) fn get(&self, index: usize) -> &Slot {
            &self.0[index]
        }

        /// # Safety
        ///
        /// As in the real one; here it is checked.
        pub(super) unsafe fn get_known(&self, index: usize) -> &Slot {
            self.get(index)
        }

        pub(super) fn len(&self) -> usize {
            self.0.len()
        }
    }
}

use table::Table;

/// Bits of a block's index; the rest of a link word is the tag.
pub(crate) const INDEX_BITS: u32 = 24;
/// No block.
pub(crate) const NIL: u32 = (1 << INDEX_BITS) - 1;
/// State of a block that nobody holds, content unknown.
pub(crate) const FREE: u32 = 0;
/// Highest stamp of a held block; lower ones but [`FREE`] are stamps too.
pub(crate) const STAMP_MAX: u32 = u32::MAX - 8;
/// State of a free block filled with the poison pattern.
pub(crate) const POISONED: u32 = u32::MAX - 3;
/// State between taking and checking a block that was [`POISONED`].
pub(crate) const UNCHECKED: u32 = u32::MAX - 2;
/// State between the announcement and the end of giving by raw pointer.
pub(crate) const GIVING: u32 = u32::MAX - 1;
/// State of a damaged block, for ever.
pub(crate) const QUARANTINED: u32 = u32::MAX;

//! The shared list: a stack of batches with a generation against ABA.
//!
//! ```text
//! head = generation:40 | index:24 ──▶ batch ──below──▶ batch ──below──▶ NIL
//!                                     │next
//!                                     ▼ block ─next─▶ block ─next─▶ ...
//! ```
//!
//! Treiber's stack (IBM RJ 5118, 1986) with three repairs. The head carries a generation that
//! every exchange increments, so a head that came back is not mistaken for one that never left (a
//! wrap needs exactly 2^40 exchanges while one thread stands still). Links live in the slot table
//! and are atomic, so reading the link of a block that somebody just took is stale, not a race. A
//! node is a whole batch, so threads meet here once in many operations.
//!
//! Lock-free: an exchange fails only because another one succeeded. Never allocates.

use super::slots::{Chain, Damaged, INDEX_BITS, NIL, Slots};
use crate::sync::Padded;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The stack. All methods of one stack get the same slot table.
#[derive(Debug)]
pub(crate) struct Stack {
    head: Padded<AtomicU64>,
}

impl Stack {
    pub(crate) fn new() -> Self {
        Self { head: Padded(AtomicU64::new(u64::from(NIL))) }
    }

    /// Puts a batch on top. The caller owns every block of it.
    pub(crate) fn push(&self, slots: &Slots, batch: Chain) {
        debug_assert!(batch.len > 0 && batch.len <= LEN_MAX, "a batch has 1 to 255 blocks");
        let first = slots.get(batch.head);
        // Relaxed: nothing behind the head is trusted before the exchange succeeds.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let top = index_of(head);
            let depth = if top == NIL { 0 } else { depth_of(slots, top) };
            first.below.store(slots.encode(batch.head, top), Ordering::Relaxed);
            first.info.store((depth + 1) << LEN_BITS | batch.len, Ordering::Relaxed);
            // Release publishes the batch's links and info to the Acquire in `pop`. Every later
            // exchange is a read-modify-write, so it continues this release sequence.
            let next = successor(head, batch.head);
            match self.head.compare_exchange_weak(head, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the top batch; says too how many batches it left behind.
    pub(crate) fn pop(&self, slots: &Slots) -> Result<Option<(Chain, u32)>, Damaged> {
        // Acquire pairs with the Release in `push`: the top's links and info are readable.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let top = index_of(head);
            if top == NIL {
                return Ok(None);
            }
            // Both may be stale when somebody took `top` meanwhile; the exchange then fails,
            // because the generation moved on.
            let slot = slots.get(top);
            let below = slots.decode(top, slot.below.load(Ordering::Relaxed));
            let info = slot.info.load(Ordering::Relaxed);
            let Ok(below) = below else {
                let now = self.head.load(Ordering::Acquire);
                if now == head {
                    return Err(Damaged);
                }
                head = now;
                continue;
            };
            let next = successor(head, below);
            match self.head.compare_exchange_weak(head, next, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => {
                    let batch = Chain { head: top, len: info & LEN_MAX };
                    return Ok(Some((batch, (info >> LEN_BITS) - 1)));
                }
                Err(now) => head = now,
            }
        }
    }

    /// Forgets all batches, for a rebuild. The caller has ruled out concurrent use.
    pub(crate) fn clear(&self) {
        let head = self.head.load(Ordering::Acquire);
        self.head.store(successor(head, NIL), Ordering::Release);
    }

    /// Returns how many batches there were at some moment during the call.
    pub(crate) fn depth(&self, slots: &Slots) -> u32 {
        loop {
            let head = self.head.load(Ordering::Acquire);
            let top = index_of(head);
            if top == NIL {
                return 0;
            }
            let depth = depth_of(slots, top);
            if self.head.load(Ordering::Acquire) == head {
                return depth;
            }
        }
    }
}

fn depth_of(slots: &Slots, top: u32) -> u32 {
    slots.get(top).info.load(Ordering::Relaxed) >> LEN_BITS
}

fn index_of(head: u64) -> u32 {
    u32::try_from(head & u64::from(NIL)).expect("masked to 24 bits")
}

fn successor(head: u64, index: u32) -> u64 {
    ((head >> INDEX_BITS).wrapping_add(1) << INDEX_BITS) | u64::from(index)
}

const LEN_BITS: u32 = 8;
/// Most blocks in one batch that the record has room for.
const LEN_MAX: u32 = (1 << LEN_BITS) - 1;

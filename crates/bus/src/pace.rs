//! How to wait for another thread that is in the middle of a step.

use crate::sync::{hint, thread};

/// Pauses longer and longer, then yields the processor: the other thread may be waiting for it.
pub(crate) struct Pace {
    round: u32,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { round: 0 }
    }

    /// Waits a little, a little longer each time.
    #[cold]
    pub(crate) fn wait(&mut self) {
        if cfg!(any(loom, shuttle)) || self.round >= ROUNDS_BUSY {
            thread::yield_now();
            return;
        }
        for _ in 0..1_u32 << self.round {
            hint::spin_loop();
        }
        self.round += 1;
    }
}

/// Waits a moment before a look at the other side's position, and returns true, when the last look
/// was worth few values: `gained`, in a ring of `capacity`.
///
/// A look takes that position's cache line, and soon the slots', away from the other side. Two
/// sides that run close together would spend their time on that; the one ahead loses nothing by
/// waiting until there is more. A ring that was found empty before (`gained` is zero) is looked at
/// at once.
#[inline]
pub(crate) fn let_gather(gained: usize, capacity: usize) -> bool {
    let enough = VALUES_PER_LOOK.min(capacity / 4);
    let wait = !cfg!(any(loom, shuttle)) && (1..enough).contains(&gained);
    if wait {
        (0..PAUSES_PER_LOOK).for_each(|_| hint::spin_loop());
    }
    wait
}

/// How many values, in a ring that is not small, a look should be worth.
const VALUES_PER_LOOK: usize = 64;

/// Pauses before a look that may be worth fewer: of 40-140 cycles each, so at most 1 us.
const PAUSES_PER_LOOK: u32 = 20;

/// Rounds that pause, 1 to 2^5 times, before the processor is yielded: some microseconds in all.
const ROUNDS_BUSY: u32 = 6;

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
        if cfg!(loom) || self.round >= ROUNDS_BUSY {
            thread::yield_now();
            return;
        }
        for _ in 0..1_u32 << self.round {
            hint::spin_loop();
        }
        self.round += 1;
    }
}

/// Rounds that pause, 1 to 2^5 times, before the processor is yielded: some microseconds in all.
const ROUNDS_BUSY: u32 = 6;

//! The switch between real atomics and those that loom explores (`--cfg loom`).
//!
//! Only the sharded cells take their atomics from here; locks and flags elsewhere in the crate are
//! the standard library's and no part of any model.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Waits a moment for another thread: a pause of the processor, and from the 64th time on a yield,
/// because that thread may wait for this very core.
#[cfg(not(loom))]
pub(crate) fn wait(times: &mut u32) {
    *times += 1;
    if *times < 64 {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

/// Lets loom run another thread.
#[cfg(loom)]
pub(crate) fn wait(_times: &mut u32) {
    loom::thread::yield_now();
}

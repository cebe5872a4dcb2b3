//! A fence whose cost falls on the rare side.
//!
//! Two threads that each write one flag and then read the other's need a full fence between the
//! two steps, on both sides. [`light`] is the frequent side: it only stops the compiler, because
//! [`heavy`], the rare side, makes every running thread of the process execute a full fence through
//! membarrier(2) (Linux 4.14). Where the kernel refuses, both sides are full fences: slower, never
//! wrong. The pattern is that of folly's `asymmetricLightBarrier`.
//!
//! Models and Miri always run the full fences.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering as StdOrdering, compiler_fence};

use crate::sync::atomic::{Ordering, fence};

/// Says whether [`quick`] suffices where [`light`] would do.
pub(crate) fn is_quick() -> bool {
    cfg!(any(loom, miri)) || EXPEDITED.load(StdOrdering::Relaxed)
}

/// As [`light`], for those who asked [`is_quick`] before, once.
#[inline(always)]
pub(crate) fn quick() {
    if cfg!(any(loom, miri)) {
        fence(Ordering::SeqCst);
    } else {
        compiler_fence(StdOrdering::SeqCst);
    }
}

/// Orders the caller's earlier writes before its later reads, as seen by [`heavy`].
#[inline(always)]
pub(crate) fn light() {
    if cfg!(not(any(loom, miri))) && EXPEDITED.load(StdOrdering::Relaxed) {
        compiler_fence(StdOrdering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Makes every thread of the process pass a full fence.
///
/// Costs microseconds: an interrupt to each processor that runs one of our threads.
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
    #[cfg(not(any(loom, miri)))]
    if EXPEDITED.load(StdOrdering::Relaxed) {
        let done = membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        // Registered processes are never refused; continuing without the barrier would be unsound.
        assert!(done, "membarrier(2) works once the process is registered");
        fence(Ordering::SeqCst);
    }
}

/// Asks the kernel once whether the cheap form may be used. Idempotent.
pub(crate) fn prepare() {
    PREPARED.call_once(|| {
        #[cfg(not(any(loom, miri)))]
        EXPEDITED.store(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED), StdOrdering::SeqCst);
    });
}

#[cfg(not(any(loom, miri)))]
fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: membarrier takes three integers and touches no memory of the caller.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    result == 0
}

/// Set once, from false to true, and only after the kernel accepted the registration. A thread
/// that still reads false runs the full fence, which is right as well.
static EXPEDITED: AtomicBool = AtomicBool::new(false);
static PREPARED: Once = Once::new();
// From linux/membarrier.h.
#[cfg(not(any(loom, miri)))]
const MEMBARRIER_CMD_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
#[cfg(not(any(loom, miri)))]
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

//! The one switch between real and model-checked synchronisation.
//!
//! Lock-free code of this workspace takes atomics, `Arc`, threads and cells from here. Built
//! plainly these are the standard library's own types at no cost; built with `RUSTFLAGS="--cfg
//! loom"` they are loom's, which runs a closure under every permitted interleaving, and with
//! `--cfg shuttle` those of shuttle, which runs larger scenarios under random ones. Code that is
//! modelled uses [`capacity`] so that wrap-around and exhaustion happen within the few steps a
//! model can afford.
//!
//! Never here: locks for the data plane, clocks, allocation.

#[cfg(loom)]
use loom as chosen;
#[cfg(shuttle)]
use shuttle as chosen;
#[cfg(not(any(loom, shuttle)))]
use std as chosen;

/// Atomic integers, pointers and fences.
pub mod atomic {
    pub use super::chosen::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
        fence,
    };
}

/// Threads as far as a model can run them.
pub mod thread {
    pub use super::chosen::thread::{
        Builder, JoinHandle, LocalKey, Thread, current, park, spawn, yield_now,
    };
}

/// Hints to the processor while waiting.
pub mod hint {
    pub use super::chosen::hint::spin_loop;
}

/// Cells whose accesses a model can check for races.
pub mod cell {
    #[cfg(loom)]
    pub use loom::cell::UnsafeCell;

    /// A [`std::cell::UnsafeCell`] with loom's interface: access is scoped to a closure.
    #[cfg(not(loom))]
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        /// Wraps `value`.
        #[inline(always)]
        pub const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Unwraps the value.
        #[inline(always)]
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    #[cfg(not(loom))]
    impl<T: ?Sized> UnsafeCell<T> {
        /// Calls `access` with a pointer for reading; the caller rules out writers meanwhile.
        #[inline(always)]
        pub fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
            access(self.0.get())
        }

        /// Calls `access` with a pointer for writing; the caller rules out any other access
        /// meanwhile.
        #[inline(always)]
        pub fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

#[cfg(any(loom, shuttle))]
pub use chosen::lazy_static;
pub use chosen::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};
pub use chosen::thread_local;

/// Returns `normal`, or `modelled` when built for loom.
///
/// # Examples
///
/// ```
/// const SEGMENT_SLOTS: usize = tidemill_memory::sync::capacity(256, 2);
/// assert!(SEGMENT_SLOTS == 256 || SEGMENT_SLOTS == 2);
/// ```
pub const fn capacity(normal: usize, modelled: usize) -> usize {
    if cfg!(loom) { modelled } else { normal }
}

/// Keeps a value on cache lines of its own.
///
/// 128 bytes: x86 fetches lines in adjacent pairs, so 64 would still share.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for Padded<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

//! The storage of a ring: slots that hold a value or not, as the ring's positions say.
//!
//! It knows nothing of positions but how to map them to a slot. Values lie next to each other, so
//! that a batch is a slice of them, and begin at a cache line, so that a value of 64 bytes moves as
//! one line; `watch` has one cell per slot through which a model sees every access, and takes no
//! memory otherwise.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::sync::cell;

/// A power of two of slots.
pub(super) struct Slots<T> {
    /// The first of `count` slots, allocated with `layout` unless that has no size.
    values: NonNull<T>,
    count: usize,
    watch: Box<[cell::UnsafeCell<()>]>,
}

// SAFETY: `Slots` hands a slot's value to whoever calls the unsafe methods, whose callers (the two
// halves of a ring) own disjoint slots; so sharing it moves values between threads, as `T: Send`
// permits, and never shares one value.
unsafe impl<T: Send> Sync for Slots<T> {}

// SAFETY: it owns its memory, and what values it holds may be sent.
unsafe impl<T: Send> Send for Slots<T> {}

impl<T> Slots<T> {
    /// Makes `count` empty slots; `count` is a power of two that fits the address space.
    pub(super) fn new(count: usize) -> Self {
        assert!(count.is_power_of_two(), "the mask needs a power of two");
        let layout = Self::layout(count);
        let values = if layout.size() == 0 {
            NonNull::dangling()
        } else {
            // SAFETY: the layout has a size.
            let memory = unsafe { alloc(layout) };
            NonNull::new(memory.cast()).unwrap_or_else(|| handle_alloc_error(layout))
        };
        Self { values, count, watch: (0..count).map(|_| cell::UnsafeCell::new(())).collect() }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Writes `value` into the slot of `position`.
    ///
    /// # Safety
    ///
    /// The slot is empty and nobody else accesses it.
    #[inline(always)]
    pub(super) unsafe fn put(&self, position: usize, value: T) {
        let index = self.index(position);
        self.watch(index, true);
        // SAFETY: the caller is the only one to access the slot, which lies in our memory.
        unsafe { self.slot(index).write(value) };
    }

    /// Moves the value out of the slot of `position`.
    ///
    /// # Safety
    ///
    /// The slot holds a value, nobody else accesses it, and it counts as empty from now on.
    #[inline(always)]
    pub(super) unsafe fn take(&self, position: usize) -> T {
        let index = self.index(position);
        self.watch(index, true);
        // SAFETY: the caller is the only one to access the slot, which holds a value.
        unsafe { self.slot(index).read() }
    }

    /// Returns the `count` slots from `position` on as pointer and length of the part up to the end
    /// of the storage and of the part that goes on at its beginning; `count <= self.count()`.
    ///
    /// `write` says for which kind of access a model should see it.
    #[inline]
    pub(super) fn parts(&self, position: usize, count: usize, write: bool) -> [(*mut T, usize); 2] {
        debug_assert!(count <= self.count, "a batch is never larger than the ring");
        if cfg!(loom) {
            for offset in 0..count {
                self.watch(self.index(position + offset), write);
            }
        }
        let index = self.index(position);
        let first = count.min(self.count - index);
        [(self.slot(index), first), (self.slot(0), count - first)]
    }

    #[inline(always)]
    fn index(&self, position: usize) -> usize {
        position & (self.count - 1)
    }

    /// The slot `index`, which is below `count`, so within the memory.
    #[inline(always)]
    fn slot(&self, index: usize) -> *mut T {
        debug_assert!(index < self.count, "masked");
        self.values.as_ptr().wrapping_add(index)
    }

    /// Shows an access to a model; does nothing otherwise.
    #[inline(always)]
    fn watch(&self, index: usize, write: bool) {
        if cfg!(loom) {
            let cell = &self.watch[index];
            if write { cell.with_mut(|_| ()) } else { cell.with(|_| ()) }
        }
    }

    /// The memory of `count` slots.
    fn layout(count: usize) -> Layout {
        let values = Layout::array::<T>(count).expect("`slot_count` has checked the size");
        values.align_to(LINE_BYTES).expect("half the address space, aligned to a line")
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        let layout = Self::layout(self.count);
        if layout.size() != 0 {
            // SAFETY: allocated in `new` with the same layout; the ring has taken its values out.
            unsafe { dealloc(self.values.as_ptr().cast(), layout) };
        }
    }
}

/// What the memory begins at a multiple of: a pair of cache lines.
const LINE_BYTES: usize = 128;

//! The storage of a ring: slots that hold a value or not, as the ring's positions say.
//!
//! It knows nothing of positions but how to map them to a slot. Values lie next to each other, so
//! that a batch is a slice of them; `watch` has one cell per slot through which a model sees every
//! access, and takes no memory otherwise.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use crate::sync::cell;

/// A power of two of slots.
pub(super) struct Slots<T> {
    values: Box<[UnsafeCell<MaybeUninit<T>>]>,
    watch: Box<[cell::UnsafeCell<()>]>,
}

// SAFETY: `Slots` hands a slot's value to whoever calls the unsafe methods, whose callers (the two
// halves of a ring) own disjoint slots; so sharing it moves values between threads, as `T: Send`
// permits, and never shares one value.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T> Slots<T> {
    /// Makes `count` empty slots; `count` is a power of two.
    pub(super) fn new(count: usize) -> Self {
        debug_assert!(count.is_power_of_two(), "the mask needs a power of two");
        let values = (0..count).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
        let watch = (0..count).map(|_| cell::UnsafeCell::new(())).collect();
        Self { values, watch }
    }

    pub(super) fn count(&self) -> usize {
        self.values.len()
    }

    /// Writes `value` into the slot of `position`.
    ///
    /// # Safety
    ///
    /// The slot is empty and nobody else accesses it.
    #[inline(always)]
    pub(super) unsafe fn put(&self, position: usize, value: T) {
        let index = self.index(position);
        self.watch[index].with_mut(|_| ());
        let slot = self.slot(index);
        // SAFETY: the caller is the only one to access the slot, and the pointer is into `values`.
        unsafe { slot.write(MaybeUninit::new(value)) };
    }

    /// Moves the value out of the slot of `position`.
    ///
    /// # Safety
    ///
    /// The slot holds a value, nobody else accesses it, and it counts as empty from now on.
    #[inline(always)]
    pub(super) unsafe fn take(&self, position: usize) -> T {
        let index = self.index(position);
        self.watch[index].with_mut(|_| ());
        let slot = self.slot(index);
        // SAFETY: the caller is the only one to access the slot, and the pointer is into `values`.
        let value = unsafe { slot.read() };
        // SAFETY: the caller says that the slot holds a value.
        unsafe { value.assume_init() }
    }

    /// Returns the `count` slots from `position` on as pointer and length of the part up to the end
    /// of the storage and of the part that goes on at its beginning; `count <= self.count()`.
    ///
    /// `write` says for which kind of access a model should see it.
    #[inline]
    pub(super) fn parts(&self, position: usize, count: usize, write: bool) -> [(*mut T, usize); 2] {
        debug_assert!(count <= self.count(), "a batch is never larger than the ring");
        for offset in 0..self.watched(count) {
            let watch = &self.watch[self.index(position + offset)];
            if write { watch.with_mut(|_| ()) } else { watch.with(|_| ()) }
        }
        let index = self.index(position);
        let first = count.min(self.count() - index);
        [(self.slot(index).cast(), first), (self.slot(0).cast(), count - first)]
    }

    #[inline(always)]
    fn index(&self, position: usize) -> usize {
        position & (self.values.len() - 1)
    }

    #[inline(always)]
    fn slot(&self, index: usize) -> *mut MaybeUninit<T> {
        debug_assert!(index < self.values.len(), "masked");
        // In bounds of one allocation, as the index is masked; pointers of a batch reach on into
        // the following slots, so they come from the slice and not from one cell.
        UnsafeCell::raw_get(self.values.as_ptr().wrapping_add(index))
    }

    /// How many slots of a batch a model has to look at.
    fn watched(&self, count: usize) -> usize {
        if cfg!(loom) { count } else { 0 }
    }
}

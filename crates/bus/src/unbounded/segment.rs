//! Segments of an unbounded queue, and where they come from and go to.
//!
//! A [`Segment`] is slots and two words; who may touch what is said in the parent's rules. The
//! [`Store`] counts every segment allocated against the limit and keeps up to eight free ones, so
//! that a queue whose length swings by less than that allocates nothing.
//!
//! | field of the store | owner | access |
//! |---|---|---|
//! | `allocated` | all | segments that exist, wherever; raised before an allocation |
//! | `kept` | who swaps | null, or a segment that none else knows; put (Release), taken (Acquire) |

use std::mem::MaybeUninit;
use std::ptr;

use crate::error::CapacityError;
use crate::pace::Pace;
use crate::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use crate::sync::capacity;
use crate::sync::cell::UnsafeCell;

/// A run of slots that is used once from front to back, then freed or used anew.
pub(super) struct Segment<T> {
    next: AtomicPtr<Self>,
    left: AtomicUsize,
    slots: Box<[Slot<T>]>,
}

struct Slot<T> {
    written: AtomicBool,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Segment<T> {
    /// The bytes that a segment takes, the allocator's own not counted.
    pub(super) const BYTES: usize = size_of::<Self>() + SLOTS * size_of::<Slot<T>>();

    fn allocate() -> *mut Self {
        let slot = |_| Slot {
            written: AtomicBool::new(false),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        };
        Box::into_raw(Box::new(Self {
            next: AtomicPtr::new(ptr::null_mut()),
            left: AtomicUsize::new(0),
            slots: (0..SLOTS).map(slot).collect(),
        }))
    }

    /// Frees a segment.
    ///
    /// # Safety
    ///
    /// It came from `allocate` and nobody else will touch it again; its slots hold no values.
    unsafe fn free(segment: *mut Self) {
        // SAFETY: as the caller says, it is a box of ours that nobody else has.
        drop(unsafe { Box::from_raw(segment) });
    }

    /// Makes a segment that was used up like new. Relaxed: its owner alone knows it, and publishes
    /// it.
    fn reset(&self) {
        self.next.store(ptr::null_mut(), Ordering::Relaxed);
        self.left.store(0, Ordering::Relaxed);
        for slot in &self.slots {
            slot.written.store(false, Ordering::Relaxed);
        }
    }

    /// Returns the segment behind this one, null while there is none.
    pub(super) fn next(&self) -> *mut Self {
        // Acquire pairs with `set_next`: the segment's fields are initialised.
        self.next.load(Ordering::Acquire)
    }

    pub(super) fn set_next(&self, next: *mut Self) {
        self.next.store(next, Ordering::Release);
    }

    /// Counts `count` slots as emptied; true when they were the last, so that the caller owns the
    /// segment.
    #[inline(always)]
    pub(super) fn leave(&self, count: usize) -> bool {
        // Release: this thread's accesses are over. Acquire: so are those of all who left before.
        self.left.fetch_add(count, Ordering::AcqRel) + count == SLOTS
    }

    /// Writes `value` into slot `offset`.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot for a push and writes it once; `offset < SLOTS`.
    #[inline(always)]
    pub(super) unsafe fn put(&self, offset: usize, value: T) {
        let slot = &self.slots[offset];
        slot.value.with_mut(|cell| {
            // SAFETY: the slot is the caller's until `written`; `cell` points into `slots`.
            unsafe { cell.write(MaybeUninit::new(value)) }
        });
        // Release: the value is written before its popper sees the flag.
        slot.written.store(true, Ordering::Release);
    }

    /// Takes the value out of slot `offset`, waiting until it is written.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot for a pop and takes it once; `offset < SLOTS`.
    #[inline(always)]
    pub(super) unsafe fn take(&self, offset: usize) -> T {
        let slot = &self.slots[offset];
        let mut pace = Pace::new();
        // Acquire pairs with the Release in `put`.
        while !slot.written.load(Ordering::Acquire) {
            pace.wait();
        }
        let value = slot.value.with_mut(|cell| {
            // SAFETY: after `written` the slot is its popper's alone; `cell` points into `slots`.
            unsafe { cell.read() }
        });
        // SAFETY: `written` is set only after the value.
        unsafe { value.assume_init() }
    }
}

/// Allocates segments within a limit, and keeps some that are free.
pub(super) struct Store<T> {
    allocated: AtomicUsize,
    limit: usize,
    kept: [AtomicPtr<Segment<T>>; KEPT_MAX],
}

impl<T> Store<T> {
    /// Makes a store of at most `limit` segments, at least two.
    pub(super) fn new(limit: usize) -> Self {
        let kept = std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
        Self { allocated: AtomicUsize::new(0), limit, kept }
    }

    /// Makes a store whose segments take at most `limit_bytes` bytes.
    pub(super) fn limited(limit_bytes: usize) -> Result<Self, CapacityError> {
        match limit_bytes / Segment::<T>::BYTES {
            0 | 1 => Err(CapacityError::LimitTooSmall {
                limit_bytes,
                needed_bytes: 2 * Segment::<T>::BYTES,
            }),
            limit => Ok(Self::new(limit)),
        }
    }

    /// Returns the segment that a queue begins with.
    pub(super) fn first(&self) -> *mut Segment<T> {
        self.get().expect("the limit is at least two segments")
    }

    /// Returns a segment like new that nobody else knows, or `None` at the limit.
    #[cold]
    pub(super) fn get(&self) -> Option<*mut Segment<T>> {
        for place in &self.kept {
            if place.load(Ordering::Relaxed).is_null() {
                continue;
            }
            // Acquire pairs with the Release in `put`: the segment is reset.
            let segment = place.swap(ptr::null_mut(), Ordering::Acquire);
            if !segment.is_null() {
                return Some(segment);
            }
        }
        let within = |allocated| (allocated < self.limit).then_some(allocated + 1);
        self.allocated.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).ok()?;
        Some(Segment::allocate())
    }

    /// Takes back a segment from `get` that the caller alone knows and whose slots hold no values.
    #[cold]
    pub(super) fn put(&self, segment: *mut Segment<T>) {
        // SAFETY: the caller owns the segment alone, so it is alive.
        unsafe { (*segment).reset() };
        for place in &self.kept {
            // Release: who takes it sees it reset.
            let kept = place.compare_exchange(
                ptr::null_mut(),
                segment,
                Ordering::Release,
                Ordering::Relaxed,
            );
            if kept.is_ok() {
                return;
            }
        }
        // SAFETY: no place took it, so it is still the caller's alone.
        unsafe { Segment::free(segment) };
        self.allocated.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns how many segments exist.
    pub(super) fn allocated(&self) -> usize {
        self.allocated.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Store<T> {
    fn drop(&mut self) {
        for place in &self.kept {
            let segment = place.swap(ptr::null_mut(), Ordering::Acquire);
            if !segment.is_null() {
                // SAFETY: a kept segment is known to its place only, and its slots are empty.
                unsafe { Segment::free(segment) };
            }
        }
    }
}

/// Slots of a segment.
pub(super) const SLOTS: usize = capacity(63, 2);

/// Free segments kept for reuse.
const KEPT_MAX: usize = capacity(8, 1);

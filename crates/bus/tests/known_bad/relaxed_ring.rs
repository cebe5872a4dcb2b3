//! An SPSC ring that publishes its tail `Relaxed`: the consumer may see the position before the
//! value.

use std::mem::MaybeUninit;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Ring<T> {
    head: AtomicUsize,
    tail: AtomicUsize,
    slots: [UnsafeCell<MaybeUninit<T>>; 2],
    /// `Relaxed` is the mistake, `Release` is right.
    publish: Ordering,
}

// SAFETY: none, as the model shows; it is needed to compile the mistake.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    pub(crate) fn new(publish: Ordering) -> Self {
        let slots = std::array::from_fn(|_| UnsafeCell::new(MaybeUninit::uninit()));
        Self { head: AtomicUsize::new(0), tail: AtomicUsize::new(0), slots, publish }
    }

    pub(crate) fn push(&self, value: T) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        if tail - self.head.load(Ordering::Acquire) == 2 {
            return false;
        }
        self.slots[tail % 2].with_mut(|slot| {
            // SAFETY: the slot is empty and the producer's.
            unsafe { slot.write(MaybeUninit::new(value)) }
        });
        self.tail.store(tail + 1, self.publish);
        true
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let head = self.head.load(Ordering::Relaxed);
        if head == self.tail.load(Ordering::Acquire) {
            return None;
        }
        let value = self.slots[head % 2].with_mut(|slot| {
            // SAFETY: what the mistake breaks: the value may not be there yet.
            unsafe { slot.read() }
        });
        self.head.store(head + 1, Ordering::Release);
        // SAFETY: as above.
        Some(unsafe { value.assume_init() })
    }
}

//! The textbook Michael-Scott queue that frees the old head at once: another popper may still read
//! it.
//!
//! loom does not see plain frees, so a node has a cell that its free writes and every visit reads:
//! an access that is not ordered with the free is then a race that loom reports.

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicPtr, Ordering};

struct Node {
    next: AtomicPtr<Node>,
    value: usize,
    /// Written by the free; nodes are leaked, so that the model itself stays sound.
    freed: UnsafeCell<bool>,
}

impl Node {
    fn allocate(value: usize) -> *mut Self {
        let next = AtomicPtr::new(ptr::null_mut());
        Box::into_raw(Box::new(Self { next, value, freed: UnsafeCell::new(false) }))
    }

    fn visit(&self) {
        self.freed.with(|freed| {
            // SAFETY: nodes are never really freed, so the cell is there.
            assert!(!unsafe { *freed }, "use after free");
        });
    }

    fn free(&self) {
        self.freed.with_mut(|freed| {
            // SAFETY: as above.
            unsafe { *freed = true }
        });
    }
}

pub(crate) struct Queue {
    head: AtomicPtr<Node>,
    tail: AtomicPtr<Node>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        let dummy = Node::allocate(0);
        Self { head: AtomicPtr::new(dummy), tail: AtomicPtr::new(dummy) }
    }

    /// By one thread only: the mistake is on the other side.
    pub(crate) fn push(&self, value: usize) {
        let node = Node::allocate(value);
        // SAFETY: nodes are never really freed.
        let tail = unsafe { &*self.tail.load(Ordering::Acquire) };
        tail.next.store(node, Ordering::Release);
        self.tail.store(node, Ordering::Release);
    }

    pub(crate) fn pop(&self) -> Option<usize> {
        loop {
            let head = self.head.load(Ordering::Acquire);
            // SAFETY: nodes are never really freed.
            let node = unsafe { &*head };
            node.visit();
            let next = node.next.load(Ordering::Acquire);
            if next.is_null() {
                return None;
            }
            let swapped =
                self.head.compare_exchange(head, next, Ordering::AcqRel, Ordering::Relaxed);
            if swapped.is_ok() {
                // SAFETY: nodes are never really freed.
                let value = unsafe { &*next }.value;
                node.free();
                return Some(value);
            }
        }
    }
}

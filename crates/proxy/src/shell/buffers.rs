//! The relay's buffers: one pool per worker thread, lent only while there are bytes to hold.
//!
//! A connection owns a buffer while it reads and writes, and keeps it across a wait only when its
//! peer takes bytes slower than they come. So an idle connection owns none, and what is lent is at
//! most one buffer per direction that is stalled.

use std::cell::RefCell;

/// Bytes in a buffer, the most that one read takes.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;

/// Spare buffers that a worker keeps; more are given back to the allocator.
const SPARE_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer and the part of it that is filled and not yet passed on.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Takes an empty buffer from the pool of this thread.
    pub(crate) fn take() -> Self {
        let spare = SPARE.with_borrow_mut(Vec::pop);
        let bytes = spare.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        Self { bytes, start: 0, end: 0 }
    }

    /// Returns the part that can be filled.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.bytes[self.end..]
    }

    /// Says that the first `count` bytes of [`space`](Self::space) were filled.
    pub(crate) fn fill(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len(), "filled past the end");
    }

    /// Returns the bytes not yet passed on.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Says that the first `count` pending bytes were passed on.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "consumed more than was pending");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // A thread that ends may have lost its pool already: the buffer is then simply freed.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(bytes);
            }
        });
    }
}

//! A shared, immutable view of a buffer: cheap to clone and to slice, free of allocation.
//!
//! The count of views lies in the block's record, which the free lists use only while the block is
//! free. Counting is that of `std::sync::Arc`: add Relaxed, subtract Release, and an Acquire fence
//! before the last one lets go.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Bound, Deref, RangeBounds};

use bytes::Bytes;

use crate::block::Block;
use crate::sync::atomic::{Ordering, fence};

/// Immutable bytes in pooled memory, which goes back to its pool with the last view.
pub struct View {
    /// Dropped by the last view only.
    block: ManuallyDrop<Block>,
    start: usize,
    end: usize,
}

impl View {
    pub(super) fn new(block: Block, len: usize) -> Self {
        // Relaxed: the block is still ours alone.
        block.views().store(1, Ordering::Relaxed);
        Self { block: ManuallyDrop::new(block), start: 0, end: len }
    }

    /// Returns a view of a part.
    ///
    /// # Panics
    ///
    /// When the range is out of bounds, as slicing does.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let len = self.end - self.start;
        let from = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&at) => at.saturating_add(1),
            Bound::Excluded(&at) => at,
            Bound::Unbounded => len,
        };
        assert!(from <= to && to <= len, "range {from}..{to} is out of bounds of {len} bytes");
        let mut part = self.clone();
        part.end = self.start + to;
        part.start = self.start + from;
        part
    }
}

impl Clone for View {
    fn clone(&self) -> Self {
        // Relaxed: the clone comes from a view that keeps the count above zero.
        let views = self.block.views().fetch_add(1, Ordering::Relaxed);
        assert!(views < VIEWS_MAX, "fewer than 2^31 views of one buffer");
        // SAFETY: a bitwise copy of a block that is only read while there are views, and that
        // only the last view drops.
        let block = unsafe { std::ptr::read(&raw const self.block) };
        Self { block, start: self.start, end: self.end }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // Release: our reads come before the block is given back.
        if self.block.views().fetch_sub(1, Ordering::Release) == 1 {
            // Pairs with the Release of the other views.
            fence(Ordering::Acquire);
            // SAFETY: this was the last view, and `block` is not used again.
            unsafe { ManuallyDrop::drop(&mut self.block) };
        }
    }
}

impl Deref for View {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.block[self.start..self.end]
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<View> for Bytes {
    /// Costs one small allocation.
    fn from(view: View) -> Self {
        Self::from_owner(view)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Far below the wrap: as in `Arc`, threads that race past it cannot reach 2^32.
const VIEWS_MAX: u32 = 1 << 31;

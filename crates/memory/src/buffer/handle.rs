//! A buffer in the making: one owner, bytes appended up to its class.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bytes::buf::UninitSlice;
use bytes::{BufMut, Bytes};

use super::view::View;
use crate::block::Block;

/// Bytes being written, in memory of a [`BufferPool`](super::BufferPool). Dropping gives the
/// memory back.
///
/// Only the written part can be read: what an earlier holder left is never seen.
pub struct Buffer {
    /// Also counts the bytes written, so that a buffer travels in registers as a block does. The
    /// count is never above the block's bytes: every view of a part relies on it.
    block: Block,
}

/// The bytes do not fit; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes do not fit into the {free} that are free")]
#[non_exhaustive]
pub struct Full {
    /// Bytes to be written.
    pub wanted: usize,
    /// Bytes there was room for.
    pub free: usize,
}

impl Buffer {
    #[inline]
    pub(super) fn new(block: Block) -> Self {
        Self { block }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`Full`] when they do not fit; nothing is written then.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = self.room();
        let Some(room) = room.get_mut(..bytes.len()) else {
            return Err(Full { wanted: bytes.len(), free: room.len() });
        };
        room.copy_from_slice(bytes);
        self.set_len(self.len() + bytes.len());
        Ok(())
    }

    /// Sets the length; new bytes are `value`.
    ///
    /// # Errors
    ///
    /// [`Full`] above the capacity; nothing changes then.
    pub fn resize(&mut self, len: usize, value: u8) -> Result<(), Full> {
        if len > self.capacity() {
            return Err(Full { wanted: len - self.len(), free: self.room().len() });
        }
        let old = self.len();
        if len > old {
            self.block[old..len].fill(value);
        }
        self.set_len(len);
        Ok(())
    }

    /// Shortens to `len`; longer does nothing.
    pub fn truncate(&mut self, len: usize) {
        self.set_len(self.len().min(len));
    }

    /// Removes all bytes.
    pub fn clear(&mut self) {
        self.set_len(0);
    }

    /// Reads from `source` into the free room, once; returns how many bytes came.
    ///
    /// # Errors
    ///
    /// Those of `source`.
    pub fn read_from(&mut self, source: &mut impl std::io::Read) -> std::io::Result<usize> {
        let room = self.room();
        // Earlier holders' bytes go to `source` as scratch only; what it reports as read is
        // clamped.
        let read = source.read(room)?.min(room.len());
        self.set_len(self.len() + read);
        Ok(read)
    }

    /// Returns how many bytes can be written in all: the whole class, at least what was asked for.
    pub fn capacity(&self) -> usize {
        self.block.len()
    }

    /// Turns into immutable bytes without copying; the memory returns to the pool with the last
    /// clone.
    ///
    /// Costs one small allocation, which `Bytes` needs for a foreign owner;
    /// [`share`](Self::share) has none.
    pub fn freeze(self) -> Bytes {
        if self.is_empty() { Bytes::new() } else { Bytes::from_owner(self) }
    }

    /// Turns into an immutable view without copying or allocating.
    pub fn share(self) -> View {
        let len = self.len();
        View::new(self.block, len)
    }

    /// Returns how many bytes are written.
    #[inline]
    pub fn len(&self) -> usize {
        self.block.filled as usize
    }

    /// Says whether no byte is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn room(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: `set_len` keeps the length within the block.
        unsafe { self.block.get_unchecked_mut(len..) }
    }

    /// `len` is at most the capacity.
    #[inline]
    fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity(), "a buffer holds at most its class");
        #[expect(clippy::cast_possible_truncation, reason = "the builder bounds a block to 4 GiB")]
        let len = len as u32;
        self.block.filled = len;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `set_len` keeps the length within the block.
        unsafe { self.block.get_unchecked(..self.len()) }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: `set_len` keeps the length within the block.
        unsafe { self.block.get_unchecked_mut(..len) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

// SAFETY: `chunk_mut` is always the free room behind `len`, and `remaining_mut` its length; neither
// changes but through `advance_mut`.
unsafe impl BufMut for Buffer {
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.block.len() - self.len()
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= self.remaining_mut(), "advances inside the free room");
        self.set_len(self.len() + count);
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::new(self.room())
    }
}

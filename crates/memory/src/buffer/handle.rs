//! A buffer in the making: one owner, bytes appended up to its class.

use std::fmt;
use std::ops::{Deref, DerefMut};

use bytes::buf::UninitSlice;
use bytes::{BufMut, Bytes};

use super::view::View;
use crate::block::Block;

/// Bytes being written, in memory of a [`BufferPool`](super::BufferPool). Dropping gives the memory back.
///
/// Only the written part can be read: what an earlier holder left is never seen.
pub struct Buffer {
    block: Block,
    len: usize,
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
        Self { block, len: 0 }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`Full`] when they do not fit; nothing is written then.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let room = &mut self.block[self.len..];
        let Some(room) = room.get_mut(..bytes.len()) else {
            return Err(Full { wanted: bytes.len(), free: room.len() });
        };
        room.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    /// Sets the length; new bytes are `value`.
    ///
    /// # Errors
    ///
    /// [`Full`] above the capacity; nothing changes then.
    pub fn resize(&mut self, len: usize, value: u8) -> Result<(), Full> {
        if len > self.capacity() {
            return Err(Full { wanted: len - self.len, free: self.capacity() - self.len });
        }
        if len > self.len {
            self.block[self.len..len].fill(value);
        }
        self.len = len;
        Ok(())
    }

    /// Shortens to `len`; longer does nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Removes all bytes.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Reads from `source` into the free room, once; returns how many bytes came.
    ///
    /// # Errors
    ///
    /// Those of `source`.
    pub fn read_from(&mut self, source: &mut impl std::io::Read) -> std::io::Result<usize> {
        let room = &mut self.block[self.len..];
        // Earlier holders' bytes go to `source` as scratch only; what it reports as read is clamped.
        let read = source.read(room)?.min(room.len());
        self.len += read;
        Ok(read)
    }

    /// Returns how many bytes can be written in all: the whole class, at least what was asked for.
    pub fn capacity(&self) -> usize {
        self.block.len()
    }

    /// Turns into immutable bytes without copying; the memory returns to the pool with the last clone.
    ///
    /// Costs one small allocation, which `Bytes` needs for a foreign owner; [`share`](Self::share) has none.
    pub fn freeze(self) -> Bytes {
        if self.len == 0 { Bytes::new() } else { Bytes::from_owner(self) }
    }

    /// Turns into an immutable view without copying or allocating.
    pub fn share(self) -> View {
        View::new(self.block, self.len)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.block[..self.len]
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.block[..self.len]
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
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

// SAFETY: `chunk_mut` is always the free room behind `len`, and `remaining_mut` its length; neither
// changes but through `advance_mut`.
unsafe impl BufMut for Buffer {
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.block.len() - self.len
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        assert!(count <= self.remaining_mut(), "advances inside the free room");
        self.len += count;
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::new(&mut self.block[self.len..])
    }
}

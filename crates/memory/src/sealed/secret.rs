//! Plain bytes that must not get out.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::page_bytes;
use crate::region::Region;

/// Bytes in pages of their own: kept out of swap, core dumps and forked children, and wiped on
/// drop.
///
/// Each costs at least one page of the memory-lock limit (8 MiB for most users). Where the limit
/// is reached it works unlocked, and [`is_locked`](Self::is_locked) says so. Equality takes the
/// same time wherever the difference is.
pub struct Secret {
    region: Region,
    len: usize,
    is_locked: bool,
}

impl Secret {
    /// Makes `len` zero bytes.
    ///
    /// # Errors
    ///
    /// When the kernel has no memory, or cannot keep it out of core dumps and children.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let region = Region::reserve(len.max(1), page_bytes())?;
        region.commit(0, len.max(1))?;
        region.exclude_from_core_dumps()?;
        region.wipe_on_fork()?;
        let is_locked = region.lock(0, len.max(1)).is_ok();
        Ok(Self { region, len, is_locked })
    }

    /// Moves `bytes` here and wipes where they were.
    ///
    /// # Errors
    ///
    /// As [`zeroed`](Self::zeroed); `bytes` are wiped then too.
    pub fn take_from(bytes: &mut [u8]) -> io::Result<Self> {
        let secret = Self::zeroed(bytes.len()).map(|mut secret| {
            secret.copy_from_slice(bytes);
            secret
        });
        bytes.zeroize();
        secret
    }

    /// Makes `len` random bytes from the system's source.
    ///
    /// # Errors
    ///
    /// As [`zeroed`](Self::zeroed), or when the system has no randomness.
    pub fn random(len: usize) -> io::Result<Self> {
        let mut secret = Self::zeroed(len)?;
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        Ok(secret)
    }

    /// Says whether the pages are kept out of swap.
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }
}

impl Deref for Secret {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `zeroed` committed at least `len` bytes, zero at first; `self` owns the region.
        unsafe { std::slice::from_raw_parts(self.region.base().as_ptr(), self.len) }
    }
}

impl DerefMut for Secret {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.region.base().as_ptr(), self.len) }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("len", &self.len).finish_non_exhaustive()
    }
}

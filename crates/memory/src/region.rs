//! One contiguous range of address space, reserved at once and made usable piece by piece.
//!
//! ```text
//! reserve:  no access, costs no memory ──commit(chunk)──▶ readable, writable, zero on first touch
//!                                        ◀──discard────── pages given back, zero on next touch
//! ```
//!
//! A reservation makes index and address two views of one number and finds a foreign pointer with
//! one comparison. Models and Miri use the heap in its place, where commit and discard do nothing.
//!
//! Never here: what the bytes mean, who holds them.

use std::io;
use std::ptr::NonNull;

/// The range. Unmapped on drop; whoever holds pointers into it keeps it alive.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    len: usize,
    #[expect(dead_code, reason = "held for its drop")]
    mapping: Mapping,
}

// SAFETY: `Region` owns its mapping; it hands out only a raw base pointer, and its methods are
// system calls that are safe to make from any thread.
unsafe impl Send for Region {}
// SAFETY: as above; no method changes the fields.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves `len` bytes aligned to `align`, a power of two.
    pub(crate) fn reserve(len: usize, align: usize) -> io::Result<Self> {
        debug_assert!(align.is_power_of_two() && len > 0);
        let (base, mapping) = Mapping::new(len, align)?;
        Ok(Self { base, len, mapping })
    }

    /// Returns the first byte. Derived pointers are valid in committed parts while `self` lives.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Returns the whole pages that the region lies on.
    pub(crate) fn pages(&self) -> std::ops::Range<*const u8> {
        let start = self.base.as_ptr().cast_const();
        start..start.wrapping_add(self.len.next_multiple_of(crate::page_bytes()))
    }

    fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(offset <= self.len && len <= self.len - offset, "range lies inside the region");
        // SAFETY: `offset <= self.len`, and the mapping spans `len` bytes from `base`.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

#[cfg(not(any(loom, miri)))]
mod system {
    use std::ffi::c_void;

    use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

    use super::{NonNull, Region, io};
    use crate::page_bytes;

    /// The whole mapping, slack for alignment included.
    #[derive(Debug)]
    pub(super) struct Mapping {
        start: *mut c_void,
        bytes: usize,
    }

    impl Mapping {
        pub(super) fn new(len: usize, align: usize) -> io::Result<(NonNull<u8>, Self)> {
            let slack = if align > page_bytes() { align } else { 0 };
            let bytes = len
                .checked_next_multiple_of(page_bytes())
                .and_then(|len| len.checked_add(slack))
                .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
            // SAFETY: a new anonymous mapping at an address the kernel chooses aliases nothing.
            let start = unsafe {
                rustix::mm::mmap_anonymous(
                    std::ptr::null_mut(),
                    bytes,
                    ProtFlags::empty(),
                    MapFlags::PRIVATE | MapFlags::NORESERVE,
                )
            }?;
            let skip = start.cast::<u8>().align_offset(align);
            // SAFETY: mmap aligns to a page, so `skip` is zero or below the slack added for it.
            let base = unsafe { start.cast::<u8>().add(skip) };
            let base = NonNull::new(base).expect("mmap never returns page zero here");
            Ok((base, Self { start, bytes }))
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: `start` and `bytes` are those of the mmap in `new`, unmapped only here; the
            // region's owner vouches that no pointer into it is used any more.
            let unmapped = unsafe { rustix::mm::munmap(self.start, self.bytes) };
            debug_assert!(unmapped.is_ok(), "our own mapping can be unmapped");
        }
    }

    impl Region {
        /// Makes the pages of `len` bytes from `offset` readable and writable.
        pub(crate) fn commit(&self, offset: usize, len: usize) -> io::Result<()> {
            let before = offset % page_bytes();
            let (offset, len) = (offset - before, len + before);
            // The kernel rounds the end up to a page; the mapping reaches that far.
            let start = self.at(offset, len).cast();
            // SAFETY: the range lies inside our mapping; access only becomes wider.
            unsafe {
                rustix::mm::mprotect(start, len, MprotectFlags::READ | MprotectFlags::WRITE)
            }?;
            Ok(())
        }

        /// Touches every page of a committed range, so that no later access faults.
        pub(crate) fn populate(&self, offset: usize, len: usize) {
            debug_assert!(offset.is_multiple_of(page_bytes()), "populates from a page on");
            for at in (offset..offset + len).step_by(page_bytes()) {
                let byte = self.at(at, 1);
                // SAFETY: inside the committed range, and the caller populates before the bytes
                // are handed to anybody.
                unsafe { byte.write_volatile(0) };
            }
        }

        /// Keeps a committed range in physical memory.
        pub(crate) fn lock(&self, offset: usize, len: usize) -> io::Result<()> {
            let start = self.at(offset, len).cast();
            // SAFETY: mlock reads and writes nothing the program can observe.
            unsafe { rustix::mm::mlock(start, len) }?;
            Ok(())
        }

        /// Gives the pages of a range back to the kernel; they read as zero afterwards.
        ///
        /// # Safety
        ///
        /// Nobody holds or reads the bytes of the range; it begins and ends on a page.
        pub(crate) unsafe fn discard(&self, offset: usize, len: usize) -> io::Result<()> {
            let start = self.at(offset, len).cast();
            // SAFETY: the range is ours, and by the contract nobody relies on its content.
            unsafe { rustix::mm::madvise(start, len, Advice::LinuxDontNeed) }?;
            Ok(())
        }

        /// Asks for huge pages; a kernel without them says so.
        pub(crate) fn advise_huge_pages(&self) -> io::Result<()> {
            self.advise(Advice::LinuxHugepage)
        }

        /// Leaves the range out of core dumps.
        #[cfg(feature = "sealed")]
        pub(crate) fn exclude_from_core_dumps(&self) -> io::Result<()> {
            self.advise(Advice::LinuxDontDump)
        }

        /// Makes the range read as zero in a forked child.
        #[cfg(feature = "sealed")]
        pub(crate) fn wipe_on_fork(&self) -> io::Result<()> {
            self.advise(Advice::LinuxWipeOnFork)
        }

        fn advise(&self, advice: Advice) -> io::Result<()> {
            let len = self.len.next_multiple_of(page_bytes());
            // SAFETY: the advices passed here change no byte that this process can see.
            unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), len, advice) }?;
            Ok(())
        }
    }
}

#[cfg(any(loom, miri))]
mod system {
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    use super::{NonNull, Region, io};

    #[derive(Debug)]
    pub(super) struct Mapping {
        base: NonNull<u8>,
        layout: Layout,
    }

    impl Mapping {
        pub(super) fn new(len: usize, align: usize) -> io::Result<(NonNull<u8>, Self)> {
            let layout = Layout::from_size_align(len, align).map_err(io::Error::other)?;
            // SAFETY: callers reserve at least one byte.
            let base = unsafe { alloc_zeroed(layout) };
            let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
            Ok((base, Self { base, layout }))
        }
    }

    impl Drop for Mapping {
        fn drop(&mut self) {
            // SAFETY: allocated in `new` with this layout and freed only here.
            unsafe { dealloc(self.base.as_ptr(), self.layout) };
        }
    }

    impl Region {
        pub(crate) fn commit(&self, offset: usize, len: usize) -> io::Result<()> {
            let _ = self.at(offset, len);
            Ok(())
        }

        pub(crate) fn populate(&self, offset: usize, len: usize) {
            let _ = self.at(offset, len);
        }

        pub(crate) fn lock(&self, offset: usize, len: usize) -> io::Result<()> {
            let _ = self.at(offset, len);
            Ok(())
        }

        /// # Safety
        ///
        /// As in the real one.
        pub(crate) unsafe fn discard(&self, offset: usize, len: usize) -> io::Result<()> {
            let _ = self.at(offset, len);
            Ok(())
        }

        pub(crate) fn advise_huge_pages(&self) -> io::Result<()> {
            Ok(())
        }

        #[cfg(feature = "sealed")]
        pub(crate) fn exclude_from_core_dumps(&self) -> io::Result<()> {
            Ok(())
        }

        #[cfg(feature = "sealed")]
        pub(crate) fn wipe_on_fork(&self) -> io::Result<()> {
            Ok(())
        }
    }
}

use system::Mapping;

//! The ring that the kernel writes records into and we read from.
//!
//! One page of state, then a power of two of data pages, mapped shared:
//!
//! | field | written by | rule |
//! | --- | --- | --- |
//! | `data_head` | kernel | we load with Acquire, then everything before it is readable |
//! | `data_tail` | us | we store with Release, then the kernel may overwrite what lies before |
//!
//! These are the barriers that `perf_event_open(2)` asks for. Both only grow; a position in the
//! data is the number modulo the size. Because the mapping is writable, the kernel never overwrites
//! what was not read: a full ring loses new records and says how many.
//!
//! Records are copied out before the tail moves, so nobody ever holds a reference into the ring.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::descriptor::Descriptor;

/// A mapped ring; unmapped on drop.
#[derive(Debug)]
pub(crate) struct Ring {
    base: NonNull<u8>,
    page_bytes: usize,
    data_bytes: usize,
}

// SAFETY: the mapping belongs to this value alone, is not bound to a thread, and is reached only
// through methods that take `&mut self`.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps a ring of at most `bytes`, smaller where the limit of locked memory asks for it.
    pub(crate) fn map(event: &Descriptor, bytes: usize) -> io::Result<Self> {
        let page_bytes = rustix::param::page_size();
        let mut data_bytes = bytes.next_power_of_two().max(page_bytes);
        loop {
            match Self::map_exactly(event, page_bytes, data_bytes) {
                Err(error) if is_over_limit(&error) && data_bytes / 2 >= BYTES_MIN => {
                    data_bytes /= 2;
                }
                result => return result,
            }
        }
    }

    fn map_exactly(event: &Descriptor, page_bytes: usize, data_bytes: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                page_bytes + data_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                event.as_fd().as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { base, page_bytes, data_bytes })
    }

    /// Gives each record that is there to `take`, header included, oldest first. What is added
    /// meanwhile stays for the next time.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        let head = self.position(HEAD).load(Ordering::Acquire);
        let mut tail = self.position(TAIL).load(Ordering::Relaxed);
        let mut record = Vec::with_capacity(RECORD_BYTES_MAX);
        while tail < head {
            let mut header = [0; 8];
            self.copy(tail, &mut header);
            let bytes = usize::from(u16::from_ne_bytes([header[6], header[7]]));
            if bytes < header.len() || bytes as u64 > head - tail {
                // The kernel writes whole records only; rather than loop, give up what is left.
                tail = head;
                break;
            }
            record.resize(bytes, 0);
            self.copy(tail, &mut record);
            take(&record);
            tail += bytes as u64;
            // Pairs with the kernel's barrier: what was copied may be overwritten from now on.
            self.position(TAIL).store(tail, Ordering::Release);
        }
        self.position(TAIL).store(tail, Ordering::Release);
    }

    /// Copies bytes from a position, around the end where they wrap.
    fn copy(&self, position: u64, into: &mut [u8]) {
        let size = self.data_bytes;
        let start = usize::try_from(position % size as u64).expect("less than the size");
        let first = into.len().min(size - start);
        let (front, back) = into.split_at_mut(first);
        for (offset, part) in [(start, front), (0, back)] {
            // SAFETY: `offset` and the part's length lie within the `data_bytes` mapped after the
            // first page, since `first` ends at the size and a record is shorter than the ring.
            let source = unsafe { self.base.add(self.page_bytes + offset) };
            // SAFETY: the kernel does not write between tail and head, where these bytes lie, and
            // `part` is memory of ours that the mapping does not overlap.
            unsafe { source.copy_to_nonoverlapping(NonNull::from(&mut *part).cast(), part.len()) };
        }
    }

    fn position(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: both offsets lie in the first page of the mapping.
        let field = unsafe { self.base.add(offset) }.cast::<u64>();
        // SAFETY: the field is 8 bytes aligned to 8, lives as long as `self`, and is accessed by
        // the kernel and by us as one 64-bit word only.
        unsafe { AtomicU64::from_ptr(field.as_ptr()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: exactly what `map_exactly` mapped, unmapped once; no reference into it remains.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.page_bytes + self.data_bytes) };
    }
}

/// The kernel says EPERM when the locked memory of a user without rights is used up.
fn is_over_limit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOMEM | libc::EAGAIN))
}

const HEAD: usize = 1024;
const TAIL: usize = 1032;
const RECORD_BYTES_MAX: usize = 1 << 16;
/// Below two of the largest records a ring is of no use.
const BYTES_MIN: usize = 2 * RECORD_BYTES_MAX;

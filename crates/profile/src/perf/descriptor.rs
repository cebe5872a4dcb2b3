//! An open event: enabled, disabled, read, closed on drop and on exec.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::attributes::Attributes;

/// A descriptor that `perf_event_open` returned.
#[derive(Debug)]
pub(crate) struct Descriptor(OwnedFd);

/// Whose events, and on which processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// A thread's id; 0 is the calling thread.
    pub(crate) thread: i32,
    /// A processor; -1 is any.
    pub(crate) cpu: i32,
}

impl Descriptor {
    /// Opens an event, in the group of `leader` when there is one.
    pub(crate) fn open(
        attributes: &Attributes,
        scope: Scope,
        leader: Option<&Self>,
    ) -> io::Result<Self> {
        let group = leader.map_or(-1, |leader| leader.0.as_raw_fd());
        // SAFETY: the kernel reads `size` bytes of the attributes, which `Attributes::new` set to
        // their size, and writes back only that field; the borrow lasts for the whole call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_perf_event_open,
                std::ptr::from_ref(attributes),
                scope.thread,
                scope.cpu,
                group,
                FLAG_CLOSE_ON_EXEC,
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let raw = RawFd::try_from(result).map_err(io::Error::other)?;
        // SAFETY: the call succeeded, so `raw` is a new descriptor that nothing else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Starts counting, with it the group that it leads.
    pub(crate) fn enable(&self) -> io::Result<()> {
        self.control(ENABLE, 0)
    }

    /// Stops counting, with it the group that it leads.
    pub(crate) fn disable(&self) -> io::Result<()> {
        self.control(DISABLE, 0)
    }

    /// Lets records go into the ring of another event on the same processor.
    pub(crate) fn share_ring_of(&self, other: &Self) -> io::Result<()> {
        let raw = libc::c_ulong::try_from(other.0.as_raw_fd()).map_err(io::Error::other)?;
        self.control(SET_OUTPUT, raw)
    }

    /// Reads numbers as `read_format` lays them out; returns how many.
    pub(crate) fn read(&self, numbers: &mut [u64]) -> io::Result<usize> {
        let mut bytes = vec![0; numbers.len() * 8];
        let count = File::from(self.0.try_clone()?).read(&mut bytes)? / 8;
        for (number, chunk) in numbers.iter_mut().zip(bytes.chunks_exact(8)).take(count) {
            *number = u64::from_ne_bytes(chunk.try_into().expect("chunks of 8"));
        }
        Ok(count)
    }

    fn control(&self, request: libc::c_ulong, argument: libc::c_ulong) -> io::Result<()> {
        // SAFETY: the three requests take a number and no pointer.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const FLAG_CLOSE_ON_EXEC: libc::c_ulong = 8;
const ENABLE: libc::c_ulong = 0x2400;
const DISABLE: libc::c_ulong = 0x2401;
const SET_OUTPUT: libc::c_ulong = 0x2405;

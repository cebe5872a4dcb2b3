//! Counting allocations by thread, so that "no allocation here" is a test and not a hope.
//!
//! ```
//! use tidemill_profile::allocations::{CountingAllocator, assert_no_alloc, count};
//!
//! #[global_allocator]
//! static ALLOCATOR: CountingAllocator = CountingAllocator::system();
//!
//! let mut list = Vec::with_capacity(8);
//! assert_no_alloc(|| list.push(1));
//! assert_eq!(count(|| vec![0_u8; 100]).1.bytes_allocated, 100);
//! ```
//!
//! The numbers are those of the calling thread: a test harness, or a logger on another thread, does
//! not show in them. Counting costs two additions to thread-local memory for each call, takes no
//! lock and never allocates. With [`Sites`] each allocation of the process is also counted under
//! the stack that asked for it, which costs microseconds each and is for finding, not for running.
//!
//! Never: changes what the allocator underneath does, or counts for one thread what another did.

mod sites;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

pub use sites::{Site, Sites};

/// An allocator that counts, around one that allocates.
#[derive(Debug, Default)]
pub struct CountingAllocator<A = System>(A);

/// What one thread asked of the allocator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Blocks allocated.
    pub allocations: u64,
    /// Blocks grown or shrunk.
    pub reallocations: u64,
    /// Blocks given back.
    pub deallocations: u64,
    /// Bytes allocated, and added by growing.
    pub bytes_allocated: u64,
    /// Bytes given back, and taken off by shrinking.
    pub bytes_freed: u64,
}

impl CountingAllocator {
    /// Counts around the system's allocator.
    pub const fn system() -> Self {
        Self(System)
    }
}

impl<A> CountingAllocator<A> {
    /// Counts around any allocator.
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }
}

// SAFETY: every call goes to the allocator underneath with the same arguments and its answer goes
// back unchanged, so its guarantees are ours. Counting touches thread-local cells that need no
// destructor, so it neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_allocation(layout.size());
        // SAFETY: our caller keeps the contract of `alloc`, which is the same.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_allocation(layout.size());
        // SAFETY: our caller keeps the contract of `alloc_zeroed`, which is the same.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(|cells| {
            bump(&cells.deallocations, 1);
            bump(&cells.bytes_freed, layout.size());
        });
        // SAFETY: our caller keeps the contract of `dealloc`; the block is from this allocator,
        // so it is from the one underneath.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        add(|cells| {
            bump(&cells.reallocations, 1);
            bump(&cells.bytes_allocated, bytes.saturating_sub(layout.size()));
            bump(&cells.bytes_freed, layout.size().saturating_sub(bytes));
        });
        sites::note(bytes.saturating_sub(layout.size()));
        // SAFETY: our caller keeps the contract of `realloc`; the block is from this allocator,
        // so it is from the one underneath.
        unsafe { self.0.realloc(block, layout, bytes) }
    }
}

/// Returns what the calling thread has asked for so far.
pub fn this_thread() -> Allocations {
    CELLS.with(|cells| Allocations {
        allocations: cells.allocations.get(),
        reallocations: cells.reallocations.get(),
        deallocations: cells.deallocations.get(),
        bytes_allocated: cells.bytes_allocated.get(),
        bytes_freed: cells.bytes_freed.get(),
    })
}

/// Runs a closure and returns what it asked for on this thread.
pub fn count<R>(run: impl FnOnce() -> R) -> (R, Allocations) {
    let before = this_thread();
    let result = run();
    (result, this_thread().since(&before))
}

/// Runs a closure that is not to allocate. Giving back memory is not allocating.
///
/// # Panics
///
/// When it allocates or reallocates on this thread, with how often and how much; and when the
/// process does not use a [`CountingAllocator`], since then nothing would be proven.
#[track_caller]
pub fn assert_no_alloc<R>(run: impl FnOnce() -> R) -> R {
    assert!(is_installed(), "CountingAllocator is not the global allocator: nothing is counted");
    let (result, counted) = count(run);
    let Allocations { allocations, reallocations, bytes_allocated, .. } = counted;
    assert!(
        allocations + reallocations == 0,
        "{allocations} allocations and {reallocations} reallocations of {bytes_allocated} bytes \
         where there are to be none"
    );
    result
}

/// Returns true when this process allocates through a [`CountingAllocator`]; makes one allocation.
pub fn is_installed() -> bool {
    let (_, counted) = count(|| drop(black_box(Box::new(black_box(0_u8)))));
    counted.allocations == 1
}

impl Allocations {
    /// Returns what was added since an earlier count of the same thread.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            allocations: self.allocations.wrapping_sub(before.allocations),
            reallocations: self.reallocations.wrapping_sub(before.reallocations),
            deallocations: self.deallocations.wrapping_sub(before.deallocations),
            bytes_allocated: self.bytes_allocated.wrapping_sub(before.bytes_allocated),
            bytes_freed: self.bytes_freed.wrapping_sub(before.bytes_freed),
        }
    }
}

struct Cells {
    allocations: Cell<u64>,
    reallocations: Cell<u64>,
    deallocations: Cell<u64>,
    bytes_allocated: Cell<u64>,
    bytes_freed: Cell<u64>,
}

fn count_allocation(bytes: usize) {
    add(|cells| {
        bump(&cells.allocations, 1);
        bump(&cells.bytes_allocated, bytes);
    });
    sites::note(bytes);
}

/// The cells have no destructor, so they are there until the thread's very end.
fn add(change: impl FnOnce(&Cells)) {
    CELLS.with(change);
}

fn bump(cell: &Cell<u64>, by: usize) {
    cell.set(cell.get().wrapping_add(by as u64));
}

thread_local! {
    static CELLS: Cells = const {
        Cells {
            allocations: Cell::new(0),
            reallocations: Cell::new(0),
            deallocations: Cell::new(0),
            bytes_allocated: Cell::new(0),
            bytes_freed: Cell::new(0),
        }
    };
}

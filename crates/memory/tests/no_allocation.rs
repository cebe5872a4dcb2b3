//! The hot path never asks the general allocator, counted.
#![expect(unsafe_code, reason = "a counting allocator wraps the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::BufMut;
use tidemill_memory::{BlockPool, BufferPool};

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same.
        unsafe { System.dealloc(address, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[track_caller]
fn check_allocations(want: u64, mut work: impl FnMut()) {
    // Once before: the first use on a thread makes its magazine.
    work();
    let before = COUNT.get();
    for _ in 0..1000 {
        work();
    }
    assert_eq!(COUNT.get() - before, want * 1000);
}

#[test]
fn taking_and_giving_blocks_allocates_nothing() {
    let pool = BlockPool::builder(4096).build().unwrap();
    check_allocations(0, || drop(pool.take().unwrap()));
    // Beyond the magazine: batches move, and the pool grows.
    let mut held = Vec::with_capacity(100_000);
    check_allocations(0, || {
        for _ in 0..40 {
            held.push(pool.take().unwrap());
        }
        held.truncate(held.len() - 20);
    });
}

#[test]
fn writing_sharing_and_slicing_buffers_allocates_nothing() {
    let pool = BufferPool::builder().build().unwrap();
    check_allocations(0, || {
        let mut buffer = pool.take(1000).unwrap();
        buffer.put_slice(b"payload");
        let view = buffer.share();
        let part = view.slice(2..4);
        drop(view.clone());
        drop(view);
        assert_eq!(&part[..], b"yl");
    });
}

#[test]
fn freezing_costs_the_one_allocation_that_foreign_bytes_need() {
    let pool = BufferPool::builder().build().unwrap();
    check_allocations(1, || {
        let mut buffer = pool.take(1000).unwrap();
        buffer.put_slice(b"payload");
        let bytes = buffer.freeze();
        drop(bytes.slice(1..).clone());
    });
}

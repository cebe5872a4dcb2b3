//! Counting allocations in a process whose allocator counts.
//!
//! The harness runs tests on several threads and allocates on its own: that it does not show is
//! what most of these tests rest on.

use std::hint::black_box;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::thread;

use tidemill_profile::allocations::{
    Allocations, CountingAllocator, Sites, assert_no_alloc, count, is_installed, this_thread,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

/// The mode by call sites is one for the process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn every_kind_of_call_is_counted_with_its_bytes() {
    let (list, grown) = count(|| {
        let mut list: Vec<u8> = Vec::with_capacity(black_box(100));
        list.resize(100, 1);
        list.reserve_exact(black_box(200));
        list.shrink_to(black_box(150));
        list
    });
    let want = Allocations {
        allocations: 1,
        reallocations: 2,
        bytes_allocated: 300,
        bytes_freed: 150,
        ..Allocations::default()
    };
    assert_eq!(grown, want);
    let (_, freed) = count(|| drop(list));
    assert_eq!((freed.deallocations, freed.bytes_freed), (1, 150));
    let (_zeroed, zeroed) = count(|| black_box(vec![0_u64; black_box(16)]));
    assert_eq!((zeroed.allocations, zeroed.bytes_allocated), (1, 128));
}

#[test]
fn only_the_calling_thread_is_counted() {
    let before = this_thread();
    thread::scope(|scope| {
        let other = scope.spawn(|| count(|| black_box(vec![1_u8; black_box(4096)])).1);
        let other = other.join().expect("no panic");
        assert_eq!((other.allocations, other.bytes_allocated), (1, 4096));
    });
    let spawning = this_thread().since(&before);
    assert!(spawning.bytes_allocated < 4096, "{spawning:?}");
}

#[test]
fn what_does_not_allocate_passes_and_what_does_is_named() {
    assert!(is_installed());
    let mut list = Vec::with_capacity(4);
    assert_eq!(assert_no_alloc(|| list.push(7)), ());
    let given_back = vec![1, 2, 3];
    assert_no_alloc(move || drop(given_back));
    let panic = catch_unwind(|| assert_no_alloc(|| black_box(vec![0_u8; black_box(64)])));
    let message = panic.expect_err("it allocates");
    let message = message.downcast_ref::<String>().expect("a formatted message");
    assert!(message.contains("1 allocations and 0 reallocations of 64 bytes"), "{message}");
}

#[inline(never)]
fn gathers(count: usize) -> Vec<Vec<u32>> {
    (0..count).map(|index| vec![index as u32; 10]).collect()
}

#[test]
fn call_sites_are_told_apart_and_named() {
    let _one = ONE_AT_A_TIME.lock();
    let sites = Sites::start().expect("nobody else counts sites");
    assert!(Sites::start().is_none(), "one at a time");
    let kept = black_box(gathers(black_box(500)));
    let (found, refused) = sites.finish();
    drop(kept);
    assert_eq!(refused, 0);
    let mine: Vec<_> = found
        .iter()
        .filter(|site| site.frames.iter().any(|frame| frame.function.contains("gathers")))
        .collect();
    let blocks: u64 = mine.iter().map(|site| site.count).sum();
    let bytes: u64 = mine.iter().map(|site| site.bytes).sum();
    assert!((501..=520).contains(&blocks), "{blocks} in {mine:#?}");
    assert!(bytes >= 500 * 40, "{bytes}");
    let first = mine[0];
    let file = first
        .frames
        .iter()
        .find_map(|frame| frame.file.as_deref()?.ends_with("allocations.rs").then_some(frame));
    assert!(file.is_some_and(|frame| frame.line.is_some()), "{first}");
}

#[test]
fn sites_of_many_threads_at_once_do_not_block_or_recurse() {
    let _one = ONE_AT_A_TIME.lock();
    let sites = Sites::start().expect("nobody else counts sites");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|index| drop(black_box(gathers(index)))));
        }
    });
    drop(sites);
    assert!(Sites::start().is_some_and(|sites| sites.finish().1 == 0), "ended by its drop");
}

//! Nothing is allocated per message: every form of every queue, and the router, once warm.
//!
//! One test, as the counter is the whole process's.
#![cfg(not(loom))]
#![expect(unsafe_code, reason = "a counting allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tidemill_bus::router::{Limits, Overflow};
use tidemill_bus::{Router, mpmc, spsc, unbounded};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Checks that the second thousand calls of `step` allocate nothing.
#[track_caller]
fn check(what: &str, mut step: impl FnMut()) {
    (0..1000).for_each(|_| step());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..1000).for_each(|_| step());
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0, "{what}");
}

#[test]
fn nothing_is_allocated_per_message() {
    let mut context = Context::from_waker(Waker::noop());
    let payload = Arc::new([7_u8; 64]);

    let (mut producer, mut consumer) = spsc::waiting_ring(8).unwrap();
    check("spsc", || {
        producer.push(Arc::clone(&payload)).unwrap();
        let mut pushing = std::pin::pin!(producer.push_async(Arc::clone(&payload)));
        assert_eq!(pushing.as_mut().poll(&mut context), Poll::Ready(Ok(())));
        consumer.peek(2).unwrap().commit(2);
        let mut popping = std::pin::pin!(consumer.pop_async());
        assert!(popping.as_mut().poll(&mut context).is_pending());
    });

    let queue = mpmc::Queue::waiting(8).unwrap();
    let (mut outbox, mut inbox) =
        (std::collections::VecDeque::with_capacity(8), Vec::with_capacity(8));
    check("mpmc", || {
        outbox.extend((0..4).map(|_| Arc::clone(&payload)));
        assert_eq!(queue.try_push_batch(&mut outbox), 4);
        assert_eq!(queue.pop_batch(&mut inbox, 8), Ok(4));
        inbox.clear();
        let mut popping = std::pin::pin!(queue.pop_async());
        assert!(popping.as_mut().poll(&mut context).is_pending());
        queue.push(Arc::clone(&payload)).unwrap();
        assert!(popping.as_mut().poll(&mut context).is_ready());
    });

    let queue = unbounded::Queue::new();
    check("unbounded", || {
        for _ in 0..200 {
            queue.try_push(Arc::clone(&payload)).unwrap();
        }
        while queue.try_pop().is_ok() {}
    });

    let router = Router::new(Limits::default());
    let topic = router.topic("topic").unwrap();
    let first = router.subscribe(topic, 4, Overflow::DropOldest).unwrap();
    let second = router.subscribe(topic, 4, Overflow::DropNewest).unwrap();
    check("router", || {
        for _ in 0..6 {
            router.publish(topic, Arc::clone(&payload)).unwrap();
        }
        while first.try_pop().is_ok() {}
        while second.try_pop().is_ok() {}
    });
}

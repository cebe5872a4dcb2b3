//! Waiting on a queue as a task: a future that is dropped has moved no value and kept no wake-up.
//!
//! Each test polls by hand with a waker that counts, so that "woken" and "pending" are facts and
//! not timing.
#![cfg(not(loom))]

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tidemill_bus::router::{Limits, Overflow, Router};
use tidemill_bus::{PopError, PushError, mpmc, spsc, unbounded};

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn wakes() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    (Arc::clone(&wakes), Waker::from(wakes))
}

/// Polls the future once with `waker`.
macro_rules! poll {
    ($future:expr, $waker:expr) => {
        $future.as_mut().poll(&mut Context::from_waker(&$waker))
    };
}

/// Checks a pop of a queue: it is woken by a push, and one dropped while pending pops nothing and
/// hands its wake-up on to the next.
macro_rules! check_pop {
    ($queue:expr) => {{
        let queue = $queue;
        let ((first_wakes, first), (second_wakes, second)) = (wakes(), wakes());
        let mut waiting = pin!(queue.pop_async());
        {
            let mut dropped = pin!(queue.pop_async());
            assert!(poll!(dropped, first).is_pending());
            assert!(poll!(waiting, second).is_pending());
            queue.try_push("value").expect("there is room");
            assert_eq!((first_wakes.count(), second_wakes.count()), (1, 0));
        }
        assert_eq!(second_wakes.count(), 1, "the dropped one's wake-up was swallowed");
        assert_eq!(poll!(waiting, second), Poll::Ready(Ok("value")));
        queue.close();
        let mut late = pin!(queue.pop_async());
        assert_eq!(poll!(late, second), Poll::Ready(Err(PopError::Closed)));
    }};
}

#[test]
fn a_dropped_pop_takes_nothing_and_passes_its_wake_up_on() {
    check_pop!(mpmc::Queue::waiting(4).unwrap());
    check_pop!(unbounded::Queue::waiting());
}

/// Checks a push to a full queue: dropped while pending, it has pushed nothing and the value is
/// where it was; a close gives it back.
macro_rules! check_push {
    ($queue:expr) => {{
        let queue = $queue;
        let (_, waker) = wakes();
        let held = (0_usize..).take_while(|&number| queue.try_push(number).is_ok()).count();
        let mut value = Some(held);
        {
            let mut dropped = pin!(queue.push_taken(&mut value));
            assert!(poll!(dropped, waker).is_pending());
        }
        assert_eq!((value, queue.len()), (Some(held), held));
        let mut closed = pin!(queue.push_async(held));
        assert!(poll!(closed, waker).is_pending());
        queue.close();
        assert_eq!(poll!(closed, waker), Poll::Ready(Err(PushError::Closed(held))));
        for number in 0..held {
            assert_eq!(queue.try_pop(), Ok(number), "closing lost what had been pushed");
        }
        assert_eq!(queue.try_pop(), Err(PopError::Closed));
    }};
}

#[test]
fn a_dropped_push_leaves_the_value_with_its_owner() {
    check_push!(mpmc::Queue::waiting(2).unwrap());
    let limit = 2 * unbounded::Queue::<usize>::SEGMENT_BYTES;
    check_push!(unbounded::Queue::waiting_with_limit(limit).unwrap());
}

/// Checks a batch that does not fit: dropped while pending, what is in the queue and what is left
/// are together what there was, in order.
macro_rules! check_batch {
    ($queue:expr) => {{
        let queue = $queue;
        let (_, waker) = wakes();
        let mut values: VecDeque<usize> = (0..500).collect();
        {
            let mut dropped = pin!(queue.push_batch_async(&mut values));
            assert!(poll!(dropped, waker).is_pending());
        }
        assert_eq!(queue.len() + values.len(), 500);
        let mut popped = Vec::new();
        while popped.len() < 500 {
            let mut pushing = pin!(queue.push_batch_async(&mut values));
            let _ = poll!(pushing, waker);
            let mut popping = pin!(queue.pop_batch_async(&mut popped, 500));
            assert!(matches!(poll!(popping, waker), Poll::Ready(Ok(1..))));
        }
        assert_eq!(popped, (0..500).collect::<Vec<_>>());
        values.extend([1, 2]);
        queue.close();
        let late = poll!(pin!(queue.push_batch_async(&mut values)), waker);
        assert_eq!(late, Poll::Ready(Err(PushError::Closed(()))));
        assert_eq!(values, [1, 2]);
    }};
}

#[test]
fn a_dropped_batch_is_partly_pushed_and_partly_left_and_whole_together() {
    check_batch!(mpmc::Queue::waiting(8).unwrap());
    let limit = 2 * unbounded::Queue::<usize>::SEGMENT_BYTES;
    check_batch!(unbounded::Queue::waiting_with_limit(limit).unwrap());
}

#[test]
fn a_dropped_wait_on_a_ring_moves_nothing() {
    let (mut producer, mut consumer) = spsc::waiting_ring(1).unwrap();
    let (wakes, waker) = wakes();
    assert!(poll!(pin!(consumer.pop_async()), waker).is_pending());
    producer.try_push(1).unwrap();
    assert!(poll!(pin!(producer.ready()), waker).is_pending());
    assert!(poll!(pin!(producer.push_async(2)), waker).is_pending());
    assert_eq!((consumer.len(), consumer.try_pop()), (1, Ok(1)), "the dropped push pushed");
    {
        let mut popping = pin!(consumer.pop_async());
        assert!(poll!(popping, waker).is_pending());
        let before = wakes.count();
        producer.try_push(3).unwrap();
        assert_eq!(wakes.count(), before + 1);
    }
    assert_eq!(poll!(pin!(producer.ready()), waker), Poll::Pending);
    assert_eq!(poll!(pin!(consumer.pop_async()), waker), Poll::Ready(Ok(3)));
    drop(consumer);
    assert_eq!(poll!(pin!(producer.ready()), waker), Poll::Ready(false));
    let pushed = poll!(pin!(producer.push_async(4)), waker);
    assert_eq!(pushed, Poll::Ready(Err(PushError::Closed(4))));
}

#[test]
fn a_publisher_reaches_who_subscribes_later_and_passes_over_who_left() {
    let router = Router::new(Limits::default());
    let topic = router.topic("topic").unwrap();
    let mut publisher = router.publisher(topic).unwrap();
    assert_eq!(publisher.publish(0).delivered, 0);
    let first = router.subscribe(topic, 2, Overflow::Block).unwrap();
    let second = router.subscribe(topic, 2, Overflow::DropOldest).unwrap();
    assert_eq!(publisher.publish(1).delivered, 2);
    drop(second);
    assert_eq!(publisher.publish(2).delivered, 1);
    assert_eq!(publisher.try_publish(3).dropped, 1);
    let (wakes, waker) = wakes();
    {
        let mut dropped = pin!(publisher.publish_async(4));
        assert!(poll!(dropped, waker).is_pending());
    }
    let mut publishing = pin!(publisher.publish_async(5));
    assert!(poll!(publishing, waker).is_pending());
    assert_eq!((first.try_pop(), wakes.count()), (Ok(1), 1));
    assert!(matches!(poll!(publishing, waker), Poll::Ready(delivery) if delivery.delivered == 1));
    assert_eq!((first.try_pop(), first.try_pop()), (Ok(2), Ok(5)));
    assert_eq!(router.counters(topic).unwrap().published, 6);
    drop(router);
    assert_eq!(first.try_pop(), Err(PopError::Closed));
}

#[test]
fn a_pooled_buffer_is_published_without_a_copy_and_goes_back_to_its_pool() {
    let pool = tidemill_memory::BufferPool::builder().build().expect("the defaults are possible");
    let mut buffer = pool.take(100).expect("the pool may grow");
    buffer.extend_from_slice(b"payload").expect("there is room for 100");
    let view = buffer.share();
    let address = view.as_ptr();
    let router = Router::new(Limits::default());
    let topic = router.topic("topic").unwrap();
    let subscriptions =
        [4, 4].map(|capacity| router.subscribe(topic, capacity, Overflow::Block).unwrap());
    router.publish(topic, view).unwrap();
    for subscription in &subscriptions {
        let got = subscription.try_pop().unwrap();
        assert_eq!((&*got, got.as_ptr()), (&b"payload"[..], address));
    }
    assert_eq!(pool.stats().in_use_bytes(), 0, "every view is gone");
}

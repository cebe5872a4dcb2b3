//! What the queues and the router promise beyond order: threads, panics, cancellation, overflow.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use tidemill_bus::router::{Limits, Overflow, RouterError};
use tidemill_bus::{CapacityError, PopError, PushError, Router, mpmc, spsc, unbounded};

/// Counts its drops and panics in the one told to.
struct Fuse(Arc<AtomicUsize>, bool);

impl Drop for Fuse {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(!self.1, "a drop that panics");
    }
}

/// Fills a queue with four values, the second of which panics when dropped, and drops the queue.
#[track_caller]
fn check_drop<Q>(make: impl FnOnce(&mut dyn Iterator<Item = Fuse>) -> Q) {
    let drops = Arc::new(AtomicUsize::new(0));
    let queue = make(&mut (0..4).map(|number| Fuse(Arc::clone(&drops), number == 1)));
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(queue)));
    assert!(dropped.is_err(), "the panic reaches who drops the queue");
    assert_eq!(drops.load(Ordering::Relaxed), 4, "and every value is dropped all the same");
}

#[test]
fn a_panic_in_a_values_drop_leaves_no_value_behind() {
    check_drop(|values| {
        let (mut producer, consumer) = spsc::ring(4).unwrap();
        values.for_each(|value| producer.try_push(value).unwrap());
        (producer, consumer)
    });
    check_drop(|values| {
        let queue = mpmc::Queue::new(4).unwrap();
        values.for_each(|value| queue.try_push(value).unwrap());
        queue
    });
    check_drop(|values| {
        let queue = unbounded::Queue::new();
        values.for_each(|value| queue.try_push(value).unwrap());
        queue
    });
}

#[test]
fn a_panic_while_committing_a_chunk_gives_its_slots_back() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (mut producer, mut consumer) = spsc::ring(4).unwrap();
    for number in 0..4 {
        producer.try_push(Fuse(Arc::clone(&drops), number == 0)).unwrap();
    }
    let chunk = consumer.peek(3).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| chunk.commit(3))).is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 3);
    assert_eq!((consumer.len(), producer.reserve(4).len()), (1, 3));
}

#[test]
fn a_leaked_iterator_takes_no_value_twice() {
    let (mut producer, mut consumer) = spsc::ring(4).unwrap();
    producer.reserve(4).put_all([]);
    for number in 0..4 {
        producer.try_push(Box::new(number)).unwrap();
    }
    let mut values = consumer.peek(4).unwrap().into_iter();
    assert_eq!(values.next(), Some(Box::new(0)));
    std::mem::forget(values);
    assert_eq!(consumer.try_pop(), Ok(Box::new(1)));
}

#[test]
fn an_uncommitted_reservation_publishes_nothing_and_drops_its_values() {
    let drops = Arc::new(AtomicUsize::new(0));
    let (mut producer, mut consumer) = spsc::ring(4).unwrap();
    let mut reservation = producer.reserve(2);
    assert!(reservation.put(Fuse(Arc::clone(&drops), false)).is_ok());
    drop(reservation);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
    assert!(matches!(consumer.try_pop(), Err(PopError::Empty)));
}

#[test]
fn zero_sized_values_are_counted() {
    let (mut producer, mut consumer) = spsc::ring(2).unwrap();
    let queue = mpmc::Queue::new(2).unwrap();
    for _ in 0..2 {
        producer.try_push(()).unwrap();
        queue.try_push(()).unwrap();
    }
    assert_eq!((producer.try_push(()), queue.try_push(())), {
        (Err(PushError::Full(())), Err(PushError::Full(())))
    });
    assert_eq!(consumer.peek(2).unwrap().as_slices().0.len(), 2);
    assert_eq!(queue.try_pop(), Ok(()));
}

#[test]
fn impossible_sizes_are_named_errors() {
    assert_eq!(mpmc::Queue::<u8>::new(0).err(), Some(CapacityError::Zero));
    let error = mpmc::Queue::<u64>::new(usize::MAX).err();
    assert!(matches!(error, Some(CapacityError::TooLarge { capacity: usize::MAX, .. })));
    // Miri ends itself where memory ends.
    if !cfg!(miri) {
        let error = mpmc::Queue::<u64>::new(1 << 55).err();
        assert!(matches!(error, Some(CapacityError::NoMemory { .. })), "{error:?}");
    }
    let error = unbounded::Queue::<u64>::with_limit(100).err();
    assert!(matches!(error, Some(CapacityError::LimitTooSmall { limit_bytes: 100, .. })));
}

#[test]
fn an_unbounded_queue_stays_within_its_limit_and_shrinks() {
    let limit = 4 * unbounded::Queue::<u64>::SEGMENT_BYTES;
    let queue = unbounded::Queue::with_limit(limit).unwrap();
    let pushed = (0..).take_while(|&number: &u64| queue.try_push(number).is_ok()).count();
    assert_eq!(pushed, 4 * 63 - 1, "the last slot wants a segment behind it");
    assert!(queue.memory_bytes() <= limit);
    assert_eq!((0..).map_while(|_| queue.try_pop().ok()).count(), pushed);
    assert!(queue.try_push(0).is_ok());

    let queue = unbounded::Queue::new();
    let count = if cfg!(miri) { 1_000 } else { 100_000_u64 };
    (0..count).for_each(|number| queue.try_push(number).unwrap());
    while queue.try_pop().is_ok() {}
    assert!(queue.memory_bytes() <= 9 * unbounded::Queue::<u64>::SEGMENT_BYTES);
}

#[test]
fn many_threads_lose_and_repeat_nothing() {
    let bounded = mpmc::Queue::waiting(16).unwrap();
    check_threads(|value| bounded.push(value).unwrap(), || bounded.pop().unwrap());
    let growing = unbounded::Queue::waiting();
    check_threads(|value| growing.push(value).unwrap(), || growing.pop().unwrap());
    let kept = 9 * unbounded::Queue::<Box<usize>>::SEGMENT_BYTES;
    assert!(growing.memory_bytes() <= kept, "segments were lost");
}

fn check_threads(push: impl Fn(Box<usize>) + Sync, pop: impl Fn() -> Box<usize> + Sync) {
    const THREADS: usize = 3;
    let each: usize = if cfg!(miri) { 40 } else { 20_000 };
    let sums: Vec<usize> = thread::scope(|scope| {
        let (push, pop) = (&push, &pop);
        for _ in 0..THREADS {
            scope.spawn(move || (0..each).for_each(|number| push(Box::new(number))));
        }
        let popping: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(move || (0..each).map(|_| *pop()).sum::<usize>()))
            .collect();
        popping.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sums.iter().sum::<usize>(), THREADS * each * (each - 1) / 2);
}

#[test]
fn blocking_halves_pass_everything_and_then_close() {
    let count = if cfg!(miri) { 100 } else { 100_000 };
    let (mut producer, mut consumer) = spsc::waiting_ring(4).unwrap();
    let pushing = thread::spawn(move || {
        for number in 0..count {
            producer.push(Box::new(number)).unwrap();
        }
    });
    for number in 0..count {
        assert_eq!(consumer.pop().as_deref(), Ok(&number));
    }
    assert_eq!(consumer.pop(), Err(PopError::Closed));
    pushing.join().unwrap();
}

#[test]
fn a_cancelled_push_leaves_the_value_with_its_owner() {
    let queue = mpmc::Queue::waiting(1).unwrap();
    queue.try_push("first").unwrap();
    let mut value = Some("second");
    {
        let mut pushing = std::pin::pin!(queue.push_taken(&mut value));
        assert!(pushing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(value, Some("second"));
    assert_eq!(queue.try_pop(), Ok("first"));
    let mut pushing = std::pin::pin!(queue.push_taken(&mut value));
    let pushed = pushing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(pushed, Poll::Ready(Ok(())));
    assert_eq!(queue.try_pop(), Ok("second"));
}

/// Publishes 1 to 6 to a queue of four and checks what arrives and what is counted.
#[track_caller]
fn check_overflow(overflow: Overflow, want: &[i32], want_dropped: [usize; 2]) {
    let router = Router::new(Limits::default());
    let topic = router.topic("topic").unwrap();
    let subscription = router.subscribe(topic, 4, overflow).unwrap();
    for message in 1..=6 {
        router.try_publish(topic, message).unwrap();
    }
    let got: Vec<_> = std::iter::from_fn(|| subscription.try_pop().ok()).collect();
    assert_eq!(got, want);
    let counters = subscription.counters();
    assert_eq!((counters.published, counters.delivered), (6, 4));
    assert_eq!([counters.dropped_newest, counters.dropped_oldest], want_dropped);
    let topic_counters = router.counters(topic).unwrap();
    assert_eq!((topic_counters.published, topic_counters.delivered), (6, 4));
    drop(subscription);
    assert_eq!(router.counters(topic).unwrap().dropped, 2);
}

#[test]
fn a_full_subscriber_does_what_its_overflow_says() {
    check_overflow(Overflow::DropNewest, &[1, 2, 3, 4], [2, 0]);
    check_overflow(Overflow::DropOldest, &[3, 4, 5, 6], [0, 2]);
    check_overflow(Overflow::Block, &[1, 2, 3, 4], [2, 0]);
}

#[test]
fn an_async_publish_waits_for_a_blocking_subscriber() {
    let router = Router::new(Limits::default());
    let topic = router.topic("topic").unwrap();
    let subscription = router.subscribe(topic, 1, Overflow::Block).unwrap();
    router.publish(topic, 1).unwrap();
    let mut publishing = std::pin::pin!(router.publish_async(topic, 2));
    let mut context = Context::from_waker(Waker::noop());
    assert!(publishing.as_mut().poll(&mut context).is_pending());
    assert_eq!(subscription.try_pop(), Ok(1));
    let Poll::Ready(Ok(delivery)) = publishing.as_mut().poll(&mut context) else {
        panic!("there is room now")
    };
    assert_eq!((delivery.delivered, delivery.dropped), (1, 0));
    assert_eq!(subscription.try_pop(), Ok(2));
}

#[test]
fn publishers_on_threads_keep_their_order_at_each_subscriber() {
    let each: usize = if cfg!(miri) { 20 } else { 5_000 };
    let router: Router<Arc<(usize, usize)>> = Router::new(Limits::default());
    let topic = router.topic("topic").unwrap();
    let subscriptions: Vec<_> =
        (0..2).map(|_| router.subscribe(topic, 8, Overflow::Block).unwrap()).collect();
    thread::scope(|scope| {
        for publisher in 0..2 {
            let router = &router;
            scope.spawn(move || {
                for number in 0..each {
                    router.publish(topic, Arc::new((publisher, number))).unwrap();
                }
            });
        }
        for subscription in &subscriptions {
            scope.spawn(move || {
                let mut next = [0; 2];
                for _ in 0..2 * each {
                    let message = subscription.pop().unwrap();
                    assert_eq!(message.1, next[message.0]);
                    next[message.0] += 1;
                }
            });
        }
    });
}

#[test]
fn a_router_refuses_by_name_what_it_cannot_do() {
    let limits = Limits { topics_max: 1, subscribers_per_topic_max: 1 };
    let router: Router<u8> = Router::new(limits);
    let topic = router.topic("one").unwrap();
    assert_eq!(router.topic("one"), Ok(topic));
    assert_eq!(router.topic_name(topic), Ok("one"));
    assert_eq!(router.topic("two"), Err(RouterError::TopicsExhausted { max: 1 }));
    let long = "x".repeat(256);
    assert_eq!(router.topic(&long), Err(RouterError::NameTooLong { bytes: 256 }));
    let _subscription = router.subscribe(topic, 1, Overflow::Block).unwrap();
    let second = router.subscribe(topic, 1, Overflow::Block).err();
    assert_eq!(second, Some(RouterError::SubscribersExhausted { max: 1 }));
    let other: Router<u8> = Router::new(limits);
    assert_eq!(other.publish(topic, 1), Err(RouterError::ForeignTopic));
}

//! Larger scenarios than a model can exhaust, under random schedules by shuttle.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --package tidemill-bus --release --test shuttle`
//!
//! A lost wake-up is a deadlock, which shuttle reports; a lost or doubled value fails the check.
#![cfg(shuttle)]

use std::collections::VecDeque;

use shuttle::sync::Arc;
use shuttle::thread::{self, JoinHandle};
use tidemill_bus::router::{Limits, Overflow, Router};
use tidemill_bus::{mpmc, spsc, unbounded};

/// Says which producer sent a value, and its how many-th it is.
type Value = (usize, usize);

/// Every value came once, and those that one consumer got of one producer are in order.
fn assert_whole(taken: Vec<Vec<Value>>) {
    for of_consumer in &taken {
        for producer in 0..PRODUCERS {
            let numbers = of_consumer.iter().filter(|value| value.0 == producer);
            assert!(numbers.map(|value| value.1).is_sorted(), "out of order: {of_consumer:?}");
        }
    }
    let mut all: Vec<_> = taken.into_iter().flatten().collect();
    all.sort_unstable();
    let sent =
        (0..PRODUCERS).flat_map(|producer| (0..VALUES).map(move |number| (producer, number)));
    assert!(all.iter().copied().eq(sent), "lost or doubled: {all:?}");
}

fn join<R>(threads: Vec<JoinHandle<R>>) -> Vec<R> {
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// Producers push one by one or in batches, consumers pop likewise till the queue is closed.
macro_rules! exchange {
    ($queue:expr) => {{
        let queue = Arc::new($queue);
        let producers = (0..PRODUCERS).map(|producer| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut values: VecDeque<Value> = (0..VALUES).map(|n| (producer, n)).collect();
                if producer == 0 {
                    queue.push_batch(&mut values).unwrap();
                }
                values.into_iter().for_each(|value| queue.push(value).unwrap());
            })
        });
        let producers: Vec<_> = producers.collect();
        let consumers = (0..CONSUMERS).map(|consumer| {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut taken = Vec::new();
                if consumer == 0 {
                    while queue.pop_batch(&mut taken, 3).is_ok() {}
                } else {
                    taken.extend(std::iter::from_fn(|| queue.pop().ok()));
                }
                taken
            })
        });
        let consumers: Vec<_> = consumers.collect();
        join(producers);
        queue.close();
        assert_whole(join(consumers));
    }};
}

fn through_a_bounded_queue() {
    exchange!(mpmc::Queue::waiting(2).unwrap());
}

fn through_an_unbounded_queue() {
    exchange!(unbounded::Queue::waiting());
}

#[test]
fn a_bounded_queue_loses_nothing_and_wakes_everybody() {
    shuttle::check_random(through_a_bounded_queue, 1500);
}

#[test]
fn a_bounded_queue_survives_rare_schedules() {
    shuttle::check_pct(through_a_bounded_queue, 500, 3);
}

#[test]
fn an_unbounded_queue_loses_nothing_and_wakes_everybody() {
    shuttle::check_random(through_an_unbounded_queue, 1500);
}

#[test]
fn a_ring_loses_nothing_when_both_sides_sleep_and_the_producer_goes() {
    shuttle::check_random(
        || {
            let (mut producer, mut consumer) = spsc::waiting_ring(2).unwrap();
            let pushing = thread::spawn(move || {
                (0..4 * VALUES).for_each(|value| producer.push(value).unwrap());
            });
            let taken: Vec<_> = std::iter::from_fn(|| consumer.pop().ok()).collect();
            pushing.join().unwrap();
            assert!(taken.into_iter().eq(0..4 * VALUES));
        },
        2000,
    );
}

#[test]
fn a_router_serves_who_stays_while_others_come_and_go() {
    shuttle::check_random(router_with_comers_and_goers, 1000);
}

fn router_with_comers_and_goers() {
    let router = Arc::new(Router::new(Limits { topics_max: 1, subscribers_per_topic_max: 8 }));
    let topic = router.topic("t").unwrap();
    let staying = router.subscribe(topic, 2, Overflow::Block).unwrap();
    let reading = thread::spawn(move || {
        let taken = (0..PRODUCERS * VALUES).map(|_| staying.pop().unwrap()).collect();
        assert_whole(vec![taken]);
    });
    let restless = router.clone();
    let coming_and_going = thread::spawn(move || {
        for overflow in [Overflow::Block, Overflow::DropNewest, Overflow::DropOldest] {
            let subscription = restless.subscribe(topic, 1, overflow).unwrap();
            let _ = subscription.try_pop();
        }
    });
    let publishers = (0..PRODUCERS).map(|publisher| {
        let router = router.clone();
        thread::spawn(move || {
            for number in 0..VALUES {
                router.publish(topic, (publisher, number)).unwrap();
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    join(publishers);
    coming_and_going.join().unwrap();
    reading.join().unwrap();
}

const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;
const VALUES: usize = 6;

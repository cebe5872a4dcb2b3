//! Models of the SPSC ring: order and wrap-around, batches, close, waiting.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --package tidemill-bus --release --test loom_spsc`.
#![cfg(loom)]

mod model;

use loom::thread;
use model::{Counted, check};
use tidemill_bus::{PopError, spsc};

#[test]
fn values_arrive_once_and_in_order_around_the_end() {
    check(3, || {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        let pushing = thread::spawn(move || {
            for value in 0..4 {
                while producer.try_push(Box::new(value)).is_err() {
                    thread::yield_now();
                }
            }
        });
        for want in 0..4 {
            let got = loop {
                match consumer.try_pop() {
                    Ok(value) => break value,
                    Err(_) => thread::yield_now(),
                }
            };
            assert_eq!(*got, want);
        }
        pushing.join().unwrap();
        assert_eq!(consumer.try_pop().unwrap_err(), PopError::Closed);
    });
}

#[test]
fn batches_are_published_whole() {
    check(3, || {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        producer.try_push(0).unwrap();
        consumer.try_pop().unwrap();
        let pushing = thread::spawn(move || {
            assert_eq!(producer.push_slice(&[1, 2]), 2);
            let mut reservation = producer.reserve(1);
            reservation.put_all([3]);
            reservation.commit()
        });
        let mut got = Vec::new();
        loop {
            match consumer.peek(2) {
                Ok(chunk) => {
                    let (first, second) = chunk.as_slices();
                    assert!(!got.is_empty() || first.len() + second.len() == 2, "batch torn");
                    got.extend(first.iter().chain(second).copied());
                    let count = chunk.len();
                    chunk.commit(count);
                }
                Err(PopError::Empty) => thread::yield_now(),
                Err(PopError::Closed) => break,
            }
        }
        let third = pushing.join().unwrap();
        assert_eq!(got, [1, 2, 3][..2 + third]);
    });
}

#[test]
fn closing_loses_nothing_that_was_pushed() {
    check(3, || {
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        let pushing = thread::spawn(move || {
            producer.try_push(1).unwrap();
            producer.try_push(2).unwrap();
        });
        let mut got = Vec::new();
        loop {
            match consumer.try_pop() {
                Ok(value) => got.push(value),
                Err(PopError::Empty) => thread::yield_now(),
                Err(PopError::Closed) => break,
            }
        }
        assert_eq!(got, [1, 2]);
        pushing.join().unwrap();
    });
}

#[test]
fn every_value_is_dropped_once_when_a_half_goes_early() {
    check(3, || {
        let counted = Counted::default();
        let (mut producer, mut consumer) = spsc::ring(2).unwrap();
        let source = counted.clone();
        let pushing = thread::spawn(move || {
            for _ in 0..3 {
                let _ = producer.try_push(source.value());
            }
        });
        drop(consumer.try_pop());
        drop(consumer);
        pushing.join().unwrap();
        counted.assert_all_dropped();
    });
}

#[test]
fn blocked_halves_wake_each_other() {
    check(3, || {
        let (mut producer, mut consumer) = spsc::waiting_ring(1).unwrap();
        let pushing = thread::spawn(move || {
            producer.push(1).unwrap();
            producer.push(2).unwrap();
        });
        assert_eq!(consumer.pop(), Ok(1));
        assert_eq!(consumer.pop(), Ok(2));
        assert_eq!(consumer.pop(), Err(PopError::Closed));
        pushing.join().unwrap();
    });
}

#[test]
fn a_blocked_push_learns_that_the_consumer_is_gone() {
    check(3, || {
        let (mut producer, consumer) = spsc::waiting_ring(1).unwrap();
        producer.push(1).unwrap();
        let dropping = thread::spawn(move || drop(consumer));
        assert!(producer.push(2).is_err());
        dropping.join().unwrap();
    });
}

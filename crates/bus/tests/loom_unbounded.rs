//! Models of the unbounded queue, with two slots per segment: growth, reuse of segments, close,
//! limit.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --package tidemill-bus --release --test
//! loom_unbounded`.
#![cfg(loom)]

mod model;

use loom::sync::Arc;
use loom::thread;
use model::{Counted, check};
use tidemill_bus::{PopError, PushError, unbounded};

#[test]
fn values_cross_segments_once_and_in_order() {
    check(3, || {
        let queue = Arc::new(unbounded::Queue::new());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || {
            for value in 0..4 {
                other.try_push(Box::new(value)).unwrap();
            }
        });
        let mut got = Vec::new();
        for _ in 0..3 {
            got.extend(queue.try_pop().map(|value| *value));
        }
        pushing.join().unwrap();
        while let Ok(value) = queue.try_pop() {
            got.push(*value);
        }
        assert_eq!(got, [0, 1, 2, 3]);
        assert_eq!(queue.len(), 0);
    });
}

#[test]
fn a_segment_is_reused_only_after_everyone_has_left_it() {
    check(3, || {
        let queue = Arc::new(unbounded::Queue::new());
        queue.try_push(Box::new(1)).unwrap();
        queue.try_push(Box::new(2)).unwrap();
        let other = Arc::clone(&queue);
        let popping = thread::spawn(move || *other.try_pop().unwrap());
        let mine = *queue.try_pop().unwrap();
        // The last of them goes into the segment that the two pops have left, or soon will have.
        for value in 3..=5 {
            queue.try_push(Box::new(value)).unwrap();
        }
        let theirs = popping.join().unwrap();
        assert_eq!(mine + theirs, 3);
        for value in 3..=5 {
            assert_eq!(*queue.try_pop().unwrap(), value);
        }
    });
}

#[test]
fn two_producers_extend_the_list_together() {
    check(2, || {
        let queue = Arc::new(unbounded::Queue::new());
        let pushing: Vec<_> = (1..=2)
            .map(|value| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.try_push(value).unwrap())
            })
            .collect();
        let early = queue.try_pop().unwrap_or(0);
        for thread in pushing {
            thread.join().unwrap();
        }
        let late: i32 = std::iter::from_fn(|| queue.try_pop().ok()).sum();
        assert_eq!(early + late, 3);
    });
}

#[test]
fn closing_splits_pushes_into_delivered_and_given_back() {
    check(3, || {
        let queue = Arc::new(unbounded::Queue::new());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || {
            (0..2)
                .filter(|&value| match other.try_push(value) {
                    Ok(()) => true,
                    Err(PushError::Closed(back)) => {
                        assert_eq!(back, value);
                        false
                    }
                    Err(PushError::Full(_)) => panic!("it has no limit"),
                })
                .count()
        });
        queue.close();
        let mut got = 0;
        loop {
            match queue.try_pop() {
                Ok(_) => got += 1,
                Err(PopError::Closed) => break,
                Err(PopError::Empty) => thread::yield_now(),
            }
        }
        assert_eq!(got, pushing.join().unwrap());
    });
}

#[test]
fn every_value_is_dropped_once() {
    check(3, || {
        let counted = Counted::default();
        let queue = Arc::new(unbounded::Queue::new());
        let other = Arc::clone(&queue);
        let source = counted.clone();
        let pushing = thread::spawn(move || {
            other.try_push(source.value()).unwrap();
            other.try_push(source.value()).unwrap();
        });
        drop(queue.try_pop());
        pushing.join().unwrap();
        drop(queue);
        counted.assert_all_dropped();
    });
}

#[test]
fn a_push_at_the_limit_waits_for_a_segment() {
    check(3, || {
        let limit = 2 * unbounded::Queue::<i32>::SEGMENT_BYTES;
        let queue = Arc::new(unbounded::Queue::waiting_with_limit(limit).unwrap());
        for value in 1..=3 {
            queue.try_push(value).unwrap();
        }
        assert_eq!(queue.try_push(4), Err(PushError::Full(4)));
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || other.push(4).unwrap());
        for value in 1..=4 {
            assert_eq!(queue.pop(), Ok(value));
        }
        pushing.join().unwrap();
    });
}

//! Models of the bounded MPMC queue: wrap-around, batches, close, full and empty.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --package tidemill-bus --release --test loom_mpmc`.
#![cfg(loom)]

mod model;

use loom::sync::Arc;
use loom::thread;
use model::{Counted, check};
use tidemill_bus::{PopError, PushError, mpmc};

#[test]
fn two_producers_lose_nothing_around_the_end() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::new(1).unwrap());
        let pushing: Vec<_> = (1..=2)
            .map(|value| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.try_push(Box::new(value)).map_or(0, |()| value))
            })
            .collect();
        // The ring has one slot, so two values that both fit have been around its end.
        let mut got = queue.try_pop().map_or(0, |value| *value);
        let pushed: i32 = pushing.into_iter().map(|thread| thread.join().unwrap()).sum();
        got += queue.try_pop().map_or(0, |value| *value);
        assert_eq!(got, pushed);
        assert_eq!(queue.try_pop().unwrap_err(), PopError::Empty);
    });
}

#[test]
fn two_consumers_share_without_taking_twice() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::new(2).unwrap());
        queue.try_push(Box::new(1)).unwrap();
        queue.try_push(Box::new(2)).unwrap();
        let other = Arc::clone(&queue);
        let popping = thread::spawn(move || other.try_pop().map(|value| *value));
        let mine = queue.try_pop().map(|value| *value);
        // Its slot may be in use again by now: the next lap.
        queue.try_push(Box::new(3)).ok();
        let theirs = popping.join().unwrap();
        let mut got = vec![mine.unwrap(), theirs.unwrap()];
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
        assert_eq!(queue.try_pop().map(|value| *value), Ok(3));
    });
}

#[test]
fn a_push_that_is_over_is_never_missed_by_a_later_pop() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::new(2).unwrap());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || other.try_push(1).unwrap());
        queue.try_push(2).unwrap();
        // The other push may be between its claim and its end, ahead of ours.
        assert!(queue.try_pop().is_ok(), "empty with a value inside");
        pushing.join().unwrap();
    });
}

#[test]
fn a_pop_that_is_over_has_made_room_for_a_later_push() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::new(2).unwrap());
        queue.try_push(1).unwrap();
        queue.try_push(2).unwrap();
        let other = Arc::clone(&queue);
        let popping = thread::spawn(move || other.try_pop().unwrap());
        queue.try_pop().unwrap();
        assert!(queue.try_push(3).is_ok(), "full with room inside");
        popping.join().unwrap();
    });
}

#[test]
fn closing_splits_pushes_into_delivered_and_given_back() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::new(2).unwrap());
        let pushing: Vec<_> = (0..2)
            .map(|value| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || match queue.try_push(value) {
                    Ok(()) => 1,
                    Err(PushError::Closed(_)) => 0,
                    Err(PushError::Full(_)) => panic!("there is room for both"),
                })
            })
            .collect();
        queue.close();
        let mut got = 0;
        loop {
            match queue.try_pop() {
                Ok(_) => got += 1,
                Err(PopError::Closed) => break,
                Err(PopError::Empty) => thread::yield_now(),
            }
        }
        // After `Closed` nothing can come any more, even from a push that is not over yet.
        let pushed: usize = pushing.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(got, pushed);
        assert_eq!(queue.try_pop(), Err(PopError::Closed));
    });
}

#[test]
fn batches_stay_together_and_in_order() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::new(4).unwrap());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || {
            let mut values = [1, 2].into();
            assert_eq!(other.try_push_batch(&mut values), 2);
        });
        queue.try_push(9).unwrap();
        let mut got = Vec::new();
        while got.len() < 3 {
            if queue.try_pop_batch(&mut got, 4).is_err() {
                thread::yield_now();
            }
        }
        assert!(got == [1, 2, 9] || got == [9, 1, 2], "{got:?}");
        pushing.join().unwrap();
    });
}

#[test]
fn every_value_is_dropped_once() {
    check(3, || {
        let counted = Counted::default();
        let queue = Arc::new(mpmc::Queue::new(2).unwrap());
        let other = Arc::clone(&queue);
        let source = counted.clone();
        let pushing = thread::spawn(move || {
            let _ = other.try_push(source.value());
            let _ = other.try_push(source.value());
        });
        drop(queue.try_pop());
        drop(queue.try_push(counted.value()));
        pushing.join().unwrap();
        drop(queue);
        counted.assert_all_dropped();
    });
}

#[test]
fn len_stays_between_zero_and_the_capacity() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::new(2).unwrap());
        let other = Arc::clone(&queue);
        let using = thread::spawn(move || {
            other.try_push(1).unwrap();
            other.try_pop().unwrap();
            other.try_push(2).unwrap();
        });
        assert!(queue.len() <= 2);
        using.join().unwrap();
        assert_eq!(queue.len(), 1);
    });
}

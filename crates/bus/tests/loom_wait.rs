//! Models of waiting: no wake-up is lost, whoever blocks, is cancelled or closes.
//!
//! A lost wake-up shows as a deadlock, which loom reports. Several waiters at once are modelled in
//! `src/event.rs`, on a counter instead of a queue: two threads that spin on a third's claim would
//! give loom endless schedules. Run with
//! `RUSTFLAGS="--cfg loom" cargo test --package tidemill-bus --release --test loom_wait`.
#![cfg(loom)]

mod model;

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::Arc;
use loom::thread;
use model::check;
use tidemill_bus::{PopError, mpmc};

#[test]
fn a_blocked_producer_and_a_blocked_consumer_wake_each_other() {
    check(3, || {
        let queue = Arc::new(mpmc::Queue::waiting(1).unwrap());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || {
            for value in 1..=3 {
                other.push(value).unwrap();
            }
        });
        for want in 1..=3 {
            assert_eq!(queue.pop(), Ok(want));
        }
        pushing.join().unwrap();
    });
}

#[test]
fn closing_wakes_everyone() {
    check(2, || {
        let queue = Arc::new(mpmc::Queue::<i32, _>::waiting(1).unwrap());
        let popping: Vec<_> = (0..2)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.pop())
            })
            .collect();
        queue.close();
        for thread in popping {
            assert_eq!(thread.join().unwrap(), Err(PopError::Closed));
        }
    });
}

#[test]
fn a_cancelled_pop_passes_its_wake_up_on() {
    check(2, || {
        let queue = Arc::new(mpmc::Queue::waiting(1).unwrap());
        let other = Arc::clone(&queue);
        let blocked = thread::spawn(move || other.pop().unwrap());
        let other = Arc::clone(&queue);
        let pushing = thread::spawn(move || other.push(1).unwrap());
        {
            let mut cancelled = pin!(queue.pop_async());
            if let Poll::Ready(value) = cancelled.as_mut().poll(&mut noop()) {
                // It was faster: the blocked one needs a value of its own.
                assert_eq!(value, Ok(1));
                queue.push(1).unwrap();
            }
        }
        assert_eq!(blocked.join().unwrap(), 1);
        pushing.join().unwrap();
    });
}

#[test]
fn a_pending_pop_is_woken_through_its_last_waker() {
    check(2, || {
        let queue = Arc::new(mpmc::Queue::waiting(1).unwrap());
        let wakes = std::sync::Arc::new(Wakes::default());
        let waker = Waker::from(std::sync::Arc::clone(&wakes));
        let other = Arc::clone(&queue);
        let mut popping = pin!(queue.pop_async());
        let early = popping.as_mut().poll(&mut noop());
        let pushing = thread::spawn(move || other.push(1).unwrap());
        if early.is_pending() {
            let again = popping.as_mut().poll(&mut Context::from_waker(&waker));
            pushing.join().unwrap();
            if again.is_pending() {
                assert_eq!(wakes.0.load(Ordering::Relaxed), 1, "pending, and never woken");
                assert_eq!(popping.as_mut().poll(&mut noop()), Poll::Ready(Ok(1)));
            }
        } else {
            panic!("nothing was pushed yet");
        }
    });
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

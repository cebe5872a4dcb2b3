//! Models of the router: subscribe, unsubscribe and publish at the same time.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --package tidemill-bus --release --test
//! loom_router`.
#![cfg(loom)]

mod model;

use loom::sync::Arc;
use loom::thread;
use model::{Counted, check};
use tidemill_bus::PopError;
use tidemill_bus::router::{Limits, Overflow, Router};

fn router<T>() -> Arc<Router<T>> {
    Arc::new(Router::new(Limits { topics_max: 1, subscribers_per_topic_max: 2 }))
}

#[test]
fn a_new_subscriber_gets_every_message_after_its_subscription_in_order() {
    check(2, || {
        let router = router();
        let topic = router.topic("t").unwrap();
        let other = Arc::clone(&router);
        let publishing = thread::spawn(move || {
            other.publish(topic, 1).unwrap();
            other.publish(topic, 2).unwrap();
        });
        let subscription = router.subscribe(topic, 4, Overflow::DropNewest).unwrap();
        router.publish(topic, 9).unwrap();
        publishing.join().unwrap();
        let got: Vec<_> = std::iter::from_fn(|| subscription.try_pop().ok()).collect();
        assert!(got.contains(&9), "published after the subscription, yet lost");
        let theirs: Vec<_> = got.into_iter().filter(|&message| message != 9).collect();
        assert!([1, 2].ends_with(&theirs), "a gap or a wrong order: {theirs:?}");
    });
}

#[test]
fn a_publisher_reaches_whoever_has_subscribed_before() {
    check(2, || {
        let router = router();
        let topic = router.topic("t").unwrap();
        let mut publisher = router.publisher(topic).unwrap();
        let subscribed = Arc::new(loom::sync::atomic::AtomicBool::new(false));
        let seen = Arc::clone(&subscribed);
        let publishing = thread::spawn(move || {
            publisher.publish(1);
            let must_arrive = seen.load(loom::sync::atomic::Ordering::Acquire);
            publisher.publish(2);
            must_arrive
        });
        let subscription = router.subscribe(topic, 2, Overflow::DropNewest).unwrap();
        subscribed.store(true, loom::sync::atomic::Ordering::Release);
        let must_arrive = publishing.join().unwrap();
        let got: Vec<_> = std::iter::from_fn(|| subscription.try_pop().ok()).collect();
        assert!([1, 2].ends_with(&got), "a gap or a wrong order: {got:?}");
        assert!(!must_arrive || got.contains(&2), "subscribed before, yet not reached");
    });
}

#[test]
fn unsubscribing_during_a_publish_drops_each_message_once() {
    check(2, || {
        let counted = Counted::default();
        let router = router();
        let topic = router.topic("t").unwrap();
        let leaving = router.subscribe(topic, 1, Overflow::DropOldest).unwrap();
        let other = Arc::clone(&router);
        let source = counted.clone();
        let publishing = thread::spawn(move || {
            for _ in 0..2 {
                other.publish(topic, std::sync::Arc::new(source.value())).unwrap();
            }
        });
        drop(leaving.try_pop());
        drop(leaving);
        publishing.join().unwrap();
        assert_eq!(router.counters(topic).unwrap().subscribers, 0);
        drop(router);
        counted.assert_all_dropped();
    });
}

#[test]
fn a_publisher_blocked_on_a_subscriber_is_freed_when_that_leaves() {
    check(2, || {
        let router = router();
        let topic = router.topic("t").unwrap();
        let full = router.subscribe(topic, 1, Overflow::Block).unwrap();
        let open = router.subscribe(topic, 2, Overflow::Block).unwrap();
        router.publish(topic, 1).unwrap();
        let leaving = thread::spawn(move || drop(full));
        router.publish(topic, 2).unwrap();
        leaving.join().unwrap();
        assert_eq!((open.try_pop(), open.try_pop()), (Ok(1), Ok(2)));
    });
}

#[test]
fn two_publishers_with_an_old_list_do_not_wait_for_one_who_left() {
    check(2, || {
        let router = router();
        let topic = router.topic("t").unwrap();
        let leaving = router.subscribe(topic, 1, Overflow::Block).unwrap();
        let publishing: Vec<_> = (0..2)
            .map(|message| {
                let router = Arc::clone(&router);
                thread::spawn(move || router.publish(topic, message).unwrap())
            })
            .collect();
        drop(leaving);
        for thread in publishing {
            thread.join().unwrap();
        }
    });
}

#[test]
fn dropping_the_oldest_keeps_the_newest_and_counts_each() {
    check(2, || {
        let router = router();
        let topic = router.topic("t").unwrap();
        let subscription = router.subscribe(topic, 1, Overflow::DropOldest).unwrap();
        let other = Arc::clone(&router);
        let publishing = thread::spawn(move || {
            for message in 1..=3 {
                other.publish(topic, message).unwrap();
            }
        });
        let early = subscription.try_pop().ok();
        publishing.join().unwrap();
        let late = subscription.try_pop().ok();
        assert!(late == Some(3) || early == Some(3), "the newest was dropped");
        let counters = subscription.counters();
        let popped = usize::from(early.is_some()) + usize::from(late.is_some());
        assert_eq!(counters.delivered, popped);
        assert_eq!(counters.published, counters.delivered + counters.dropped_oldest);
    });
}

#[test]
fn a_subscription_outlives_its_router_until_it_is_drained() {
    check(3, || {
        let router = router();
        let topic = router.topic("t").unwrap();
        let subscription = router.subscribe(topic, 2, Overflow::Block).unwrap();
        let publishing = thread::spawn(move || {
            router.publish(topic, 1).unwrap();
            drop(router);
        });
        assert_eq!(subscription.pop(), Ok(1));
        assert_eq!(subscription.pop(), Err(PopError::Closed));
        publishing.join().unwrap();
    });
}

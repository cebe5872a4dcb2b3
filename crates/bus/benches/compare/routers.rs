//! Messages per second from one publisher to one subscriber, and deliveries per second to four.
//!
//! The payload is 64 bytes by value, or an `Arc` of them out of a fixed set whose counters then
//! move between the processors with every message. Nothing is allocated per message.

use std::sync::Arc;

use tidemill_bus::router::{Limits, Overflow, Router};

use crate::harness::{Plan, Shape, Side, Subject};

type Shared = Arc<[u8; 64]>;
type Inline = [u8; 64];

pub(crate) fn run(plan: &Plan) {
    for subscribers in [1, 4] {
        // The rate is that of deliveries: each message counts once per subscriber.
        let messages = plan.messages / subscribers * subscribers;
        let shape = Shape { producers: 1, consumers: subscribers, messages };
        let subjects = [ours(inline), tokio_broadcast(inline)];
        plan.rates(&format!("router 64 B 1:{subscribers}"), &shape, &subjects);
        let subjects = [ours(shared), tokio_broadcast(shared)];
        plan.rates(&format!("router Arc 1:{subscribers}"), &shape, &subjects);
    }
}

fn inline(number: usize) -> Inline {
    [number as u8; 64]
}

fn shared(number: usize) -> Shared {
    Arc::new(inline(number))
}

fn ours<P: Clone + Send + Sync + 'static>(payload: fn(usize) -> P) -> Subject {
    let sides = move |shape: &Shape| {
        let router: Router<P> = Router::new(Limits::default());
        let topic = router.topic("prices").expect("the first");
        let count = shape.messages / shape.consumers;
        let consumers = (0..shape.consumers).map(|_| {
            let subscription =
                router.subscribe(topic, CAPACITY, Overflow::Block).expect("few subscribers");
            Box::new(move || {
                let mut messages = Vec::with_capacity(BATCH);
                let mut left = count;
                while left > 0 {
                    left -= subscription.pop_batch(&mut messages, BATCH).expect("not closed yet");
                    messages.drain(..).for_each(|message| {
                        std::hint::black_box(&message);
                    });
                }
            }) as Side
        });
        let consumers = consumers.collect();
        let produce = move || {
            let payloads: Vec<_> = (0..PAYLOADS).map(payload).collect();
            let mut publisher = router.publisher(topic).expect("its own topic");
            for payload in payloads.iter().cycle().take(count) {
                publisher.publish(payload.clone());
            }
        };
        (vec![Box::new(produce) as Side], consumers)
    };
    Subject { name: "tidemill router", sides: Box::new(sides) }
}

fn tokio_broadcast<P: Clone + Send + Sync + 'static>(payload: fn(usize) -> P) -> Subject {
    let sides = move |shape: &Shape| {
        let (sender, _) = tokio::sync::broadcast::channel::<P>(CAPACITY);
        let count = shape.messages / shape.consumers;
        let consumers = (0..shape.consumers).map(|_| {
            let mut receiver = sender.subscribe();
            Box::new(move || {
                // It drops what is too old rather than wait, so the end is told by the sender's
                // drop.
                loop {
                    match receiver.blocking_recv() {
                        Ok(message) => {
                            std::hint::black_box(&message);
                        }
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => break,
                    }
                }
            }) as Side
        });
        let consumers = consumers.collect();
        let produce = move || {
            let payloads: Vec<_> = (0..PAYLOADS).map(payload).collect();
            for payload in payloads.iter().cycle().take(count) {
                let sent = sender.send(payload.clone());
                assert!(sent.is_ok(), "receivers live until the sender goes");
            }
        };
        (vec![Box::new(produce) as Side], consumers)
    };
    Subject { name: "tokio broadcast (lossy)", sides: Box::new(sides) }
}

/// Payloads used in turn.
const PAYLOADS: usize = 1024;

/// Values in a subscriber's queue.
const CAPACITY: usize = 1024;

/// Messages popped at once.
const BATCH: usize = 64;

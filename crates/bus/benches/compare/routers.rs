//! Messages per second from one publisher to one subscriber, and deliveries per second to four.
//!
//! The payload is an `Arc` of 64 bytes out of a fixed set, so that nothing is allocated per message.

use std::sync::Arc;

use tidemill_bus::router::{Limits, Overflow, Router};

use crate::harness::{Plan, Shape, Side, Subject};

type Payload = Arc<[u8; 64]>;

pub(crate) fn run(plan: &Plan) {
    for subscribers in [1, 4] {
        // The rate is that of deliveries: each message counts once per subscriber.
        let messages = plan.messages / subscribers * subscribers;
        let shape = Shape { producers: 1, consumers: subscribers, messages };
        plan.rates(&format!("router 1:{subscribers}"), &shape, &[ours(), tokio_broadcast()]);
    }
}

fn payloads() -> Vec<Payload> {
    (0..PAYLOADS).map(|number| Arc::new([number as u8; 64])).collect()
}

fn ours() -> Subject {
    let sides = |shape: &Shape| {
        let router: Router<Payload> = Router::new(Limits::default());
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
                        std::hint::black_box(message[63]);
                    });
                }
            }) as Side
        });
        let consumers = consumers.collect();
        let produce = move || {
            let payloads = payloads();
            for payload in payloads.iter().cycle().take(count) {
                router.publish(topic, Arc::clone(payload)).expect("its own topic");
            }
        };
        (vec![Box::new(produce) as Side], consumers)
    };
    Subject { name: "tidemill router", sides: Box::new(sides) }
}

fn tokio_broadcast() -> Subject {
    let sides = |shape: &Shape| {
        let (sender, _) = tokio::sync::broadcast::channel::<Payload>(CAPACITY);
        let count = shape.messages / shape.consumers;
        let consumers = (0..shape.consumers).map(|_| {
            let mut receiver = sender.subscribe();
            Box::new(move || {
                // It drops what is too old rather than wait, so the end is told by the sender's drop.
                loop {
                    match receiver.blocking_recv() {
                        Ok(message) => {
                            std::hint::black_box(message[63]);
                        }
                        Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => break,
                    }
                }
            }) as Side
        });
        let consumers = consumers.collect();
        let produce = move || {
            let payloads = payloads();
            for payload in payloads.iter().cycle().take(count) {
                sender.send(Arc::clone(payload)).expect("receivers live until the sender goes");
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

//! How long a message is under way when one is sent each microsecond.
//!
//! The producer sends the time at which a message was due, so that a message that leaves late
//! counts as late; the consumer takes the difference when it has it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidemill_bus::router::{Limits, Overflow, Router};
use tidemill_bus::{mpmc, spsc, unbounded};

use crate::harness::{Plan, Side, now, print, race, spin};

type Push = Box<dyn FnMut(Instant) + Send>;
type Pop = Box<dyn FnMut() -> Instant + Send>;
type Pair = (Push, Pop);
type Named = (&'static str, fn() -> Pair);

pub(crate) fn run(plan: &Plan) {
    const CASE: &str = "latency at 1 M/s";
    if !plan.wants(CASE) {
        return;
    }
    let mut subjects = subjects();
    subjects.retain(|(name, _)| plan.wants_subject(name));
    let mut runs = vec![[const { Vec::new() }; QUANTILES.len()]; subjects.len()];
    for _ in 0..plan.turns {
        for ((_, make), runs) in subjects.iter().zip(&mut runs) {
            let nanos = measure(make(), plan.messages / 5);
            for ((_, quantile), runs) in QUANTILES.iter().zip(runs) {
                runs.push(nanos[(nanos.len() - 1) * quantile / 1000] as f64 / 1e3);
            }
        }
    }
    for ((name, _), runs) in subjects.iter().zip(runs) {
        for ((quantile, _), runs) in QUANTILES.iter().zip(runs) {
            print(&format!("{CASE} {quantile}"), name, "us", "lower", runs);
        }
    }
}

/// Sends `count` messages at the pace and returns their times under way, sorted, in nanoseconds.
fn measure((mut push, mut pop): Pair, count: usize) -> Vec<u64> {
    let taken = Arc::new(Mutex::new(Vec::with_capacity(count)));
    let kept = Arc::clone(&taken);
    let produce = move || {
        let begun = now();
        for number in 0..count {
            let due = begun + PACE * u32::try_from(number).expect("few messages");
            while now() < due {
                std::hint::spin_loop();
            }
            push(due);
        }
    };
    let consume = move || {
        let mut kept = kept.lock().expect("nobody else yet");
        for _ in 0..count {
            let due = pop();
            kept.push(u64::try_from(due.elapsed().as_nanos()).expect("not centuries"));
        }
    };
    race(vec![Box::new(produce) as Side], vec![Box::new(consume) as Side]);
    let mut nanos = std::mem::take(&mut *taken.lock().expect("no panic"));
    nanos.sort_unstable();
    nanos
}

fn subjects() -> Vec<Named> {
    let mut subjects = polled();
    subjects.extend(blocking());
    subjects
}

fn polled() -> Vec<Named> {
    vec![
        ("tidemill spsc", || {
            let (mut producer, mut consumer) = spsc::ring(CAPACITY).expect("small");
            (
                Box::new(move |due| spin(|| producer.try_push(due).ok())),
                Box::new(move || spin(|| consumer.try_pop().ok())),
            )
        }),
        ("rtrb", || {
            let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
            (
                Box::new(move |due| spin(|| producer.push(due).ok())),
                Box::new(move || spin(|| consumer.pop().ok())),
            )
        }),
        ("tidemill mpmc", || {
            let queue = Arc::new(mpmc::Queue::new(CAPACITY).expect("small"));
            let other = Arc::clone(&queue);
            (
                Box::new(move |due| spin(|| other.try_push(due).ok())),
                Box::new(move || spin(|| queue.try_pop().ok())),
            )
        }),
        ("crossbeam ArrayQueue", || {
            let queue = Arc::new(crossbeam_queue::ArrayQueue::new(CAPACITY));
            let other = Arc::clone(&queue);
            (
                Box::new(move |due| spin(|| other.push(due).ok())),
                Box::new(move || spin(|| queue.pop())),
            )
        }),
        ("tidemill unbounded", || {
            let queue = Arc::new(unbounded::Queue::new());
            let other = Arc::clone(&queue);
            (
                Box::new(move |due| spin(|| other.try_push(due).ok())),
                Box::new(move || spin(|| queue.try_pop().ok())),
            )
        }),
    ]
}

fn blocking() -> Vec<Named> {
    vec![
        ("tidemill mpmc blocking", || {
            let queue = Arc::new(mpmc::Queue::waiting(CAPACITY).expect("small"));
            let other = Arc::clone(&queue);
            (
                Box::new(move |due| other.push(due).expect("open")),
                Box::new(move || queue.pop().expect("open")),
            )
        }),
        ("tidemill router", || {
            let router = Router::new(Limits::default());
            let topic = router.topic("t").expect("the first");
            let subscription = router.subscribe(topic, CAPACITY, Overflow::Block).expect("one");
            (
                Box::new(move |due| {
                    router.publish(topic, due).expect("its own topic");
                }),
                Box::new(move || subscription.pop().expect("open")),
            )
        }),
        ("crossbeam channel", || {
            let (sender, receiver) = crossbeam_channel::bounded(CAPACITY);
            (
                Box::new(move |due| sender.send(due).expect("open")),
                Box::new(move || receiver.recv().expect("open")),
            )
        }),
        ("kanal", || {
            let (sender, receiver) = kanal::bounded(CAPACITY);
            (
                Box::new(move |due| sender.send(due).expect("open")),
                Box::new(move || receiver.recv().expect("open")),
            )
        }),
        ("tokio mpsc", || {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(CAPACITY);
            (
                Box::new(move |due| sender.blocking_send(due).expect("open")),
                Box::new(move || receiver.blocking_recv().expect("open")),
            )
        }),
    ]
}

/// Names and thousandths.
const QUANTILES: [(&str, usize); 3] = [("p50", 500), ("p99", 990), ("p99.9", 999)];

/// The time from one message to the next.
const PACE: Duration = Duration::from_micros(1);

/// Values in a bounded queue.
const CAPACITY: usize = 1024;

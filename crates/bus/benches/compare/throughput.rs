//! Messages per second through each queue: one by one and in batches, 1:1, 2:1 and 1:2.

use std::collections::VecDeque;
use std::sync::Arc;

use tidemill_bus::{mpmc, spsc, unbounded};

use crate::harness::{Plan, Shape, Side, Subject, spin};

/// A message of `WORDS` times eight bytes.
#[derive(Clone, Copy)]
struct Message<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Default for Message<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> Message<WORDS> {
    #[inline(always)]
    fn new(number: usize) -> Self {
        Self([number as u64; WORDS])
    }

    /// Uses the message, so that reading it cannot be left out.
    #[inline(always)]
    fn look(&self) {
        std::hint::black_box(self.0[WORDS - 1]);
    }
}

pub(crate) fn run<const WORDS: usize>(plan: &Plan, size: &str) {
    let shape = |producers, consumers| Shape { producers, consumers, messages: plan.messages };
    let mut one_to_one = single::<WORDS>();
    one_to_one.extend(shared::<WORDS>());
    plan.rates(&format!("{size} 1:1"), &shape(1, 1), &one_to_one);
    plan.rates(&format!("{size} 2:1"), &shape(2, 1), &shared::<WORDS>());
    plan.rates(&format!("{size} 1:2"), &shape(1, 2), &shared::<WORDS>());
    plan.rates(&format!("{size} batch 1:1"), &shape(1, 1), &batched::<WORDS>());
}

/// A subject whose producers share `queue` and call `push`, which answers false when to try again.
fn common<const WORDS: usize, Q: Send + Sync + 'static>(
    name: &'static str,
    make: impl Fn() -> Q + 'static,
    push: impl Fn(&Q, Message<WORDS>) -> bool + Copy + Send + 'static,
    pop: impl Fn(&Q) -> Option<Message<WORDS>> + Copy + Send + 'static,
) -> Subject {
    let sides = move |shape: &Shape| {
        let queue = Arc::new(make());
        let producers = (0..shape.producers).map(|_| {
            let (queue, count) = (Arc::clone(&queue), shape.messages / shape.producers);
            Box::new(move || {
                for number in 0..count {
                    spin(|| push(&queue, Message::new(number)).then_some(()));
                }
            }) as Side
        });
        let consumers = (0..shape.consumers).map(|_| {
            let (queue, count) = (Arc::clone(&queue), shape.messages / shape.consumers);
            Box::new(move || {
                for _ in 0..count {
                    spin(|| pop(&queue)).look();
                }
            }) as Side
        });
        (producers.collect(), consumers.collect())
    };
    Subject { name, sides: Box::new(sides) }
}

/// A subject with one producer and one consumer that are handed to their threads.
fn halves<P: Send + 'static, C: Send + 'static>(
    name: &'static str,
    make: impl Fn() -> (P, C) + 'static,
    produce: impl Fn(P, usize) + Copy + Send + 'static,
    consume: impl Fn(C, usize) + Copy + Send + 'static,
) -> Subject {
    let sides = move |shape: &Shape| {
        let ((producer, consumer), count) = (make(), shape.messages);
        let produce = Box::new(move || produce(producer, count)) as Side;
        let consume = Box::new(move || consume(consumer, count)) as Side;
        (vec![produce], vec![consume])
    };
    Subject { name, sides: Box::new(sides) }
}

fn single<const WORDS: usize>() -> Vec<Subject> {
    vec![
        halves(
            "tidemill spsc",
            || spsc::ring::<Message<WORDS>>(CAPACITY).expect("small"),
            |mut producer, count| {
                for number in 0..count {
                    spin(|| producer.try_push(Message::new(number)).ok());
                }
            },
            |mut consumer, count| (0..count).for_each(|_| spin(|| consumer.try_pop().ok()).look()),
        ),
        halves(
            "rtrb",
            || rtrb::RingBuffer::<Message<WORDS>>::new(CAPACITY),
            |mut producer, count| {
                for number in 0..count {
                    spin(|| producer.push(Message::new(number)).ok());
                }
            },
            |mut consumer, count| (0..count).for_each(|_| spin(|| consumer.pop().ok()).look()),
        ),
        halves(
            "tidemill spsc blocking",
            || spsc::waiting_ring::<Message<WORDS>>(CAPACITY).expect("small"),
            |mut producer, count| {
                for number in 0..count {
                    producer.push(Message::new(number)).expect("the consumer lives");
                }
            },
            |mut consumer, count| {
                (0..count).for_each(|_| consumer.pop().expect("the producer lives").look());
            },
        ),
    ]
}

fn shared<const WORDS: usize>() -> Vec<Subject> {
    let mut subjects = spinning::<WORDS>();
    subjects.extend(blocking::<WORDS>());
    subjects
}

fn spinning<const WORDS: usize>() -> Vec<Subject> {
    vec![
        common(
            "tidemill mpmc",
            || mpmc::Queue::new(CAPACITY).expect("small"),
            |queue, message: Message<WORDS>| queue.try_push(message).is_ok(),
            |queue| queue.try_pop().ok(),
        ),
        common(
            "crossbeam ArrayQueue",
            || crossbeam_queue::ArrayQueue::new(CAPACITY),
            |queue, message: Message<WORDS>| queue.push(message).is_ok(),
            |queue| queue.pop(),
        ),
        common(
            "concurrent-queue",
            || concurrent_queue::ConcurrentQueue::bounded(CAPACITY),
            |queue, message: Message<WORDS>| queue.push(message).is_ok(),
            |queue| queue.pop().ok(),
        ),
        common(
            "thingbuf",
            || thingbuf::ThingBuf::<Message<WORDS>>::new(CAPACITY),
            |queue, message| queue.push(message).is_ok(),
            |queue| queue.pop(),
        ),
        common(
            "tidemill unbounded",
            unbounded::Queue::new,
            |queue, message: Message<WORDS>| queue.try_push(message).is_ok(),
            |queue| queue.try_pop().ok(),
        ),
        common(
            "crossbeam SegQueue",
            crossbeam_queue::SegQueue::new,
            |queue, message: Message<WORDS>| {
                queue.push(message);
                true
            },
            |queue| queue.pop(),
        ),
    ]
}

fn blocking<const WORDS: usize>() -> Vec<Subject> {
    vec![
        common(
            "tidemill mpmc blocking",
            || mpmc::Queue::waiting(CAPACITY).expect("small"),
            |queue, message: Message<WORDS>| queue.push(message).is_ok(),
            |queue| queue.pop().ok(),
        ),
        common(
            "crossbeam channel",
            || crossbeam_channel::bounded(CAPACITY),
            |queue, message: Message<WORDS>| queue.0.send(message).is_ok(),
            |queue| queue.1.recv().ok(),
        ),
        common(
            "flume",
            || flume::bounded(CAPACITY),
            |queue, message: Message<WORDS>| queue.0.send(message).is_ok(),
            |queue| queue.1.recv().ok(),
        ),
        common(
            "kanal",
            || kanal::bounded(CAPACITY),
            |queue, message: Message<WORDS>| queue.0.send(message).is_ok(),
            |queue| queue.1.recv().ok(),
        ),
        common(
            "tokio mpsc",
            || {
                let (sender, receiver) = tokio::sync::mpsc::channel(CAPACITY);
                (sender, std::sync::Mutex::new(receiver))
            },
            |queue, message: Message<WORDS>| queue.0.blocking_send(message).is_ok(),
            |queue| queue.1.lock().expect("no panic").blocking_recv(),
        ),
    ]
}

fn batched<const WORDS: usize>() -> Vec<Subject> {
    let mut subjects = batched_halves::<WORDS>();
    subjects.extend(batched_rtrb::<WORDS>());
    subjects.extend(batched_shared::<WORDS>());
    subjects
}

fn batched_halves<const WORDS: usize>() -> Vec<Subject> {
    vec![
        halves(
            "tidemill spsc slices",
            || spsc::ring::<Message<WORDS>>(CAPACITY).expect("small"),
            |mut producer, count| {
                let messages: [_; BATCH] = std::array::from_fn(Message::new);
                let mut left = count;
                while left > 0 {
                    let messages = &messages[..left.min(BATCH)];
                    left -= spin(|| Some(producer.push_slice(messages)).filter(|&n| n > 0));
                }
            },
            |mut consumer, count| {
                let mut messages = [Message::default(); BATCH];
                let mut left = count;
                while left > 0 {
                    let popped = spin(|| consumer.pop_slice(&mut messages).ok());
                    messages[..popped].iter().for_each(Message::look);
                    left -= popped;
                }
            },
        ),
        halves(
            "tidemill spsc iterators",
            || spsc::ring::<Message<WORDS>>(CAPACITY).expect("small"),
            |mut producer, count| {
                let mut done = 0;
                while done < count {
                    done += spin(|| {
                        let mut reservation = producer.reserve(BATCH.min(count - done));
                        reservation.put_all((done..).map(Message::new));
                        Some(reservation.commit()).filter(|&pushed| pushed > 0)
                    });
                }
            },
            |mut consumer, count| {
                let mut left = count;
                while left > 0 {
                    let chunk = spin(|| consumer.peek(BATCH).ok().map(|chunk| chunk.len()));
                    let values = consumer.peek(chunk).expect("they do not go away");
                    values.into_iter().for_each(|message| message.look());
                    left -= chunk;
                }
            },
        ),
    ]
}

fn batched_rtrb<const WORDS: usize>() -> Vec<Subject> {
    vec![halves(
        "rtrb chunks",
        || rtrb::RingBuffer::<Message<WORDS>>::new(CAPACITY),
        |mut producer, count| {
            let mut done = 0;
            while done < count {
                done += spin(|| {
                    let room = producer.slots().min(BATCH).min(count - done);
                    let chunk = producer.write_chunk_uninit(room).ok()?;
                    Some(chunk.fill_from_iter((done..).map(Message::new))).filter(|&n| n > 0)
                });
            }
        },
        |mut consumer, count| {
            let mut left = count;
            while left > 0 {
                left -= spin(|| {
                    let ready = consumer.slots().min(BATCH);
                    let chunk = consumer.read_chunk(ready).ok().filter(|_| ready > 0)?;
                    chunk.into_iter().for_each(|message| message.look());
                    Some(ready)
                });
            }
        },
    )]
}

fn batched_shared<const WORDS: usize>() -> Vec<Subject> {
    vec![
        batch_of_vec(
            "tidemill mpmc batch",
            || mpmc::Queue::new(CAPACITY).expect("small"),
            |queue: &mpmc::Queue<Message<WORDS>>, messages| queue.try_push_batch(messages),
            |queue, messages| queue.try_pop_batch(messages, BATCH).unwrap_or(0),
        ),
        batch_of_vec(
            "tidemill unbounded batch",
            unbounded::Queue::new,
            |queue: &unbounded::Queue<Message<WORDS>>, messages| queue.try_push_batch(messages),
            |queue, messages| queue.try_pop_batch(messages, BATCH).unwrap_or(0),
        ),
    ]
}

fn batch_of_vec<const WORDS: usize, Q: Send + Sync + 'static>(
    name: &'static str,
    make: impl Fn() -> Q + 'static,
    push: impl Fn(&Q, &mut VecDeque<Message<WORDS>>) -> usize + Copy + Send + 'static,
    pop: impl Fn(&Q, &mut Vec<Message<WORDS>>) -> usize + Copy + Send + 'static,
) -> Subject {
    halves(
        name,
        move || {
            let queue = Arc::new(make());
            (Arc::clone(&queue), queue)
        },
        move |queue, count| {
            let mut messages = VecDeque::with_capacity(BATCH);
            let mut done = 0;
            while done < count {
                let more = BATCH.min(count - done) - messages.len();
                messages.extend((0..more).map(Message::new));
                done += spin(|| Some(push(&queue, &mut messages)).filter(|&pushed| pushed > 0));
            }
        },
        move |queue, count| {
            let mut messages = Vec::with_capacity(BATCH);
            let mut left = count;
            while left > 0 {
                left -= spin(|| Some(pop(&queue, &mut messages)).filter(|&popped| popped > 0));
                messages.drain(..).for_each(|message| message.look());
            }
        },
    )
}

/// Values in a bounded queue.
const CAPACITY: usize = 1024;

/// Values in a batch.
const BATCH: usize = 64;

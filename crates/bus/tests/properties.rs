//! Every queue does what a `VecDeque` with a bound does, under any sequence of operations.
#![cfg(not(loom))]

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use tidemill_bus::{PopError, PushError, mpmc, spsc, unbounded};

#[derive(Clone, Debug)]
enum Step {
    Push,
    Pop,
    PushBatch(usize),
    PopBatch(usize),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Push),
        8 => Just(Step::Pop),
        4 => (0..9_usize).prop_map(Step::PushBatch),
        4 => (0..9_usize).prop_map(Step::PopBatch),
        1 => Just(Step::Close),
    ];
    vec(step, 0..200)
}

/// The naive queue: values, a bound and whether it is closed.
struct Model {
    values: VecDeque<String>,
    capacity: usize,
    closed: bool,
}

impl Model {
    fn new(capacity: usize) -> Self {
        Self { values: VecDeque::new(), capacity, closed: false }
    }

    fn push(&mut self, value: String) -> Result<(), PushError<String>> {
        if self.closed {
            return Err(PushError::Closed(value));
        }
        if self.values.len() == self.capacity {
            return Err(PushError::Full(value));
        }
        self.values.push_back(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<String, PopError> {
        let none = if self.closed { PopError::Closed } else { PopError::Empty };
        self.values.pop_front().ok_or(none)
    }

    fn push_batch(&mut self, values: &mut VecDeque<String>) -> usize {
        let room = if self.closed { 0 } else { self.capacity - self.values.len() };
        let count = room.min(values.len());
        self.values.extend(values.drain(..count));
        count
    }

    fn pop_batch(&mut self, count: usize) -> Result<Vec<String>, PopError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let first = self.pop()?;
        let more = (count - 1).min(self.values.len());
        Ok(std::iter::once(first).chain(self.values.drain(..more)).collect())
    }
}

/// Numbered strings: owned memory, so that Miri and the sanitizers see a value lost or taken twice.
fn numbered(counter: &mut usize, count: usize) -> VecDeque<String> {
    let values = (*counter..*counter + count).map(|number| format!("value {number}")).collect();
    *counter += count;
    values
}

/// Checks a queue that is shared by reference; the macro is the only place that knows the methods.
macro_rules! check_shared {
    ($steps:expr, $queue:expr, $capacity:expr) => {{
        let (queue, mut model, mut counter) = ($queue, Model::new($capacity), 0);
        for step in $steps {
            match step {
                Step::Push => {
                    let value = numbered(&mut counter, 1).remove(0).expect("one");
                    prop_assert_eq!(queue.try_push(value.clone()), model.push(value));
                }
                Step::Pop => prop_assert_eq!(queue.try_pop(), model.pop()),
                Step::PushBatch(count) => {
                    let mut values = numbered(&mut counter, count);
                    let mut same = values.clone();
                    prop_assert_eq!(queue.try_push_batch(&mut values), model.push_batch(&mut same));
                    prop_assert_eq!(values, same);
                }
                Step::PopBatch(count) => {
                    // A batch may end with a segment, so that it is asked again for the rest.
                    let mut values = Vec::new();
                    let mut got = queue.try_pop_batch(&mut values, count);
                    while got.is_ok() && values.len() < count {
                        let left = count - values.len();
                        if queue.try_pop_batch(&mut values, left).is_err() {
                            break;
                        }
                        got = Ok(values.len());
                    }
                    prop_assert_eq!(got.map(|_| values), model.pop_batch(count));
                }
                Step::Close => {
                    prop_assert_eq!(queue.close(), !model.closed);
                    model.closed = true;
                }
            }
            prop_assert_eq!(queue.len(), model.values.len());
            prop_assert_eq!(queue.is_empty(), model.values.is_empty());
            prop_assert_eq!(queue.is_closed(), model.closed);
        }
    }};
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn mpmc_is_a_bounded_fifo(steps in steps(), capacity_log in 0..4_u32) {
        let capacity = 1 << capacity_log;
        check_shared!(steps, mpmc::Queue::new(capacity).unwrap(), capacity);
    }

    #[test]
    fn unbounded_is_a_fifo(steps in steps()) {
        check_shared!(steps, unbounded::Queue::new(), usize::MAX);
    }

    #[test]
    fn spsc_is_a_bounded_fifo(steps in steps(), capacity_log in 0..4_u32) {
        let capacity = 1 << capacity_log;
        let (producer, mut consumer) = spsc::ring(capacity).unwrap();
        let (mut producer, mut model, mut counter) = (Some(producer), Model::new(capacity), 0);
        for step in steps {
            match (step, &mut producer) {
                (Step::Push, Some(producer)) => {
                    let value = numbered(&mut counter, 1).remove(0).expect("one");
                    prop_assert_eq!(producer.try_push(value.clone()), model.push(value));
                }
                (Step::PushBatch(count), Some(producer)) => {
                    let mut values = numbered(&mut counter, count);
                    let mut reservation = producer.reserve(count);
                    reservation.put_all(values.clone());
                    prop_assert_eq!(reservation.commit(), model.push_batch(&mut values));
                }
                (Step::Pop, _) => prop_assert_eq!(consumer.try_pop(), model.pop()),
                (Step::PopBatch(0), _) => {}
                (Step::PopBatch(count), _) => {
                    let got = consumer.peek(count).map(|chunk| {
                        let (first, second) = chunk.as_slices();
                        let seen: Vec<_> = first.iter().chain(second).cloned().collect();
                        let taken: Vec<_> = chunk.into_iter().collect();
                        assert_eq!(seen, taken);
                        taken
                    });
                    prop_assert_eq!(got, model.pop_batch(count));
                }
                (Step::Close, _) => {
                    producer = None;
                    model.closed = true;
                }
                (Step::Push | Step::PushBatch(_), None) => {}
            }
            prop_assert_eq!(consumer.len(), model.values.len());
            prop_assert_eq!(consumer.is_closed(), model.closed);
        }
    }
}

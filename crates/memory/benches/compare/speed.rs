//! How long one taking and giving lasts.

use std::hint::black_box;
use std::time::Instant;

use crate::subjects::{NAMES, Source, Visitor, visit_all};
use crate::{PASSES, report};

/// A way of using a source; returns nanoseconds for each operation.
#[derive(Clone, Copy)]
pub(crate) enum Pattern {
    OneThread,
    TwoThreads,
    Live,
    CrossThread,
    /// Only giving is timed, by who took.
    GiveHere,
    /// Only giving is timed, on another thread.
    GiveThere,
}

/// Measures one quantity for every subject, [`PASSES`] times in turn: nanoseconds an operation.
pub(crate) fn run(case: &str, quantity: &str, bytes: usize, pattern: Pattern, operations: usize) {
    let mut speed = Speed { pattern, operations, passes: vec![Vec::new(); NAMES.len()] };
    for _ in 0..PASSES {
        visit_all(bytes, &mut speed);
    }
    for (name, mut passes) in NAMES.into_iter().zip(speed.passes) {
        report(case, quantity, name, &mut passes);
    }
}

struct Speed {
    pattern: Pattern,
    operations: usize,
    passes: Vec<Vec<f64>>,
}

impl Visitor for Speed {
    fn visit<S: Source>(&mut self, place: usize, source: &S) {
        warm_up(source);
        let start = Instant::now();
        match self.pattern {
            Pattern::OneThread => repeat(source, self.operations),
            Pattern::TwoThreads => std::thread::scope(|scope| {
                scope.spawn(|| repeat(source, self.operations));
                repeat(source, self.operations);
            }),
            Pattern::Live => replace(source, self.operations),
            Pattern::CrossThread => cross(source, self.operations),
            Pattern::GiveHere | Pattern::GiveThere => {
                self.passes[place].push(give_alone(source, self.pattern, self.operations));
                return;
            }
        }
        self.passes[place].push(start.elapsed().as_nanos() as f64 / self.operations as f64);
    }
}

/// Touches as much as any pattern holds, on the thread that is measured: general allocators are
/// warm from the pass before, and pools are new in each.
fn warm_up<S: Source>(source: &S) {
    let mut items: Vec<_> = (0..WARM).map(|_| source.take()).collect();
    items.iter_mut().for_each(S::touch);
    items.into_iter().for_each(|item| source.give(item));
}

/// Takes [`GIVEN_AT_ONCE`] in a row, then gives them back under the watch.
fn give_alone<S: Source>(source: &S, pattern: Pattern, operations: usize) -> f64 {
    let give_all = |items: Vec<S::Item>| {
        let start = Instant::now();
        items.into_iter().for_each(|item| source.give(item));
        start.elapsed().as_nanos()
    };
    let rounds = operations / GIVEN_AT_ONCE;
    let take_all = || -> Vec<_> { (0..GIVEN_AT_ONCE).map(|_| source.take()).collect() };
    let elapsed: u128 = match pattern {
        Pattern::GiveThere => std::thread::scope(|scope| {
            // One thread for all rounds, so that its start is not what is measured.
            let (to, items) = std::sync::mpsc::sync_channel::<Vec<S::Item>>(0);
            let giver = scope.spawn(move || items.into_iter().map(give_all).sum());
            (0..rounds).for_each(|_| to.send(take_all()).expect("the giver waits"));
            drop(to);
            giver.join().expect("giving does not panic")
        }),
        _ => (0..rounds).map(|_| give_all(take_all())).sum(),
    };
    elapsed as f64 / (rounds * GIVEN_AT_ONCE) as f64
}

fn repeat<S: Source>(source: &S, operations: usize) {
    for _ in 0..operations {
        let mut item = source.take();
        S::touch(&mut item);
        source.give(item);
    }
}

fn replace<S: Source>(source: &S, operations: usize) {
    let mut live: Vec<_> = (0..256).map(|_| Some(source.take())).collect();
    for step in 0..operations {
        let place = &mut live[step * 37 % 256];
        if let Some(item) = place.take() {
            source.give(item);
        }
        let mut item = source.take();
        S::touch(&mut item);
        *place = Some(item);
    }
    live.into_iter().flatten().for_each(|item| source.give(item));
}

/// One thread takes, another gives; a ring of 256 between them.
fn cross<S: Source>(source: &S, operations: usize) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(256);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..operations {
                let mut spins = 0;
                let item = loop {
                    match consumer.pop() {
                        Ok(item) => break item,
                        Err(_) => wait(&mut spins),
                    }
                };
                source.give(item);
            }
        });
        for _ in 0..operations {
            let mut item = source.take();
            S::touch(&mut item);
            let mut spins = 0;
            while let Err(rtrb::PushError::Full(back)) = producer.push(item) {
                item = back;
                wait(&mut spins);
            }
        }
    });
}

/// Spins, then makes way: the other thread may be waiting for this processor.
fn wait(spins: &mut u32) {
    *spins += 1;
    if spins.is_multiple_of(SPINS) {
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}

/// Measures the ring of [`Pattern::CrossThread`] without any memory, to be taken off its figures.
pub(crate) fn hand_over_alone(case: &str, operations: usize) {
    let mut passes: Vec<_> = (0..PASSES)
        .map(|_| {
            let start = Instant::now();
            cross(&Nothing, operations);
            start.elapsed().as_nanos() as f64 / operations as f64
        })
        .collect();
    report(case, "hand-over alone", NAMES[0], &mut passes);
}

/// No memory at all: two words, as ours passes.
struct Nothing;

impl Source for Nothing {
    type Item = (u64, u64);

    fn take(&self) -> (u64, u64) {
        black_box((1, 2))
    }

    fn touch(item: &mut (u64, u64)) {
        item.0 = 3;
    }

    fn give(&self, item: (u64, u64)) {
        black_box(item);
    }
}

/// Measures single operations: p50, p99 and the longest, less what reading the clock costs.
pub(crate) fn latencies(operations: usize) {
    let passes = vec![[const { Vec::new() }; 3]; NAMES.len()];
    let mut latency = Latency { operations, passes };
    for _ in 0..PASSES {
        visit_all(4096, &mut latency);
    }
    for (name, quantiles) in NAMES.into_iter().zip(latency.passes) {
        for (quantile, mut passes) in ["p50", "p99", "max"].into_iter().zip(quantiles) {
            report("4 KiB give+take, 256 live", quantile, name, &mut passes);
        }
    }
}

struct Latency {
    operations: usize,
    passes: Vec<[Vec<f64>; 3]>,
}

impl Visitor for Latency {
    fn visit<S: Source>(&mut self, place: usize, source: &S) {
        warm_up(source);
        let mut live: Vec<_> = (0..256).map(|_| Some(source.take())).collect();
        let mut times = Vec::with_capacity(self.operations);
        let mut empty = Vec::with_capacity(self.operations);
        for step in 0..self.operations {
            let start = Instant::now();
            if let Some(item) = live[step * 37 % 256].take() {
                source.give(item);
            }
            let mut item = source.take();
            S::touch(&mut item);
            times.push(start.elapsed().as_nanos() as f64);
            live[step * 37 % 256] = Some(item);
            let start = Instant::now();
            empty.push(start.elapsed().as_nanos() as f64);
        }
        live.into_iter().flatten().for_each(|item| source.give(item));
        times.sort_by(f64::total_cmp);
        empty.sort_by(f64::total_cmp);
        let clock = empty[empty.len() / 2];
        let at = [times.len() / 2, times.len() * 99 / 100, times.len() - 1];
        for (passes, at) in self.passes[place].iter_mut().zip(at) {
            passes.push((times[at] - clock).max(0.0));
        }
    }
}

/// More than any pattern holds: 256 live, or 256 on the way and batches on both sides.
const WARM: usize = 512;
/// A few microseconds.
const SPINS: u32 = 1 << 8;
const GIVEN_AT_ONCE: usize = 256;

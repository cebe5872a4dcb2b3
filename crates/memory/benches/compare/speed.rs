//! How long one taking and giving lasts.

use std::hint::black_box;
use std::time::Instant;

use crate::subjects::{NAMES, Source, Visitor, visit_all};
use crate::{RUNS, report};

/// A way of using a source; returns nanoseconds for each operation.
#[derive(Clone, Copy)]
pub(crate) enum Pattern {
    OneThread,
    TwoThreads,
    Live,
    CrossThread,
}

/// Measures one case for every subject, [`RUNS`] times in turn.
pub(crate) fn run(case: &str, bytes: usize, pattern: Pattern, operations: usize) {
    let mut speed = Speed { pattern, operations, runs: vec![Vec::new(); NAMES.len()] };
    for _ in 0..RUNS {
        visit_all(bytes, &mut speed);
    }
    for (name, mut runs) in NAMES.into_iter().zip(speed.runs) {
        report(case, name, "ns", "lower", &mut runs);
    }
}

struct Speed {
    pattern: Pattern,
    operations: usize,
    runs: Vec<Vec<f64>>,
}

impl Visitor for Speed {
    fn visit<S: Source>(&mut self, place: usize, source: &S) {
        // Warm up on the thread that is measured.
        let items: Vec<_> = (0..64).map(|_| source.take()).collect();
        items.into_iter().for_each(|item| source.give(item));
        let start = Instant::now();
        match self.pattern {
            Pattern::OneThread => repeat(source, self.operations),
            Pattern::TwoThreads => std::thread::scope(|scope| {
                scope.spawn(|| repeat(source, self.operations));
                repeat(source, self.operations);
            }),
            Pattern::Live => replace(source, self.operations),
            Pattern::CrossThread => cross(source, self.operations),
        }
        self.runs[place].push(start.elapsed().as_nanos() as f64 / self.operations as f64);
    }
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
                let item = loop {
                    match consumer.pop() {
                        Ok(item) => break item,
                        Err(_) => std::hint::spin_loop(),
                    }
                };
                source.give(item);
            }
        });
        for _ in 0..operations {
            let mut item = source.take();
            S::touch(&mut item);
            while let Err(rtrb::PushError::Full(back)) = producer.push(item) {
                item = back;
                std::hint::spin_loop();
            }
        }
    });
}

/// Measures the ring of [`Pattern::CrossThread`] without any memory, to be taken off its figures.
pub(crate) fn hand_over_alone(operations: usize) {
    let mut runs: Vec<_> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            cross(&Nothing, operations);
            start.elapsed().as_nanos() as f64 / operations as f64
        })
        .collect();
    report("cross-thread hand-over alone", "none", "ns", "lower", &mut runs);
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
    let mut latency = Latency { operations, runs: vec![[const { Vec::new() }; 3]; NAMES.len()] };
    for _ in 0..RUNS {
        visit_all(4096, &mut latency);
    }
    for (name, quantiles) in NAMES.into_iter().zip(latency.runs) {
        for (quantile, mut runs) in ["p50", "p99", "max"].into_iter().zip(quantiles) {
            let case = format!("4 KiB alloc+free {quantile}, 256 live");
            report(&case, name, "ns", "lower", &mut runs);
        }
    }
}

struct Latency {
    operations: usize,
    runs: Vec<[Vec<f64>; 3]>,
}

impl Visitor for Latency {
    fn visit<S: Source>(&mut self, place: usize, source: &S) {
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
        for (runs, at) in self.runs[place].iter_mut().zip(at) {
            runs.push((times[at] - clock).max(0.0));
        }
    }
}

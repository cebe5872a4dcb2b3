//! One measurement after the other, ours and the peers', each as a line of JSON.
//!
//! `cargo xtask compare metrics` runs this and makes the table. Within a round every peer meets a
//! case before the next case begins, and every other round goes through them in reverse. Costs are
//! wall time per operation and thread: two threads that do not disturb each other cost what one
//! does. Arguments: `--rounds N`, `--quick`.

#![expect(clippy::print_stdout, reason = "the lines are the result")]

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use allocation_counter::measure;

mod suites;

use suites::{Make, Suite};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let rounds = arguments.iter().position(|argument| argument == "--rounds");
    let rounds = rounds.and_then(|at| arguments.get(at + 1)?.parse().ok()).unwrap_or(1);
    let operations = if quick { 300_000 } else { 2_000_000 };
    for round in 1..=rounds {
        let mut order: Vec<usize> = (0..suites::ALL.len()).collect();
        if round % 2 == 0 {
            order.reverse();
        }
        for case in CASES {
            for &index in &order {
                let (name, make) = suites::ALL[index];
                for (quantity, value) in (case.measure)(make, operations) {
                    println!(
                        "{{\"round\":{round},\"target\":\"{name}\",\"case\":\"{}\",\
                         \"quantity\":\"{quantity}\",\"value\":{value}}}",
                        case.name
                    );
                }
            }
        }
    }
}

/// Quantities with what was measured of them.
type Values = Vec<(&'static str, f64)>;

struct Case {
    name: &'static str,
    measure: fn(Make, u64) -> Values,
}

const CASES: [Case; 6] = [
    Case { name: "counter 1 thread", measure: |make, n| counter(&*make(), n, 1) },
    Case { name: "counter 2 threads", measure: |make, n| counter(&*make(), n, 2) },
    Case { name: "histogram 1 thread", measure: |make, n| histogram(&*make(), n, 1) },
    Case { name: "histogram 2 threads", measure: |make, n| histogram(&*make(), n, 2) },
    Case { name: "10000 counters", measure: |make, _| series(make) },
    Case { name: "1000 histograms", measure: |make, _| histogram_memory(make) },
];

fn counter(suite: &dyn Suite, operations: u64, threads: usize) -> Values {
    vec![("add", per_operation(operations, threads, &|n| suite.count(n)))]
}

fn histogram(suite: &dyn Suite, operations: u64, threads: usize) -> Values {
    vec![("record", per_operation(operations, threads, &|n| suite.record(n)))]
}

/// Nanoseconds per operation and thread: the best of five runs, each with all threads at once.
fn per_operation(operations: u64, threads: usize, run: &(dyn Fn(u64) + Sync)) -> f64 {
    run(operations / 20);
    let best = (0..5).map(|_| {
        let barrier = Barrier::new(threads);
        let times = thread::scope(|scope| {
            let one = || {
                barrier.wait();
                let start = now();
                run(operations);
                start.elapsed()
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            let times = running.into_iter().map(|thread| thread.join().expect("no panic"));
            times.max().unwrap_or_default()
        });
        times.as_nanos() as f64 / operations as f64
    });
    best.fold(f64::INFINITY, f64::min)
}

/// What 10,000 counters with a label take in memory, and how long they take to render.
fn series(make: Make) -> Values {
    let suite = make();
    let mut holds = true;
    let mut values = memory(|| holds = suite.make_counters(SERIES), SERIES);
    if !holds {
        return Vec::new();
    }
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let start = now();
        let Some(text) = suite.render() else { return values };
        best = best.min(start.elapsed());
        let lines = text.lines().filter(|line| line.contains("who=")).count();
        assert!(lines >= SERIES, "{lines} lines of {SERIES} series");
        black_box(text);
    }
    values.push(("render", best.as_secs_f64() * 1e3));
    values
}

fn histogram_memory(make: Make) -> Values {
    let suite = make();
    memory(|| suite.make_histograms(HISTOGRAMS), HISTOGRAMS)
}

/// Bytes that stay allocated for each of so many series; none where it frees more than it takes.
fn memory(make: impl FnOnce(), series: usize) -> Values {
    let bytes = measure(make).bytes_current;
    if bytes <= 0 { Vec::new() } else { vec![("memory", bytes as f64 / series as f64)] }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

const SERIES: usize = 10_000;
const HISTOGRAMS: usize = 1_000;

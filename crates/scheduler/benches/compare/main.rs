//! One case of `cargo xtask compare scheduler`: measures, prints `name value` lines, and ends.
//!
//! ```text
//! compare CASE TARGET COUNT
//! ```
//!
//! Each case runs in a process of its own, so that none finds memory or threads that another left.
//! Ours and the peers run on the same kind of runtime, two threads, with the same limit of
//! [`CONCURRENCY`] and the same handles, each of which is awaited.

#[path = "../../tests/adaptive/simulation.rs"]
mod simulation;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use tidemill_metrics::{Options, Registry};
use tidemill_scheduler::Scheduler;
use tidemill_scheduler::core::Priority;
use tokio::sync::Semaphore;

#[expect(clippy::print_stdout, reason = "what it prints is the result")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let case: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let values = match case[..] {
        // Called by `cargo bench` without a case, there is nothing to do.
        [] | ["--bench"] => Vec::new(),
        ["burst", target, count] => runtime.block_on(rate(target, number(count), usize::MAX)),
        ["steady", target, count] => runtime.block_on(rate(target, number(count), WINDOW)),
        ["emergency", target, millis] => runtime.block_on(emergency(target, number(millis))),
        ["adaptive", target, _] => adaptive(target),
        _ => panic!("no such case: {case:?}"),
    };
    for (name, value) in values {
        println!("{name} {value}");
    }
}

type Values = Vec<(String, f64)>;

/// Tasks that run at once.
const CONCURRENCY: usize = 1_024;

/// Handles that a submitter holds at most in the steady case.
const WINDOW: usize = 8_192;

/// Trivial tasks per second, from the first submission to the last result.
async fn rate(target: &str, count: usize, window: usize) -> Values {
    let rate = match target {
        "tidemill" => ours(count, window).await,
        "tokio" => tokio_spawn(count, window).await,
        "tokio-outside" => tokio_spawn_outside(count, window).await,
        _ => panic!("no such target: {target}"),
    };
    vec![("rate".to_owned(), rate)]
}

async fn ours(count: usize, window: usize) -> f64 {
    let registry = Registry::new(Options::default());
    let scheduler = Scheduler::builder()
        .concurrency(CONCURRENCY)
        .queue(count)
        .metrics(&registry)
        .build()
        .expect("limits are right");
    let begin = now();
    let mut handles = VecDeque::with_capacity(window.min(count));
    for _ in 0..count {
        if handles.len() == window {
            for handle in handles.drain(..window / 2) {
                finished(handle).await;
            }
        }
        handles.push_back(scheduler.submit(async {}).expect("there is room"));
    }
    for handle in handles {
        handle.await.expect("it completes");
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

/// The permit is taken inside of the task: submission never waits, as with ours.
async fn tokio_spawn(count: usize, window: usize) -> f64 {
    let semaphore = Arc::new(Semaphore::new(CONCURRENCY));
    let begin = now();
    let mut handles = VecDeque::with_capacity(window.min(count));
    for _ in 0..count {
        if handles.len() == window {
            for handle in handles.drain(..window / 2) {
                joined(handle).await;
            }
        }
        let semaphore = Arc::clone(&semaphore);
        handles.push_back(tokio::spawn(async move {
            drop(semaphore.acquire().await.expect("it is open"));
        }));
    }
    for handle in handles {
        joined(handle).await;
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

/// The permit is taken before the task is spawned: submission waits for a slot.
async fn tokio_spawn_outside(count: usize, window: usize) -> f64 {
    let semaphore = Arc::new(Semaphore::new(CONCURRENCY));
    let begin = now();
    let mut handles = VecDeque::with_capacity(window.min(count));
    for _ in 0..count {
        if handles.len() == window {
            for handle in handles.drain(..window / 2) {
                joined(handle).await;
            }
        }
        let permit = Arc::clone(&semaphore).acquire_owned().await.expect("it is open");
        handles.push_back(tokio::spawn(async move { drop(permit) }));
    }
    for handle in handles {
        joined(handle).await;
    }
    count as f64 / begin.elapsed().as_secs_f64()
}

async fn finished(handle: tidemill_scheduler::Handle<()>) {
    handle.await.expect("it completes");
}

async fn joined(handle: tokio::task::JoinHandle<()>) {
    handle.await.expect("it completes");
}

/// Time from the submission of an urgent task to its begin, beside a backlog of trivial ones that
/// is kept full. The peer has no priorities: its urgent task takes its turn.
async fn emergency(target: &str, millis: usize) -> Values {
    let end = now() + Duration::from_millis(millis as u64);
    let built = Scheduler::builder().concurrency(64).queue(BACKLOG).build();
    let scheduler = built.expect("limits are right");
    let priority = if target == "tidemill" { Priority::Emergency } else { Priority::Low };
    let filling = scheduler.clone();
    let filler = tokio::spawn(async move {
        while now() < end {
            let low = || filling.task().priority(Priority::Low).submit(async {});
            while low().is_ok() {}
            tokio::task::yield_now().await;
        }
    });
    let probe = std::thread::spawn(move || {
        let mut times = Vec::new();
        while now() < end {
            std::thread::park_timeout(Duration::from_millis(1));
            let (sender, receiver) = sync_channel(1);
            let begin = now();
            let urgent = scheduler.task().priority(priority).submit(async move {
                let _ = sender.send(begin.elapsed());
            });
            if urgent.is_ok() {
                times.push(receiver.recv().expect("it runs"));
            }
        }
        times.sort_unstable();
        times
    });
    filler.await.expect("it ends");
    let times = probe.join().expect("it ends");
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    vec![("p50".to_owned(), at(50)), ("p99".to_owned(), at(99))]
}

/// Low tasks that wait in the emergency case.
const BACKLOG: usize = 65_536;

/// Mean and p99 time to completion in the simulation, in milliseconds.
fn adaptive(target: &str) -> Values {
    let mut values = Vec::new();
    for (name, load) in simulation::loads(5) {
        let result = simulation::simulate(&load, target == "tidemill");
        values.push((format!("{name}, mean"), result.mean * 1e3));
        values.push((format!("{name}, p99"), result.p99 * 1e3));
    }
    values
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

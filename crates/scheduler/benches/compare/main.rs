//! One case of `cargo xtask compare scheduler`: measures, prints `name value` lines, ends.
//!
//! The first argument names the case; each runs in a process of its own, so that no case finds
//! memory or threads that another left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_metrics::{Options, Registry};
use tidemill_scheduler::Scheduler;
use tidemill_scheduler::core::Priority;
use tokio::sync::Semaphore;

fn main() {
    let case = std::env::args().nth(1).unwrap_or_default();
    let count = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let limit = std::env::args().nth(3).and_then(|n| n.parse().ok()).unwrap_or(1024);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    match case.as_str() {
        "ours" => runtime.block_on(ours(count, limit)),
        "tokio" => runtime.block_on(tokio_semaphore(count, limit)),
        "tokio-inside" => runtime.block_on(tokio_inside(count, limit)),
        "ours-window" => runtime.block_on(ours_window(count, limit)),
        "tokio-window" => runtime.block_on(tokio_window(count, limit)),
        "emergency" => runtime.block_on(emergency()),
        _ => panic!("no case"),
    }
}

async fn ours(count: usize, limit: usize) {
    let registry = Registry::new(Options::default());
    let scheduler = Scheduler::builder()
        .concurrency(limit)
        .queue(1 << 21)
        .metrics(&registry)
        .build()
        .expect("limits are right");
    for _ in 0..3 {
        let begin = Instant::now();
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            handles.push(scheduler.submit(async {}).expect("there is room"));
        }
        let submitted = begin.elapsed();
        for handle in handles {
            handle.await.expect("it completes");
        }
        let time = begin.elapsed();
        println!("rate {:.0} submit {:?}", count as f64 / time.as_secs_f64(), submitted);
    }
}

async fn tokio_semaphore(count: usize, limit: usize) {
    let semaphore = Arc::new(Semaphore::new(limit));
    for _ in 0..3 {
        let begin = Instant::now();
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            let permit = Arc::clone(&semaphore).acquire_owned().await.expect("open");
            handles.push(tokio::spawn(async move { drop(permit) }));
        }
        for handle in handles {
            handle.await.expect("it completes");
        }
        println!("rate {:.0}", count as f64 / begin.elapsed().as_secs_f64());
    }
}

async fn tokio_inside(count: usize, limit: usize) {
    let semaphore = Arc::new(Semaphore::new(limit));
    for _ in 0..3 {
        let begin = Instant::now();
        let mut handles = Vec::with_capacity(count);
        for _ in 0..count {
            let semaphore = Arc::clone(&semaphore);
            handles.push(tokio::spawn(async move {
                drop(semaphore.acquire().await.expect("open"));
            }));
        }
        for handle in handles {
            handle.await.expect("it completes");
        }
        println!("rate {:.0}", count as f64 / begin.elapsed().as_secs_f64());
    }
}

async fn ours_window(count: usize, limit: usize) {
    let registry = Registry::new(Options::default());
    let scheduler = Scheduler::builder()
        .concurrency(limit)
        .metrics(&registry)
        .build()
        .expect("limits are right");
    for _ in 0..3 {
        let begin = Instant::now();
        let mut handles = std::collections::VecDeque::with_capacity(WINDOW);
        for _ in 0..count {
            if handles.len() == WINDOW {
                for handle in handles.drain(..WINDOW / 2) {
                    let handle: tidemill_scheduler::Handle<()> = handle;
                    handle.await.expect("it completes");
                }
            }
            handles.push_back(scheduler.submit(async {}).expect("there is room"));
        }
        for handle in handles {
            handle.await.expect("it completes");
        }
        println!("rate {:.0}", count as f64 / begin.elapsed().as_secs_f64());
    }
}

const WINDOW: usize = 8192;

async fn tokio_window(count: usize, limit: usize) {
    let semaphore = Arc::new(Semaphore::new(limit));
    for _ in 0..3 {
        let begin = Instant::now();
        let mut handles = std::collections::VecDeque::with_capacity(WINDOW);
        for _ in 0..count {
            if handles.len() == WINDOW {
                for handle in handles.drain(..WINDOW / 2) {
                    let handle: tokio::task::JoinHandle<()> = handle;
                    handle.await.expect("it completes");
                }
            }
            let semaphore = Arc::clone(&semaphore);
            handles.push_back(tokio::spawn(async move {
                drop(semaphore.acquire().await.expect("open"));
            }));
        }
        for handle in handles {
            handle.await.expect("it completes");
        }
        println!("rate {:.0}", count as f64 / begin.elapsed().as_secs_f64());
    }
}

async fn emergency() {
    let scheduler =
        Scheduler::builder().concurrency(64).queue(1 << 17).build().expect("limits are right");
    let end = Instant::now() + Duration::from_secs(5);
    let filler = {
        let scheduler = scheduler.clone();
        tokio::spawn(async move {
            while Instant::now() < end {
                let low = || scheduler.task().priority(Priority::Low).submit(async {});
                while low().is_ok() {}
                tokio::task::yield_now().await;
            }
        })
    };
    let probe = {
        let scheduler = scheduler.clone();
        std::thread::spawn(move || {
            let mut times = Vec::new();
            while Instant::now() < end {
                std::thread::sleep(Duration::from_millis(2));
                let (sender, receiver) = std::sync::mpsc::sync_channel(1);
                let begin = Instant::now();
                let task = scheduler.task().priority(Priority::Emergency);
                task.submit(async move {
                    let _ = sender.send(begin.elapsed());
                })
                .expect("room");
                times.push(receiver.recv().expect("ran"));
            }
            times.sort_unstable();
            times
        })
    };
    filler.await.expect("ends");
    let times = probe.join().expect("ends");
    println!(
        "n {} p50 {:?} p99 {:?} max {:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times.last()
    );
}

//! Concurrency, admission, priorities and fairness between workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_scheduler::core::{Class, Priority, Rejection};

use crate::{builder, on_two_threads};

#[test]
fn no_more_runs_than_may() {
    on_two_threads(async {
        let built = builder().concurrency(8).class("any", usize::MAX).class("few", 2).build();
        let scheduler = built.expect("limits are right");
        let running = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let most = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let mut handles = Vec::new();
        for number in 0..200_u8 {
            let class = usize::from(number % 2);
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let task = scheduler.task().class(Class(number % 2));
            let handle = task.submit(async move {
                let now = running[class].fetch_add(1, Ordering::SeqCst) + 1;
                most[class].fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(1)).await;
                running[class].fetch_sub(1, Ordering::SeqCst);
            });
            handles.push(handle.expect("room"));
        }
        for handle in handles {
            handle.await.expect("it completes");
        }
        let most = |class: usize| most[class].load(Ordering::SeqCst);
        assert!(most(0) <= 7 && most(0) > 2, "{}", most(0));
        assert_eq!(most(1), 2);
    });
}

#[test]
fn a_full_queue_refuses_and_goes_on() {
    on_two_threads(async {
        let scheduler = builder().concurrency(2).queue(100).build().expect("limits are right");
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let first = scheduler.submit(async { drop(gate.await) }).expect("room");
        let mut waiting = Vec::new();
        let refused = loop {
            match scheduler.submit(async {}) {
                Ok(handle) => waiting.push(handle),
                Err(rejection) => break rejection,
            }
        };
        assert_eq!(refused, Rejection::QueueFull { limit: 100 });
        assert!((99..=101).contains(&waiting.len()), "{}", waiting.len());
        let urgent = scheduler.task().priority(Priority::Emergency).submit(async {});
        urgent.expect("its own room").await.expect("its own slot");
        open.send(()).expect("it waits");
        first.await.expect("it completes");
        for handle in waiting {
            handle.await.expect("it completes");
        }
        scheduler.submit(async {}).expect("room again").await.expect("it completes");
    });
}

#[test]
fn the_urgent_start_first() {
    on_two_threads(async {
        let scheduler = builder().concurrency(2).build().expect("limits are right");
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let first = scheduler.submit(async { drop(gate.await) }).expect("room");
        while scheduler.statistics().count(tidemill_scheduler::core::State::Running) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut handles = Vec::new();
        for priority in [Priority::Low, Priority::Critical, Priority::Normal, Priority::High] {
            let order = Arc::clone(&order);
            let task = scheduler.task().priority(priority);
            let handle = task.submit(async move { order.lock().expect("whole").push(priority) });
            handles.push(handle.expect("room"));
        }
        open.send(()).expect("it waits");
        first.await.expect("it completes");
        for handle in handles {
            handle.await.expect("it completes");
        }
        let order = order.lock().expect("whole").clone();
        assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
    });
}

#[test]
fn a_future_that_holds_up_its_worker_does_not_hold_up_the_others() {
    on_two_threads(async {
        let scheduler = builder().concurrency(1_024).build().expect("limits are right");
        // The workers learn that tasks are short, so they take many at once.
        for _ in 0..20 {
            let many: Vec<_> =
                (0..500).map(|_| scheduler.submit(async {}).expect("room")).collect();
            for handle in many {
                handle.await.expect("it completes");
            }
        }
        let stop = Arc::new(AtomicUsize::new(0));
        let stopped = Arc::clone(&stop);
        let hog = scheduler.submit(async move {
            while stopped.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
        });
        let hog = hog.expect("room");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let many: Vec<_> = (0..500).map(|_| scheduler.submit(async {}).expect("room")).collect();
        for handle in many {
            handle.await.expect("it completes beside the hog");
        }
        stop.store(1, Ordering::Relaxed);
        hog.await.expect("it completes");
    });
}

#[test]
fn a_hundred_thousand_tasks_from_four_threads_each_run_once() {
    on_two_threads(async {
        let scheduler = builder().concurrency(64).build().expect("limits are right");
        let sum = Arc::new(AtomicUsize::new(0));
        let submitters: Vec<_> = (0..4)
            .map(|_| {
                let (scheduler, sum) = (scheduler.clone(), Arc::clone(&sum));
                tokio::spawn(async move {
                    let mut handles = Vec::new();
                    for number in 0..25_000 {
                        let sum = Arc::clone(&sum);
                        let task = async move {
                            if number % 100 == 0 {
                                tokio::task::yield_now().await;
                            }
                            sum.fetch_add(1, Ordering::Relaxed);
                        };
                        match scheduler.submit(task) {
                            Ok(handle) => handles.push(handle),
                            Err(_) => panic!("the queue takes 65,536"),
                        }
                        if handles.len() == 1_000 {
                            for handle in handles.drain(..) {
                                handle.await.expect("it completes");
                            }
                        }
                    }
                    for handle in handles {
                        handle.await.expect("it completes");
                    }
                })
            })
            .collect();
        for submitter in submitters {
            submitter.await.expect("it ends");
        }
        assert_eq!(sum.load(Ordering::Relaxed), 100_000);
        let total = scheduler.statistics().total();
        assert_eq!((total.submitted, total.started), (100_000, 100_000));
    });
}

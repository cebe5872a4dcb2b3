//! Callbacks, metrics and what is remembered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_metrics::{Options, Registry};
use tidemill_scheduler::core::{Priority, State};

use crate::{builder, on_two_threads};

#[test]
fn callbacks_hear_of_every_end_and_their_panics_are_counted() {
    on_two_threads(async {
        let heard = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&heard);
        let scheduler = builder()
            .on_end(move |record| {
                assert!(record.state.is_final());
                counted.fetch_add(1, Ordering::SeqCst);
            })
            .build()
            .expect("limits are right");
        let seen = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&seen);
        let task = scheduler.task().on_end(move |record| {
            *kept.lock().expect("whole") = Some((record.state, record.attempts));
        });
        task.submit(async {}).expect("room").await.expect("it completes");
        let loud = scheduler.task().on_end(|_| panic!("in a callback"));
        loud.submit(async {}).expect("room").await.expect("it completes");
        let cancelled = scheduler.task().delay(Duration::from_secs(60)).submit(async {});
        cancelled.expect("room").cancel();
        assert_eq!(*seen.lock().expect("whole"), Some((State::Completed, 1)));
        assert_eq!(heard.load(Ordering::SeqCst), 3);
        assert_eq!(scheduler.callback_panics(), 1);
    });
}

#[test]
fn metrics_say_what_happened() {
    on_two_threads(async {
        let registry = Registry::new(Options::default());
        let scheduler = builder()
            .class("probe", 4)
            .queue(10)
            .metrics(&registry)
            .build()
            .expect("limits are right");
        for _ in 0..5 {
            let task = scheduler.task().priority(Priority::High);
            task.submit(async {}).expect("room").await.expect("it completes");
        }
        let waiting = scheduler.task().delay(Duration::from_secs(60)).submit(async {});
        waiting.as_ref().expect("room").id();
        scheduler.refresh_metrics();
        let text = registry.render_prometheus();
        for line in [
            "tidemill_scheduler_tasks{priority=\"high\",state=\"completed\"} 5",
            "tidemill_scheduler_tasks{priority=\"normal\",state=\"pending\"} 1",
            "tidemill_scheduler_submitted_total{class=\"probe\",priority=\"high\"} 5",
            "tidemill_scheduler_ended_total{class=\"probe\",priority=\"high\",state=\"completed\"} 5",
            "tidemill_scheduler_queue_seconds_count{class=\"probe\",priority=\"high\"} 5",
            "tidemill_scheduler_run_seconds_count{class=\"probe\",priority=\"high\"} 5",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    });
}

#[test]
fn what_ended_is_remembered_by_count() {
    on_two_threads(async {
        let scheduler =
            builder().finished(10, Duration::from_secs(60)).build().expect("limits are right");
        let mut ids = Vec::new();
        for _ in 0..100 {
            let handle = scheduler.submit(async {}).expect("room");
            ids.push(handle.id());
            handle.await.expect("it completes");
        }
        let known = ids.iter().filter(|id| scheduler.status(**id).is_some()).count();
        assert!((10..=11).contains(&known), "{known}");
        assert!(scheduler.status(ids[99]).is_some() && scheduler.status(ids[0]).is_none());
    });
}

#[test]
fn what_ended_is_forgotten_with_age() {
    on_two_threads(async {
        let scheduler =
            builder().finished(10, Duration::from_millis(20)).build().expect("limits are right");
        let handle = scheduler.submit(async {}).expect("room");
        let id = handle.id();
        handle.await.expect("it completes");
        while scheduler.status(id).is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}

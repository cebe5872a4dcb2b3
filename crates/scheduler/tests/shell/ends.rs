//! How tasks end, and what their handles say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemill_scheduler::core::{Backoff, Cancel, Rejection, Retry, State};
use tidemill_scheduler::{CancelToken, Scheduler, TaskError};

use crate::{builder, on_two_threads};

#[test]
fn results_come_back_at_once_and_after_waiting() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let quick = scheduler.submit(async { 1 }).expect("room");
        let slow = scheduler
            .submit(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                2
            })
            .expect("room");
        let thread = scheduler.submit_blocking(|_| 3).expect("room");
        let id = slow.id();
        assert_eq!((quick.await, slow.await, thread.await), (Ok(1), Ok(2), Ok(3)));
        let record = scheduler.status(id).expect("remembered");
        assert_eq!(record.state, State::Completed);
        let (started, ended) = (record.started.expect("known"), record.ended.expect("known"));
        assert!(ended.since(started) >= Duration::from_millis(5));
        assert_eq!(scheduler.statistics().count(State::Completed), 3);
    });
}

#[test]
fn a_panic_is_a_failure_and_nothing_is_poisoned() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let at_once = scheduler.submit(async { panic!("at once") }).expect("room");
        let later = scheduler
            .submit(async {
                tokio::task::yield_now().await;
                panic!("later {}", 7)
            })
            .expect("room");
        let thread = scheduler.submit_blocking(|_| panic!("there")).expect("room");
        let text = |result: Result<(), TaskError>| result.expect_err("it panicked").to_string();
        assert_eq!(text(at_once.await), "the task failed: panicked: at once");
        assert_eq!(text(later.await), "the task failed: panicked: later 7");
        assert_eq!(text(thread.await), "the task failed: panicked: there");
        for number in 0..1_000 {
            assert_eq!(scheduler.submit(async move { number }).expect("room").await, Ok(number));
        }
        assert_eq!(scheduler.statistics().total().ended[State::Failed.index()], 3);
    });
}

#[test]
fn what_waits_and_what_runs_can_be_cancelled() {
    on_two_threads(async {
        let scheduler = builder().concurrency(2).build().expect("limits are right");
        let running = scheduler.submit(std::future::pending::<()>()).expect("room");
        while running.status().expect("known").state != State::Running {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let waiting = scheduler.submit(async {}).expect("room");
        assert_eq!(waiting.cancel(), Cancel::Ended);
        assert_eq!(waiting.await, Err(TaskError::Cancelled));
        assert_eq!(running.cancel(), Cancel::Asked);
        let id = running.id();
        assert_eq!(running.await, Err(TaskError::Cancelled));
        assert_eq!(scheduler.cancel(id), Cancel::TooLate);
        scheduler.submit(async {}).expect("room").await.expect("the slot is free again");
    });
}

#[test]
fn a_token_is_asked_first_and_the_grace_is_not_endless() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let kind = CancelToken::new();
        let kept = Arc::new(AtomicUsize::new(0));
        let (token, saved) = (kind.clone(), Arc::clone(&kept));
        let polite = scheduler.task().token(kind).submit(async move {
            token.cancelled().await;
            saved.store(1, Ordering::SeqCst);
        });
        let polite = polite.expect("room");
        let deaf = scheduler.task().token(CancelToken::new()).submit(std::future::pending::<()>());
        let deaf = deaf.expect("room");
        let thread = scheduler
            .submit_blocking(|token| {
                while !token.is_cancelled() {
                    std::thread::yield_now();
                }
            })
            .expect("room");
        tokio::time::sleep(Duration::from_millis(20)).await;
        for handle in [&polite, &deaf, &thread] {
            assert_eq!(handle.cancel(), Cancel::Asked);
        }
        assert_eq!(polite.await, Err(TaskError::Cancelled));
        assert_eq!(kept.load(Ordering::SeqCst), 1, "it stopped by itself");
        assert_eq!(deaf.await, Err(TaskError::Cancelled));
        assert_eq!(thread.await, Err(TaskError::Cancelled));
    });
}

#[test]
fn failures_are_retried_until_one_succeeds_or_none_is_left() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let backoff = Backoff { initial: Duration::from_millis(1), ..Backoff::default() };
        let retry = Retry { attempts_max: 3, backoff };
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let third = scheduler.task().submit_retrying(retry, move || {
            let attempt = counted.fetch_add(1, Ordering::SeqCst) + 1;
            async move { if attempt == 3 { Ok(attempt) } else { Err("not yet") } }
        });
        assert_eq!(third.expect("room").await, Ok(3));
        let never =
            scheduler.task().submit_retrying(retry, || async { Err::<(), _>("no") }).expect("room");
        let id = never.id();
        assert_eq!(never.await, Err(TaskError::Failed("no".into())));
        let record = scheduler.status(id).expect("remembered");
        assert_eq!((record.attempts, record.reason.as_deref()), (3, Some("no")));
    });
}

#[test]
fn dependencies_order_and_fail_by_name() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let first = scheduler
            .task()
            .delay(Duration::from_millis(5))
            .submit(async { panic!("first") })
            .expect("room");
        let second = scheduler.task().after(first.id()).submit(async {}).expect("room");
        let third = scheduler.task().after(second.id()).submit(async {}).expect("room");
        let (a, b) = (first.id(), third.id());
        assert_eq!(scheduler.depend(a, b), Err(Rejection::Cyclic { task: a, on: b }));
        first.await.expect_err("it panicked");
        let error = third.await.expect_err("what it waits for failed").to_string();
        assert!(error.contains("which ended as rejected"), "{error}");
        let error = second.await.expect_err("what it waits for failed").to_string();
        assert!(error.contains("which ended as failed"), "{error}");
    });
}

#[test]
fn a_key_is_taken_once() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let first = scheduler.task().key("k").submit(async {}).expect("room");
        let id = first.id();
        let again = scheduler.task().key("k").submit(async {}).expect_err("the same");
        assert_eq!(again, Rejection::Duplicate { id });
        first.await.expect("it completes");
    });
}

#[test]
fn dropping_the_scheduler_cancels_what_waits() {
    on_two_threads(async {
        let scheduler: Scheduler = builder().build().expect("limits are right");
        let later =
            scheduler.task().delay(Duration::from_secs(3_600)).submit(async {}).expect("room");
        drop(scheduler);
        assert_eq!(later.await, Err(TaskError::Cancelled));
    });
}

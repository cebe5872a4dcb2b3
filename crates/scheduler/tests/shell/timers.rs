//! Delays, beats and timeouts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemill_scheduler::TaskError;
use tidemill_scheduler::core::{Backoff, Retry, State};

use crate::{builder, on_two_threads};

#[test]
fn a_delayed_task_waits_for_its_time() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let delay = Duration::from_millis(30);
        let handle = scheduler.task().delay(delay).submit(async {}).expect("room");
        assert_eq!(handle.status().expect("known").state, State::Pending);
        let id = handle.id();
        handle.await.expect("it completes");
        let record = scheduler.status(id).expect("remembered");
        let waited = record.started.expect("it ran").since(record.submitted);
        assert!(waited >= delay - Duration::from_millis(1), "{waited:?}");
    });
}

#[test]
fn a_periodic_task_runs_until_it_is_cancelled_whatever_it_returns() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let beats = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&beats);
        let handle = scheduler.task().submit_periodic(Duration::from_millis(2), move || {
            let beat = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match beat {
                    1 => Err("once"),
                    2 => panic!("once"),
                    _ => Ok(()),
                }
            }
        });
        let handle = handle.expect("room");
        while beats.load(Ordering::SeqCst) < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        handle.cancel();
        assert_eq!(handle.await, Err(TaskError::Cancelled));
        let seen = beats.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(beats.load(Ordering::SeqCst), seen);
    });
}

#[test]
fn a_timeout_breaks_off_and_may_be_retried() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let limit = Duration::from_millis(10);
        let dropped = Arc::new(AtomicUsize::new(0));
        let guard = Dropped(Arc::clone(&dropped));
        let handle = scheduler.task().timeout(limit).submit(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        assert_eq!(handle.expect("room").await, Err(TaskError::TimedOut));
        assert_eq!(
            dropped.load(Ordering::SeqCst),
            1,
            "the future is gone when the result is there"
        );
        let backoff = Backoff { initial: Duration::from_millis(1), ..Backoff::default() };
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&tries);
        let retry = Retry { attempts_max: 3, backoff };
        let second = scheduler.task().timeout(limit).submit_retrying(retry, move || {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                if attempt == 0 {
                    std::future::pending::<()>().await;
                }
                Ok::<_, String>(attempt)
            }
        });
        assert_eq!(second.expect("room").await, Ok(1));
    });
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

//! The end of a scheduler.

use std::time::Duration;

use tidemill_scheduler::TaskError;
use tidemill_scheduler::core::Rejection;

use crate::{builder, on_two_threads};

#[test]
fn what_can_end_ends_and_the_rest_is_cancelled_and_named() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        let short = scheduler.submit(tokio::time::sleep(Duration::from_millis(30))).expect("room");
        let endless = scheduler.submit(std::future::pending::<()>()).expect("room");
        let beat = scheduler
            .task()
            .submit_periodic(Duration::from_millis(5), || async { Ok::<_, String>(()) })
            .expect("room");
        let late = scheduler.task().delay(Duration::from_secs(60)).submit(async {}).expect("room");
        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let thread = scheduler.submit_blocking(move |_| held.recv().is_ok()).expect("room");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (ids, left) = ([endless.id(), beat.id(), late.id()], thread.id());
        let report = scheduler.shutdown(Duration::from_millis(200)).await;
        let mut cancelled: Vec<_> = report.cancelled.iter().map(|record| record.id).collect();
        cancelled.sort_unstable();
        let mut wanted = ids.to_vec();
        wanted.sort_unstable();
        assert_eq!(cancelled, wanted);
        assert_eq!(report.left.iter().map(|record| record.id).collect::<Vec<_>>(), [left]);
        assert_eq!(short.await, Ok(()));
        for handle in [endless, beat, late] {
            assert_eq!(handle.await, Err(TaskError::Cancelled));
        }
        let refused = scheduler.submit(async {}).expect_err("it is closed");
        assert_eq!(refused, Rejection::ShuttingDown);
        release.send(()).expect("it waits");
        thread.await.expect_err("it was cancelled");
    });
}

#[test]
fn an_idle_scheduler_ends_at_once() {
    on_two_threads(async {
        let scheduler = builder().build().expect("limits are right");
        scheduler.submit(async {}).expect("room").await.expect("it completes");
        let report = tokio::time::timeout(
            Duration::from_secs(5),
            scheduler.shutdown(Duration::from_secs(60)),
        );
        let report = report.await.expect("nothing is waited for");
        assert!(report.cancelled.is_empty() && report.left.is_empty());
    });
}

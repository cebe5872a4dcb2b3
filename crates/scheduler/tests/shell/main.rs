//! The shell on a real runtime: handles, ends, limits, timers, shutdown, metrics, memory.

mod ends;
mod limits;
mod memory;
mod observed;
mod shutdown;
mod timers;

use std::time::Duration;

use tidemill_scheduler::{Builder, Scheduler};

/// Runs a test on two threads, and fails it when it takes longer than ten seconds.
fn on_two_threads<F>(test: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let test = tokio::spawn(test);
        tokio::time::timeout(Duration::from_secs(30), test)
            .await
            .expect("in time")
            .expect("passes");
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
}

fn builder() -> Builder {
    Scheduler::builder().grace(Duration::from_millis(50))
}

//! What a queued task takes, by an allocator that counts for the calling thread.

use tidemill_scheduler::Scheduler;
use tidemill_scheduler::core::{Priority, State};

#[test]
fn a_queued_task_takes_less_than_200_bytes_and_its_future() {
    const TASKS: usize = 50_000;
    // One thread that never yields: what is submitted stays queued.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let scheduler = Scheduler::builder().build().expect("limits are right");
        let mut handles = Vec::with_capacity(TASKS);
        let future = [7_u8; 100];
        let counted = allocation_counter::measure(|| {
            for _ in 0..TASKS {
                let task = scheduler.task().priority(Priority::Low);
                handles.push(task.submit(async move { future.len() }).expect("room"));
            }
        });
        assert_eq!(scheduler.statistics().count(State::Pending), TASKS);
        let held = usize::try_from(counted.bytes_current).expect("more is held than before");
        // The future holds its array, and a byte for where it is.
        let each = held as f64 / TASKS as f64 - 101.0;
        println!("{each:.1} bytes a queued task, besides its future");
        assert!(each < 200.0, "{each:.1} bytes");
    });
}

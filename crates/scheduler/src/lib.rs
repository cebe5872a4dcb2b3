//! Tasks with priorities: a pure [`core`] that decides what runs next, a shell that runs it.
//!
//! A [`Scheduler`] takes futures and blocking closures with a priority, a class, a deadline, a
//! delay, a timeout, retries, dependencies, or a key; each task has a [`Handle`] that awaits,
//! reports and cancels it. How many run at once is bounded, in total and by class, and an Emergency
//! finds a slot that no other may take.
//!
//! ```
//! use tidemill_scheduler::Scheduler;
//! use tidemill_scheduler::core::Priority;
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scheduler = Scheduler::builder().concurrency(64).build()?;
//! let report = scheduler.submit(async { 6 * 7 })?;
//! let alarm = scheduler.task().priority(Priority::Emergency).submit(async { "rang" })?;
//! assert_eq!(alarm.await, Ok("rang"));
//! assert_eq!(report.await, Ok(42));
//! # scheduler.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Never reads a file, the environment or a command line, and never prints.

pub mod core;
#[cfg(feature = "durable")]
pub mod durable;
mod error;
mod shell;

pub use self::error::{BuildError, TaskError};
pub use self::shell::{
    BoxClosure, BoxFuture, Builder, CancelToken, Cancelled, Executor, Handle, Scheduler, Shutdown,
    Task, Tokio,
};

//! Threads, time and futures around the [`core`](crate::core).

mod blocking;
mod builder;
mod cell;
mod clock;
mod executor;
mod handle;
mod inbox;
mod instruments;
mod job;
mod parked;
mod scheduler;
mod shared;
mod shutdown;
mod sleepers;
mod task;
mod timekeeper;
mod token;
mod worker;

pub use self::builder::Builder;
pub use self::executor::{BoxClosure, BoxFuture, Executor, Tokio};
pub use self::handle::Handle;
pub use self::scheduler::Scheduler;
pub use self::shutdown::Shutdown;
pub use self::task::Task;
pub use self::token::{CancelToken, Cancelled};

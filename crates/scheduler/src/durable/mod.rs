//! Jobs that outlive their process: kept in a store, run under leases, ended once.
//!
//! ```text
//! submit --> JobStore --claim--> Runner --> command (own process group) | handler
//!               ^                  |  renew: the lease is held on to, a cancellation is heard
//!               +------ finish ----+  fenced by the lease's number
//! ```
//!
//! What is promised: a job whose submission was acknowledged is never lost; it is run at least
//! once; its end is recorded once, by whoever holds the newest lease. What ran without a recorded
//! end runs again, so an effect outside happens exactly once only where it is made under the job's
//! idempotency key, which commands and handlers are given.
//!
//! | part | is |
//! | --- | --- |
//! | `job`, `progress` | the vocabulary and every rule of a job's life, without effects |
//! | `store` | what a store has to do; `sqlite` alone, `nats` together |
//! | `runner`, `attend` | claims as many jobs as there are slots, and sees each to its end |
//! | `command`, `log`, `orphan` | processes, what they print, and what an earlier runner left |
//!
//! Never prints, reads no environment variable; the clock is read in `clock` only.

mod attend;
mod clock;
mod command;
mod error;
mod handler;
mod instruments;
mod job;
mod log;
#[cfg(feature = "nats")]
pub mod nats;
mod orphan;
mod progress;
mod runner;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store;

pub use command::{Environment, ResourceLimits};
pub use error::Error;
pub use handler::{Context, Handlers};
pub use job::{Command, Job, JobId, JobSpec, LIMITS, ParseJobIdError, SpecLimits, Work};
pub use log::{LogPart, Logs};
pub use progress::{Cancelled, Claiming, End, Ended, NodeName, NotHeld, Progress};
pub use runner::{Runner, RunnerOptions};
pub use store::{Answer, Claim, Claims, Count, Filter, JobStore, Lease, Page, Renewed, Submitted};

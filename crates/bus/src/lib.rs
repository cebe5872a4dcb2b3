//! Queues between threads and tasks, and a router of messages built from them.
//!
//! | module | shape | bound |
//! |---|---|---|
//! | [`spsc`] | ring, one producer and one consumer, values written and read as slices | values |
//! | [`mpmc`] | ring, any number of producers and consumers | values |
//! | [`unbounded`] | linked segments, any number of both | bytes of segments, or memory |
//! | [`router`] | topics with subscribers, each with an [`mpmc`] queue | all of it |
//!
//! Every queue comes in two kinds, chosen by a type parameter ([`wait`]): [`Polling`] has the
//! `try_` forms only and pays for nothing else; [`Waiting`] adds blocking and async forms on
//! `std::task`, for any executor, and pays one fence per operation.
//!
//! What holds everywhere:
//! - A value that could not be pushed comes back in the error.
//! - Closing loses nothing: what was pushed before is still popped, then `Closed` is answered.
//! - Futures are cancel-safe: a dropped one has moved no value and swallowed no wake-up.
//! - Pushing and popping allocate nothing (an unbounded queue: nothing once it has grown).
//! - Dropping a queue drops its values, also when the drop of one of them panics.
//!
//! Never here: clocks, timers, threads, an executor, deep copies of a payload.

#![expect(unsafe_code, reason = "slots of queues hold values that may not be initialised")]

mod drain;
mod error;
mod event;
pub mod mpmc;
mod pace;
mod park;
pub mod router;
pub mod spsc;
mod sync;
pub mod unbounded;
pub mod wait;

pub use error::{CapacityError, PopError, PushError};
pub use router::Router;
pub use wait::{Polling, Waiting};

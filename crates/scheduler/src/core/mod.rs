//! Decisions without effects: no clock, no thread, no randomness, no I/O.
//!
//! Time comes in as a [`Moment`] and randomness as a number; what comes out is what to do next.

mod moment;
mod priority;
mod retry;
mod state;

pub use self::moment::Moment;
pub use self::priority::{ParsePriorityError, Priority};
pub use self::retry::{Backoff, Retry};
pub use self::state::{ParseStateError, State};

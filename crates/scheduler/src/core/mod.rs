//! Decisions without effects: no clock, no thread, no randomness, no I/O.
//!
//! Time comes in as a [`Moment`] and randomness as a number; what comes out is what to do next.
//! [`Machine`] is the whole of it: tasks go in with [`Machine::submit`], attempts come out of
//! [`Machine::start_next`], and [`Machine::finish`] tells how they ended.

mod estimate;
mod gradient;
mod limits;
mod machine;
mod moment;
mod moves;
mod order;
mod priority;
mod ready;
mod retry;
mod state;
mod statistics;
mod table;
mod task;
mod waits;

pub use self::estimate::{COUNT_MIN, Estimate, RunTimes};
pub use self::gradient::Gradient;
pub use self::limits::{AGING_SHARE, InvalidLimits, Limits};
pub use self::machine::{Cancel, Dropped, Due, Finish, Machine, Outcome, Ran, Start};
pub use self::moment::Moment;
pub use self::order::{Learned, Order};
pub use self::priority::{ParsePriorityError, Priority};
pub use self::retry::{Backoff, Retry};
pub use self::state::{ParseStateError, State};
pub use self::statistics::{Statistics, Totals};
pub use self::task::{CLASSES_MAX, Class, DEPENDENCIES_MAX, Record, Rejection, Spec, TaskId};

//! What a run costs: time, memory, instructions, allocations, and the latencies it tells.
//!
//! | instrument | tells | repeatable |
//! | --- | --- | --- |
//! | [`Prepared::run`] | wall and CPU time, peak memory, output | no: noise of the machine |
//! | [`compare`] | the ratio of two programs, beyond the noise | as far as the rule says |
//! | [`callgrind`] | instructions | yes, with hash seeds pinned |
//! | [`allocations`] | allocations and bytes by call site | yes, as instructions |

pub mod allocations;
pub mod callgrind;
mod clock;
mod group;
mod pairs;
mod printed;
mod run;
mod seeds;

pub(crate) use self::clock::now;
pub(crate) use self::group::Group;
pub use self::pairs::{Comparison, Sample, compare, control};
pub use self::printed::{Latency, Printed};
pub use self::run::{Prepared, Run};

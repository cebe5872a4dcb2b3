//! The pure core: operations, what they do to tasks and memory, how concurrent ones meet.
//!
//! ```text
//! Operation = actor · sequence · hybrid time · what its author had seen · author's name · action
//! state     = f(set of operations)      never a function of the order in which they came
//! ```
//!
//! Invariants:
//! 1. An operation is applied once, after everything its author had seen ([`Inbox`]). So when two
//!    operations meet, the later one's `seen` covers the earlier one, or they are concurrent.
//! 2. A write removes exactly the values that its author had seen. What remains of a field are the
//!    concurrent values; the winner is the one with the greatest hybrid time, then actor.
//! 3. A clock says only what was applied, never what somebody claims.
//!
//! Never reads a clock, a file, a socket or a source of randomness.

mod clock;
mod delivery;
mod edit;
mod memory;
mod merge;
mod operation;
mod presence;
mod register;
mod set;
mod task;
mod text;
mod wire;

pub use clock::{DRIFT_MS_MAX, HybridClock, HybridTime, VectorClock};
pub use delivery::{Arrival, Inbox};
pub use edit::{
    check_claim, claim_writes, creation, patch_writes, release_writes, renewal, text_change,
};
pub use memory::MemoryState;
pub use merge::{Merged, merge};
pub use operation::{Action, MemoryWrite, Operation, Write};
pub use register::{Entry, Register, Stamp};
pub use set::ObservedSet;
pub use task::TaskState;
pub use text::{Bases, MergedText, NoBases};
pub use wire::{OPERATION_BYTES_MAX, WireError};

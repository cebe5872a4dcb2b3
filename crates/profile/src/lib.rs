//! Looking inside running programs: how long, how often, where, and how much memory.
//!
//! Five views, from the cheapest to the deepest. None needs a server, and none keeps a thread or a
//! file longer than its guard lives.
//!
//! ```text
//! spans        Profiler::measure, enter, count      nanoseconds a call, always on
//! allocations  CountingAllocator, assert_no_alloc   two adds per allocation, by thread
//! counters     Counters over perf_event_open        kernel counts, read when asked
//! sampling     Sampler -> Recording -> Profile      a stack per tick, unwound by DWARF rules
//! ftrace       Tracer -> Stream of records          the kernel's own functions and events
//! ```
//!
//! What a kernel, a machine or missing rights refuse is answered with the reason and what is there
//! instead; a refusal is never a zero. All memory is bounded, and what falls beyond a bound is
//! counted and shown.
//!
//! Never: prints, reads the environment, changes anything of the kernel that its guard does not
//! put back.
#![expect(unsafe_code, reason = "perf_event_open, its mapped ring, GlobalAlloc and the unwinder")]

pub mod allocations;
mod clock;
pub mod counters;
mod error;
pub mod ftrace;
mod perf;
pub mod sampling;
pub mod spans;

pub use error::Error;

//! Memory for real-time and network code.
//!
//! | for                                         | use                                     |
//! |---------------------------------------------|-----------------------------------------|
//! | blocks of one size, also in real time       | [`BlockPool`]                           |
//! | bytes to read into, and to pass on uncopied | [`BufferPool`]: [`Buffer`], then `Bytes` |
//! |                                             | or [`View`]                             |
//! | blocks near the processor that uses them    | [`NumaPool`]                            |
//! | secrets in memory, sealed for a recipient   | `sealed` (feature of that name)         |
//! | atomics that models can check               | [`sync`]                                |
//!
//! Taking and giving use the thread's own store; threads meet once in a batch, in a lock-free
//! list. Nothing here reads a clock (but for the background clean-up and the debug mode that
//! records call sites), logs, or allocates on the hot path. Unsafe code is argued block by block;
//! docs/decisions/memory.md says what proves which part.
#![expect(unsafe_code, reason = "pools hand out raw memory; each block argues its invariant")]

mod asymmetric;
mod block;
mod buffer;
mod numa;
mod region;
#[cfg(feature = "sealed")]
pub mod sealed;
pub mod sync;

pub use block::{
    Block, BlockPool, BlockPoolBuilder, BlockStats, BuildError, GiveError, Hardening, Held,
    Incident, PageLock, TakeError, WrongPool,
};
pub use buffer::{
    Buffer, BufferPool, BufferPoolBuilder, BufferStats, ClassStats, Cleaned, Cleaner, Full, View,
};
#[cfg(not(any(loom, miri)))]
pub use numa::node_of_page;
pub use numa::{Node, NumaPool, Topology};

/// Returns the bytes of a page.
fn page_bytes() -> usize {
    if cfg!(any(loom, miri)) { 4096 } else { rustix::param::page_size() }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    //! What tests of several modules share.

    /// Reads the clock.
    #[expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]
    pub(crate) fn now() -> std::time::Instant {
        std::time::Instant::now()
    }
}

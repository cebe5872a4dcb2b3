//! What can go wrong with a block pool, and whose fault it is.

use std::io;

/// Why a pool could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The block size is zero.
    #[error("a block needs at least one byte")]
    ZeroBlock,
    /// The alignment is zero, no power of two, or above 1 GiB.
    #[error("alignment {0} is not a power of two up to 1 GiB")]
    Alignment(usize),
    /// A chunk would not hold one block.
    #[error(
        "a chunk of {chunk} bytes does not hold a block of {block} bytes (guard and alignment included)"
    )]
    ChunkTooSmall {
        /// Bytes asked for a chunk.
        chunk: usize,
        /// Bytes from one block to the next.
        block: usize,
    },
    /// The number of blocks is zero or above 16,777,214.
    #[error("a pool has 1 to 16777214 blocks, not {0}")]
    BlockCount(usize),
    /// The batch is zero or above 64 blocks.
    #[error("a batch has 1 to 64 blocks, not {0}")]
    Batch(u32),
    /// The sizes multiplied exceed the address space.
    #[error("{blocks} blocks of {block} bytes exceed the address space")]
    Overflow {
        /// Number of blocks.
        blocks: usize,
        /// Bytes from one block to the next.
        block: usize,
    },
    /// No size class, or classes that are not strictly increasing.
    #[error("size classes must be strictly increasing and at least one")]
    Classes,
    /// The kernel refused address space or memory.
    #[error("the kernel refused {bytes} bytes of {what}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// How much of it.
        bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Pages cannot be locked, and the builder did not allow to go on without.
    #[error(
        "locking {bytes} bytes needs CAP_IPC_LOCK or a memory-lock limit (ulimit -l) of that much"
    )]
    NotLocked {
        /// Bytes to be locked.
        bytes: usize,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The machine has no such NUMA node, or memory cannot be bound to it.
    #[error("memory cannot be bound to NUMA node {node}")]
    Node {
        /// The node asked for.
        node: u32,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Why there is no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// All blocks are held. Retry after some were given back.
    #[error("all blocks of the pool are held")]
    Exhausted,
    /// The kernel refused more memory; the operating system's error number.
    #[error("the kernel refused more memory (error {0})")]
    Refused(i32),
    /// The pool was made before this process was forked; make a new one.
    #[error("the pool belongs to the parent process")]
    Forked,
    /// The machine has no such NUMA node, or it has no memory.
    #[error("there is no NUMA node {0} with memory")]
    NoSuchNode(u32),
    /// The request is larger than the largest size class.
    #[error("the request exceeds the largest size class")]
    TooLarge,
}

/// Why a block was not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GiveError {
    /// The address lies in no block of this pool.
    #[error("the address does not belong to this pool")]
    Foreign,
    /// The address is not the first byte of a block.
    #[error("the address lies inside a block")]
    Interior,
    /// The block is not held: it was given back before.
    #[error("the block was given back before")]
    DoubleFree,
}

/// A block that was given to a pool it does not come from; it is handed back.
#[derive(Debug, thiserror::Error)]
#[error("the block belongs to another pool")]
pub struct WrongPool<T>(pub T);

//! Buffers of several size classes, kept warm and given back when idle.
//!
//! ```text
//! take(n) ─▶ smallest class that holds n ─▶ Buffer ─freeze─▶ Bytes ──last drop──▶ class
//!                                             └────share──▶ View ──last drop──▶ class
//! clean(now) ─▶ what no one needed for a whole time-to-live goes to the kernel, a step at a time
//! ```
//!
//! Each class is a [`BlockPool`]. Against fragmentation: classes are fixed, so a free buffer
//! serves every request of its class; clean-up returns low addresses first and gives back pages
//! where neighbours are idle too. Internal and external fragmentation are in the
//! [`statistics`](BufferStats).
//!
//! Never here: a clock (time is passed in), blocking, growth beyond the maximum.

mod clean;
mod handle;
mod stats;
#[cfg(test)]
mod tests;
mod view;

use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clean::Cleaning;
pub use clean::{Cleaned, Cleaner};
pub use handle::{Buffer, Full};
pub use stats::{BufferStats, ClassStats};
pub use view::View;

use crate::block::core::Core;
use crate::block::{
    Block, BlockPool, BlockPoolBuilder, BuildError, Hardening, Held, Incident, PageLock, TakeError,
};
use crate::sync::Mutex;

/// Pools of buffers of increasing sizes. Clones share them.
///
/// # Examples
///
/// ```
/// use bytes::BufMut;
/// use tidemill_memory::BufferPool;
///
/// let pool = BufferPool::builder().build()?;
/// let mut buffer = pool.take(1500)?;
/// buffer.put_slice(b"GET / HTTP/1.1\r\n");
/// let bytes = buffer.freeze();
/// let method = bytes.slice(..3);
/// assert_eq!(method, "GET");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    classes: Box<[Class]>,
    /// The pool for each capacity, by [`step_of`], up to the largest class; empty when that would
    /// take more than [`STEPS_MAX`] entries. One load then leads from a capacity to its pool.
    core_by_step: Box<[Arc<Core>]>,
    time_to_live: Duration,
    cleaning: Mutex<Cleaning>,
}

#[derive(Debug)]
struct Class {
    bytes: usize,
    pool: BlockPool,
}

impl BufferPool {
    /// Begins a pool.
    pub fn builder() -> BufferPoolBuilder {
        BufferPoolBuilder::new()
    }

    /// Takes an empty buffer with room for at least `capacity` bytes.
    ///
    /// # Errors
    ///
    /// [`TakeError::TooLarge`] above the largest class; otherwise as [`BlockPool::take`]. A class
    /// that is exhausted does not borrow from the next one.
    #[inline(always)]
    #[track_caller]
    pub fn take(&self, capacity: usize) -> Result<Buffer, TakeError> {
        let core = self.shared.core_of(capacity).ok_or(TakeError::TooLarge)?;
        Ok(Buffer::new(Block::take_for(core, capacity, Location::caller())?))
    }

    /// Tells the pool the time, for the age of held buffers; [`clean`](Self::clean) does so too.
    pub fn tick(&self, now: Instant) {
        for class in &self.shared.classes {
            class.pool.tick(now);
        }
    }

    /// Lists the held buffers by class, longest held first within each.
    pub fn outstanding(&self, now: Instant) -> Vec<(usize, Vec<Held>)> {
        let classes = self.shared.classes.iter();
        classes.map(|class| (class.bytes, class.pool.outstanding(now))).collect()
    }

    /// Returns sums over the classes, as of some moments during the call.
    pub fn stats(&self) -> BufferStats {
        let classes = self.shared.classes.iter();
        BufferStats::of(classes.map(|class| class.pool.stats_of_requests()))
    }

    /// Returns the capacity of the largest class in bytes.
    pub fn capacity_max(&self) -> usize {
        self.shared.classes.last().map_or(0, |class| class.bytes)
    }

    /// Says why pages are not locked although real-time mode asked for it.
    pub fn lock_error(&self) -> Option<String> {
        self.shared.classes.iter().find_map(|class| class.pool.lock_error())
    }
}

impl Shared {
    #[inline(always)]
    fn core_of(&self, capacity: usize) -> Option<&Arc<Core>> {
        match self.core_by_step.get(step_of(capacity)) {
            Some(core) => Some(core),
            None => self.search_core(capacity),
        }
    }

    #[cold]
    fn search_core(&self, capacity: usize) -> Option<&Arc<Core>> {
        let class = self.classes.iter().find(|class| class.bytes >= capacity)?;
        Some(class.pool.shared_core())
    }
}

/// Makes a [`BufferPool`].
///
/// # Defaults
///
/// Classes of 256 B, 1 KiB, 4 KiB, 16 KiB and 64 KiB; at most 256 MiB in each; a time-to-live of
/// 30 s; real-time mode, huge pages and hardening as in [`BlockPoolBuilder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct BufferPoolBuilder {
    classes: Vec<usize>,
    class_bytes_max: usize,
    time_to_live: Duration,
    /// Carries what all classes share; its block size is replaced.
    common: BlockPoolBuilder,
}

impl BufferPoolBuilder {
    fn new() -> Self {
        Self {
            classes: vec![256, 1 << 10, 4 << 10, 16 << 10, 64 << 10],
            class_bytes_max: 256 << 20,
            time_to_live: Duration::from_secs(30),
            common: BlockPool::builder(1).align(64),
        }
    }

    /// Sets the capacities in bytes, strictly increasing, at most 255 of them.
    pub fn classes(mut self, bytes: &[usize]) -> Self {
        self.classes = bytes.to_vec();
        self
    }

    /// Sets how many bytes each class can grow to.
    pub fn class_bytes_max(mut self, bytes: usize) -> Self {
        self.class_bytes_max = bytes;
        self
    }

    /// Sets how long memory stays idle before [`clean`](BufferPool::clean) gives it back: it goes
    /// between once and twice that time after its last use.
    pub fn time_to_live(mut self, idle: Duration) -> Self {
        self.time_to_live = idle;
        self
    }

    /// Allocates, touches and locks every class up to its maximum now; clean-up then does nothing.
    pub fn real_time(mut self, lock: PageLock) -> Self {
        self.common = self.common.real_time(lock);
        self
    }

    /// Asks the kernel for huge pages.
    pub fn huge_pages(mut self, wanted: bool) -> Self {
        self.common = self.common.huge_pages(wanted);
        self
    }

    /// Sets how much the pools check.
    pub fn hardening(mut self, level: Hardening) -> Self {
        self.common = self.common.hardening(level);
        self
    }

    /// Records where and when each buffer was taken: a debug mode.
    pub fn record_call_sites(mut self, wanted: bool) -> Self {
        self.common = self.common.record_call_sites(wanted);
        self
    }

    /// Calls `hook` with every incident, on the thread that found it.
    pub fn on_incident(mut self, hook: impl Fn(&Incident) + Send + Sync + 'static) -> Self {
        self.common = self.common.on_incident(hook);
        self
    }

    /// Binds all buffers to a NUMA node.
    pub fn node(mut self, node: u32) -> Self {
        self.common = self.common.node(node);
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// [`BuildError::Classes`] for unusable classes, else as [`BlockPoolBuilder::build`].
    pub fn build(self) -> Result<BufferPool, BuildError> {
        let increasing = self.classes.windows(2).all(|pair| pair[0] < pair[1]);
        if self.classes.is_empty() || !increasing || self.classes.len() > CLASSES_MAX {
            return Err(BuildError::Classes);
        }
        let pool = |&bytes: &usize| {
            let blocks = self.class_bytes_max.checked_div(bytes).ok_or(BuildError::ZeroBlock)?;
            // Small classes stop at the most blocks a pool can have.
            let blocks = blocks.min(BLOCKS_MAX);
            let pool = self.common.clone().block_bytes(bytes).blocks_max(blocks).build()?;
            Ok(Class { bytes, pool })
        };
        let classes = self.classes.iter().map(pool).collect::<Result<Box<[_]>, BuildError>>()?;
        Ok(BufferPool {
            shared: Arc::new(Shared {
                core_by_step: steps(&classes),
                cleaning: Mutex::new(Cleaning::new(classes.len())),
                classes,
                time_to_live: self.time_to_live,
            }),
        })
    }
}

/// Returns where `core_by_step` has the pool for `capacity`; 0 bytes are beyond its end, and so
/// go by the search.
#[inline(always)]
fn step_of(capacity: usize) -> usize {
    capacity.wrapping_sub(1) / STEP_BYTES
}

/// Returns the pool for each step; empty unless all classes end on steps and the table is small.
fn steps(classes: &[Class]) -> Box<[Arc<Core>]> {
    let largest = classes.last().map_or(0, |class| class.bytes);
    let fits = classes.iter().all(|class| class.bytes.is_multiple_of(STEP_BYTES));
    if !fits || largest / STEP_BYTES > STEPS_MAX {
        return Box::default();
    }
    // The largest capacity of a step decides.
    let class = |end| classes.partition_point(|class| class.bytes < end);
    (1..=largest / STEP_BYTES)
        .map(|step| Arc::clone(classes[class(step * STEP_BYTES)].pool.shared_core()))
        .collect()
}

const STEP_BYTES: usize = 64;
const STEPS_MAX: usize = 1 << 12;
const CLASSES_MAX: usize = 255;
const BLOCKS_MAX: usize = (1 << 24) - 2;

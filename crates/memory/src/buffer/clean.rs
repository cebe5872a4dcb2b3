//! Giving idle memory back, a bounded step at a time.
//!
//! Time is cut into windows of the time-to-live. At the end of a window, each class knows the
//! fewest batches its list had during it: so many were not needed by anybody. Steps then give
//! their memory back to the kernel, at most [`STEP_BLOCKS`] blocks at a time, and keep the
//! addresses on the cold list. Blocks that lie in magazines of threads are gathered once at the
//! end of a window, from threads that are not inside an operation.
//!
//! A step works on what it took off the lists, so takers never wait for it; only growth and threads
//! that come or go meet its lock.

use std::time::{Duration, Instant};

use super::{BufferPool, Shared};
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// Bytes given back to the kernel.
    pub bytes: usize,
    /// Whether more is known to be idle: call again soon.
    pub more: bool,
}

/// Where the clean-up stands.
#[derive(Debug)]
pub(super) struct Cleaning {
    window_end: Option<Instant>,
    /// Batches still to be given back, by class.
    idle: Box<[u32]>,
    scratch: Vec<u32>,
}

impl Cleaning {
    pub(super) fn new(classes: usize) -> Self {
        Self {
            window_end: None,
            idle: vec![0; classes].into(),
            scratch: Vec::with_capacity(STEP_BLOCKS as usize),
        }
    }
}

impl BufferPool {
    /// Does one step of the clean-up; well under a millisecond.
    ///
    /// Call it regularly, and again at once, or when there is time, while [`Cleaned::more`] says
    /// so. Does nothing while another thread is at it.
    pub fn clean(&self, now: Instant) -> Cleaned {
        self.tick(now);
        match self.shared.cleaning.try_lock() {
            Ok(mut cleaning) => self.shared.step(&mut cleaning, now),
            Err(_) => Cleaned::default(),
        }
    }

    /// Starts a thread that cleans, four times in each time-to-live, until the result is dropped.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn clean_in_background(&self) -> std::io::Result<Cleaner> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (pool, stopped) = (self.clone(), Arc::clone(&stop));
        let worker = move || pool.clean_until(&stopped);
        let thread = Builder::new().name("memory-clean".to_owned()).spawn(worker)?;
        Ok(Cleaner { stop, thread: Some(thread) })
    }

    #[expect(clippy::disallowed_methods, reason = "the background thread is the clean-up's shell")]
    fn clean_until(&self, stop: &(Mutex<bool>, Condvar)) {
        let pause = (self.shared.time_to_live / 4).max(Duration::from_millis(10));
        let mut stopped = lock(&stop.0);
        while !*stopped {
            let wait = if self.clean(Instant::now()).more { STEP_PAUSE } else { pause };
            stopped = match stop.1.wait_timeout(stopped, wait) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Shared {
    fn step(&self, cleaning: &mut Cleaning, now: Instant) -> Cleaned {
        let is_over = match cleaning.window_end {
            Some(end) => now >= end,
            None => {
                // The first window begins now, so nothing is idle yet.
                self.measure(cleaning);
                cleaning.idle.fill(0);
                cleaning.window_end = Some(now + self.time_to_live);
                false
            }
        };
        if is_over {
            self.measure(cleaning);
            cleaning.window_end = Some(now + self.time_to_live);
        }
        let mut budget = STEP_BLOCKS;
        let mut bytes = 0;
        for (class, idle) in self.classes.iter().zip(&mut cleaning.idle) {
            let core = class.pool.core();
            let batches = (*idle).min(budget / core.batch);
            if batches == 0 {
                continue;
            }
            let (released, had_all) = core.release(batches, &mut cleaning.scratch);
            bytes += released;
            budget -= batches * core.batch;
            *idle = if had_all { *idle - batches } else { 0 };
        }
        Cleaned { bytes, more: cleaning.idle.iter().any(|&idle| idle > 0) }
    }

    /// Notes what was idle for the whole window, and begins the next one.
    fn measure(&self, cleaning: &mut Cleaning) {
        for (class, idle) in self.classes.iter().zip(&mut cleaning.idle) {
            let core = class.pool.core();
            if core.layout.is_populated || core.is_forked() {
                // Real-time memory stays where it is.
                *idle = 0;
                continue;
            }
            *idle = core.idle_batches();
            core.gather();
        }
    }
}

/// Stops the background clean-up when dropped, and waits for its thread.
#[derive(Debug)]
#[must_use = "the clean-up stops when this is dropped"]
pub struct Cleaner {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the clean-up was already shown by its thread.
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Most blocks given back by one step: at about 1 us each for separate pages.
const STEP_BLOCKS: u32 = 256;
/// Between two steps of the background thread, so that callers are not crowded out.
const STEP_PAUSE: Duration = Duration::from_millis(1);

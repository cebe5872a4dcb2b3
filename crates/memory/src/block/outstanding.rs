//! What is held: how many, since when and, in a debug mode, from which line.

use std::collections::HashMap;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// One held block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The block's index in its pool.
    pub block: u32,
    /// How long it has been held: to about 1/16 s from the pool's ticks, exact with call sites.
    /// None when it was taken before the first tick.
    pub age: Option<Duration>,
    /// Where it was taken; only when the pool records call sites.
    pub site: Option<&'static Location<'static>>,
}

/// Who took what and when. For debugging: every taking locks and reads the clock.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    by_block: Mutex<HashMap<u32, (Instant, &'static Location<'static>)>>,
}

impl Sites {
    #[expect(clippy::disallowed_methods, reason = "a debug mode that exists to record the time")]
    pub(crate) fn record(&self, block: u32, site: &'static Location<'static>) {
        let now = Instant::now();
        self.lock().insert(block, (now, site));
    }

    pub(crate) fn clear(&self, block: u32) {
        self.lock().remove(&block);
    }

    pub(crate) fn get(&self, block: u32) -> Option<(Instant, &'static Location<'static>)> {
        self.lock().get(&block).copied()
    }

    fn lock(
        &self,
    ) -> crate::sync::MutexGuard<'_, HashMap<u32, (Instant, &'static Location<'static>)>> {
        self.by_block.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The pool's coarse time: ticks since the first one it was told.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    start: std::sync::OnceLock<Instant>,
}

impl Ticks {
    /// Returns the stamp for blocks taken from `now` on; stamps begin at 2.
    pub(crate) fn stamp(&self, now: Instant) -> u32 {
        let start = self.start.get_or_init(|| now);
        let ticks = now.saturating_duration_since(*start).as_millis() / TICK_MS;
        u32::try_from(ticks + 2).unwrap_or(u32::MAX).min(super::slots::STAMP_MAX)
    }

    /// Returns how long before `now` a block with `stamp` was taken.
    pub(crate) fn age(&self, stamp: u32, now: Instant) -> Option<Duration> {
        let ticks = u64::from(stamp.checked_sub(2)?);
        let millis = ticks * u64::try_from(TICK_MS).expect("a small constant");
        let taken = *self.start.get()? + Duration::from_millis(millis);
        Some(now.saturating_duration_since(taken))
    }
}

const TICK_MS: u128 = 64;

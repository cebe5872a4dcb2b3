//! Threads that come and go, and what stops or empties all their magazines.

use std::sync::Arc;

use super::{Core, Registry};
use crate::asymmetric;
use crate::block::integrity::Incident;
use crate::block::magazine::{CHECKED, Magazine};
use crate::block::slots::Chain;
use crate::sync::atomic::Ordering;

impl Core {
    /// Makes a magazine for the calling thread; none when the pool is closed or forked.
    pub(crate) fn register(&self) -> Option<Arc<Magazine>> {
        if self.is_forked() {
            return None;
        }
        let mut registry = self.lock();
        if registry.closed {
            return None;
        }
        let is_checked = self.integrity.is_on() || self.sites.is_some() || !asymmetric::is_quick();
        let magazine = Arc::new(Magazine::new(self.batch, if is_checked { CHECKED } else { 0 }));
        registry.magazines.push(Arc::clone(&magazine));
        Some(magazine)
    }

    /// Takes back what an ending thread has.
    pub(crate) fn retire(&self, magazine: &Arc<Magazine>) {
        if self.is_forked() {
            return;
        }
        let mut registry = self.lock();
        if registry.closed {
            return;
        }
        magazine.announce();
        // SAFETY: the caller is the owner itself, so nobody is inside; the lock excludes seizers.
        unsafe { magazine.empty(self) };
        registry.departed.add(magazine.counts());
        registry.magazines.retain(|other| !Arc::ptr_eq(other, magazine));
    }

    /// Ends the pool when its last handle goes; returns how many blocks are still held.
    pub(crate) fn close(self: &Arc<Self>) -> u64 {
        if self.is_forked() {
            return 0;
        }
        let mut registry = self.lock();
        registry.closed = true;
        self.closed.store(true, Ordering::Release);
        self.seize(&registry);
        // The seizure never ends: from here on every giving comes under the lock.
        let counts = registry.counts();
        registry.magazines.clear();
        let held = counts.taken.wrapping_sub(counts.given);
        registry.held_after_close = held;
        if held == 0 {
            registry.region = None;
        } else {
            // Released by the last block given.
            std::mem::forget(Arc::clone(self));
        }
        held
    }

    /// Says whether the memory was given back.
    #[cfg(all(test, loom))]
    pub(crate) fn is_released(&self) -> bool {
        self.lock().region.is_none()
    }

    /// Waits until no owner is inside any magazine, and keeps them out.
    fn seize(&self, registry: &Registry) {
        announce(registry);
        for magazine in &registry.magazines {
            while magazine.is_busy() {
                // An operation is a few instructions; only a preempted owner makes us wait.
                crate::sync::thread::yield_now();
            }
        }
    }

    /// Makes the lists anew from the record of what is free.
    ///
    /// Everything else stands still meanwhile. Costs about 5 ns for each block ever carved.
    #[cold]
    pub(crate) fn rebuild(&self) {
        let registry = self.lock();
        self.seize(&registry);
        for magazine in &registry.magazines {
            // SAFETY: announced, fenced, not busy, under the lock.
            unsafe { magazine.forget() };
        }
        self.hot.clear();
        self.cold.clear();
        let carved = self.flow.carved.load(Ordering::Acquire);
        let mut batch = Chain::EMPTY;
        let mut found = 0;
        for index in (0..carved).filter(|&index| self.integrity.is_free(self, index)) {
            batch.push(&self.slots, index);
            found += 1;
            if batch.len == self.batch {
                self.hot.push(&self.slots, std::mem::replace(&mut batch, Chain::EMPTY));
            }
        }
        if batch.len > 0 {
            self.hot.push(&self.slots, batch);
        }
        self.flow.cold_blocks.store(0, Ordering::Relaxed);
        self.flow.out.store(carved - found, Ordering::Relaxed);
        for magazine in &registry.magazines {
            magazine.release();
        }
        drop(registry);
        self.integrity.report(Incident::Rebuilt { free: found });
    }

    /// Moves what other threads keep in idle magazines to the hot list; false when that was
    /// nothing.
    ///
    /// Skips threads that are in the middle of an operation, so it waits for nobody but the lock.
    pub(crate) fn gather(&self) -> bool {
        let registry = self.lock();
        let mut found = self.hot.depth(&self.slots) > 0 || self.cold.depth(&self.slots) > 0;
        let counts = registry.counts();
        let held = counts.taken.wrapping_sub(counts.given);
        if u64::from(self.flow.out.load(Ordering::Relaxed)) == held {
            // Nothing lies in a magazine; a caller that polls an empty pool costs no fence.
            return found;
        }
        announce(&registry);
        for magazine in &registry.magazines {
            if !magazine.is_busy() {
                // SAFETY: announced and fenced above under the lock, and not busy since.
                found |= unsafe { magazine.empty(self) };
            }
            magazine.release();
        }
        found
    }
}

/// Asks all owners to stay out and passes the heavy fence.
fn announce(registry: &Registry) {
    for magazine in &registry.magazines {
        magazine.announce();
    }
    asymmetric::heavy();
}

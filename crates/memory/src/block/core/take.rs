//! The ways to a block when the fast one has none.

use std::panic::Location;
use std::sync::Arc;

use super::Core;
use crate::block::error::TakeError;
use crate::block::magazine::{Magazine, WHOLE_BLOCK};
use crate::block::slots::{Chain, Damaged};
use crate::block::thread;
use crate::sync::atomic::Ordering;

impl Core {
    #[cold]
    #[inline(never)]
    pub(super) fn take_slowly(
        self: &Arc<Self>,
        requested: u32,
        site: &'static Location<'static>,
    ) -> Result<u32, TakeError> {
        if self.is_forked() {
            return Err(TakeError::Forked);
        }
        let magazine = thread::magazine(self);
        loop {
            let found = self.take_from_anywhere(magazine.as_deref());
            match found {
                Ok(Some(index)) => {
                    if self.integrity.admit(self, index) {
                        if requested != WHOLE_BLOCK {
                            self.slots.get(index).below.store(requested, Ordering::Relaxed);
                        }
                        if let Some(sites) = &self.sites {
                            sites.record(index, site);
                        }
                        return Ok(index);
                    }
                    self.forget_taken(magazine.as_deref());
                }
                Ok(None) => self.provide()?,
                Err(Damaged) => self.rebuild(),
            }
        }
    }

    /// Takes a block from the magazine or, where there is none or it is seized, from the lists.
    fn take_from_anywhere(&self, magazine: Option<&Magazine>) -> Result<Option<u32>, Damaged> {
        let own = magazine.and_then(|magazine| {
            magazine.enter(|stock| {
                if stock.is_empty() {
                    stock.fill(self, self.fetch()?)?;
                }
                let Some(index) = stock.pop() else { return Ok(None) };
                if !self.integrity.claim(self, index) {
                    // Somebody holds it: the list is wrong, and so may be the rest.
                    stock.clear();
                    return Err(Damaged);
                }
                magazine.count_taken();
                Ok(Some(index))
            })
        });
        if let Some(result) = own {
            return result;
        }
        let mut registry = self.lock();
        let mut batch = self.fetch()?;
        let Some(index) = batch.pop(&self.slots)? else { return Ok(None) };
        if batch.len > 0 {
            self.publish(batch);
        }
        if !self.integrity.claim(self, index) {
            return Err(Damaged);
        }
        registry.departed.taken += 1;
        Ok(Some(index))
    }

    /// Takes a batch off the lists, or carves one; empty when there is none.
    fn fetch(&self) -> Result<Chain, Damaged> {
        let batch = if let Some((batch, depth)) = self.hot.pop(&self.slots)? {
            if depth < self.flow.hot_low.load(Ordering::Relaxed) {
                self.flow.hot_low.fetch_min(depth, Ordering::Relaxed);
            }
            batch
        } else {
            self.flow.hot_low.store(0, Ordering::Relaxed);
            let (batch, is_backed) = match self.cold.pop(&self.slots)? {
                Some((batch, _)) => {
                    self.flow.cold_blocks.fetch_sub(batch.len, Ordering::Relaxed);
                    (batch, false)
                }
                None => (self.carve(), self.layout.is_populated),
            };
            if !is_backed {
                self.flow.misses.fetch_add(u64::from(batch.len), Ordering::Relaxed);
            }
            batch
        };
        if batch.len > 0 {
            let out = self.flow.out.fetch_add(batch.len, Ordering::Relaxed) + batch.len;
            if out > self.flow.out_max.load(Ordering::Relaxed) {
                self.flow.out_max.fetch_max(out, Ordering::Relaxed);
            }
        }
        Ok(batch)
    }

    /// Makes a batch of blocks that were never used.
    fn carve(&self) -> Chain {
        let batch = self.batch;
        let end = self.flow.committed.load(Ordering::Acquire);
        let carved = self.flow.carved.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |at| {
            (at < end).then(|| end.min(at + batch))
        });
        match carved {
            // Backwards, so that the lowest address is taken first.
            Ok(start) => self.slots.chain((start..end.min(start + batch)).rev()),
            Err(_) => Chain::EMPTY,
        }
    }

    /// Finds more blocks: a new chunk, else what idle threads keep in their magazines.
    ///
    /// Not called inside [`Magazine::enter`].
    fn provide(&self) -> Result<(), TakeError> {
        match self.grow() {
            Err(TakeError::Exhausted) if !self.layout.is_real_time => {
                if self.gather() {
                    Ok(())
                } else {
                    Err(TakeError::Exhausted)
                }
            }
            result => result,
        }
        .inspect_err(|_| {
            self.flow.exhausted.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Makes one more chunk usable, unless another thread just did.
    pub(crate) fn grow(&self) -> Result<(), TakeError> {
        let blocks_max = self.layout.blocks_max;
        // Checked before the lock: an exhausted real-time pool never waits.
        if self.flow.committed.load(Ordering::Acquire) == blocks_max && self.is_carved_out() {
            return Err(TakeError::Exhausted);
        }
        let registry = self.lock();
        if !self.is_carved_out() {
            return Ok(());
        }
        let committed = self.flow.committed.load(Ordering::Acquire);
        if committed == blocks_max {
            return Err(TakeError::Exhausted);
        }
        let region = registry.region.as_ref().expect("a pool with a handle has its region");
        let end = blocks_max.min(committed + self.layout.chunk_blocks);
        let range = self.layout.span(committed..end);
        region
            .commit(range.start, range.len())
            .map_err(|error| TakeError::Refused(error.raw_os_error().unwrap_or(0)))?;
        // Release pairs with the Acquire in `carve`: the chunk is usable before it is carved.
        self.flow.committed.store(end, Ordering::Release);
        Ok(())
    }

    fn is_carved_out(&self) -> bool {
        let carved = self.flow.carved.load(Ordering::Acquire);
        carved == self.flow.committed.load(Ordering::Acquire)
    }
}

//! Giving the memory of idle blocks back; `buffer/clean.rs` says who asks and when.

use super::Core;
use crate::block::slots::FREE;
use crate::region::Region;
use crate::sync::atomic::Ordering;

impl Core {
    /// Returns how many hot batches nobody needed since the last call.
    pub(crate) fn idle_batches(&self) -> u32 {
        let depth = self.hot.depth(&self.slots);
        self.flow.hot_low.swap(depth, Ordering::Relaxed).min(depth)
    }

    /// Gives the memory of up to `batches` hot batches back; returns bytes given back and whether
    /// the hot list had that many.
    ///
    /// `scratch` keeps its capacity between calls. Blocks smaller than a page are given back where
    /// neighbours are idle too.
    pub(crate) fn release(&self, batches: u32, scratch: &mut Vec<u32>) -> (usize, bool) {
        scratch.clear();
        // Held throughout: a rebuild must not see these blocks as lost.
        let registry = self.lock();
        let Some(region) = registry.region.as_ref() else { return (0, false) };
        let mut found = 0;
        while found < batches {
            // Damage is found again, and repaired, by the next taking.
            let Ok(Some((mut batch, _))) = self.hot.pop(&self.slots) else { break };
            while let Ok(Some(index)) = batch.pop(&self.slots) {
                scratch.push(index);
            }
            found += 1;
        }
        scratch.sort_unstable();
        let bytes = self.discard(region, scratch);
        for run in scratch.chunks(self.batch as usize) {
            // Lowest addresses are taken first again: later clean-ups then find long runs.
            let batch = self.slots.chain(run.iter().rev().copied());
            self.flow.cold_blocks.fetch_add(batch.len, Ordering::Relaxed);
            self.cold.push(&self.slots, batch);
        }
        (bytes, found == batches)
    }

    /// Discards the whole pages covered by the free blocks `sorted`, which the caller holds.
    fn discard(&self, region: &Region, sorted: &[u32]) -> usize {
        let mut bytes = 0;
        for run in sorted.chunk_by(|a, b| a + 1 == *b) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let span = self.layout.span(first..last + 1);
            let start = span.start.next_multiple_of(crate::page_bytes());
            let end = span.end - span.end % crate::page_bytes();
            if start >= end {
                continue;
            }
            // SAFETY: the caller took these blocks off the list, so nobody holds them, and the
            // range covers nothing else.
            if unsafe { region.discard(start, end - start) }.is_ok() {
                bytes += end - start;
                for &index in run {
                    // The poison may be gone; a sound block is free either way.
                    self.slots.get(index).state.store(FREE, Ordering::Relaxed);
                }
            }
        }
        bytes
    }
}

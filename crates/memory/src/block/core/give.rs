//! The ways back for a block when the fast one is closed.

use std::sync::Arc;

use super::Core;
use crate::block::magazine::Magazine;
use crate::block::slots::Chain;
use crate::block::thread;

impl Core {
    #[cold]
    #[inline(never)]
    pub(super) fn give_slowly(self: Arc<Self>, index: u32) {
        if self.is_forked() {
            // The memory is this child's own copy; it goes when the child does.
            return;
        }
        if let Some(sites) = &self.sites {
            sites.clear(index);
        }
        let is_sound = self.integrity.examine(&self, index);
        let magazine = thread::magazine(&self);
        let given = magazine.and_then(|magazine| {
            magazine.enter(|stock| {
                if is_sound {
                    self.integrity.mark_free(&self, index);
                    magazine.put(stock, &self, index);
                } else {
                    magazine.count_given();
                }
            })
        });
        if given.is_none() {
            self.give_under_lock(index, is_sound);
        }
    }

    fn give_under_lock(self: &Arc<Self>, index: u32, is_sound: bool) {
        let mut registry = self.lock();
        if registry.closed {
            registry.held_after_close -= 1;
            if registry.held_after_close == 0 {
                registry.region = None;
                // SAFETY: releases the count that `close` leaked for the held blocks, of which
                // this was the last; the caller has a count of its own.
                unsafe { Arc::decrement_strong_count(Arc::as_ptr(self)) };
            }
            return;
        }
        registry.departed.given += 1;
        if is_sound {
            self.integrity.mark_free(self, index);
            let mut batch = Chain::EMPTY;
            batch.push(&self.slots, index);
            self.publish(batch);
        }
    }

    /// Undoes the count of a block that turned out damaged after it was taken.
    pub(super) fn forget_taken(&self, magazine: Option<&Magazine>) {
        let counted = magazine.and_then(|magazine| magazine.enter(|_| magazine.count_given()));
        if counted.is_none() {
            self.lock().departed.given += 1;
        }
    }
}

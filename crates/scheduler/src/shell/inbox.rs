//! Where submitted tasks lie until somebody has the machine anyway.
//!
//! Several small queues, each with its own lock; a thread always uses the same one, so what it
//! submits stays in order. A full queue is not an error: the submitter takes the machine itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::job::BoxJob;
use crate::core::{Class, Moment, Priority};

/// A task that asks for nothing but a priority and a class.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: BoxJob,
    pub(super) submitted: Moment,
    pub(super) priority: Priority,
    pub(super) class: Class,
}

#[derive(Debug)]
pub(super) struct Inbox {
    shards: [Shard; SHARDS],
}

/// A cache line pair to itself: submitters of different shards do not disturb each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    count: AtomicUsize,
    entries: Mutex<Vec<Entry>>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { shards: Default::default() }
    }

    /// Puts a task into the calling thread's queue, or gives it back when that is full.
    pub(super) fn push(&self, entry: Entry) -> Result<(), Entry> {
        let shard = &self.shards[mine()];
        let mut entries = shard.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= SHARD_MAX {
            return Err(entry);
        }
        entries.push(entry);
        // Pairs with the load in `is_empty` of a worker that is about to sleep: either it sees
        // this, or we see that it sleeps.
        shard.count.store(entries.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Moves everything into `take`, queue by queue; `scratch` lends its memory.
    pub(super) fn drain(&self, scratch: &mut Vec<Entry>, mut take: impl FnMut(Entry)) {
        for shard in &self.shards {
            if shard.count.load(Ordering::Relaxed) == 0 {
                continue;
            }
            {
                let mut entries = shard.entries.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut *entries, scratch);
                shard.count.store(0, Ordering::SeqCst);
            }
            scratch.drain(..).for_each(&mut take);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.count.load(Ordering::SeqCst) == 0)
    }
}

const SHARDS: usize = 4;

/// Tasks in one queue; 40 bytes each.
const SHARD_MAX: usize = 256;

/// Returns the calling thread's queue.
fn mine() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    MINE.try_with(|mine| *mine).unwrap_or(0)
}

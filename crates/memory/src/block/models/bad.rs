//! Textbook forms that are wrong. They stay to show that the models can fail.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;

use super::FreeList;

/// A Treiber stack of indices without a generation: a head that came back looks unchanged.
pub(super) struct NoGeneration {
    head: AtomicU32,
    next: Vec<AtomicU32>,
}

impl NoGeneration {
    pub(super) fn new(blocks: u32) -> Self {
        let list = Self {
            head: AtomicU32::new(NIL),
            next: (0..blocks).map(|_| AtomicU32::new(NIL)).collect(),
        };
        (0..blocks).rev().for_each(|block| list.push(block));
        list
    }
}

impl FreeList for NoGeneration {
    fn push(&self, block: u32) {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            self.next[block as usize].store(head, Ordering::Relaxed);
            match self.head.compare_exchange(head, block, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        while head != NIL {
            let next = self.next[head as usize].load(Ordering::Relaxed);
            match self.head.compare_exchange(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(head),
                Err(now) => head = now,
            }
        }
        None
    }
}

/// A Treiber stack with the link in the block's own bytes: it is read while a new holder writes.
pub(super) struct LinksInside {
    head: AtomicU32,
    blocks: Vec<UnsafeCell<u32>>,
}

// SAFETY: deliberately wrong; loom reports the race.
unsafe impl Sync for LinksInside {}

impl LinksInside {
    pub(super) fn new(blocks: u32) -> Self {
        let list = Self {
            head: AtomicU32::new(NIL),
            blocks: (0..blocks).map(|_| UnsafeCell::new(NIL)).collect(),
        };
        (0..blocks).rev().for_each(|block| list.push(block));
        list
    }
}

impl FreeList for LinksInside {
    fn push(&self, block: u32) {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            // SAFETY: the pusher owns the block.
            self.blocks[block as usize].with_mut(|link| unsafe { *link = head });
            match self.head.compare_exchange(head, block, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn pop(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        while head != NIL {
            // SAFETY: none: this is the flaw. Another thread may own the block by now.
            let next = self.blocks[head as usize].with(|link| unsafe { *link });
            match self.head.compare_exchange(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(head),
                Err(now) => head = now,
            }
        }
        None
    }
}

/// The magazine's protocol with plain stores and loads where the fences belong.
pub(super) fn seize_without_fences() {
    struct Bad {
        busy: AtomicBool,
        seized: AtomicBool,
        chains: UnsafeCell<u32>,
    }
    // SAFETY: deliberately wrong; loom reports the race.
    unsafe impl Sync for Bad {}

    let magazine = Arc::new(Bad {
        busy: AtomicBool::new(false),
        seized: AtomicBool::new(false),
        chains: UnsafeCell::new(0),
    });
    let owner = thread::spawn({
        let magazine = Arc::clone(&magazine);
        move || {
            magazine.busy.store(true, Ordering::Relaxed);
            if !magazine.seized.load(Ordering::Acquire) {
                // SAFETY: none without the fence.
                magazine.chains.with_mut(|chains| unsafe { *chains += 1 });
            }
            magazine.busy.store(false, Ordering::Release);
        }
    });
    magazine.seized.store(true, Ordering::Relaxed);
    if !magazine.busy.load(Ordering::Acquire) {
        // SAFETY: none without the fence.
        magazine.chains.with_mut(|chains| unsafe { *chains = 0 });
    }
    owner.join().unwrap();
}

const NIL: u32 = u32::MAX;

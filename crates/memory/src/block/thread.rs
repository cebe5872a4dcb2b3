//! Where a thread finds its magazines.
//!
//! A direct-mapped table by pool id answers in a few loads; a list behind it owns the magazines and
//! gives their blocks back when the thread ends. A fork empties the table in the child, so that the
//! child takes the slow path of every pool it inherited, where it is turned away: the pools' locks
//! may be held by threads that do not exist there.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::core::Core;
use super::magazine::Magazine;

/// Runs `work` on this thread's magazine of pool `id`, if the table has it.
#[inline(always)]
pub(crate) fn with<R>(id: u64, work: impl FnOnce(&Magazine) -> R) -> Option<R> {
    THREAD
        .try_with(|thread| {
            let (known, magazine) = thread.table[place(id)].get();
            if known != id {
                return None;
            }
            // SAFETY: entries point into magazines that `held` of the same thread keeps; an entry
            // is overwritten before its magazine leaves `held`, and ids are never used twice.
            Some(work(unsafe { &*magazine }))
        })
        .ok()
        .flatten()
}

/// Returns this thread's magazine of `core`, made now if need be.
///
/// None while the thread is ending and after the pool was closed.
pub(crate) fn magazine(core: &Arc<Core>) -> Option<Arc<Magazine>> {
    THREAD.try_with(|thread| thread.magazine(core)).ok().flatten()
}

/// Returns how often this process and its ancestors forked since the first pool.
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Returns a pool id never used before; ids start at 1, the tables use 0 for none.
pub(crate) fn next_pool_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Has forks counted from now on. Idempotent.
pub(crate) fn watch_forks() {
    #[cfg(not(any(loom, miri)))]
    {
        static WATCH: std::sync::Once = std::sync::Once::new();
        WATCH.call_once(|| {
            // SAFETY: the handler touches one atomic and this thread's own table, neither of which
            // another thread can have left half-written.
            let result = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
            assert_eq!(result, 0, "there is memory for one fork handler");
        });
    }
}

#[cfg(not(any(loom, miri)))]
extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    // A thread that is ending has no table any more; nothing is left to forget.
    let _ = THREAD.try_with(Thread::forget);
}

#[derive(Debug)]
struct Thread {
    table: [Cell<(u64, *const Magazine)>; TABLE_LEN],
    held: RefCell<Vec<(Arc<Core>, Arc<Magazine>)>>,
}

impl Thread {
    const fn new() -> Self {
        Self {
            table: [const { Cell::new((0, std::ptr::null())) }; TABLE_LEN],
            held: RefCell::new(Vec::new()),
        }
    }

    fn magazine(&self, core: &Arc<Core>) -> Option<Arc<Magazine>> {
        let known = self.find(core.id);
        let magazine = match known {
            Some(magazine) => magazine,
            None => {
                // Dropped outside the borrow: the last reference runs the user's hook's `Drop`.
                drop(self.closed());
                let magazine = core.register()?;
                self.held.borrow_mut().push((Arc::clone(core), Arc::clone(&magazine)));
                magazine
            }
        };
        self.table[place(core.id)].set((core.id, Arc::as_ptr(&magazine)));
        Some(magazine)
    }

    fn find(&self, id: u64) -> Option<Arc<Magazine>> {
        let held = self.held.borrow();
        held.iter().find(|(core, _)| core.id == id).map(|(_, magazine)| Arc::clone(magazine))
    }

    /// Takes out the pools that were closed meanwhile.
    fn closed(&self) -> Vec<(Arc<Core>, Arc<Magazine>)> {
        let mut held = self.held.borrow_mut();
        let closed: Vec<_> = held.extract_if(.., |(core, _)| core.is_closed()).collect();
        for (core, _) in &closed {
            let entry = &self.table[place(core.id)];
            if entry.get().0 == core.id {
                entry.set((0, std::ptr::null()));
            }
        }
        closed
    }

    /// Forgets everything without giving it back: in a forked child.
    #[cfg(not(any(loom, miri)))]
    fn forget(&self) {
        for entry in &self.table {
            entry.set((0, std::ptr::null()));
        }
        if let Ok(mut held) = self.held.try_borrow_mut() {
            std::mem::forget(std::mem::take(&mut *held));
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        for (core, magazine) in self.held.get_mut().drain(..) {
            core.retire(&magazine);
        }
    }
}

#[inline(always)]
fn place(id: u64) -> usize {
    usize::try_from(id % TABLE_LEN as u64).expect("below the table's length")
}

#[cfg(not(any(loom, shuttle)))]
std::thread_local! {
    static THREAD: Thread = const { Thread::new() };
}
#[cfg(any(loom, shuttle))]
crate::sync::thread_local! {
    static THREAD: Thread = Thread::new();
}

static FORKS: AtomicU64 = AtomicU64::new(0);
const TABLE_LEN: usize = 32;

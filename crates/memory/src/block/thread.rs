//! Where a thread finds its magazines.
//!
//! A direct-mapped table, an entry for each pool, answers in a few loads; a list behind it owns
//! the magazines and gives their blocks back when the thread ends. A fork empties the table in
//! the child, so that the child takes the slow path of every pool it inherited, where it is
//! turned away: the pools' locks may be held by threads that do not exist there.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::core::Core;
use super::magazine::Magazine;

/// Runs `work` on this thread's magazine of `core`, if the table has it.
#[inline(always)]
pub(crate) fn with<R>(core: &Core, work: impl FnOnce(&Magazine) -> R) -> Option<R> {
    TABLE
        .try_with(|table| {
            debug_assert!(core.place < size_of_val(table) && core.place.is_multiple_of(ENTRY));
            // SAFETY: places come from `next_place`: the offset of an entry in bytes, so that the
            // processor need not multiply.
            let entry = unsafe { table.as_ptr().byte_add(core.place) };
            // SAFETY: an entry of the table, which is borrowed.
            let (known, magazine) = unsafe { &*entry }.get();
            if !std::ptr::eq(known, core) {
                return None;
            }
            // SAFETY: entries point into magazines that `HELD` of the same thread keeps, with
            // their pools, so that no other pool can be at the address meanwhile; an entry is
            // overwritten before its magazine leaves `HELD`.
            Some(work(unsafe { &*magazine }))
        })
        .ok()
        .flatten()
}

/// Returns this thread's magazine of `core`, made now if need be.
///
/// None while the thread is ending and after the pool was closed.
pub(crate) fn magazine(core: &Arc<Core>) -> Option<Arc<Magazine>> {
    HELD.try_with(|held| held.magazine(core)).ok().flatten()
}

/// Returns how often this process and its ancestors forked since the first pool.
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Returns where the next pool's entry is, in bytes; pools share entries in turn.
pub(crate) fn next_place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) % TABLE_LEN * ENTRY
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
    clear_table();
    // A thread that is ending holds nothing any more; nothing is left to forget.
    let _ = HELD.try_with(Held::forget);
}

/// The magazines of this thread, with the pools they belong to.
#[derive(Debug)]
struct Held {
    magazines: RefCell<Vec<(Arc<Core>, Arc<Magazine>)>>,
}

impl Held {
    const fn new() -> Self {
        Self { magazines: RefCell::new(Vec::new()) }
    }

    fn magazine(&self, core: &Arc<Core>) -> Option<Arc<Magazine>> {
        let known = self.find(core);
        let magazine = match known {
            Some(magazine) => magazine,
            None => {
                // Dropped outside the borrow: the last reference runs the user's hook's `Drop`.
                drop(self.closed());
                let magazine = core.register()?;
                self.magazines.borrow_mut().push((Arc::clone(core), Arc::clone(&magazine)));
                magazine
            }
        };
        set_entry(core.place, (Arc::as_ptr(core), Arc::as_ptr(&magazine)));
        Some(magazine)
    }

    fn find(&self, core: &Arc<Core>) -> Option<Arc<Magazine>> {
        let held = self.magazines.borrow();
        let found = held.iter().find(|(other, _)| Arc::ptr_eq(other, core));
        found.map(|(_, magazine)| Arc::clone(magazine))
    }

    /// Takes out the pools that were closed meanwhile.
    fn closed(&self) -> Vec<(Arc<Core>, Arc<Magazine>)> {
        let mut held = self.magazines.borrow_mut();
        let closed: Vec<_> = held.extract_if(.., |(core, _)| core.is_closed()).collect();
        // Whoever else shared a cleared entry finds its magazine again by the slow path.
        closed.iter().for_each(|(core, _)| set_entry(core.place, NO_ENTRY));
        closed
    }

    /// Forgets everything without giving it back: in a forked child.
    #[cfg(not(any(loom, miri)))]
    fn forget(&self) {
        if let Ok(mut held) = self.magazines.try_borrow_mut() {
            std::mem::forget(std::mem::take(&mut *held));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        clear_table();
        for (core, magazine) in self.magazines.get_mut().drain(..) {
            core.retire(&magazine);
        }
    }
}

fn clear_table() {
    (0..TABLE_LEN).for_each(|entry| set_entry(entry * ENTRY, NO_ENTRY));
}

fn set_entry(place: usize, entry: Entry) {
    // Without a destructor the table is there as long as the thread; in models it may be gone.
    let _ = TABLE.try_with(|table| table[place / ENTRY].set(entry));
}

/// A pool and this thread's magazine of it.
type Entry = (*const Core, *const Magazine);

// Two variables: without a destructor, reaching the table costs no check of the thread's state.
#[cfg(not(any(loom, shuttle)))]
std::thread_local! {
    static TABLE: [Cell<Entry>; TABLE_LEN] = const { [const { Cell::new(NO_ENTRY) }; TABLE_LEN] };
    static HELD: Held = const { Held::new() };
}
#[cfg(any(loom, shuttle))]
crate::sync::thread_local! {
    static TABLE: [Cell<Entry>; TABLE_LEN] = [const { Cell::new(NO_ENTRY) }; TABLE_LEN];
    static HELD: Held = Held::new();
}

const NO_ENTRY: Entry = (std::ptr::null(), std::ptr::null());
static FORKS: AtomicU64 = AtomicU64::new(0);
const TABLE_LEN: usize = 32;
/// Bytes of an entry.
const ENTRY: usize = size_of::<Cell<Entry>>();

//! Allocations by the stack that asked for them: a debug mode, one at a time for a process.
//!
//! ```text
//! note(bytes)   off: one relaxed load
//!               on:  stack by the system's unwinder -> table, under a lock
//! ```
//!
//! Rules:
//! 1. The table is allocated before the mode is on and freed after it is off; noting allocates
//!    nothing.
//! 2. A thread that notes is marked, and what it allocates meanwhile (a lock's first use, the
//!    unwinder) is not noted: no recursion, and no waiting for the lock one holds.
//! 3. A full table counts what it cannot hold, and the result tells.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sampling::{Frame, OwnSymbols, own_processes};

/// Allocations being noted by their stacks; ends when dropped.
#[derive(Debug)]
pub struct Sites(());

/// A stack that allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Blocks allocated or grown.
    pub count: u64,
    /// Bytes allocated, or added by growing.
    pub bytes: u64,
    /// The functions, innermost first, from the one that called the allocator outwards.
    pub frames: Vec<Frame>,
}

impl Sites {
    /// Begins to note every allocation of the process; `None` when somebody does already.
    pub fn start() -> Option<Self> {
        let table = Table::new();
        let mut current = lock();
        if current.is_some() {
            return None;
        }
        *current = Some(table);
        drop(current);
        IS_ON.store(true, Ordering::Release);
        Some(Self(()))
    }

    /// Ends it; returns the sites, those with the most blocks first, and how many allocations found
    /// no room in the table of 8,192 stacks. Only allocations through a
    /// [`CountingAllocator`](super::CountingAllocator) are there.
    pub fn finish(self) -> (Vec<Site>, u64) {
        // Its drop would stop again, and that may hit whoever started since.
        let _this = ManuallyDrop::new(self);
        let table = stop();
        let Some(table) = table else { return (Vec::new(), 0) };
        let processes = own_processes();
        let mut symbols = OwnSymbols::new(&processes);
        let mut sites: HashMap<Vec<Frame>, (u64, u64)> = HashMap::new();
        for entry in table.entries.iter().filter(|entry| entry.count > 0) {
            let used = entry.stack.iter().take_while(|address| **address != 0);
            let frames: Vec<Frame> = used.flat_map(|address| symbols.resolve(*address)).collect();
            // The first ones are this module, the allocator around it and the language's own.
            let inner = frames.iter().rposition(|frame| is_machinery(&frame.function));
            let frames = frames[inner.map_or(0, |last| last + 1)..].to_vec();
            let sum = sites.entry(frames).or_default();
            *sum = (sum.0 + entry.count, sum.1 + entry.bytes);
        }
        let mut sites: Vec<_> = sites
            .into_iter()
            .map(|(frames, (count, bytes))| Site { count, bytes, frames })
            .collect();
        sites.sort_by_key(|site| std::cmp::Reverse((site.count, site.bytes)));
        (sites, table.refused)
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        drop(stop());
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} allocations, {} bytes", self.count, self.bytes)?;
        for frame in self.frames.iter().take(8) {
            write!(f, "\n  {}", frame.function)?;
            if let (Some(file), Some(line)) = (&frame.file, frame.line) {
                write!(f, " at {file}:{line}")?;
            }
        }
        Ok(())
    }
}

/// Counts an allocation under the stack of its caller, when the mode is on.
pub(super) fn note(bytes: usize) {
    // Acquire pairs with the Release in `start`; a late sight of either change costs one note.
    if !IS_ON.load(Ordering::Acquire) || IS_NOTING.replace(true) {
        return;
    }
    let stack = walk();
    if let Some(table) = lock().as_mut() {
        table.add(&stack, bytes as u64);
    }
    IS_NOTING.set(false);
}

fn stop() -> Option<Table> {
    IS_ON.store(false, Ordering::Release);
    // Freed by the caller, after the lock: freeing is not noted, and needs no lock of ours.
    lock().take()
}

/// No code panics while it holds the lock; a poisoned one would hold a whole table all the same.
fn lock() -> std::sync::MutexGuard<'static, Option<Table>> {
    TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A hash table of fixed size, with open addressing.
struct Table {
    entries: Box<[Entry]>,
    used: usize,
    refused: u64,
}

#[derive(Clone)]
struct Entry {
    stack: Stack,
    count: u64,
    bytes: u64,
}

type Stack = [u64; DEPTH];

impl Table {
    fn new() -> Self {
        let empty = Entry { stack: [0; DEPTH], count: 0, bytes: 0 };
        Self { entries: vec![empty; SITES_MAX * 2].into(), used: 0, refused: 0 }
    }

    fn add(&mut self, stack: &Stack, bytes: u64) {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for address in stack {
            hash = (hash ^ address).wrapping_mul(0x0000_0100_0000_01b3);
            hash ^= hash >> 29;
        }
        let size = self.entries.len();
        let mut index = usize::try_from(hash % size as u64).expect("less than the size");
        // Half of the entries stay free, so the walk ends.
        while self.entries[index].count > 0 && self.entries[index].stack != *stack {
            index = (index + 1) % size;
        }
        let entry = &mut self.entries[index];
        if entry.count == 0 {
            if self.used == SITES_MAX {
                self.refused += 1;
                return;
            }
            self.used += 1;
            entry.stack = *stack;
        }
        entry.count += 1;
        entry.bytes += bytes;
    }
}

/// Collects return addresses, innermost first, with the unwinder that panics use.
fn walk() -> Stack {
    struct Walk {
        stack: Stack,
        depth: usize,
    }

    extern "C" fn step(context: *mut c_void, walk: *mut c_void) -> c_int {
        // SAFETY: the unwinder hands us the pointer that `walk` gave it, to a local that is
        // borrowed by nobody else until the unwinder returns.
        let walk = unsafe { &mut *walk.cast::<Walk>() };
        // SAFETY: `context` is the unwinder's own, valid for the time of this call.
        let ip = unsafe { _Unwind_GetIP(context) };
        if walk.depth == DEPTH {
            return END_OF_STACK;
        }
        // The call lies before the address it returns to.
        walk.stack[walk.depth] = (ip as u64).saturating_sub(1);
        walk.depth += 1;
        CONTINUE
    }

    let mut walk = Walk { stack: [0; DEPTH], depth: 0 };
    // SAFETY: `step` has the type that the unwinder calls, and the local outlives the call. The
    // unwinder is the one that the standard library links, and neither allocates nor unwinds here.
    unsafe { _Unwind_Backtrace(step, (&raw mut walk).cast()) };
    walk.stack
}

/// Returns true for functions between the code that wants memory and the table.
fn is_machinery(function: &str) -> bool {
    MACHINERY.iter().any(|part| function.contains(part))
}

// SAFETY: the two functions are declared as the Itanium C++ ABI for exceptions defines them, which
// the standard library's own unwinder follows on every Linux target.
unsafe extern "C" {
    fn _Unwind_Backtrace(
        step: extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

const CONTINUE: c_int = 0;
const END_OF_STACK: c_int = 5;
/// Most stacks that are told apart.
const SITES_MAX: usize = 8192;
const DEPTH: usize = 24;
const MACHINERY: [&str; 5] = [
    "tidemill_profile::allocations::",
    "__rust_alloc",
    "__rust_realloc",
    "__rustc::__rust",
    "alloc::alloc::",
];

static TABLE: Mutex<Option<Table>> = Mutex::new(None);
static IS_ON: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_NOTING: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_counts_what_it_cannot_hold() {
        let mut table = Table::new();
        for address in 1..=SITES_MAX as u64 + 3 {
            table.add(&[address; DEPTH], 1);
        }
        table.add(&[1; DEPTH], 10);
        assert_eq!((table.used, table.refused), (SITES_MAX, 3));
        let first = table.entries.iter().find(|entry| entry.stack[0] == 1).expect("it was added");
        assert_eq!((first.count, first.bytes), (2, 11));
    }
}

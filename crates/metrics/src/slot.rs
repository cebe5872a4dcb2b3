//! Which cells are the calling thread's own.
//!
//! A thread takes the lowest free of [`SLOTS`] slots with its first record and gives it back when
//! it ends. As long as it holds the slot it is the only writer of every cell of that slot, in every
//! registry, so it needs no read-modify-write: a load and a store do.
//!
//! | step | who | ordering |
//! |---|---|---|
//! | take: set the lowest clear bit | a thread without a slot | Acquire: sees the last holder's |
//! | give back: clear the bit | the holder, when it ends | Release: for the next holder |
//!
//! Threads past the last slot, and destructors that run after it was given back, have
//! [`NO_SLOT`]: they share one cell with each other and pay for it with locked instructions.

use crate::sync::{AtomicU64, Ordering};

/// The slots of a process.
pub(crate) const SLOTS: usize = 64;

/// The slot of a thread that has none.
pub(crate) const NO_SLOT: usize = usize::MAX;

/// A set of slots; bit n is set while slot n is taken.
#[derive(Debug)]
pub(crate) struct Slots(AtomicU64);

impl Slots {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Takes the lowest free slot.
    pub(crate) fn take(&self) -> Option<usize> {
        let mut taken = self.0.load(Ordering::Relaxed);
        loop {
            let slot = taken.trailing_ones() as usize;
            if slot >= SLOTS {
                return None;
            }
            let new = taken | 1 << slot;
            match self.0.compare_exchange(taken, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(slot),
                Err(now) => taken = now,
            }
        }
    }

    /// Gives a slot back; only its holder may.
    pub(crate) fn give_back(&self, slot: usize) {
        self.0.fetch_and(!(1 << slot), Ordering::Release);
    }
}

/// Returns the calling thread's slot, or [`NO_SLOT`].
#[cfg(not(loom))]
#[inline]
pub(crate) fn mine() -> usize {
    let slot = thread::MINE.get();
    if slot == thread::UNASKED { thread::take() } else { slot }
}

/// Models name their slots themselves.
#[cfg(loom)]
pub(crate) fn mine() -> usize {
    NO_SLOT
}

#[cfg(not(loom))]
mod thread {
    use std::cell::Cell;

    use super::{NO_SLOT, Slots};

    static PROCESS: Slots = Slots::new();

    pub(super) const UNASKED: usize = usize::MAX - 1;

    thread_local! {
        /// Without a destructor, so that reading it is one instruction.
        pub(super) static MINE: Cell<usize> = const { Cell::new(UNASKED) };

        /// Gives the slot back when the thread ends.
        static HELD: Held = const { Held(Cell::new(NO_SLOT)) };
    }

    struct Held(Cell<usize>);

    impl Drop for Held {
        fn drop(&mut self) {
            // Destructors that record after this one have to share.
            MINE.set(NO_SLOT);
            if self.0.get() != NO_SLOT {
                PROCESS.give_back(self.0.get());
            }
        }
    }

    #[cold]
    pub(super) fn take() -> usize {
        let held = HELD.try_with(|held| {
            let slot = PROCESS.take().unwrap_or(NO_SLOT);
            held.0.set(slot);
            slot
        });
        let slot = held.unwrap_or(NO_SLOT);
        MINE.set(slot);
        slot
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_is_taken_and_the_65th_thread_gets_none() {
        let slots = Slots::new();
        let taken: Vec<_> = (0..SLOTS).map(|_| slots.take()).collect();
        assert_eq!(taken, (0..SLOTS).map(Some).collect::<Vec<_>>());
        assert_eq!(slots.take(), None);
        slots.give_back(7);
        assert_eq!(slots.take(), Some(7));
    }

    #[test]
    fn a_thread_keeps_its_slot_and_another_has_another() {
        let ours = mine();
        assert_eq!(mine(), ours);
        let theirs = std::thread::spawn(mine).join().expect("it only looks");
        assert_ne!(theirs, ours);
    }

    /// A value whose destructor records has to be made before the slot is, to outlive it.
    #[test]
    fn a_destructor_after_the_slot_went_has_none() {
        use std::cell::RefCell;
        use std::sync::mpsc::sync_channel;

        struct Late(std::sync::mpsc::SyncSender<usize>);
        impl Drop for Late {
            fn drop(&mut self) {
                // The receiver waits for it.
                let _ = self.0.send(mine());
            }
        }
        thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
        let (sender, receiver) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            // Destructors run in an order of the system's choice: either answer is sound, a slot
            // of our own or none, but never one that was given back. The second thread shows it.
            LATE.set(Some(Late(sender)));
            mine()
        });
        let early = thread.join().expect("it only looks");
        let late = receiver.recv().expect("the destructor ran");
        assert!(late == early || late == NO_SLOT, "{late} after {early}");
    }
}

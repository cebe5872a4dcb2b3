//! A bounded ring between any number of producers and consumers.
//!
//! Each slot carries the turn that it is at, after D. Vyukov's bounded MPMC queue: the slot of
//! position `p` (index `p & (slots - 1)`, lap `p / slots`) waits for a push when its turn is `2 *
//! lap`, and for a pop when it is `2 * lap + 1`. Counting by laps rather than by positions makes
//! the two distinguishable also in a ring of one slot.
//!
//! | field | owner | access |
//! |---|---|---|
//! | `tail.position` | all | next push and the `CLOSED` bit; compare-exchange, `fetch_or` |
//! | `head.position` | all | next pop; compare-exchange |
//! | `looked_at` of both | all | a hint, relaxed: its position at the last look at the other end |
//! | a slot's `turn` | its claimant | stored once per claim (Release), loaded by all (Acquire) |
//! | a slot's `value` | its claimant | written before `turn` is odd, taken before it is even |
//!
//! 1. Push: load `tail`; when the turn of its slot is `2 * lap`, claim the position by moving
//!    `tail` on, write the value, store the turn `2 * lap + 1`.
//! 2. Pop: load `head`; when the turn of its slot is `2 * lap + 1`, claim the position by moving
//!    `head` on, take the value, store the turn `2 * lap + 2`.
//! 3. A slot that is behind means full (empty) only when `tail == head + slots` (`tail == head`) as
//!    well. Else the one who claimed it is about to finish, and the caller tries again.
//! 4. Close: set `CLOSED` in `tail`. No claim of 1 succeeds after it, as each expects the bit
//!    clear; a pop answers `Closed` only when `head` has reached the position that stands in
//!    `tail`.
//! 5. A batch claims as many consecutive positions as it found ready, by one move of `tail`
//!    (`head`). They stay ready until then: only the owner of a position changes its slot's turn.
//!
//! An end that runs into the other again after few values pauses once, for at most 1 us, before
//! it looks whether the ring is empty (full): see `pace`.
//!
//! A thread that is stopped between its claim and its store of the turn holds up those who need
//! that slot, and nobody else; the `try_` forms then spin and yield. Positions are 63 bits: at 10^9
//! values a second they last 290 years. There is no fence and no lock unless the queue is
//! [`Waiting`].
//!
//! # Examples
//!
//! ```
//! use tidemill_bus::{PopError, PushError, mpmc};
//!
//! let queue = mpmc::Queue::new(2)?;
//! queue.try_push(1).unwrap();
//! queue.try_push(2).unwrap();
//! assert_eq!(queue.try_push(3), Err(PushError::Full(3)));
//! queue.close();
//! assert_eq!(queue.try_push(3), Err(PushError::Closed(3)));
//! assert_eq!(queue.try_pop(), Ok(1));
//! assert_eq!(queue.try_pop(), Ok(2));
//! assert_eq!(queue.try_pop(), Err(PopError::Closed));
//! # Ok::<(), tidemill_bus::CapacityError>(())
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::mem::MaybeUninit;

use crate::drain::drain;
use crate::error::{
    CapacityError, PopError, PushError, push_unless_full, slot_count, unless_empty,
};
use crate::pace::{self, Pace};
use crate::sync::Padded;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::cell::UnsafeCell;
use crate::wait::{Polling, Wait, Waiting};

/// A bounded queue, shared by reference or in an `Arc`.
pub struct Queue<T, W: Wait = Polling> {
    tail: Padded<End>,
    head: Padded<End>,
    slots: Box<[Slot<T>]>,
    /// Binary logarithm of the number of slots.
    lap_shift: u32,
    wait: W,
}

// SAFETY: a slot's value is accessed only by the thread that claimed the slot's position, and the
// turn's Release and Acquire order one owner's access before the next one's; so the queue moves
// values between threads, as `T: Send` permits, and never shares one.
unsafe impl<T: Send, W: Wait> Sync for Queue<T, W> {}

// SAFETY: the queue owns its values, and the rest of it is atomics and `W: Send`.
unsafe impl<T: Send, W: Wait> Send for Queue<T, W> {}

/// One end of the ring: where the next push or pop is.
#[derive(Default)]
struct End {
    position: AtomicUsize,
    /// The position at the last look at the other end; a hint, read and stored relaxed.
    looked_at: AtomicUsize,
}

struct Slot<T> {
    turn: AtomicUsize,
    value: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Queue<T> {
    /// Makes a queue for at least `capacity` values, to be polled; the capacity is rounded up to a
    /// power of two.
    ///
    /// # Errors
    ///
    /// When `capacity` is zero, does not fit the address space, or there is no memory for it.
    pub fn new(capacity: usize) -> Result<Self, CapacityError> {
        Self::with_slots(capacity)
    }
}

impl<T> Queue<T, Waiting> {
    /// Makes a queue like [`new`](Queue::new) on which threads can block and which tasks can await.
    ///
    /// # Errors
    ///
    /// When `capacity` is zero, does not fit the address space, or there is no memory for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidemill_bus::mpmc;
    ///
    /// let queue = mpmc::Queue::waiting(8)?;
    /// let sum = std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         for number in 1..=1000_u64 {
    ///             queue.push(number).expect("nobody else closes it");
    ///         }
    ///         queue.close();
    ///     });
    ///     let mut sum = 0;
    ///     while let Ok(number) = queue.pop() {
    ///         sum += number;
    ///     }
    ///     sum
    /// });
    /// assert_eq!(sum, 500_500);
    /// # Ok::<(), tidemill_bus::CapacityError>(())
    /// ```
    pub fn waiting(capacity: usize) -> Result<Self, CapacityError> {
        Self::with_slots(capacity)
    }
}

impl<T, W: Wait> Queue<T, W> {
    /// Pushes `value` unless the queue is full.
    ///
    /// # Errors
    ///
    /// Gives the value back when the queue is full or closed.
    #[inline]
    pub fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        match self.claim_push(1) {
            Ok((position, _)) => {
                // SAFETY: the position has just been claimed for a push.
                unsafe { self.put(position, value) };
                self.wait.pushed(1);
                Ok(())
            }
            Err(NoClaim::Behind) => Err(PushError::Full(value)),
            Err(NoClaim::Closed) => Err(PushError::Closed(value)),
        }
    }

    /// Pops the value pushed first.
    ///
    /// # Errors
    ///
    /// [`PopError::Empty`] when there is none now, [`PopError::Closed`] when there will be none.
    #[inline]
    pub fn try_pop(&self) -> Result<T, PopError> {
        let (position, _) = self.claim_pop(1)?;
        // SAFETY: the position has just been claimed for a pop.
        let value = unsafe { self.take(position) };
        self.wait.popped(1);
        Ok(value)
    }

    /// Moves values from the front of `values` into the queue while there is room; returns how
    /// many.
    ///
    /// They stay together and in order. What did not fit, or all when the queue is closed, stays in
    /// `values`. Costs one claim for all of them.
    pub fn try_push_batch(&self, values: &mut VecDeque<T>) -> usize {
        if values.is_empty() {
            return 0;
        }
        let Ok((position, count)) = self.claim_push(values.len()) else { return 0 };
        for (offset, value) in values.drain(..count).enumerate() {
            // SAFETY: `count` positions from `position` on have just been claimed for a push.
            unsafe { self.put(position + offset, value) };
        }
        self.wait.pushed(count);
        count
    }

    /// Moves up to `count` values to the end of `values`; returns how many, at least one.
    ///
    /// Costs one claim for all of them. Allocates only when `values` has no spare room for `count`.
    ///
    /// # Errors
    ///
    /// [`PopError::Empty`] when there is none now, [`PopError::Closed`] when there will be none.
    pub fn try_pop_batch(&self, values: &mut Vec<T>, count: usize) -> Result<usize, PopError> {
        if count == 0 {
            return Ok(0);
        }
        // Before the claim: growing may panic, and a claimed slot has to be taken.
        values.reserve(count.min(self.slots.len()));
        let (position, count) = self.claim_pop(count)?;
        for offset in 0..count {
            // SAFETY: `count` positions from `position` on have just been claimed for a pop.
            values.push(unsafe { self.take(position + offset) });
        }
        self.wait.popped(count);
        Ok(count)
    }

    /// Closes the queue: pushes fail from now on, pops go on until it is drained.
    ///
    /// Returns true when it was open.
    pub fn close(&self) -> bool {
        // Rule 4. Release and Acquire as for any claim.
        let was_open = self.tail.position.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0;
        self.wait.closed();
        was_open
    }

    /// Returns true when the queue is closed; values may be left to pop.
    pub fn is_closed(&self) -> bool {
        self.tail.position.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Returns the number of values the queue holds at most.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Returns about how many values are in the queue: exact when no other thread uses it, else a
    /// number between zero and the capacity that may be out of date when it is returned.
    pub fn len(&self) -> usize {
        // `head` first: `tail` only grows, so it is not below it afterwards.
        let popped = self.popped_total();
        (self.pushed_total() - popped).min(self.capacity())
    }

    /// Returns true when [`len`](Self::len) is zero, with the same reservation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many values have been pushed since the queue was made, those being pushed now
    /// included.
    pub fn pushed_total(&self) -> usize {
        self.tail.position.load(Ordering::Acquire) & !CLOSED
    }

    /// Returns how many values have been popped since the queue was made, those being popped now
    /// included.
    pub fn popped_total(&self) -> usize {
        self.head.position.load(Ordering::Acquire)
    }

    fn with_slots(capacity: usize) -> Result<Self, CapacityError> {
        let count = slot_count(capacity, size_of::<Slot<T>>())?;
        let slot =
            |_| Slot { turn: AtomicUsize::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) };
        let mut slots = Vec::new();
        slots.try_reserve_exact(count).map_err(|_| CapacityError::NoMemory {
            capacity: count,
            value_bytes: size_of::<Slot<T>>(),
        })?;
        slots.extend((0..count).map(slot));
        Ok(Self {
            tail: Padded(End::default()),
            head: Padded(End::default()),
            slots: slots.into(),
            lap_shift: count.trailing_zeros(),
            wait: W::default(),
        })
    }

    /// Claims up to `wanted` positions for pushes; returns the first and how many, at least one.
    #[inline]
    fn claim_push(&self, wanted: usize) -> Result<(usize, usize), NoClaim> {
        let mut pace = Pace::new();
        let mut tail = self.tail.position.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(NoClaim::Closed);
            }
            let ready = self.ready(tail, wanted, 0);
            if ready > 0 {
                // Rule 1. Relaxed: the values are ordered by the turns, not by the positions.
                match self.tail.position.compare_exchange_weak(
                    tail,
                    tail + ready,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Ok((tail, ready)),
                    Err(now) => tail = now,
                }
            } else {
                if self.let_gather(&self.tail, tail) {
                    tail = self.tail.position.load(Ordering::Relaxed);
                    continue;
                }
                // Rule 3. `head` only grows and `tail` cannot pass it by more than the capacity: so
                // if they are that far apart now, `tail` is still what was loaded, and it is full.
                if self.head.position.load(Ordering::Acquire) + self.capacity() == tail {
                    return Err(NoClaim::Behind);
                }
                pace.wait();
                tail = self.tail.position.load(Ordering::Relaxed);
            }
        }
    }

    /// Claims up to `wanted` positions for pops; returns the first and how many, at least one.
    #[inline]
    fn claim_pop(&self, wanted: usize) -> Result<(usize, usize), PopError> {
        let mut pace = Pace::new();
        let mut head = self.head.position.load(Ordering::Relaxed);
        loop {
            let ready = self.ready(head, wanted, 1);
            if ready > 0 {
                // Rule 2. Relaxed: as for a push.
                match self.head.position.compare_exchange_weak(
                    head,
                    head + ready,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Ok((head, ready)),
                    Err(now) => head = now,
                }
            } else {
                if self.let_gather(&self.head, head) {
                    head = self.head.position.load(Ordering::Relaxed);
                    continue;
                }
                // Rule 3. `tail` only grows and `head` never passes it: so if they are equal now,
                // `head` is still what was loaded, and it is empty.
                let tail = self.tail.position.load(Ordering::Acquire);
                if tail == head {
                    return Err(PopError::Empty);
                }
                if tail == head | CLOSED {
                    return Err(PopError::Closed);
                }
                pace.wait();
                head = self.head.position.load(Ordering::Relaxed);
            }
        }
    }

    /// Waits a moment, and returns true, when `end` has come this far by few values only since it
    /// last met the other end.
    ///
    /// A look takes the other end's cache line away from it, and then the slots'. Two sides that
    /// run close together would spend their time on that; the one ahead loses nothing by waiting
    /// until there is more.
    #[cold]
    fn let_gather(&self, end: &End, position: usize) -> bool {
        let gained = position.wrapping_sub(end.looked_at.load(Ordering::Relaxed));
        end.looked_at.store(position, Ordering::Relaxed);
        pace::let_gather(gained, self.capacity())
    }

    /// Counts how many positions from `position` on, up to `wanted`, are ready for a push
    /// (`side` 0) or a pop (`side` 1).
    #[inline(always)]
    fn ready(&self, position: usize, wanted: usize, side: usize) -> usize {
        let mut count = 0;
        while count < wanted {
            let position = position + count;
            // Acquire pairs with the Release of the slot's last owner: its access is over.
            let turn = self.slot(position).turn.load(Ordering::Acquire);
            if turn != self.turn(position) + side {
                break;
            }
            count += 1;
        }
        count
    }

    /// Writes `value` at `position` and passes the slot on to the pop.
    ///
    /// # Safety
    ///
    /// The caller has claimed `position` for a push and puts one value there.
    #[inline(always)]
    unsafe fn put(&self, position: usize, value: T) {
        let slot = self.slot(position);
        slot.value.with_mut(|cell| {
            // SAFETY: the turn says that the slot is empty, and until it is stored below nobody but
            // the owner of the position accesses it; `cell` points into `slots`.
            unsafe { cell.write(MaybeUninit::new(value)) }
        });
        // Release: the value is written before the pop sees the turn.
        slot.turn.store(self.turn(position) + 1, Ordering::Release);
    }

    /// Takes the value at `position` out and passes the slot on to the push of the next lap.
    ///
    /// # Safety
    ///
    /// The caller has claimed `position` for a pop and takes the value once.
    #[inline(always)]
    unsafe fn take(&self, position: usize) -> T {
        let slot = self.slot(position);
        let value = slot.value.with_mut(|cell| {
            // SAFETY: until the turn is stored below nobody but the owner of the position accesses
            // the slot; `cell` points into `slots`.
            unsafe { cell.read() }
        });
        // Release: the value is out before the next push sees the turn.
        slot.turn.store(self.turn(position) + 2, Ordering::Release);
        // SAFETY: the turn was `2 * lap + 1`, which is stored only after the value is written.
        unsafe { value.assume_init() }
    }

    /// The turn at which the slot of `position` waits for the push to it.
    #[inline(always)]
    fn turn(&self, position: usize) -> usize {
        position >> self.lap_shift << 1
    }

    #[inline(always)]
    fn slot(&self, position: usize) -> &Slot<T> {
        let index = position & (self.slots.len() - 1);
        debug_assert!(index < self.slots.len(), "the number of slots is a power of two");
        // SAFETY: `slots` is never empty and its length a power of two, both since `with_slots`, so
        // a masked index is in bounds.
        unsafe { self.slots.get_unchecked(index) }
    }
}

impl<T> Queue<T, Waiting> {
    /// Pushes `value`, blocking the thread while the queue is full.
    ///
    /// # Errors
    ///
    /// Gives the value back as [`PushError::Closed`] when the queue is closed.
    pub fn push(&self, value: T) -> Result<(), PushError<T>> {
        let mut value = Some(value);
        self.wait.space.block_until(|| self.push_from(&mut value))
    }

    /// Pushes `value`, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// Gives the value back as [`PushError::Closed`] when the queue is closed.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready has not pushed the value and drops it. Use
    /// [`push_taken`](Self::push_taken) to keep it.
    pub async fn push_async(&self, value: T) -> Result<(), PushError<T>> {
        let mut value = Some(value);
        self.wait.space.until(|| self.push_from(&mut value)).await
    }

    /// Pushes the value that stands in `value`, waiting while the queue is full; does nothing when
    /// there is none.
    ///
    /// # Errors
    ///
    /// Gives the value back as [`PushError::Closed`] when the queue is closed.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready leaves the value in `value`.
    pub async fn push_taken(&self, value: &mut Option<T>) -> Result<(), PushError<T>> {
        if value.is_none() {
            return Ok(());
        }
        self.wait.space.until(|| self.push_from(value)).await
    }

    /// Pushes all of `values`, in order, blocking the thread while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] when the queue is closed; what was not pushed is left in `values`.
    pub fn push_batch(&self, values: &mut VecDeque<T>) -> Result<(), PushError<()>> {
        self.wait.space.block_until(|| self.push_all_from(values))
    }

    /// Pushes all of `values`, in order, waiting while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] when the queue is closed; what was not pushed is left in `values`.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready leaves what it has not pushed in `values`.
    pub async fn push_batch_async(&self, values: &mut VecDeque<T>) -> Result<(), PushError<()>> {
        self.wait.space.until(|| self.push_all_from(values)).await
    }

    /// Pops the value pushed first, blocking the thread while there is none.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the queue is closed and drained.
    pub fn pop(&self) -> Result<T, PopError> {
        self.wait.values.block_until(|| unless_empty(self.try_pop()))
    }

    /// Pops the value pushed first, waiting while there is none.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the queue is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready has popped nothing.
    pub async fn pop_async(&self) -> Result<T, PopError> {
        self.wait.values.until(|| unless_empty(self.try_pop())).await
    }

    /// Pops like [`try_pop_batch`](Self::try_pop_batch), blocking the thread while there is no
    /// value.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the queue is closed and drained.
    pub fn pop_batch(&self, values: &mut Vec<T>, count: usize) -> Result<usize, PopError> {
        self.wait.values.block_until(|| unless_empty(self.try_pop_batch(values, count)))
    }

    /// Pops like [`try_pop_batch`](Self::try_pop_batch), waiting while there is no value.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the queue is closed and drained.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready has popped nothing.
    pub async fn pop_batch_async(
        &self,
        values: &mut Vec<T>,
        count: usize,
    ) -> Result<usize, PopError> {
        self.wait.values.until(|| unless_empty(self.try_pop_batch(values, count))).await
    }

    /// Pushes what there is room for; `None` when that leaves something.
    fn push_all_from(&self, values: &mut VecDeque<T>) -> Option<Result<(), PushError<()>>> {
        self.try_push_batch(values);
        if values.is_empty() {
            return Some(Ok(()));
        }
        self.is_closed().then_some(Err(PushError::Closed(())))
    }

    /// Pushes the value out of `value`; `None` and the value left there when the queue is full.
    fn push_from(&self, value: &mut Option<T>) -> Option<Result<(), PushError<T>>> {
        push_unless_full(value, |value| self.try_push(value))
    }
}

impl<T, W: Wait> Drop for Queue<T, W> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<T>() {
            drain(|| self.try_pop().ok());
        }
    }
}

impl<T, W: Wait> fmt::Debug for Queue<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Why no position was claimed for a push.
enum NoClaim {
    /// The slot still holds the value of the lap before.
    Behind,
    Closed,
}

/// The bit of `tail` that says that the queue is closed.
const CLOSED: usize = 1 << (usize::BITS - 1);
const _: () = assert!(usize::BITS == 64, "positions must not run out");

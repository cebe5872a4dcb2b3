//! A queue in linked segments, between any number of producers and consumers.
//!
//! ```text
//!   head ──► segment ──► segment ──► segment ◄── tail        free: up to 8 segments kept for reuse
//! ```
//!
//! It grows by segments of 63 slots and shrinks again. It is bounded all the same: by the bytes of
//! segments given to [`Queue::with_limit`], else by `isize::MAX` bytes. The claims follow
//! crossbeam's `SegQueue`; a segment's end is told by counting those who have left it.
//!
//! A position is `segment number * 64 + offset`; offset 63 belongs to no slot and means that the
//! next segment is being put in place.
//!
//! | field | owner | access |
//! |---|---|---|
//! | `tail.position` | all; 4 at offset 63 | next push and `CLOSED`; compare-exchange, 4's add |
//! | `tail.segment` | 4's thread | stored at offset 63; read by all, valid if the claim succeeds |
//! | `head.position`, `head.segment` | all, 5's thread | the same for pops |
//! | `seen_tail` | all | a past `tail.position`: spares pops a look at the present one |
//! | a slot's `written` | its pusher | set after the value (Release); popper waits (Acquire) |
//! | a segment's `next` | 4's thread | stored once in its life (Release) |
//! | a segment's `left` | poppers | slots emptied; who makes it 63 owns the segment |
//!
//! 1. Push: load `tail.position`, then `tail.segment`; claim the slot by moving the position on.
//!    Only then is the segment touched: write the value, set `written`.
//! 2. Pop: unless `head.position` has reached `tail.position`, claim likewise; wait for `written`,
//!    take the value, count yourself out of the segment.
//! 3. A segment is freed, or kept for reuse, by whoever counts out last. Every slot's pusher and
//!    popper is then done with it: the popper counted after its last access, and the pusher's last
//!    access was `written`. A thread that still holds its address has not claimed anything there,
//!    so its compare-exchange on a position that only grows must fail, and it never follows the
//!    address.
//! 4. Who claims the last slot for a push has a new segment at hand before; it stores `next` and
//!    `tail.segment` and moves `tail.position` past offset 63. Others wait for that.
//! 5. Who claims the last slot for a pop waits for `next`, stores `head.segment` and moves
//!    `head.position` past offset 63.
//! 6. Close: set `CLOSED` in `tail.position`. No claim of 1 succeeds after it.
//!
//! # Examples
//!
//! ```
//! use tidemill_bus::unbounded;
//!
//! let queue = unbounded::Queue::new();
//! for number in 0..1000 {
//!     queue.try_push(number).expect("memory is the only limit");
//! }
//! assert_eq!(queue.len(), 1000);
//! assert_eq!(queue.try_pop(), Ok(0));
//! ```

mod segment;

use std::collections::VecDeque;
use std::fmt;

use self::segment::{SLOTS, Segment, Store};
use crate::drain::drain;
use crate::error::{CapacityError, PopError, PushError, push_unless_full, unless_empty};
use crate::pace::Pace;
use crate::sync::Padded;
use crate::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use crate::wait::{Polling, Wait, Waiting};

/// A queue that grows, shared by reference or in an `Arc`.
pub struct Queue<T, W: Wait = Polling> {
    tail: Padded<End<T>>,
    head: Padded<End<T>>,
    seen_tail: AtomicUsize,
    store: Store<T>,
    wait: W,
}

/// One end of the list of segments.
struct End<T> {
    position: AtomicUsize,
    segment: AtomicPtr<Segment<T>>,
}

// SAFETY: a slot's value is accessed only by the thread that claimed its position for a push and,
// after `written`, by the one that claimed it for a pop; so the queue moves values between threads,
// as `T: Send` permits, and never shares one. Segments are freed by rule 3.
unsafe impl<T: Send, W: Wait> Sync for Queue<T, W> {}

// SAFETY: the queue owns its segments and values, and the rest of it is atomics and `W: Send`.
unsafe impl<T: Send, W: Wait> Send for Queue<T, W> {}

impl<T> Queue<T> {
    /// Makes a queue, to be polled, that grows until memory ends.
    #[expect(
        clippy::new_without_default,
        reason = "an unlimited queue should be asked for by name"
    )]
    pub fn new() -> Self {
        Self::with_store(Store::new(usize::MAX))
    }

    /// Makes a queue, to be polled, whose segments take at most `limit_bytes` bytes in all.
    ///
    /// A segment takes [`SEGMENT_BYTES`](Queue::SEGMENT_BYTES) and is full or not as a whole, so
    /// pushes may fail when fewer values than fit the limit are inside: up to one segment fewer.
    ///
    /// # Errors
    ///
    /// When the limit is below two segments.
    pub fn with_limit(limit_bytes: usize) -> Result<Self, CapacityError> {
        Store::limited(limit_bytes).map(Self::with_store)
    }
}

impl<T> Queue<T, Waiting> {
    /// Makes a queue like [`new`](Queue::new) on which threads can block and which tasks can await.
    pub fn waiting() -> Self {
        Self::with_store(Store::new(usize::MAX))
    }

    /// Makes a queue like [`with_limit`](Queue::with_limit) on which threads can block and which
    /// tasks can await.
    ///
    /// # Errors
    ///
    /// When the limit is below two segments.
    pub fn waiting_with_limit(limit_bytes: usize) -> Result<Self, CapacityError> {
        Store::limited(limit_bytes).map(Self::with_store)
    }
}

impl<T, W: Wait> Queue<T, W> {
    /// The size of one segment in bytes.
    pub const SEGMENT_BYTES: usize = Segment::<T>::BYTES;

    /// Pushes `value` unless the limit is reached.
    ///
    /// # Errors
    ///
    /// Gives the value back when the limit is reached or the queue is closed.
    #[inline]
    pub fn try_push(&self, value: T) -> Result<(), PushError<T>> {
        match self.claim_push(1) {
            Ok(claim) => {
                // SAFETY: the slot has just been claimed for a push.
                unsafe { claim.put(0, value) };
                self.wait.pushed(1);
                Ok(())
            }
            Err(NoClaim::Limit) => Err(PushError::Full(value)),
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
        let claim = self.claim_pop(1)?;
        // SAFETY: the slot has just been claimed for a pop.
        let value = unsafe { claim.take(0) };
        self.leave(claim);
        Ok(value)
    }

    /// Moves values from the front of `values` into the queue; returns how many.
    ///
    /// They are in order, but other pushes may come between. What did not fit the limit, or all
    /// when the queue is closed, stays in `values`. Costs one claim per segment touched.
    pub fn try_push_batch(&self, values: &mut VecDeque<T>) -> usize {
        let mut pushed = 0;
        while !values.is_empty() {
            let Ok(claim) = self.claim_push(values.len()) else { break };
            for (offset, value) in values.drain(..claim.count).enumerate() {
                // SAFETY: `count` slots have just been claimed for a push.
                unsafe { claim.put(offset, value) };
            }
            pushed += claim.count;
            self.wait.pushed(claim.count);
        }
        pushed
    }

    /// Moves up to `count` values to the end of `values`; returns how many, at least one.
    ///
    /// Costs one claim for all of them, and ends with the segment. Allocates only when `values` has
    /// no spare room.
    ///
    /// # Errors
    ///
    /// [`PopError::Empty`] when there is none now, [`PopError::Closed`] when there will be none.
    pub fn try_pop_batch(&self, values: &mut Vec<T>, count: usize) -> Result<usize, PopError> {
        if count == 0 {
            return Ok(0);
        }
        // Before the claim: growing may panic, and a claimed slot has to be taken.
        values.reserve(count.min(SLOTS));
        let claim = self.claim_pop(count)?;
        for offset in 0..claim.count {
            // SAFETY: `count` slots have just been claimed for a pop.
            values.push(unsafe { claim.take(offset) });
        }
        let count = claim.count;
        self.leave(claim);
        Ok(count)
    }

    /// Closes the queue: pushes fail from now on, pops go on until it is drained.
    ///
    /// Returns true when it was open.
    pub fn close(&self) -> bool {
        let was_open = self.tail.position.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0;
        self.wait.closed();
        was_open
    }

    /// Returns true when the queue is closed; values may be left to pop.
    pub fn is_closed(&self) -> bool {
        self.tail.position.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Returns about how many values are in the queue: exact when no other thread uses it, else a
    /// number, never negative, that may be out of date when it is returned.
    pub fn len(&self) -> usize {
        // `head` first: the tail only grows, so it is not below it afterwards.
        let popped = value_count(self.head.position.load(Ordering::Acquire));
        value_count(self.tail.position.load(Ordering::Acquire) & !CLOSED) - popped
    }

    /// Returns true when [`len`](Self::len) is zero, with the same reservation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the bytes of all segments now, those kept for reuse included.
    pub fn memory_bytes(&self) -> usize {
        self.store.allocated() * Self::SEGMENT_BYTES
    }

    fn with_store(store: Store<T>) -> Self {
        let first = store.first();
        let end = || Padded(End { position: AtomicUsize::new(0), segment: AtomicPtr::new(first) });
        let (tail, head) = (end(), end());
        Self { tail, head, seen_tail: AtomicUsize::new(0), store, wait: W::default() }
    }

    /// Claims up to `wanted` slots of one segment for pushes, at least one.
    #[inline]
    fn claim_push(&self, wanted: usize) -> Result<Claim<T>, NoClaim> {
        let mut pace = Pace::new();
        let mut next = Next { queue: self, segment: None };
        loop {
            // Acquire pairs with the Release in `extend`: the segment is at least as new.
            let position = self.tail.position.load(Ordering::Acquire);
            if position & CLOSED != 0 {
                return Err(NoClaim::Closed);
            }
            let offset = position % LAP;
            if offset == SLOTS {
                pace.wait();
                continue;
            }
            let mut count = wanted.min(SLOTS - offset);
            if offset + count == SLOTS && next.segment.is_none() {
                next.segment = self.store.get();
                if next.segment.is_none() {
                    // At the limit the last slot stays free, for want of a segment behind it.
                    count -= 1;
                }
            }
            if count == 0 {
                return Err(NoClaim::Limit);
            }
            let last = offset + count == SLOTS;
            let segment = self.tail.segment.load(Ordering::Acquire);
            if !advance(&self.tail.position, position, count) {
                pace.wait();
                continue;
            }
            // A segment that is not needed after all goes back with the drop of `next`.
            if last && let Some(next) = next.segment.take() {
                self.extend(segment, next);
            }
            return Ok(Claim { segment, offset, count });
        }
    }

    /// Rule 4: puts `next` behind `segment`, whose last slot this thread has claimed.
    #[cold]
    fn extend(&self, segment: *mut Segment<T>, next: *mut Segment<T>) {
        // SAFETY: this thread's slot has not been popped, so the segment is alive (rule 3).
        unsafe { (*segment).set_next(next) };
        self.tail.segment.store(next, Ordering::Release);
        // An addition, as `CLOSED` may be set meanwhile. Release: `tail.segment` is seen with it.
        self.tail.position.fetch_add(1, Ordering::Release);
    }

    /// Claims up to `wanted` slots of one segment for pops, at least one.
    #[inline]
    fn claim_pop(&self, wanted: usize) -> Result<Claim<T>, PopError> {
        let mut pace = Pace::new();
        loop {
            // Acquire pairs with the Release in `move_on`: the segment is at least as new.
            let position = self.head.position.load(Ordering::Acquire);
            let offset = position % LAP;
            if offset == SLOTS {
                pace.wait();
                continue;
            }
            let mut tail = self.seen_tail.load(Ordering::Relaxed);
            if tail <= position {
                tail = self.look_at_tail(position)?;
            }
            let count = wanted.min(SLOTS - offset).min(tail - position);
            let segment = self.head.segment.load(Ordering::Acquire);
            if !advance(&self.head.position, position, count) {
                pace.wait();
                continue;
            }
            if offset + count == SLOTS {
                self.move_on(segment);
            }
            return Ok(Claim { segment, offset, count });
        }
    }

    /// Returns the tail position, which is above `position`, and keeps it for other pops.
    #[inline]
    fn look_at_tail(&self, position: usize) -> Result<usize, PopError> {
        let tail = self.tail.position.load(Ordering::Acquire);
        // It may stand at offset 63 still, one below a head that has moved on already.
        if tail & !CLOSED <= position {
            return Err(if tail & CLOSED == 0 { PopError::Empty } else { PopError::Closed });
        }
        self.seen_tail.store(tail & !CLOSED, Ordering::Relaxed);
        Ok(tail & !CLOSED)
    }

    /// Rule 5: goes on to the segment behind `segment`, whose last slot this thread has claimed.
    #[cold]
    fn move_on(&self, segment: *mut Segment<T>) {
        let mut pace = Pace::new();
        let next = loop {
            // SAFETY: this thread has not counted itself out, so the segment is alive (rule 3).
            let next = unsafe { (*segment).next() };
            if !next.is_null() {
                break next;
            }
            pace.wait();
        };
        self.head.segment.store(next, Ordering::Release);
        // Release: `head.segment` is seen with it.
        self.head.position.fetch_add(1, Ordering::Release);
    }

    /// Rule 3: counts the poppers of `claim` out, and frees the segment if they were the last.
    #[inline]
    fn leave(&self, claim: Claim<T>) {
        // SAFETY: this thread has not counted itself out yet, so the segment is alive.
        if unsafe { (*claim.segment).leave(claim.count) } {
            self.give_back(claim.segment);
        }
    }

    /// Keeps or frees a segment that this thread alone owns, and tells those who wait for memory.
    #[cold]
    fn give_back(&self, segment: *mut Segment<T>) {
        self.store.put(segment);
        // All of them: there is room for a whole segment.
        self.wait.popped(usize::MAX);
    }
}

impl<T> Queue<T, Waiting> {
    /// Pushes `value`, blocking the thread while the limit is reached.
    ///
    /// # Errors
    ///
    /// Gives the value back as [`PushError::Closed`] when the queue is closed.
    pub fn push(&self, value: T) -> Result<(), PushError<T>> {
        let mut value = Some(value);
        self.wait.space.block_until(|| self.push_from(&mut value))
    }

    /// Pushes `value`, waiting while the limit is reached.
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

    /// Pushes the value that stands in `value`, waiting while the limit is reached; does nothing
    /// when there is none.
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

    /// Pushes all of `values`, in order, blocking the thread while the limit is reached.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] when the queue is closed; what was not pushed is left in `values`.
    pub fn push_batch(&self, values: &mut VecDeque<T>) -> Result<(), PushError<()>> {
        self.wait.space.block_until(|| self.push_all_from(values))
    }

    /// Pushes all of `values`, in order, waiting while the limit is reached.
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

    fn push_from(&self, value: &mut Option<T>) -> Option<Result<(), PushError<T>>> {
        push_unless_full(value, |value| self.try_push(value))
    }
}

impl<T, W: Wait> Drop for Queue<T, W> {
    fn drop(&mut self) {
        // Also when the drop of a value panics: the guard frees the segment that is left.
        let _last = LastSegment(self);
        drain(|| self.try_pop().ok());
    }
}

struct LastSegment<'a, T, W: Wait>(&'a Queue<T, W>);

impl<T, W: Wait> Drop for LastSegment<'_, T, W> {
    fn drop(&mut self) {
        // Drained, so both ends are in one segment, and the queue is being dropped.
        self.0.store.put(self.0.head.segment.load(Ordering::Acquire));
    }
}

impl<T, W: Wait> fmt::Debug for Queue<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("memory_bytes", &self.memory_bytes())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Slots of one segment that this thread has claimed.
struct Claim<T> {
    segment: *mut Segment<T>,
    offset: usize,
    count: usize,
}

impl<T> Claim<T> {
    /// Writes `value` into the claimed slot `index`.
    ///
    /// # Safety
    ///
    /// The claim is for pushes, `index < self.count`, and each slot is written once.
    #[inline(always)]
    unsafe fn put(&self, index: usize, value: T) {
        // SAFETY: the slot is claimed and not yet written, so no popper has left: it is alive.
        let segment = unsafe { &*self.segment };
        // SAFETY: the caller owns the slot, see above.
        unsafe { segment.put(self.offset + index, value) };
    }

    /// Takes the value out of the claimed slot `index`, waiting until its push is over.
    ///
    /// # Safety
    ///
    /// The claim is for pops, `index < self.count`, and each slot is taken once.
    #[inline(always)]
    unsafe fn take(&self, index: usize) -> T {
        // SAFETY: the popper has not left the segment, so it is alive.
        let segment = unsafe { &*self.segment };
        // SAFETY: the caller owns the slot, see above.
        unsafe { segment.take(self.offset + index) }
    }
}

/// A segment at hand for rule 4, given back if another thread was faster.
struct Next<'a, T, W: Wait> {
    queue: &'a Queue<T, W>,
    segment: Option<*mut Segment<T>>,
}

impl<T, W: Wait> Drop for Next<'_, T, W> {
    #[inline]
    fn drop(&mut self) {
        if let Some(segment) = self.segment {
            self.queue.give_back(segment);
        }
    }
}

/// Why no slot was claimed for a push.
enum NoClaim {
    Limit,
    Closed,
}

/// Moves `position` on by `count` if it is still `from`.
#[inline(always)]
fn advance(position: &AtomicUsize, from: usize, count: usize) -> bool {
    // Relaxed: values are ordered by `written`, segments by the Acquire loads before this.
    position.compare_exchange_weak(from, from + count, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Returns how many slots lie before `position`.
fn value_count(position: usize) -> usize {
    position / LAP * SLOTS + (position % LAP).min(SLOTS)
}

/// Positions per segment: one more than it has slots.
const LAP: usize = SLOTS + 1;

/// The bit of the tail position that says that the queue is closed.
const CLOSED: usize = 1 << (usize::BITS - 1);

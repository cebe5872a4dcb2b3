//! A bounded ring between one producer and one consumer.
//!
//! ```text
//!            head (next to pop)      tail (next to push)
//!              v                       v
//!   slots  [ . A B C D E F G H I J K L . . . ]     positions run on for ever; the slot of
//!                                                  position p is p & (slots - 1)
//! ```
//!
//! | field | owner | access |
//! |---|---|---|
//! | `tail` | producer | stored by it alone (Release); loaded by the consumer (Acquire) |
//! | `head` | consumer | stored by it alone (Release); loaded by the producer (Acquire) |
//! | slots in `head..tail` | consumer | full; read, then given back by storing `head` |
//! | slots in `tail..head + capacity` | producer | empty; written, then given by storing `tail` |
//! | `producer_gone`, `consumer_gone` | who goes | set once (Release), loaded (Acquire) |
//!
//! 1. Push: unless `tail - seen_head == capacity`, write the slot of `tail`, store `tail + 1`.
//!    `seen_head` is the producer's copy of `head`, loaded again only when the ring looks full.
//! 2. Pop: unless `head == seen_tail`, take the value out of the slot of `head`, store `head + 1`.
//!    `seen_tail` is the consumer's copy of `tail`, loaded again only when the ring looks empty.
//! 3. A half that is dropped sets its flag. The consumer answers `Closed` only when it has seen the
//!    flag first and an unchanged `tail` after it: every value pushed has then been popped.
//!
//! A side that runs into the other again after few values pauses once, for at most 1 us, before
//! it looks at the other's position: see `pace`. `looked_at` is its own position at that look.
//!
//! `head <= tail <= head + capacity` holds at all times, as each side advances its own position
//! only, and only within what the other has published. Positions are 64 bits: at 10^9 values a
//! second they last 580 years. At most 2^62 bytes; each side's position has cache lines of its own.
//!
//! Batches are the fast way: [`Producer::reserve`] and [`Consumer::peek`] hand out slices of the
//! ring itself, and a batch costs as many stores to shared memory as a single value.
//!
//! # Examples
//!
//! ```
//! use tidemill_bus::{PushError, spsc};
//!
//! let (mut producer, mut consumer) = spsc::ring(2)?;
//! producer.try_push('a').unwrap();
//! producer.try_push('b').unwrap();
//! assert_eq!(producer.try_push('c'), Err(PushError::Full('c')));
//! assert_eq!(consumer.try_pop(), Ok('a'));
//! # Ok::<(), tidemill_bus::CapacityError>(())
//! ```

mod batch;
mod slots;

use std::fmt;

pub use self::batch::{Chunk, Reservation, Values};
use self::slots::Slots;
use crate::drain::drain;
use crate::error::{
    CapacityError, PopError, PushError, push_unless_full, slot_count, unless_empty,
};
use crate::pace;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Padded};
use crate::wait::{Polling, Wait, Waiting};

/// Makes a ring for at least `capacity` values, to be polled; the capacity is rounded up to a power
/// of two.
///
/// # Errors
///
/// When `capacity` is zero, does not fit the address space, or there is no memory for it.
pub fn ring<T>(capacity: usize) -> Result<Halves<T>, CapacityError> {
    halves(capacity)
}

/// Makes a ring like [`ring`] on which threads can block and which tasks can await.
///
/// # Errors
///
/// When `capacity` is zero, does not fit the address space, or there is no memory for it.
///
/// # Examples
///
/// ```
/// use tidemill_bus::spsc;
///
/// let (mut producer, mut consumer) = spsc::waiting_ring(64)?;
/// std::thread::spawn(move || {
///     for number in 1..=1000_u64 {
///         producer.push(number).expect("the consumer lives");
///     }
/// });
/// let mut sum = 0;
/// while let Ok(number) = consumer.pop() {
///     sum += number;
/// }
/// assert_eq!(sum, 500_500);
/// # Ok::<(), tidemill_bus::CapacityError>(())
/// ```
pub fn waiting_ring<T>(capacity: usize) -> Result<Halves<T, Waiting>, CapacityError> {
    halves(capacity)
}

/// Both halves of a ring.
pub type Halves<T, W = Polling> = (Producer<T, W>, Consumer<T, W>);

/// The half of a ring that pushes; dropping it closes the ring.
pub struct Producer<T, W: Wait = Polling> {
    ring: Arc<Ring<T, W>>,
    cursor: PushCursor,
}

/// The half of a ring that pops; dropping it closes the ring.
pub struct Consumer<T, W: Wait = Polling> {
    ring: Arc<Ring<T, W>>,
    cursor: PopCursor,
}

impl<T, W: Wait> Producer<T, W> {
    /// Pushes `value` unless the ring is full.
    ///
    /// # Errors
    ///
    /// Gives the value back when the ring is full or the consumer is gone.
    #[inline]
    pub fn try_push(&mut self, value: T) -> Result<(), PushError<T>> {
        self.cursor.try_push(&self.ring, value)
    }

    /// Reserves up to `count` free slots, to be written in place and published at once.
    ///
    /// The reservation may be shorter, down to no slot at all, when the ring has less room.
    #[inline]
    pub fn reserve(&mut self, count: usize) -> Reservation<'_, T, W> {
        let room = self.cursor.room(&self.ring, count);
        Reservation::new(self, room.min(count))
    }

    /// Pushes values from the front of `values` until the ring is full; returns how many.
    ///
    /// Zero also when the consumer is gone: see [`is_closed`](Self::is_closed).
    #[inline]
    pub fn push_slice(&mut self, values: &[T]) -> usize
    where
        T: Copy,
    {
        let mut reservation = self.reserve(values.len());
        reservation.copy_from(values);
        reservation.commit()
    }

    /// Returns the number of values the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Returns the number of values in the ring: at least as many have been pushed and not popped
    /// at this moment, minus what the consumer pops meanwhile.
    ///
    /// Seen from here it can only shrink by itself, so `capacity() - len()` pushes will succeed.
    pub fn len(&self) -> usize {
        // Acquire: as in rule 1.
        self.cursor.tail - self.ring.head.load(Ordering::Acquire)
    }

    /// Returns true when every value has been popped: it stays so until the next push.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true when the consumer is gone, so that every push fails.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.consumer_gone.load(Ordering::Acquire)
    }
}

impl<T> Producer<T, Waiting> {
    /// Pushes `value`, blocking the thread while the ring is full.
    ///
    /// # Errors
    ///
    /// Gives the value back as [`PushError::Closed`] when the consumer is gone.
    pub fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        let mut value = Some(value);
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.space.block_until(|| cursor.push_from(ring, &mut value))
    }

    /// Pushes `value`, waiting while the ring is full.
    ///
    /// # Errors
    ///
    /// Gives the value back as [`PushError::Closed`] when the consumer is gone.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready has not pushed the value and drops it. To keep the
    /// value, await [`ready`](Self::ready) and call [`try_push`](Self::try_push).
    pub async fn push_async(&mut self, value: T) -> Result<(), PushError<T>> {
        let mut value = Some(value);
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.space.until(|| cursor.push_from(ring, &mut value)).await
    }

    /// Blocks the thread until there is room for at least one value; false when the consumer is
    /// gone.
    pub fn block_until_ready(&mut self) -> bool {
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.space.block_until(|| cursor.ready(ring))
    }

    /// Waits until there is room for at least one value; false when the consumer is gone.
    ///
    /// Nothing but this producer takes that room, so the next push finds it. Cancel-safe.
    pub async fn ready(&mut self) -> bool {
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.space.until(|| cursor.ready(ring)).await
    }
}

impl<T, W: Wait> Consumer<T, W> {
    /// Pops the value pushed first.
    ///
    /// # Errors
    ///
    /// [`PopError::Empty`] when there is none now, [`PopError::Closed`] when there will be none.
    #[inline]
    pub fn try_pop(&mut self) -> Result<T, PopError> {
        self.cursor.try_pop(&self.ring)
    }

    /// Returns up to `count` values, at least one, as slices of the ring; they stay in it until
    /// they are taken out of the [`Chunk`] or it is told to [`commit`](Chunk::commit).
    ///
    /// # Errors
    ///
    /// [`PopError::Empty`] when there is none now, [`PopError::Closed`] when there will be none.
    #[inline]
    pub fn peek(&mut self, count: usize) -> Result<Chunk<'_, T, W>, PopError> {
        let available = self.cursor.available(&self.ring, count)?;
        Ok(Chunk::new(self, available.min(count)))
    }

    /// Pops values into the front of `values` until it is full or the ring is empty; returns how
    /// many.
    ///
    /// # Errors
    ///
    /// [`PopError::Empty`] when there is none now, [`PopError::Closed`] when there will be none.
    #[inline]
    pub fn pop_slice(&mut self, values: &mut [T]) -> Result<usize, PopError>
    where
        T: Copy,
    {
        let chunk = self.peek(values.len())?;
        let count = chunk.copy_to(values);
        chunk.commit(count);
        Ok(count)
    }

    /// Returns the number of values the ring holds at most.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Returns the number of values in the ring; the producer may push more meanwhile.
    ///
    /// Seen from here it can only grow by itself, so `len()` pops will succeed.
    pub fn len(&self) -> usize {
        // Acquire: as in rule 2.
        self.ring.tail.load(Ordering::Acquire) - self.cursor.head
    }

    /// Returns true when there is no value now; the producer may push one meanwhile.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true when the producer is gone; values may be left to pop.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.ring.producer_gone.load(Ordering::Acquire)
    }
}

impl<T> Consumer<T, Waiting> {
    /// Pops the value pushed first, blocking the thread while there is none.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the producer is gone and the ring is drained.
    pub fn pop(&mut self) -> Result<T, PopError> {
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.values.block_until(|| unless_empty(cursor.try_pop(ring)))
    }

    /// Pops the value pushed first, waiting while there is none.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the producer is gone and the ring is drained.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready has popped nothing.
    pub async fn pop_async(&mut self) -> Result<T, PopError> {
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.values.until(|| unless_empty(cursor.try_pop(ring))).await
    }

    /// Blocks the thread until [`peek`](Self::peek) finds a value; false when there will be none.
    pub fn block_until_ready(&mut self) -> bool {
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.values.block_until(|| unless_empty(cursor.available(ring, 1))).is_ok()
    }

    /// Waits until [`peek`](Self::peek) finds a value; false when there will be none. Cancel-safe.
    pub async fn ready(&mut self) -> bool {
        let (ring, cursor) = (&*self.ring, &mut self.cursor);
        ring.wait.values.until(|| unless_empty(cursor.available(ring, 1))).await.is_ok()
    }
}

impl<T, W: Wait> Drop for Producer<T, W> {
    fn drop(&mut self) {
        // Rule 3. Release: every push precedes the flag.
        self.ring.producer_gone.store(true, Ordering::Release);
        self.ring.wait.closed();
    }
}

impl<T, W: Wait> Drop for Consumer<T, W> {
    fn drop(&mut self) {
        // Usually there already, but not when a `Values` was leaked: what it took must not be
        // dropped again with the ring.
        self.ring.head.store(self.cursor.head, Ordering::Release);
        self.ring.consumer_gone.store(true, Ordering::Release);
        self.ring.wait.closed();
    }
}

impl<T, W: Wait> fmt::Debug for Producer<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl<T, W: Wait> fmt::Debug for Consumer<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// What both halves share.
struct Ring<T, W: Wait> {
    tail: Padded<AtomicUsize>,
    head: Padded<AtomicUsize>,
    slots: Slots<T>,
    producer_gone: AtomicBool,
    consumer_gone: AtomicBool,
    wait: W,
}

fn halves<T, W: Wait>(capacity: usize) -> Result<Halves<T, W>, CapacityError> {
    let slots = slot_count(capacity, size_of::<T>())?;
    let ring = Arc::new(Ring {
        tail: Padded(AtomicUsize::new(0)),
        head: Padded(AtomicUsize::new(0)),
        slots: Slots::new(slots)?,
        producer_gone: AtomicBool::new(false),
        consumer_gone: AtomicBool::new(false),
        wait: W::default(),
    });
    let producer = Producer {
        ring: Arc::clone(&ring),
        cursor: PushCursor { tail: 0, seen_head: 0, looked_at: 0 },
    };
    let consumer = Consumer { ring, cursor: PopCursor { head: 0, seen_tail: 0, looked_at: 0 } };
    Ok((producer, consumer))
}

impl<T, W: Wait> Ring<T, W> {
    fn capacity(&self) -> usize {
        self.slots.count()
    }
}

impl<T, W: Wait> Drop for Ring<T, W> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<T>() {
            return;
        }
        let tail = self.tail.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        drain(|| {
            (head != tail).then(|| {
                head += 1;
                // SAFETY: both halves are gone, `head - 1` was in `head..tail`, whose slots are
                // initialised, and no position is visited twice.
                unsafe { self.slots.take(head - 1) }
            })
        });
    }
}

/// The producer's own positions.
struct PushCursor {
    /// Equal to `Ring::tail`, which only this side stores.
    tail: usize,
    /// Some past value of `Ring::head`, so never above it.
    seen_head: usize,
    /// `tail` at the last look at `Ring::head`.
    looked_at: usize,
}

impl PushCursor {
    #[inline]
    fn try_push<T, W: Wait>(&mut self, ring: &Ring<T, W>, value: T) -> Result<(), PushError<T>> {
        if ring.consumer_gone.load(Ordering::Acquire) {
            return Err(PushError::Closed(value));
        }
        if self.room(ring, 1) == 0 {
            return Err(PushError::Full(value));
        }
        // SAFETY: `room` found `tail` in `tail..head + capacity`, which is this side's to write.
        unsafe { ring.slots.put(self.tail, value) };
        self.publish(ring, 1);
        Ok(())
    }

    /// Returns the number of free slots, looking at the consumer's position only when fewer than
    /// `wanted` are known to be free; zero when the consumer is gone.
    #[inline]
    fn room<T, W: Wait>(&mut self, ring: &Ring<T, W>, wanted: usize) -> usize {
        let known = self.seen_head + ring.capacity() - self.tail;
        if known >= wanted {
            return known;
        }
        pace::let_gather(self.tail - self.looked_at, ring.capacity());
        self.looked_at = self.tail;
        // Rule 1. Acquire pairs with the Release in `PopCursor::give_back`: values are out of
        // slots.
        self.seen_head = ring.head.load(Ordering::Acquire);
        self.seen_head + ring.capacity() - self.tail
    }

    /// Publishes `count` slots that have been written.
    #[inline]
    fn publish<T, W: Wait>(&mut self, ring: &Ring<T, W>, count: usize) {
        self.tail += count;
        // Rule 1. Release: the slots are written before they are seen.
        ring.tail.store(self.tail, Ordering::Release);
        ring.wait.pushed(count);
    }

    /// Pushes the value out of `value`; `None` and the value left there when the ring is full.
    fn push_from<T, W: Wait>(
        &mut self,
        ring: &Ring<T, W>,
        value: &mut Option<T>,
    ) -> Option<Result<(), PushError<T>>> {
        push_unless_full(value, |value| self.try_push(ring, value))
    }

    fn ready<T, W: Wait>(&mut self, ring: &Ring<T, W>) -> Option<bool> {
        if ring.consumer_gone.load(Ordering::Acquire) {
            return Some(false);
        }
        (self.room(ring, 1) > 0).then_some(true)
    }
}

/// The consumer's own positions.
struct PopCursor {
    /// Equal to `Ring::head`, which only this side stores, or ahead of it by values that have been
    /// taken out of a chunk and whose slots are not given back yet.
    head: usize,
    /// Some past value of `Ring::tail`, so never above it.
    seen_tail: usize,
    /// `head` at the last look at `Ring::tail`.
    looked_at: usize,
}

impl PopCursor {
    #[inline]
    fn try_pop<T, W: Wait>(&mut self, ring: &Ring<T, W>) -> Result<T, PopError> {
        self.available(ring, 1)?;
        // SAFETY: `available` found `head` in `head..tail`: initialised and this side's to read.
        let value = unsafe { ring.slots.take(self.head) };
        self.head += 1;
        self.give_back(ring, 1);
        Ok(value)
    }

    /// Returns the number of values to pop, at least one, looking at the producer's position only
    /// when fewer than `wanted` are known.
    #[inline]
    fn available<T, W: Wait>(
        &mut self,
        ring: &Ring<T, W>,
        wanted: usize,
    ) -> Result<usize, PopError> {
        let known = self.seen_tail - self.head;
        if known >= wanted && known > 0 {
            return Ok(known);
        }
        pace::let_gather(self.head - self.looked_at, ring.capacity());
        self.looked_at = self.head;
        // Rule 2. Acquire pairs with the Release in `PushCursor::publish`: the slots are written.
        self.seen_tail = ring.tail.load(Ordering::Acquire);
        match self.seen_tail - self.head {
            0 => self.closed_or_empty(ring),
            available => Ok(available),
        }
    }

    #[cold]
    fn closed_or_empty<T, W: Wait>(&mut self, ring: &Ring<T, W>) -> Result<usize, PopError> {
        // Rule 3. Acquire: the load of `tail` after it sees every push.
        if !ring.producer_gone.load(Ordering::Acquire) {
            return Err(PopError::Empty);
        }
        self.seen_tail = ring.tail.load(Ordering::Acquire);
        match self.seen_tail - self.head {
            0 => Err(PopError::Closed),
            available => Ok(available),
        }
    }

    /// Publishes `head`, which gives the last `count` slots before it back.
    #[inline]
    fn give_back<T, W: Wait>(&mut self, ring: &Ring<T, W>, count: usize) {
        // Rule 2. Release: the values are out of the slots before those are reused.
        ring.head.store(self.head, Ordering::Release);
        ring.wait.popped(count);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_at_least_what_was_asked_for() {
        let (producer, consumer) = ring::<u8>(5).unwrap();
        assert_eq!((producer.capacity(), consumer.capacity()), (8, 8));
    }

    #[test]
    fn zero_and_overflowing_capacities_are_named_errors() {
        assert_eq!(ring::<u8>(0).err(), Some(CapacityError::Zero));
        for capacity in [usize::MAX, usize::MAX / 2 + 2, usize::MAX / 8] {
            let error = ring::<u64>(capacity).err();
            assert_eq!(error, Some(CapacityError::TooLarge { capacity, value_bytes: 8 }));
        }
        let error = ring::<u64>(1 << 55).err();
        assert_eq!(error, Some(CapacityError::NoMemory { capacity: 1 << 55, value_bytes: 8 }));
    }

    #[test]
    fn a_ring_without_consumer_gives_the_value_back_at_once() {
        let (mut producer, consumer) = ring(4).unwrap();
        drop(consumer);
        assert_eq!(producer.try_push(1), Err(PushError::Closed(1)));
        assert_eq!(producer.reserve(4).len(), 0);
    }

    #[test]
    fn values_pushed_before_the_close_are_popped_after_it() {
        let (mut producer, mut consumer) = ring(4).unwrap();
        producer.try_push(1).unwrap();
        drop(producer);
        assert_eq!(consumer.try_pop(), Ok(1));
        assert_eq!(consumer.try_pop(), Err(PopError::Closed));
    }
}

//! Batches of a ring as slices of its own memory: written or read in place, published at once.
//!
//! A [`Reservation`] owns free slots of the producer, a [`Chunk`] values of the consumer; both
//! borrow their half of the ring, so there is one at a time and the ring's rules go on to hold.
//! Nothing is published before `commit`, and dropping one without it publishes nothing.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::{Consumer, Producer};
use crate::drain::drain;
use crate::wait::Wait;

/// Free slots of a ring, to be filled and published by [`commit`](Self::commit).
///
/// Dropping it without a commit drops the values put into it and publishes nothing.
#[must_use = "nothing is pushed before `commit`"]
pub struct Reservation<'a, T, W: Wait> {
    producer: &'a mut Producer<T, W>,
    /// Slots reserved.
    count: usize,
    /// Slots at the front that hold a value: at most `count`.
    filled: usize,
}

impl<'a, T, W: Wait> Reservation<'a, T, W> {
    /// Wraps `count` slots from the producer's position on, which are free.
    #[inline]
    pub(super) fn new(producer: &'a mut Producer<T, W>, count: usize) -> Self {
        let count = if producer.is_closed() { 0 } else { count };
        Self { producer, count, filled: 0 }
    }

    /// Puts `value` into the next slot.
    ///
    /// # Errors
    ///
    /// Gives the value back when every reserved slot holds one.
    #[inline]
    pub fn put(&mut self, value: T) -> Result<(), T> {
        if self.filled == self.count {
            return Err(value);
        }
        // SAFETY: `filled < count`, so the slot is reserved and empty.
        unsafe { self.producer.ring.slots.put(self.position(), value) };
        self.filled += 1;
        Ok(())
    }

    /// Puts values from `values` into the slots until either ends; returns how many.
    ///
    /// One value may be taken from the iterator only when there is a slot for it.
    pub fn put_all(&mut self, values: impl IntoIterator<Item = T>) -> usize {
        let before = self.filled;
        let room = self.count - self.filled;
        for value in values.into_iter().take(room) {
            if self.put(value).is_err() {
                break;
            }
        }
        self.filled - before
    }

    /// Copies values from the front of `values` into the slots until either ends; returns how many.
    #[inline]
    pub fn copy_from(&mut self, values: &[T]) -> usize
    where
        T: Copy,
    {
        let count = values.len().min(self.count - self.filled);
        let (first, second) = self.unfilled();
        let split = count.min(first.len());
        first[..split].write_copy_of_slice(&values[..split]);
        second[..count - split].write_copy_of_slice(&values[split..count]);
        self.filled += count;
        count
    }

    /// Returns the slots that hold no value yet: up to the end of the ring, and from its beginning.
    ///
    /// After writing from the front on, say so with [`assume_filled`](Self::assume_filled).
    #[inline]
    pub fn unfilled(&mut self) -> (&mut [MaybeUninit<T>], &mut [MaybeUninit<T>]) {
        let left = self.count - self.filled;
        let [first, second] = self.producer.ring.slots.parts(self.position(), left, true);
        // SAFETY: the slots are reserved, so only this side accesses them, for as long as `self` is
        // borrowed; they lie in one allocation and need not be initialised.
        let first = unsafe { std::slice::from_raw_parts_mut(first.0.cast(), first.1) };
        // SAFETY: as above; the two parts do not overlap, as `left` is at most the ring's slots.
        let second = unsafe { std::slice::from_raw_parts_mut(second.0.cast(), second.1) };
        (first, second)
    }

    /// Counts `count` more slots as holding a value.
    ///
    /// # Safety
    ///
    /// The first `count` slots of [`unfilled`](Self::unfilled) have been written.
    ///
    /// # Panics
    ///
    /// When `count` is more than the slots without a value.
    #[inline]
    pub unsafe fn assume_filled(&mut self, count: usize) {
        assert!(count <= self.count - self.filled, "more slots filled than were reserved");
        self.filled += count;
    }

    /// Publishes the slots that hold a value, and returns how many.
    #[inline]
    pub fn commit(mut self) -> usize {
        // The values are the consumer's from here on: nothing is left for the drop.
        let filled = std::mem::take(&mut self.filled);
        if filled > 0 {
            let producer = &mut *self.producer;
            producer.cursor.publish(&producer.ring, filled);
        }
        filled
    }

    /// Returns the number of slots reserved.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns true when no slot is reserved: the ring is full or closed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The position of the first slot without a value.
    fn position(&self) -> usize {
        self.producer.cursor.tail + self.filled
    }
}

impl<T, W: Wait> Drop for Reservation<'_, T, W> {
    fn drop(&mut self) {
        drain(|| {
            let last = self.filled.checked_sub(1)?;
            self.filled = last;
            // SAFETY: the slot was filled and is this side's; it counts as empty since the line
            // above.
            Some(unsafe { self.producer.ring.slots.take(self.position()) })
        });
    }
}

impl<T, W: Wait> fmt::Debug for Reservation<'_, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("count", &self.count)
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

/// Values at the front of a ring, in the order of their pushes; at least one when it is made.
///
/// They stay in the ring unless committed or taken out by iteration.
pub struct Chunk<'a, T, W: Wait> {
    consumer: &'a mut Consumer<T, W>,
    count: usize,
    /// A chunk shares its values by reference, so it may be sent and shared as `&mut [T]` may.
    values: PhantomData<&'a mut [T]>,
}

impl<'a, T, W: Wait> Chunk<'a, T, W> {
    /// Wraps `count` values from the consumer's position on.
    #[inline]
    pub(super) fn new(consumer: &'a mut Consumer<T, W>, count: usize) -> Self {
        Self { consumer, count, values: PhantomData }
    }

    /// Returns the values: those up to the end of the ring, and those from its beginning.
    #[inline]
    pub fn as_slices(&self) -> (&[T], &[T]) {
        let [first, second] =
            self.consumer.ring.slots.parts(self.consumer.cursor.head, self.count, false);
        // SAFETY: the slots are in `head..tail`, so they are initialised and only this side
        // accesses them; the borrow of `self` keeps the position where it is.
        let first = unsafe { std::slice::from_raw_parts(first.0, first.1) };
        // SAFETY: as above.
        let second = unsafe { std::slice::from_raw_parts(second.0, second.1) };
        (first, second)
    }

    /// Copies values into the front of `values` until either ends; returns how many.
    #[inline]
    pub fn copy_to(&self, values: &mut [T]) -> usize
    where
        T: Copy,
    {
        let (first, second) = self.as_slices();
        let count = values.len().min(self.count);
        let split = count.min(first.len());
        values[..split].copy_from_slice(&first[..split]);
        values[split..count].copy_from_slice(&second[..count - split]);
        count
    }

    /// Drops the first `count` values and gives their slots back; the others stay in the ring.
    ///
    /// When a drop panics, the remaining ones are dropped and the slots given back nevertheless.
    ///
    /// # Panics
    ///
    /// When `count` is more than the values in the chunk.
    #[inline]
    pub fn commit(mut self, count: usize) {
        assert!(count <= self.count, "more values committed than the chunk has");
        self.count = count;
        if std::mem::needs_drop::<T>() {
            let mut taken = self.into_iter();
            drain(|| taken.next());
        } else if count > 0 {
            let consumer = &mut *self.consumer;
            // Model the reads of `as_slices` up to this point.
            consumer.ring.slots.parts(consumer.cursor.head, count, false);
            consumer.cursor.head += count;
            consumer.cursor.give_back(&consumer.ring, count);
        }
    }

    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns true when there is no value, as after a `peek(0)`.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<T, W: Wait> fmt::Debug for Chunk<'_, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<'a, T, W: Wait> IntoIterator for Chunk<'a, T, W> {
    type Item = T;
    type IntoIter = Values<'a, T, W>;

    fn into_iter(self) -> Values<'a, T, W> {
        Values { consumer: self.consumer, left: self.count, taken: 0 }
    }
}

/// Takes values out of a ring; their slots are given back all at once when this is dropped.
///
/// Values not taken stay in the ring.
pub struct Values<'a, T, W: Wait> {
    consumer: &'a mut Consumer<T, W>,
    left: usize,
    taken: usize,
}

impl<T, W: Wait> Iterator for Values<'_, T, W> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.taken += 1;
        let position = self.consumer.cursor.head;
        // Advanced now and published by the drop: even if that never comes, no value is taken
        // twice.
        self.consumer.cursor.head += 1;
        // SAFETY: `left` values from `head` on are in the ring, and `head` has passed this one.
        Some(unsafe { self.consumer.ring.slots.take(position) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T, W: Wait> ExactSizeIterator for Values<'_, T, W> {}

impl<T, W: Wait> Drop for Values<'_, T, W> {
    fn drop(&mut self) {
        if self.taken > 0 {
            let consumer = &mut *self.consumer;
            consumer.cursor.give_back(&consumer.ring, self.taken);
        }
    }
}

impl<T, W: Wait> fmt::Debug for Values<'_, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("left", &self.left).finish_non_exhaustive()
    }
}

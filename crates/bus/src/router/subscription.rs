//! A subscriber's queue, from the publishers' side and from its own.

use std::fmt;

use super::topic::{Offer, Topic};
use crate::drain::drain;
use crate::error::{CapacityError, PopError, PushError};
use crate::mpmc;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::wait::Waiting;

/// What happens to a message for a subscriber whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The publisher waits for room: nothing is lost, and one slow subscriber slows the publishers
    /// of its topic.
    Block,
    /// The new message is dropped for this subscriber, and counted.
    DropNewest,
    /// The oldest message in the queue is dropped, and counted, to make room for the new one.
    DropOldest,
}

/// What has happened to one subscriber; every count only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriberCounters {
    /// Messages published to it: delivered, dropped or still queued.
    pub published: usize,
    /// Messages that it has popped.
    pub delivered: usize,
    /// New messages dropped because its queue was full.
    pub dropped_newest: usize,
    /// Queued messages dropped to make room for new ones.
    pub dropped_oldest: usize,
}

/// What publishers know of a subscription.
///
/// `dropped_newest` and `dropped_oldest` are raised by publishers, after the fact, and read by
/// anyone. Deliveries are not counted: the queue's positions tell them.
pub(super) struct Subscriber<T> {
    pub(super) queue: mpmc::Queue<T, Waiting>,
    overflow: Overflow,
    dropped_newest: AtomicUsize,
    dropped_oldest: AtomicUsize,
}

impl<T> Subscriber<T> {
    pub(super) fn new(capacity: usize, overflow: Overflow) -> Result<Self, CapacityError> {
        Ok(Self {
            queue: mpmc::Queue::waiting(capacity)?,
            overflow,
            dropped_newest: AtomicUsize::new(0),
            dropped_oldest: AtomicUsize::new(0),
        })
    }

    /// Pushes `payload` as far as that needs no waiting; gives it back when a blocking subscriber
    /// is full.
    #[inline]
    pub(super) fn offer(&self, payload: T) -> Result<Offer, T> {
        match self.queue.try_push(payload) {
            Ok(()) => Ok(Offer::Taken),
            Err(PushError::Closed(_)) => Ok(Offer::Gone),
            Err(PushError::Full(payload)) => match self.overflow {
                Overflow::Block => Err(payload),
                Overflow::DropNewest => Ok(self.refuse(payload)),
                Overflow::DropOldest => Ok(self.push_over_oldest(payload)),
            },
        }
    }

    /// Drops `payload` for want of room, and counts it.
    #[cold]
    pub(super) fn refuse(&self, payload: T) -> Offer {
        self.dropped_newest.fetch_add(1, Ordering::Release);
        drop(payload);
        Offer::Dropped
    }

    #[cold]
    pub(super) fn wait_and_push(&self, payload: T) -> Offer {
        match self.queue.push(payload) {
            Ok(()) => Offer::Taken,
            Err(_) => Offer::Gone,
        }
    }

    pub(super) async fn wait_and_push_async(&self, payload: T) -> Offer {
        match self.queue.push_async(payload).await {
            Ok(()) => Offer::Taken,
            Err(_) => Offer::Gone,
        }
    }

    /// Pops until there is room. Each round but the last drops a message, or another thread did.
    #[cold]
    fn push_over_oldest(&self, mut payload: T) -> Offer {
        loop {
            if let Ok(oldest) = self.queue.try_pop() {
                self.dropped_oldest.fetch_add(1, Ordering::Release);
                drop(oldest);
            }
            match self.queue.try_push(payload) {
                Ok(()) => return Offer::Taken,
                Err(PushError::Closed(_)) => return Offer::Gone,
                Err(PushError::Full(back)) => payload = back,
            }
        }
    }

    pub(super) fn counters(&self) -> SubscriberCounters {
        // Drops first: each was popped or refused before it was counted, so what is read after is
        // not below. Acquire pairs with the Release of the counting.
        let dropped_oldest = self.dropped_oldest.load(Ordering::Acquire);
        let dropped_newest = self.dropped_newest.load(Ordering::Acquire);
        let popped = self.queue.popped_total();
        SubscriberCounters {
            published: self.queue.pushed_total() + dropped_newest,
            delivered: popped - dropped_oldest,
            dropped_newest,
            dropped_oldest,
        }
    }
}

/// A subscriber's end of a topic; dropping it unsubscribes.
///
/// Several threads may pop from it; each message then goes to one of them.
pub struct Subscription<T> {
    topic: Arc<Topic<T>>,
    subscriber: Arc<Subscriber<T>>,
}

impl<T> Subscription<T> {
    pub(super) fn new(topic: Arc<Topic<T>>, subscriber: Arc<Subscriber<T>>) -> Self {
        Self { topic, subscriber }
    }

    /// Returns the name of the topic.
    pub fn topic_name(&self) -> &str {
        self.topic.name()
    }

    /// Returns what has happened to this subscriber so far.
    pub fn counters(&self) -> SubscriberCounters {
        self.subscriber.counters()
    }

    /// Pops the next message.
    ///
    /// # Errors
    ///
    /// [`PopError::Empty`] when there is none now, [`PopError::Closed`] when the router is gone and
    /// every message has been popped.
    #[inline]
    pub fn try_pop(&self) -> Result<T, PopError> {
        self.subscriber.queue.try_pop()
    }

    /// Moves up to `count` messages to the end of `messages`; returns how many, at least one.
    ///
    /// # Errors
    ///
    /// As [`try_pop`](Self::try_pop).
    pub fn try_pop_batch(&self, messages: &mut Vec<T>, count: usize) -> Result<usize, PopError> {
        self.subscriber.queue.try_pop_batch(messages, count)
    }

    /// Pops the next message, blocking the thread while there is none.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the router is gone and every message has been popped.
    pub fn pop(&self) -> Result<T, PopError> {
        self.subscriber.queue.pop()
    }

    /// Pops the next message, waiting while there is none. Cancel-safe: a dropped future has popped
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the router is gone and every message has been popped.
    pub async fn pop_async(&self) -> Result<T, PopError> {
        self.subscriber.queue.pop_async().await
    }

    /// Pops like [`try_pop_batch`](Self::try_pop_batch), blocking the thread while there is no
    /// message.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the router is gone and every message has been popped.
    pub fn pop_batch(&self, messages: &mut Vec<T>, count: usize) -> Result<usize, PopError> {
        self.subscriber.queue.pop_batch(messages, count)
    }

    /// Pops like [`try_pop_batch`](Self::try_pop_batch), waiting while there is no message.
    /// Cancel-safe: a dropped future has popped nothing.
    ///
    /// # Errors
    ///
    /// [`PopError::Closed`] when the router is gone and every message has been popped.
    pub async fn pop_batch_async(
        &self,
        messages: &mut Vec<T>,
        count: usize,
    ) -> Result<usize, PopError> {
        self.subscriber.queue.pop_batch_async(messages, count).await
    }

    /// Returns about how many messages wait in the queue: see [`mpmc::Queue::len`].
    pub fn len(&self) -> usize {
        self.subscriber.queue.len()
    }

    /// Returns true when [`len`](Self::len) is zero, with the same reservation.
    pub fn is_empty(&self) -> bool {
        self.subscriber.queue.is_empty()
    }
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        self.subscriber.queue.close();
        self.topic.unsubscribe(&self.subscriber);
        // Now rather than with the last snapshot that knows the queue: payloads may be pooled.
        // Closed, the queue answers `Closed` only when pushes under way have ended and it is empty.
        drain(|| self.subscriber.queue.try_pop().ok());
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic_name())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

//! A topic: its subscribers and its counts.
//!
//! The parent's rules 1 to 3 are carried out here.

use std::sync::PoisonError;

use super::RouterError;
use super::snapshot::Snapshot;
use super::subscription::{Overflow, Subscriber, Subscription};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, Padded};

/// What a publish came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// Subscribers whose queue took the message.
    pub delivered: usize,
    /// Subscribers that were full and for which this message was dropped.
    pub dropped: usize,
}

impl Delivery {
    #[inline]
    pub(super) fn count(&mut self, offer: Offer) {
        match offer {
            Offer::Taken => self.delivered += 1,
            Offer::Dropped => self.dropped += 1,
            Offer::Gone => {}
        }
    }
}

/// What became of a message offered to one subscriber.
pub(super) enum Offer {
    Taken,
    Dropped,
    /// The subscriber has left.
    Gone,
}

/// What has happened on a topic; every count only grows, `subscribers` excepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicCounters {
    /// Messages published.
    pub published: usize,
    /// Messages that subscribers have popped, summed over all of them.
    pub delivered: usize,
    /// Messages lost to full queues, or left in a queue when its subscriber went, summed likewise.
    pub dropped: usize,
    /// Subscribers now.
    pub subscribers: usize,
}

/// The subscribers of a topic at one time.
pub(super) type List<T> = Vec<Arc<Subscriber<T>>>;

pub(super) struct Topic<T> {
    name: Box<str>,
    published: Padded<AtomicUsize>,
    subscribers: Snapshot<List<T>>,
    /// How often the list has been replaced.
    version: AtomicUsize,
    members: Mutex<Members>,
}

/// What only changes together with the list of subscribers.
#[derive(Default)]
struct Members {
    /// Messages that subscribers popped which are gone.
    gone_delivered: usize,
    /// Messages that subscribers lost or left behind which are gone.
    gone_dropped: usize,
}

impl<T> Topic<T> {
    pub(super) fn new(name: Box<str>) -> Self {
        Self {
            name,
            published: Padded(AtomicUsize::new(0)),
            subscribers: Snapshot::new(Vec::new()),
            version: AtomicUsize::new(0),
            members: Mutex::new(Members::default()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Rule 1.
    pub(super) fn subscribe(
        topic: &Arc<Self>,
        capacity: usize,
        overflow: Overflow,
        max: usize,
    ) -> Result<Subscription<T>, RouterError> {
        let subscriber = Arc::new(Subscriber::new(capacity, overflow)?);
        let members = topic.members.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = topic.list();
        if list.len() >= max {
            return Err(RouterError::SubscribersExhausted { max });
        }
        list.push(Arc::clone(&subscriber));
        topic.replace(list);
        drop(members);
        Ok(Subscription::new(Arc::clone(topic), subscriber))
    }

    /// Rule 3, after the queue was closed.
    pub(super) fn unsubscribe(&self, subscriber: &Arc<Subscriber<T>>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = self.list();
        list.retain(|other| !Arc::ptr_eq(other, subscriber));
        self.replace(list);
        let counters = subscriber.counters();
        members.gone_delivered += counters.delivered;
        // Published to it and neither delivered nor dropped: it is still in the queue.
        members.gone_dropped += counters.published.saturating_sub(counters.delivered);
    }

    /// Rule 4.
    pub(super) fn close(&self) {
        let _members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        for subscriber in self.subscribers.load().iter() {
            subscriber.queue.close();
        }
    }

    pub(super) fn counters(&self) -> TopicCounters {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let list = self.list();
        let mut counters = TopicCounters {
            published: self.published.load(Ordering::Relaxed),
            delivered: members.gone_delivered,
            dropped: members.gone_dropped,
            subscribers: list.len(),
        };
        for subscriber in list {
            let one = subscriber.counters();
            counters.delivered += one.delivered;
            counters.dropped += one.dropped_newest + one.dropped_oldest;
        }
        counters
    }

    /// Counts a message.
    #[inline]
    pub(super) fn count(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns a number that changes with the list of subscribers.
    #[inline]
    pub(super) fn version(&self) -> usize {
        // Acquire pairs with `replace`: the list read next is at least as new.
        self.version.load(Ordering::Acquire)
    }

    /// Returns those who shall get a message published now.
    pub(super) fn subscribers(&self) -> Arc<List<T>> {
        Arc::clone(&self.subscribers.load())
    }

    /// Replaces the list; the caller holds the lock of `members`.
    fn replace(&self, list: List<T>) {
        self.subscribers.store(list);
        // Release: who sees the new version sees the new list.
        self.version.fetch_add(1, Ordering::Release);
    }

    fn list(&self) -> List<T> {
        self.subscribers.load().to_vec()
    }
}

impl<T: Clone> Topic<T> {
    /// Rule 2; `when_full` deals with a blocking subscriber that has no room.
    #[inline]
    pub(super) fn publish(
        &self,
        payload: T,
        when_full: impl Fn(&Subscriber<T>, T) -> Offer,
    ) -> Delivery {
        self.count();
        offer_all(&self.subscribers.load(), payload, when_full)
    }
}

/// Offers a clone of `payload` to each subscriber, the payload itself to the last.
#[inline]
pub(super) fn offer_all<T: Clone>(
    subscribers: &[Arc<Subscriber<T>>],
    payload: T,
    when_full: impl Fn(&Subscriber<T>, T) -> Offer,
) -> Delivery {
    let mut delivery = Delivery::default();
    let Some((last, others)) = subscribers.split_last() else { return delivery };
    let mut offer = |subscriber: &Subscriber<T>, payload| {
        let offer = subscriber.offer(payload);
        delivery.count(offer.unwrap_or_else(|payload| when_full(subscriber, payload)));
    };
    for subscriber in others {
        offer(subscriber, payload.clone());
    }
    offer(last, payload);
    delivery
}

/// As [`offer_all`], waiting for blocking subscribers that have no room.
pub(super) async fn offer_all_async<T: Clone>(
    subscribers: &[Arc<Subscriber<T>>],
    payload: T,
) -> Delivery {
    let mut delivery = Delivery::default();
    for subscriber in subscribers {
        let offer = match subscriber.offer(payload.clone()) {
            Ok(offer) => offer,
            Err(payload) => subscriber.wait_and_push_async(payload).await,
        };
        delivery.count(offer);
    }
    delivery
}

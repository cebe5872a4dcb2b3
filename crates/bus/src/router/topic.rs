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

pub(super) struct Topic<T> {
    name: Box<str>,
    published: Padded<AtomicUsize>,
    subscribers: Snapshot<Vec<Arc<Subscriber<T>>>>,
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
        topic.subscribers.store(list);
        drop(members);
        Ok(Subscription::new(Arc::clone(topic), subscriber))
    }

    /// Rule 3, after the queue was closed.
    pub(super) fn unsubscribe(&self, subscriber: &Arc<Subscriber<T>>) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = self.list();
        list.retain(|other| !Arc::ptr_eq(other, subscriber));
        self.subscribers.store(list);
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

    /// Counts a message and returns those who shall get it.
    pub(super) fn begin_publish(&self) -> Arc<Vec<Arc<Subscriber<T>>>> {
        self.published.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.subscribers.load())
    }

    fn list(&self) -> Vec<Arc<Subscriber<T>>> {
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
        self.published.fetch_add(1, Ordering::Relaxed);
        let mut delivery = Delivery::default();
        let subscribers = self.subscribers.load();
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
}

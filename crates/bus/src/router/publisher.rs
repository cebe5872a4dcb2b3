//! A publisher that keeps its topic's list of subscribers at hand.
//!
//! [`Router::publish`](super::Router::publish) looks the topic up and takes a snapshot of the list
//! for each message; a publisher does so when the list has changed, which one load tells. That is
//! the cheap way for whoever publishes to one topic again and again.

use std::fmt;

use super::subscription::Subscriber;
use super::topic::{Delivery, List, Topic, offer_all, offer_all_async};
use crate::sync::Arc;

/// Publishes to one topic; made by [`Router::publisher`](super::Router::publisher).
///
/// Between two messages it keeps the memory of the queues of subscribers that have left. After the
/// router is gone there is nobody left to deliver to.
pub struct Publisher<T> {
    topic: Arc<Topic<T>>,
    subscribers: Arc<List<T>>,
    /// The version of the topic's list that `subscribers` is at least as new as.
    version: usize,
}

impl<T> Publisher<T> {
    pub(super) fn new(topic: Arc<Topic<T>>) -> Self {
        let version = topic.version();
        let subscribers = topic.subscribers();
        Self { topic, subscribers, version }
    }

    /// Returns the name of the topic.
    pub fn topic_name(&self) -> &str {
        self.topic.name()
    }

    /// Counts a message and makes sure that the list has who subscribed before now.
    #[inline]
    fn begin(&mut self) {
        self.topic.count();
        // The version first: the list that is read after it is not older.
        let version = self.topic.version();
        if version != self.version {
            self.subscribers = self.topic.subscribers();
            self.version = version;
        }
    }
}

impl<T: Clone> Publisher<T> {
    /// Publishes `payload` as [`Router::publish`](super::Router::publish) does, blocking the thread
    /// while a subscriber with [`Overflow::Block`](super::Overflow::Block) is full.
    #[inline]
    pub fn publish(&mut self, payload: T) -> Delivery {
        self.begin();
        offer_all(&self.subscribers, payload, Subscriber::wait_and_push)
    }

    /// Publishes `payload` without ever waiting, as
    /// [`Router::try_publish`](super::Router::try_publish) does.
    #[inline]
    pub fn try_publish(&mut self, payload: T) -> Delivery {
        self.begin();
        offer_all(&self.subscribers, payload, Subscriber::refuse)
    }

    /// Publishes `payload`, waiting while a subscriber with
    /// [`Overflow::Block`](super::Overflow::Block) is full.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready may have reached some subscribers, in the order of their
    /// subscription, and has not reached the others.
    pub async fn publish_async(&mut self, payload: T) -> Delivery {
        self.begin();
        offer_all_async(&self.subscribers, payload).await
    }
}

impl<T> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("topic", &self.topic_name()).finish_non_exhaustive()
    }
}

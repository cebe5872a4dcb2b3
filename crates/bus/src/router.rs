//! Topics: a message published to one reaches the queue of each of its subscribers.
//!
//! ```text
//!   publish(topic, payload) ──► topic ──► list of subscribers (a snapshot) ──► mpmc queue ──► pop
//!                                                                         └──► mpmc queue ──► pop
//! ```
//!
//! | field | owner | access |
//! |---|---|---|
//! | `names` | its lock | from name to index; touched by [`Router::topic`] only |
//! | `topics[index]` | the lock of `names` | set before the index is handed out; read by anyone |
//! | a topic's list | the lock of its `members` | replaced whole; read as a snapshot |
//! | a topic's `version` | the lock of its `members` | raised after the list; read by publishers |
//! | a topic's `published` | publishers | added to, relaxed; read by anyone |
//! | a subscriber's queue | [`mpmc`](crate::mpmc) | under `DropOldest` publishers pop too |
//!
//! 1. Subscribe: under the lock of `members`, publish a copy of the list with the new subscriber. A
//!    `publish` that begins after `subscribe` returns reaches it.
//! 2. Publish: take a snapshot of the list (a [`Publisher`] keeps one, and takes another when the
//!    version has changed); offer a clone of the payload to each, the payload
//!    itself to the last.
//! 3. Unsubscribe (drop of the [`Subscription`]): close the queue, publish a copy of the list
//!    without it, drop what is left in the queue. A publisher with an older snapshot is answered
//!    `Closed` and goes on; one that waits for room there is woken by the close.
//! 4. Drop of the router: close every queue. Subscriptions drain what they have, then see `Closed`.
//!
//! Messages of one publisher on one topic arrive in their order, less those that were dropped.
//! Bounds: topics, subscribers per topic, bytes of a name, values per queue; a full queue does what
//! its [`Overflow`] says. Publishing allocates nothing.
//!
//! The payload is cloned once per subscriber but one, so `T` should be cheap to clone: `Arc<_>`,
//! `bytes::Bytes`, or a small `Copy` type. Nothing here copies what such a handle refers to.
//!
//! # Examples
//!
//! ```
//! use std::sync::Arc;
//! use tidemill_bus::router::{Limits, Overflow, Router};
//!
//! let router: Router<Arc<str>> = Router::new(Limits::default());
//! let prices = router.topic("prices")?;
//! let subscription = router.subscribe(prices, 64, Overflow::DropOldest)?;
//! router.publish(prices, Arc::from("42"))?;
//! assert_eq!(&*subscription.pop().unwrap(), "42");
//! # Ok::<(), tidemill_bus::router::RouterError>(())
//! ```

mod publisher;
mod snapshot;
mod subscription;
mod topic;

use std::collections::HashMap;
use std::fmt;
use std::sync::{OnceLock, PoisonError};

pub use self::publisher::Publisher;
pub use self::subscription::{Overflow, SubscriberCounters, Subscription};
pub use self::topic::{Delivery, TopicCounters};
use self::topic::{Topic, offer_all_async};
use crate::error::CapacityError;
use crate::sync::{Arc, Mutex};

/// Topics and their subscribers; shared by reference or in an `Arc`.
pub struct Router<T> {
    /// Distinguishes this router's ids from those of others.
    tag: u32,
    limits: Limits,
    topics: Box<[OnceLock<Arc<Topic<T>>>]>,
    names: Mutex<HashMap<Box<str>, TopicId>>,
}

/// How much a router may hold.
///
/// # Defaults
///
/// 1024 topics and 1024 subscribers for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a settings struct, built with `..Default::default()`"
)]
pub struct Limits {
    /// The number of topics at most; each takes about 16 bytes before it is used.
    pub topics_max: u32,
    /// The number of subscribers per topic at most.
    pub subscribers_per_topic_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { topics_max: 1024, subscribers_per_topic_max: 1024 }
    }
}

/// A topic of one router, handed out by [`Router::topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId {
    router: u32,
    index: u32,
}

/// Why a router refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// The id was handed out by another router.
    #[error("the topic belongs to another router")]
    ForeignTopic,
    /// Every topic the router may have exists.
    #[error("the router has its {max} topics already")]
    TopicsExhausted {
        /// The limit, [`Limits::topics_max`].
        max: u32,
    },
    /// The topic has every subscriber it may have.
    #[error("the topic has its {max} subscribers already")]
    SubscribersExhausted {
        /// The limit, [`Limits::subscribers_per_topic_max`].
        max: usize,
    },
    /// The name of a topic is too long.
    #[error("a topic's name may have {TOPIC_NAME_BYTES_MAX} bytes, not {bytes}")]
    NameTooLong {
        /// The length of the name.
        bytes: usize,
    },
    /// The subscriber's queue cannot have that capacity.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

impl<T> Router<T> {
    /// Makes a router without topics.
    pub fn new(limits: Limits) -> Self {
        Self {
            tag: ROUTERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            limits,
            topics: (0..limits.topics_max).map(|_| OnceLock::new()).collect(),
            names: Mutex::new(HashMap::new()),
        }
    }

    /// Returns the id of the topic called `name`, which is made if there is none.
    ///
    /// Costs a lock and a look-up: do it once, and publish by id.
    ///
    /// # Errors
    ///
    /// When the name is longer than [`TOPIC_NAME_BYTES_MAX`], or there is no room for another
    /// topic.
    pub fn topic(&self, name: &str) -> Result<TopicId, RouterError> {
        if name.len() > TOPIC_NAME_BYTES_MAX {
            return Err(RouterError::NameTooLong { bytes: name.len() });
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = names.get(name) {
            return Ok(id);
        }
        let index = names.len();
        let exhausted = RouterError::TopicsExhausted { max: self.limits.topics_max };
        let place = self.topics.get(index).ok_or(exhausted)?;
        place.get_or_init(|| Arc::new(Topic::new(name.into())));
        let index = u32::try_from(index).expect("below `topics_max`, a u32");
        let id = TopicId { router: self.tag, index };
        names.insert(name.into(), id);
        Ok(id)
    }

    /// Returns the name of a topic.
    ///
    /// # Errors
    ///
    /// When the id is another router's.
    pub fn topic_name(&self, topic: TopicId) -> Result<&str, RouterError> {
        self.find(topic).map(|topic| topic.name())
    }

    /// Subscribes to a topic with a queue of at least `capacity` values, rounded up to a power of
    /// two; dropping the subscription ends it.
    ///
    /// Costs a copy of the topic's list of subscribers.
    ///
    /// # Errors
    ///
    /// When the id is another router's, the topic has all the subscribers it may have, or the
    /// capacity is zero or too large.
    pub fn subscribe(
        &self,
        topic: TopicId,
        capacity: usize,
        overflow: Overflow,
    ) -> Result<Subscription<T>, RouterError> {
        let max = self.limits.subscribers_per_topic_max;
        Topic::subscribe(self.find(topic)?, capacity, overflow, max)
    }

    /// Returns a publisher for a topic: the cheap way to publish to it again and again.
    ///
    /// # Errors
    ///
    /// When the id is another router's.
    pub fn publisher(&self, topic: TopicId) -> Result<Publisher<T>, RouterError> {
        self.find(topic).map(|topic| Publisher::new(Arc::clone(topic)))
    }

    /// Returns what has happened on a topic so far.
    ///
    /// # Errors
    ///
    /// When the id is another router's.
    pub fn counters(&self, topic: TopicId) -> Result<TopicCounters, RouterError> {
        self.find(topic).map(|topic| topic.counters())
    }

    #[inline]
    fn find(&self, topic: TopicId) -> Result<&Arc<Topic<T>>, RouterError> {
        if topic.router != self.tag {
            return Err(RouterError::ForeignTopic);
        }
        let place = self.topics.get(topic.index as usize).ok_or(RouterError::ForeignTopic)?;
        place.get().ok_or(RouterError::ForeignTopic)
    }
}

impl<T: Clone> Router<T> {
    /// Publishes `payload` to the topic's subscribers, blocking the thread while one with
    /// [`Overflow::Block`] is full.
    ///
    /// A thread that publishes to a full blocking subscription of its own waits for ever.
    ///
    /// # Errors
    ///
    /// When the id is another router's; the payload is dropped then.
    pub fn publish(&self, topic: TopicId, payload: T) -> Result<Delivery, RouterError> {
        let topic = self.find(topic)?;
        Ok(topic.publish(payload, |subscriber, payload| subscriber.wait_and_push(payload)))
    }

    /// Publishes `payload` without ever waiting: to a full subscriber with [`Overflow::Block`] the
    /// message is dropped and counted, as if it were [`Overflow::DropNewest`].
    ///
    /// # Errors
    ///
    /// When the id is another router's; the payload is dropped then.
    pub fn try_publish(&self, topic: TopicId, payload: T) -> Result<Delivery, RouterError> {
        let topic = self.find(topic)?;
        Ok(topic.publish(payload, |subscriber, payload| subscriber.refuse(payload)))
    }

    /// Publishes `payload`, waiting while a subscriber with [`Overflow::Block`] is full.
    ///
    /// # Errors
    ///
    /// When the id is another router's; the payload is dropped then.
    ///
    /// # Cancel safety
    ///
    /// A future dropped before it is ready may have reached some subscribers, in the order of their
    /// subscription, and has not reached the others.
    pub async fn publish_async(&self, topic: TopicId, payload: T) -> Result<Delivery, RouterError> {
        let topic = self.find(topic)?;
        topic.count();
        let subscribers = topic.subscribers();
        Ok(offer_all_async(&subscribers, payload).await)
    }
}

impl<T> Drop for Router<T> {
    fn drop(&mut self) {
        for topic in self.topics.iter().filter_map(OnceLock::get) {
            topic.close();
        }
    }
}

impl<T> fmt::Debug for Router<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The longest name of a topic in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 255;

/// Counts routers, for their tags. Plain: it is no part of what is modelled, and only wraps after
/// 2^32 routers.
static ROUTERS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

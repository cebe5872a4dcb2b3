//! Which backend takes a new connection.
//!
//! ```text
//!   Fleet (what is known of each backend now) --+
//!   Maglev (built by the control side)        --+--> Balancer::pick --> index of a backend
//!   client address, one random word           --+
//! ```
//!
//! A [`Balancer`] belongs to one worker and one proxy; of all policies only round-robin keeps state
//! in it. What a backend can take is one number, its effective weight in 1/256 of the configured
//! unit: the shell folds `enabled`, `healthy`, slow start and "already tried for this connection"
//! into it, and 0 means that the backend is not to be chosen.
//!
//! Invariants: a backend of weight 0 is never returned; `None` is returned if and only if every
//! weight is 0. Weights may change while a pick goes over them.
//!
//! | policy | cost over n backends | spread |
//! |---|---|---|
//! | round-robin | n additions | exact over each cycle, per worker |
//! | random | 2 n reads | by weight, on average |
//! | least-connections | n comparisons | open connections by weight |
//! | p2c-ewma | 4 n reads, 2 scores | by latency, connections and weight |
//! | maglev | 1 look-up; n hashes if that backend is out | by weight, within a slot of the table |
//! | source-hash | n hashes | by weight, on average over clients |
//!
//! Never allocates in a pick, except round-robin in the first one after the fleet has changed.

mod hash;
mod least_connections;
mod maglev;
mod p2c;
mod predict;
mod rendezvous;
mod round_robin;
mod weighted;

use std::net::IpAddr;

use self::round_robin::RoundRobin;
use super::random::Draws;
use super::settings::Policy;

pub use self::hash::backend_id;
pub use self::maglev::Maglev;
pub use self::predict::{Prediction, predict, shares};

/// Effective weight of a backend whose configured weight is 1.
pub const WEIGHT_ONE: u32 = 256;

/// What is known of a backend at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Effective weight in 1/256 of the configured unit; 0 means: not to be chosen.
    pub weight: u32,
    /// Open connections, those still being connected included.
    pub connections: u32,
    /// Peak EWMA of the connect time in microseconds; 0 as long as nothing was measured.
    pub ewma_us: u32,
}

/// The backends of one proxy in a fixed order, as a balancer sees them.
///
/// Methods are called once per backend and pick, so they should be plain reads. What they return
/// may change between two calls.
pub trait Fleet {
    /// Returns the count of backends, whether they can be chosen or not.
    fn len(&self) -> usize;

    /// Returns the [`backend_id`] of the backend at `index`, which is below [`len`](Self::len).
    fn id(&self, index: usize) -> u64;

    /// Returns what is known of the backend at `index`, which is below [`len`](Self::len).
    fn load(&self, index: usize) -> Load;

    /// Returns the weight in [`load`](Self::load); to be overridden where that alone costs less.
    fn weight(&self, index: usize) -> u32 {
        self.load(index).weight
    }

    /// Returns true when there is no backend at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Chooses backends for the new connections of one proxy on one worker.
///
/// # Examples
///
/// ```
/// use tidemill_proxy::core::balance::{Balancer, Fleet, Load, WEIGHT_ONE};
/// use tidemill_proxy::core::settings::Policy;
///
/// struct Weights(Vec<u32>);
///
/// impl Fleet for Weights {
///     fn len(&self) -> usize {
///         self.0.len()
///     }
///     fn id(&self, index: usize) -> u64 {
///         index as u64
///     }
///     fn load(&self, index: usize) -> Load {
///         Load { weight: self.0[index] * WEIGHT_ONE, connections: 0, ewma_us: 0 }
///     }
/// }
///
/// let fleet = Weights(vec![2, 1]);
/// let client = "192.0.2.7".parse().unwrap();
/// let mut balancer = Balancer::new(Policy::RoundRobin);
/// let picks = [(); 3].map(|()| balancer.pick(&fleet, None, client, 0));
/// assert_eq!(picks, [Some(0), Some(1), Some(0)]);
/// ```
#[derive(Debug)]
pub struct Balancer {
    policy: Policy,
    turns: RoundRobin,
}

impl Balancer {
    /// Returns a balancer without history; its round-robin begins with the first backend.
    pub fn new(policy: Policy) -> Self {
        Self::for_worker(policy, 0)
    }

    /// Returns a balancer whose round-robin prefers backend `worker` (modulo their count) where
    /// several are due, so that the first connections of many workers do not meet at one backend.
    pub fn for_worker(policy: Policy, worker: usize) -> Self {
        Self { policy, turns: RoundRobin::starting_at(worker) }
    }

    /// Returns the index of the backend for a connection from `client`, or `None` when every
    /// weight is 0.
    ///
    /// `table` is looked at by [`Policy::Maglev`] only; without one, or with one built from other
    /// backends, source-hash stands in. `random` is a fresh random word. The fleet may change from
    /// one pick to the next: backends that stay, known by their id, keep their place in the
    /// round-robin.
    pub fn pick(
        &mut self,
        fleet: &(impl Fleet + ?Sized),
        table: Option<&Maglev>,
        client: IpAddr,
        random: u64,
    ) -> Option<usize> {
        let mut draws = Draws::new(random);
        match self.policy {
            Policy::RoundRobin => self.turns.pick(fleet),
            Policy::Random => weighted::pick(fleet, None, &mut draws),
            Policy::LeastConnections => least_connections::pick(fleet, &mut draws),
            Policy::P2cEwma => p2c::pick(fleet, &mut draws),
            Policy::Maglev | Policy::SourceHash => {
                by_client(self.policy, fleet, table, hash::client_key(client))
            }
        }
    }

    /// Returns the policy that this balancer follows.
    pub fn policy(&self) -> Policy {
        self.policy
    }
}

/// Decides for the two policies that look at nothing but the client.
fn by_client(
    policy: Policy,
    fleet: &(impl Fleet + ?Sized),
    table: Option<&Maglev>,
    key: u64,
) -> Option<usize> {
    let table = if policy == Policy::Maglev { table } else { None };
    table.and_then(|table| table.pick(fleet, key)).or_else(|| rendezvous::pick(fleet, key))
}

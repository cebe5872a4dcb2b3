//! What an operator asks of a proxy, as plain validated values.
//!
//! The binary reads these from `tidemill.toml` or the command line; nothing here knows of files,
//! sockets or clocks. Two settings are compared field by field by [`diff`](super::diff), which is
//! why every type here is `Eq`.

use std::net::SocketAddr;
use std::time::Duration;

/// The longest duration that any setting takes: a year, so that no deadline overflows.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// One load-balanced listener and everything it needs.
///
/// # Defaults
///
/// `name`, `listen` and `backends` are required; [`ProxySettings::new`] fills in the rest:
/// round-robin, a TCP probe every 2 s, connections of a backend that goes down are kept, new
/// connections are rejected when every backend is down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// Unique among the proxies of a node; the label of its metrics.
    pub name: String,
    /// Where clients connect. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// How a backend is chosen.
    pub balance: Policy,
    /// The backends, at least one, each address once.
    pub backends: Vec<BackendSettings>,
    /// How backends are probed; `None` trusts every backend.
    pub health: Option<HealthSettings>,
    /// How long a backend that came up takes to reach its full weight; zero switches it off.
    pub slow_start: Duration,
    /// What happens to the open connections of a backend that is found down.
    pub on_down: OnDown,
    /// What happens to new connections while every backend is down.
    pub all_down: AllDown,
    /// How long each step of a connection may take.
    pub timeouts: Timeouts,
    /// How much this proxy takes on.
    pub limits: Limits,
    /// How many further backends are tried when a connection to the first one fails.
    pub retries: u32,
    /// How connections leave a backend or listener that was removed.
    pub drain: Drain,
}

impl ProxySettings {
    /// Returns the settings of a proxy with every default in place.
    pub fn new(
        name: impl Into<String>,
        listen: SocketAddr,
        backends: Vec<BackendSettings>,
    ) -> Self {
        Self {
            name: name.into(),
            listen,
            balance: Policy::RoundRobin,
            backends,
            health: Some(HealthSettings::default()),
            slow_start: Duration::ZERO,
            on_down: OnDown::Keep,
            all_down: AllDown::Reject,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            retries: 2,
            drain: Drain::default(),
        }
    }
}

/// One backend of a proxy, identified by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// What the operator wrote: the address, or the name it was resolved from.
    pub name: String,
    /// Share of the traffic relative to the others, 1 to 65,535; zero takes no new connections.
    pub weight: u16,
}

impl BackendSettings {
    /// Returns a backend of weight 1 that is called by its address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, name: address.to_string(), weight: 1 }
    }
}

/// How a backend is chosen for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// Smooth weighted round-robin, one sequence per worker.
    RoundRobin,
    /// Weighted random.
    Random,
    /// Fewest open connections for its weight, over all workers.
    LeastConnections,
    /// The better of two random backends by peak EWMA of connect time and open connections.
    P2cEwma,
    /// Maglev consistent hashing of the client's address: one table look-up, few keys move.
    Maglev,
    /// Rendezvous hashing of the client's address: only the keys of a lost backend move.
    SourceHash,
}

impl Policy {
    /// Every policy with its name in configuration files and on the command line.
    pub const ALL: [(&'static str, Self); 6] = [
        ("round-robin", Self::RoundRobin),
        ("random", Self::Random),
        ("least-connections", Self::LeastConnections),
        ("p2c-ewma", Self::P2cEwma),
        ("maglev", Self::Maglev),
        ("source-hash", Self::SourceHash),
    ];

    /// Returns the policy's name in configuration files.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find_map(|(name, policy)| (*policy == self).then_some(*name))
            .expect("ALL holds every policy")
    }
}

/// How backends are probed. One prober per backend, never one per worker.
///
/// # Defaults
///
/// A TCP connect every 2 s with 10 % jitter, 1 s timeout, 2 successes to rise, 2 failures to
/// fall, backends start up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// What is sent and what counts as an answer.
    pub probe: Probe,
    /// From the end of one probe to the start of the next, before jitter.
    pub interval: Duration,
    /// Share of the interval, in percent up to 100, by which each wait is randomly shortened or
    /// lengthened.
    pub jitter_percent: u8,
    /// Connect and answer together must arrive within this.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: u32,
    /// Failures in a row that take a backend down.
    pub fall: u32,
    /// Whether a backend serves before its first probe has ended.
    pub start_up: bool,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            probe: Probe::Tcp,
            interval: Duration::from_secs(2),
            jitter_percent: 10,
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 2,
            start_up: true,
        }
    }
}

/// What a probe sends and what counts as healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// The connection is accepted.
    Tcp,
    /// `GET path` is answered with a status inside the range.
    Http {
        /// The request's path, beginning with `/`.
        path: String,
        /// The `Host` header; the backend's name when absent.
        host: Option<String>,
        /// Lowest and highest good status, inclusive.
        status: (u16, u16),
    },
    /// The bytes are sent (none: the server speaks first) and the answer begins with `expect`.
    SendExpect {
        /// What to send, at most 1,024 bytes.
        send: Vec<u8>,
        /// What the answer has to begin with, 1 to 1,024 bytes.
        expect: Vec<u8>,
    },
}

/// What happens to the open connections of a backend that is found down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum OnDown {
    /// They go on until they end by themselves: a failed probe does not prove them broken.
    Keep,
    /// They are reset at once, so that clients reconnect to a backend that works.
    Close,
}

/// What happens to new connections while no backend is both enabled and healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum AllDown {
    /// They are reset with the reason `no_backend`.
    Reject,
    /// They go to the enabled backends as if all of these were healthy.
    FailOpen,
}

/// How long each step of a connection may take.
///
/// # Defaults
///
/// Connect 5 s, idle 1 h, waiting in the queue 10 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For one attempt to reach a backend.
    pub connect: Duration,
    /// Without a byte in either direction; up to a quarter longer.
    pub idle: Duration,
    /// In the wait queue while the connection limit is reached.
    pub queue: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(3600),
            queue: Duration::from_secs(10),
        }
    }
}

/// How much a proxy takes on, over all workers.
///
/// # Defaults
///
/// 1,000,000 connections, as many in the queue, a listen backlog of 4,096 per worker (the kernel
/// lowers it to `net.core.somaxconn`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections being served at a time.
    pub connections: u32,
    /// Accepted connections that wait for one being served to end.
    pub queue: u32,
    /// Connections that the kernel holds for us, per worker.
    pub backlog: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1_000_000, queue: 1_000_000, backlog: 4_096 }
    }
}

/// How connections leave a backend or listener that was removed.
///
/// # Defaults
///
/// 30 s deadline, the last 10 s of it jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// When the last connection is closed at the latest.
    pub deadline: Duration,
    /// The closing moments are spread over this span before the deadline, so that clients do not
    /// all return at once.
    pub jitter: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(30), jitter: Duration::from_secs(10) }
    }
}

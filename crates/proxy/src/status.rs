//! What a running engine tells about itself; the shapes behind `/api/v1/proxies`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One proxy as it runs now. Totals count since the node started, over all workers; they are sums
/// of counters read one after another, not a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The address in use; the port taken where port 0 was asked for.
    pub listen: SocketAddr,
    /// Name of the balancing policy.
    pub balance: String,
    /// Connections being served.
    pub connections: u64,
    /// Accepted connections that wait for the connection limit.
    pub waiting: u64,
    /// Connections accepted so far.
    pub connections_total: u64,
    /// Bytes passed from clients to backends.
    pub bytes_upstream_total: u64,
    /// Bytes passed from backends to clients.
    pub bytes_downstream_total: u64,
    /// Connections refused so far, by reason.
    pub rejected_total: BTreeMap<String, u64>,
    /// Every limit in force.
    pub limits: LimitsStatus,
    /// The backends, in the order of the configuration, then those that are draining away.
    pub backends: Vec<BackendStatus>,
}

/// Every limit in force for a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsStatus {
    /// Connections served at a time, over all workers.
    pub connections: u64,
    /// Accepted connections that may wait.
    pub queue: u64,
    /// Listen backlog of each worker; the kernel lowers it to `net.core.somaxconn`.
    pub backlog: u64,
    /// File descriptors that the process may open; a connection takes two.
    pub files: u64,
    /// Connections that these descriptors suffice for, over all proxies.
    pub connections_by_files: u64,
    /// Milliseconds for one attempt to reach a backend.
    pub connect_timeout_ms: u64,
    /// Milliseconds without a byte before a connection is closed.
    pub idle_timeout_ms: u64,
    /// Milliseconds a connection may wait in the queue.
    pub queue_timeout_ms: u64,
    /// Further backends tried after a failed connect.
    pub retries: u64,
}

/// One backend as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// What the operator wrote.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Weight in force: the configured one, or the one set at run time.
    pub weight: u16,
    /// What the probes found.
    pub healthy: bool,
    /// What the operator asked for.
    pub enabled: bool,
    /// Removed from the configuration and waiting for its last connections.
    pub removed: bool,
    /// Open connections.
    pub connections: u64,
    /// Connections made so far.
    pub connections_total: u64,
    /// Failed attempts to connect so far.
    pub connect_failures_total: u64,
    /// Peak EWMA of the connect time, in microseconds.
    pub connect_ewma_us: u64,
    /// Outcome of the last probe, as a sentence; absent before the first.
    pub last_probe: Option<String>,
    /// Seconds since `healthy` last changed.
    pub since_seconds: u64,
}

/// Where a connection would go, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The proxy asked about.
    pub proxy: String,
    /// The client's address asked about.
    pub from: SocketAddr,
    /// Name of the balancing policy.
    pub balance: String,
    /// The backend chosen, where the policy decides by the client's address or by what is known
    /// now; absent where it is drawn or taken in turn, and where none can be chosen.
    pub chosen: Option<SocketAddr>,
    /// The decision in a sentence.
    pub why: String,
    /// Every backend with its part in the decision.
    pub backends: Vec<Candidate>,
}

/// One backend's part in a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What the operator wrote.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it may be chosen.
    pub eligible: bool,
    /// Share of new connections it can expect, 0 to 1.
    pub share: f64,
    /// Why it is in or out, as a sentence.
    pub why: String,
}

//! The metrics of the proxy: which exist, and the handles that the shell writes to.

use tidemill_metrics::{Buckets, Counter, Error, Gauge, Histogram, Registry};

/// Why a client was refused. Each is a value of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reject {
    /// The connection limit is reached and the queue is full.
    QueueFull,
    /// The connection waited in the queue for too long.
    QueueTimeout,
    /// The client went away while its connection waited in the queue.
    ClientLeft,
    /// No backend is enabled and healthy.
    NoBackend,
    /// Every backend tried refused, was unreachable or did not answer in time.
    ConnectFailed,
    /// We had no file descriptor, port or memory for the connection to the backend.
    NoResources,
    /// The listener was removed or the node stops.
    Stopping,
}

impl Reject {
    pub(crate) const ALL: [(Self, &'static str); 7] = [
        (Self::QueueFull, "queue_full"),
        (Self::QueueTimeout, "queue_timeout"),
        (Self::ClientLeft, "client_left"),
        (Self::NoBackend, "no_backend"),
        (Self::ConnectFailed, "connect_failed"),
        (Self::NoResources, "no_resources"),
        (Self::Stopping, "stopping"),
    ];
}

/// How a served connection ended. Each is a value of the label `reason`; the label `by` says who
/// ended it: client, upstream or us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Close {
    Done,
    ClientReset,
    UpstreamReset,
    Idle,
    BackendDown,
    Disabled,
    Drained,
    Stopped,
}

impl Close {
    pub(crate) const ALL: [(Self, &'static str, &'static str); 8] = [
        (Self::Done, "client", "done"),
        (Self::ClientReset, "client", "reset"),
        (Self::UpstreamReset, "upstream", "reset"),
        (Self::Idle, "us", "idle"),
        (Self::BackendDown, "us", "backend_down"),
        (Self::Disabled, "us", "disabled"),
        (Self::Drained, "us", "drained"),
        (Self::Stopped, "us", "stopped"),
    ];
}

/// The instruments of one proxy.
#[derive(Debug)]
pub(crate) struct ProxyInstruments {
    pub(crate) connections: Gauge,
    pub(crate) connections_total: Counter,
    pub(crate) upstream_bytes: Counter,
    pub(crate) downstream_bytes: Counter,
    pub(crate) accept_pauses: Counter,
    pub(crate) retries: Counter,
    rejected: Vec<Counter>,
    closed: Vec<Counter>,
}

impl ProxyInstruments {
    /// Registers the series of `proxy`, or finds those it had before.
    pub(crate) fn register(registry: &Registry, proxy: &str) -> Result<Self, Error> {
        let labels = [("proxy", proxy)];
        let bytes = |direction| {
            let labels = [("proxy", proxy), ("direction", direction)];
            registry.counter(BYTES, "Bytes passed on.", &labels)
        };
        let rejected = Reject::ALL.iter().map(|(_, reason)| {
            let labels = [("proxy", proxy), ("reason", reason)];
            registry.counter(REJECTED, "Client connections refused.", &labels)
        });
        let closed = Close::ALL.iter().map(|(_, by, reason)| {
            let labels = [("proxy", proxy), ("by", by), ("reason", reason)];
            registry.counter(CLOSED, "Served connections that ended.", &labels)
        });
        Ok(Self {
            connections: registry.gauge(CONNECTIONS, "Client connections open.", &labels)?,
            connections_total: registry.counter(
                CONNECTIONS_TOTAL,
                "Client connections accepted.",
                &labels,
            )?,
            upstream_bytes: bytes("upstream")?,
            downstream_bytes: bytes("downstream")?,
            accept_pauses: registry.counter(
                ACCEPT_PAUSES,
                "Times accepting paused because files ran out.",
                &labels,
            )?,
            retries: registry.counter(
                RETRIES,
                "Further backends tried after a failed connect.",
                &labels,
            )?,
            rejected: rejected.collect::<Result<_, _>>()?,
            closed: closed.collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn rejected(&self, reason: Reject) -> &Counter {
        &self.rejected[reason as usize]
    }

    pub(crate) fn closed(&self, reason: Close) -> &Counter {
        &self.closed[reason as usize]
    }

    /// Takes the series of a proxy that is gone away.
    pub(crate) fn remove(registry: &Registry, proxy: &str) {
        let labels = [("proxy", proxy)];
        for name in [CONNECTIONS, CONNECTIONS_TOTAL, ACCEPT_PAUSES, RETRIES] {
            registry.remove(name, &labels);
        }
        for direction in ["upstream", "downstream"] {
            registry.remove(BYTES, &[("proxy", proxy), ("direction", direction)]);
        }
        for (_, reason) in Reject::ALL {
            registry.remove(REJECTED, &[("proxy", proxy), ("reason", reason)]);
        }
        for (_, by, reason) in Close::ALL {
            registry.remove(CLOSED, &[("proxy", proxy), ("by", by), ("reason", reason)]);
        }
    }
}

/// The instruments of one backend of one proxy.
#[derive(Debug)]
pub(crate) struct BackendInstruments {
    pub(crate) connect_seconds: Histogram,
    pub(crate) connect_failures: Counter,
    pub(crate) connections: Gauge,
    pub(crate) connections_total: Counter,
    pub(crate) up: Gauge,
}

impl BackendInstruments {
    /// Registers the series of a backend, or finds those it had before.
    pub(crate) fn register(registry: &Registry, proxy: &str, backend: &str) -> Result<Self, Error> {
        let labels = [("proxy", proxy), ("backend", backend)];
        Ok(Self {
            connect_seconds: registry.histogram(
                CONNECT_SECONDS,
                "Time to connect to a backend.",
                &labels,
                Buckets::seconds(),
            )?,
            connect_failures: registry.counter(
                CONNECT_FAILURES,
                "Failed attempts to connect to a backend.",
                &labels,
            )?,
            connections: registry.gauge(
                BACKEND_CONNECTIONS,
                "Connections open to a backend.",
                &labels,
            )?,
            connections_total: registry.counter(
                BACKEND_CONNECTIONS_TOTAL,
                "Connections made to a backend.",
                &labels,
            )?,
            up: registry.gauge(BACKEND_UP, "Whether probes find a backend healthy.", &labels)?,
        })
    }

    /// Takes the series of a backend that is gone away.
    pub(crate) fn remove(registry: &Registry, proxy: &str, backend: &str) {
        let labels = [("proxy", proxy), ("backend", backend)];
        let names = [
            CONNECT_SECONDS,
            CONNECT_FAILURES,
            BACKEND_CONNECTIONS,
            BACKEND_CONNECTIONS_TOTAL,
            BACKEND_UP,
        ];
        for name in names {
            registry.remove(name, &labels);
        }
    }
}

const CONNECTIONS: &str = "tidemill_proxy_connections";
const CONNECTIONS_TOTAL: &str = "tidemill_proxy_connections_total";
const BYTES: &str = "tidemill_proxy_bytes_total";
const REJECTED: &str = "tidemill_proxy_rejected_total";
const CLOSED: &str = "tidemill_proxy_closed_total";
const RETRIES: &str = "tidemill_proxy_retries_total";
const ACCEPT_PAUSES: &str = "tidemill_proxy_accept_pauses_total";
const CONNECT_SECONDS: &str = "tidemill_proxy_connect_seconds";
const CONNECT_FAILURES: &str = "tidemill_proxy_connect_failures_total";
const BACKEND_CONNECTIONS: &str = "tidemill_proxy_backend_connections";
const BACKEND_CONNECTIONS_TOTAL: &str = "tidemill_proxy_backend_connections_total";
const BACKEND_UP: &str = "tidemill_proxy_backend_up";

//! The tables `timeouts`, `limits` and `drain` of a proxy: how long and how much.

use std::time::Duration;

use super::super::definition::{Key, Kind, Presence};
use super::{HOUR, ProxyDraft};

pub(super) static TIMEOUTS: &[Key<ProxyDraft>] = &[
    Key {
        name: "connect",
        presence: Presence::Default("\"5s\""),
        example: "\"5s\"",
        doc: "One attempt to reach a backend.",
        kind: Kind::Duration {
            min: Duration::from_millis(1),
            max: HOUR,
            set: |proxy, connect| proxy.settings.timeouts.connect = connect,
        },
    },
    Key {
        name: "idle",
        presence: Presence::Default("\"1h\""),
        example: "\"10m\"",
        doc: "Without a byte in either direction; a close may come up to a quarter later.",
        kind: Kind::Duration {
            min: Duration::from_millis(100),
            max: Duration::from_secs(365 * 86_400),
            set: |proxy, idle| proxy.settings.timeouts.idle = idle,
        },
    },
    Key {
        name: "queue",
        presence: Presence::Default("\"10s\""),
        example: "\"10s\"",
        doc: "In the wait queue while the connection limit is reached.",
        kind: Kind::Duration {
            min: Duration::ZERO,
            max: HOUR,
            set: |proxy, queue| proxy.settings.timeouts.queue = queue,
        },
    },
];

pub(super) static LIMITS: &[Key<ProxyDraft>] = &[
    Key {
        name: "connections",
        presence: Presence::Default("1000000"),
        example: "10000",
        doc: "Connections served at a time. Each takes two file descriptors; any number but the \
              default must fit what the process may open.",
        kind: Kind::Integer {
            min: 1,
            max: 100_000_000,
            set: |proxy, connections| proxy.settings.limits.connections = connections,
        },
    },
    Key {
        name: "queue",
        presence: Presence::Default("1000000"),
        example: "1000",
        doc: "Accepted connections that wait for one being served to end.",
        kind: Kind::Integer {
            min: 0,
            max: 100_000_000,
            set: |proxy, queue| proxy.settings.limits.queue = queue,
        },
    },
    Key {
        name: "backlog",
        presence: Presence::Default("4096"),
        example: "4096",
        doc: "Connections that the kernel holds before they are accepted, per worker; it lowers \
              this to `net.core.somaxconn`.",
        kind: Kind::Integer {
            min: 1,
            max: 1_000_000,
            set: |proxy, backlog| proxy.settings.limits.backlog = backlog,
        },
    },
];

pub(super) static DRAIN: &[Key<ProxyDraft>] = &[
    Key {
        name: "deadline",
        presence: Presence::Default("\"30s\""),
        example: "\"30s\"",
        doc: "When the last connection is closed at the latest.",
        kind: Kind::Duration {
            min: Duration::ZERO,
            max: Duration::from_secs(86_400),
            set: |proxy, deadline| proxy.settings.drain.deadline = deadline,
        },
    },
    Key {
        name: "jitter",
        presence: Presence::Default("\"10s\""),
        example: "\"10s\"",
        doc: "The closing moments are spread over this span before the deadline, so that clients \
              do not all return at once.",
        kind: Kind::Duration {
            min: Duration::ZERO,
            max: Duration::from_secs(86_400),
            set: |proxy, jitter| proxy.settings.drain.jitter = jitter,
        },
    },
];

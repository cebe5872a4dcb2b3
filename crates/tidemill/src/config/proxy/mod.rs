//! `[[proxy]]`: one load-balanced listener each.
//!
//! A [`ProxyDraft`] takes the values as they are read; [`ProxyDraft::settings`] turns it into the
//! engine's settings once everything in it has been found good. Defaults are the engine's own: a
//! key that is absent is a function that is not called. The keys of the tables inside a proxy are
//! in `health.rs` and `bounds.rs`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tidemill_proxy::core::settings::{AllDown, BackendSettings, OnDown, Policy, ProxySettings};

use self::bounds::{DRAIN, LIMITS, TIMEOUTS};
use self::health::{HEALTH, HealthDraft};
use super::definition::{BackendDraft, Choice, Key, Kind, Presence, Section};

mod bounds;
mod health;

/// A proxy as written: its probe not yet chosen, backend names unresolved.
#[derive(Debug)]
pub(super) struct ProxyDraft {
    settings: ProxySettings,
    pub(super) health: HealthDraft,
    pub(super) backends: Vec<BackendDraft>,
}

impl ProxyDraft {
    pub(super) fn new() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let settings = ProxySettings::new("", nowhere, Vec::new());
        Self { settings, health: HealthDraft::default(), backends: Vec::new() }
    }

    /// Returns the settings with `backends` in place.
    pub(super) fn settings(self, backends: Vec<BackendSettings>) -> ProxySettings {
        ProxySettings { backends, health: self.health.settings(), ..self.settings }
    }
}

pub(super) static PROXY: Section<ProxyDraft> = Section {
    name: "proxy",
    is_repeated: true,
    doc: "One load-balanced listener. A change takes effect while the node runs; connections of \
          what did not change stay open.",
    keys: &[
        Key {
            name: "name",
            presence: Presence::Required,
            example: "\"redis\"",
            doc: "Unique; the label of its metrics and its name in commands.",
            kind: Kind::Name(|proxy, name| proxy.settings.name = name),
        },
        Key {
            name: "listen",
            presence: Presence::Required,
            example: "\"127.0.0.1:8080\"",
            doc: "Where clients connect.",
            kind: Kind::Listen(|proxy, address| proxy.settings.listen = address),
        },
        Key {
            name: "balance",
            presence: Presence::Default("\"round-robin\""),
            example: "\"round-robin\"",
            doc: "How a backend is chosen for a new connection.",
            kind: Kind::Choice(BALANCE),
        },
        Key {
            name: "backends",
            presence: Presence::Required,
            example: "[\"127.0.0.1:6379\", { address = \"127.0.0.1:6380\", weight = 2 }]",
            doc: "Where connections go, at least one. A host name stands for every address it \
                  resolves to, each a backend of its own; names are resolved only when the file \
                  is loaded, so reload (SIGHUP) after a change in DNS.",
            kind: Kind::Backends {
                keys: BACKEND,
                set: |proxy, backends| proxy.backends = backends,
            },
        },
        Key {
            name: "slow_start",
            presence: Presence::Default("\"0s\""),
            example: "\"10s\"",
            doc: "How long a backend that came up takes to reach its full weight; \"0s\" is at \
                  once.",
            kind: Kind::Duration {
                min: Duration::ZERO,
                max: HOUR,
                set: |proxy, span| proxy.settings.slow_start = span,
            },
        },
        Key {
            name: "on_down",
            presence: Presence::Default("\"keep\""),
            example: "\"close\"",
            doc: "What happens to the open connections of a backend that is found down.",
            kind: Kind::Choice(&[
                Choice {
                    name: "keep",
                    doc: "they end by themselves: a failed probe does not prove them broken",
                    set: |proxy| proxy.settings.on_down = OnDown::Keep,
                },
                Choice {
                    name: "close",
                    doc: "they are reset at once, so that clients reconnect to one that works",
                    set: |proxy| proxy.settings.on_down = OnDown::Close,
                },
            ]),
        },
        Key {
            name: "all_down",
            presence: Presence::Default("\"reject\""),
            example: "\"fail-open\"",
            doc: "What happens to new connections while every backend is down.",
            kind: Kind::Choice(&[
                Choice {
                    name: "reject",
                    doc: "they are reset and counted with the reason `no_backend`",
                    set: |proxy| proxy.settings.all_down = AllDown::Reject,
                },
                Choice {
                    name: "fail-open",
                    doc: "they go to the enabled backends as if these were healthy",
                    set: |proxy| proxy.settings.all_down = AllDown::FailOpen,
                },
            ]),
        },
        Key {
            name: "retries",
            presence: Presence::Default("2"),
            example: "2",
            doc: "How many further backends are tried when a connection to the first one fails.",
            kind: Kind::Integer {
                min: 0,
                max: 100,
                set: |proxy, retries| proxy.settings.retries = retries,
            },
        },
        Key {
            name: "health",
            presence: Presence::Absent("a TCP probe"),
            example: "{ probe = \"tcp\", interval = \"2s\" }",
            doc: "How backends are probed.",
            kind: Kind::Table(HEALTH),
        },
        Key {
            name: "timeouts",
            presence: Presence::Absent("the defaults below"),
            example: "{ connect = \"5s\", idle = \"1h\" }",
            doc: "How long each step of a connection may take.",
            kind: Kind::Table(TIMEOUTS),
        },
        Key {
            name: "limits",
            presence: Presence::Absent("the defaults below"),
            example: "{ connections = 10000 }",
            doc: "How much the proxy takes on, over all workers.",
            kind: Kind::Table(LIMITS),
        },
        Key {
            name: "drain",
            presence: Presence::Absent("the defaults below"),
            example: "{ deadline = \"30s\", jitter = \"10s\" }",
            doc: "How connections leave a backend or listener that was removed.",
            kind: Kind::Table(DRAIN),
        },
    ],
};

static BALANCE: &[Choice<ProxyDraft>] = &[
    Choice {
        name: "round-robin",
        doc: "smooth weighted turns",
        set: |proxy| proxy.settings.balance = Policy::RoundRobin,
    },
    Choice {
        name: "random",
        doc: "weighted chance",
        set: |proxy| proxy.settings.balance = Policy::Random,
    },
    Choice {
        name: "least-connections",
        doc: "fewest open connections for its weight",
        set: |proxy| proxy.settings.balance = Policy::LeastConnections,
    },
    Choice {
        name: "p2c-ewma",
        doc: "the better of two by peak EWMA of connect time and open connections",
        set: |proxy| proxy.settings.balance = Policy::P2cEwma,
    },
    Choice {
        name: "maglev",
        doc: "consistent hash of the client's address, one table look-up",
        set: |proxy| proxy.settings.balance = Policy::Maglev,
    },
    Choice {
        name: "source-hash",
        doc: "rendezvous hash of the client's address; only a lost backend's clients move",
        set: |proxy| proxy.settings.balance = Policy::SourceHash,
    },
];

static BACKEND: &[Key<BackendDraft>] = &[
    Key {
        name: "address",
        presence: Presence::Required,
        example: "\"127.0.0.1:6379\"",
        doc: "IP address or host name, with a port.",
        kind: Kind::Endpoint(|backend, endpoint| backend.endpoint = Some(endpoint)),
    },
    Key {
        name: "weight",
        presence: Presence::Default("1"),
        example: "2",
        doc: "Share of the connections relative to the other backends; 0 takes no new ones.",
        kind: Kind::Integer {
            min: 0,
            max: 65_535,
            set: |backend, weight| backend.weight = u16::try_from(weight).unwrap_or(u16::MAX),
        },
    },
];

const HOUR: Duration = Duration::from_secs(3_600);

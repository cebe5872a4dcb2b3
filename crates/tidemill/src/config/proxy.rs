//! `[[proxy]]`: one load-balanced listener each.
//!
//! A [`ProxyDraft`] takes the values as they are read; [`ProxyDraft::settings`] turns it into the
//! engine's settings once everything in it has been found good. Defaults are the engine's own: a
//! key that is absent is a function that is not called.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tidemill_proxy::core::settings::{
    AllDown, BackendSettings, HealthSettings, OnDown, Policy, Probe, ProxySettings,
};

use super::definition::{BackendDraft, Choice, Key, Kind, Presence, Section};

/// A proxy as written: probe keys apart, backend names unresolved.
#[derive(Debug)]
pub(super) struct ProxyDraft {
    settings: ProxySettings,
    health: HealthSettings,
    probe: ProbeKind,
    path: Option<String>,
    host: Option<String>,
    status: Option<(u16, u16)>,
    send: Option<String>,
    expect: Option<String>,
    pub(super) backends: Vec<BackendDraft>,
}

impl ProxyDraft {
    pub(super) fn new() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            settings: ProxySettings::new("", nowhere, Vec::new()),
            health: HealthSettings::default(),
            probe: ProbeKind::Tcp,
            path: None,
            host: None,
            status: None,
            send: None,
            expect: None,
            backends: Vec::new(),
        }
    }

    /// Returns why a key of `health` does not go with the probe, and what would be right.
    pub(super) fn probe_misfits(&self) -> Vec<(&'static str, String, String)> {
        let probe = self.probe.name();
        let given = [
            ("path", self.path.is_some(), ProbeKind::Http),
            ("host", self.host.is_some(), ProbeKind::Http),
            ("status", self.status.is_some(), ProbeKind::Http),
            ("send", self.send.is_some(), ProbeKind::SendExpect),
            ("expect", self.expect.is_some(), ProbeKind::SendExpect),
        ];
        let mut misfits = Vec::new();
        for (key, is_given, wants) in given {
            if is_given && self.probe != wants {
                let what = format!("`{key}` means nothing to the probe \"{probe}\"");
                misfits.push((
                    key,
                    what,
                    format!("set `probe = \"{}\"`, or leave it out", wants.name()),
                ));
            }
        }
        if self.probe == ProbeKind::SendExpect && self.expect.is_none() {
            let what = "the probe \"send-expect\" has no `expect`".to_owned();
            misfits.push((
                "probe",
                what,
                "add the answer's beginning: `expect = \"+PONG\"`".into(),
            ));
        }
        misfits
    }

    /// Returns the settings with `backends` in place.
    pub(super) fn settings(self, backends: Vec<BackendSettings>) -> ProxySettings {
        let probe = match self.probe {
            ProbeKind::None => None,
            ProbeKind::Tcp => Some(Probe::Tcp),
            ProbeKind::Http => Some(Probe::Http {
                path: self.path.unwrap_or_else(|| "/".to_owned()),
                host: self.host,
                status: self.status.unwrap_or((200, 399)),
            }),
            ProbeKind::SendExpect => Some(Probe::SendExpect {
                send: self.send.unwrap_or_default().into_bytes(),
                expect: self.expect.unwrap_or_default().into_bytes(),
            }),
        };
        let health = probe.map(|probe| HealthSettings { probe, ..self.health });
        ProxySettings { backends, health, ..self.settings }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeKind {
    None,
    Tcp,
    Http,
    SendExpect,
}

impl ProbeKind {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::SendExpect => "send-expect",
        }
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

static HEALTH: &[Key<ProxyDraft>] = &[
    Key {
        name: "probe",
        presence: Presence::Default("\"tcp\""),
        example: "\"http\"",
        doc: "What proves a backend healthy.",
        kind: Kind::Choice(&[
            Choice {
                name: "tcp",
                doc: "it accepts a connection",
                set: |proxy| proxy.probe = ProbeKind::Tcp,
            },
            Choice {
                name: "http",
                doc: "it answers `GET path` with a good status",
                set: |proxy| proxy.probe = ProbeKind::Http,
            },
            Choice {
                name: "send-expect",
                doc: "it answers `send` with what begins with `expect`",
                set: |proxy| proxy.probe = ProbeKind::SendExpect,
            },
            Choice {
                name: "none",
                doc: "nothing is sent; every backend is trusted",
                set: |proxy| proxy.probe = ProbeKind::None,
            },
        ]),
    },
    Key {
        name: "interval",
        presence: Presence::Default("\"2s\""),
        example: "\"2s\"",
        doc: "From the end of one probe to the start of the next, before jitter.",
        kind: Kind::Duration {
            min: Duration::from_millis(10),
            max: HOUR,
            set: |proxy, interval| proxy.health.interval = interval,
        },
    },
    Key {
        name: "jitter",
        presence: Presence::Default("\"10%\""),
        example: "\"10%\"",
        doc: "Share of the interval by which each wait is randomly shorter or longer.",
        kind: Kind::Percent(|proxy, percent| proxy.health.jitter_percent = percent),
    },
    Key {
        name: "timeout",
        presence: Presence::Default("\"1s\""),
        example: "\"1s\"",
        doc: "Connect and answer together must arrive within this.",
        kind: Kind::Duration {
            min: Duration::from_millis(1),
            max: HOUR,
            set: |proxy, timeout| proxy.health.timeout = timeout,
        },
    },
    Key {
        name: "rise",
        presence: Presence::Default("2"),
        example: "2",
        doc: "Successes in a row that bring a backend up.",
        kind: Kind::Integer { min: 1, max: 1_000, set: |proxy, rise| proxy.health.rise = rise },
    },
    Key {
        name: "fall",
        presence: Presence::Default("2"),
        example: "3",
        doc: "Failures in a row that take a backend down.",
        kind: Kind::Integer { min: 1, max: 1_000, set: |proxy, fall| proxy.health.fall = fall },
    },
    Key {
        name: "start",
        presence: Presence::Default("\"up\""),
        example: "\"down\"",
        doc: "What a backend is before its first probe has ended.",
        kind: Kind::Choice(&[
            Choice {
                name: "up",
                doc: "it serves at once",
                set: |proxy| proxy.health.start_up = true,
            },
            Choice {
                name: "down",
                doc: "it serves once probes have brought it up",
                set: |proxy| proxy.health.start_up = false,
            },
        ]),
    },
    Key {
        name: "path",
        presence: Presence::Default("\"/\""),
        example: "\"/healthz\"",
        doc: "Probe `http`: what is asked for.",
        kind: Kind::Text {
            bytes_max: 1_024,
            begins: "/",
            set: |proxy, path| proxy.path = Some(path),
        },
    },
    Key {
        name: "host",
        presence: Presence::Absent("the backend as written"),
        example: "\"shop.example\"",
        doc: "Probe `http`: the `Host` header.",
        kind: Kind::Text { bytes_max: 255, begins: "", set: |proxy, host| proxy.host = Some(host) },
    },
    Key {
        name: "status",
        presence: Presence::Default("\"200-399\""),
        example: "\"200-299\"",
        doc: "Probe `http`: the good statuses, one or an inclusive range.",
        kind: Kind::Statuses(|proxy, status| proxy.status = Some(status)),
    },
    Key {
        name: "send",
        presence: Presence::Absent("nothing is sent: the server speaks first"),
        example: "\"PING\\r\\n\"",
        doc: "Probe `send-expect`: what is sent.",
        kind: Kind::Text {
            bytes_max: 1_024,
            begins: "",
            set: |proxy, send| proxy.send = Some(send),
        },
    },
    Key {
        name: "expect",
        presence: Presence::Absent("required by the probe `send-expect`"),
        example: "\"+PONG\"",
        doc: "Probe `send-expect`: what the answer has to begin with.",
        kind: Kind::Text {
            bytes_max: 1_024,
            begins: "",
            set: |proxy, expect| proxy.expect = Some(expect),
        },
    },
];

static TIMEOUTS: &[Key<ProxyDraft>] = &[
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

static LIMITS: &[Key<ProxyDraft>] = &[
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

static DRAIN: &[Key<ProxyDraft>] = &[
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

const HOUR: Duration = Duration::from_secs(3_600);

//! The table `health` of a proxy: how its backends are probed.
//!
//! Some keys belong to one kind of probe. They are kept apart until the kind is known, because the
//! order of keys in a table means nothing.

use std::time::Duration;

use tidemill_proxy::core::settings::{HealthSettings, Probe};

use super::super::definition::{Choice, Key, Kind, Presence};
use super::{HOUR, ProxyDraft};

/// `health` as written.
#[derive(Debug, Default)]
pub(in super::super) struct HealthDraft {
    settings: HealthSettings,
    probe: ProbeKind,
    path: Option<String>,
    host: Option<String>,
    status: Option<(u16, u16)>,
    send: Option<String>,
    expect: Option<String>,
}

/// A key that does not go with the probe.
#[derive(Debug)]
pub(in super::super) struct ProbeMisfit {
    pub(in super::super) key: &'static str,
    pub(in super::super) what: String,
    pub(in super::super) right: String,
}

impl HealthDraft {
    /// Returns each key that does not go with the probe, and the one that it lacks.
    pub(in super::super) fn misfits(&self) -> Vec<ProbeMisfit> {
        let probe = self.probe.name();
        let given = [
            ("path", self.path.is_some(), ProbeKind::Http),
            ("host", self.host.is_some(), ProbeKind::Http),
            ("status", self.status.is_some(), ProbeKind::Http),
            ("send", self.send.is_some(), ProbeKind::SendExpect),
            ("expect", self.expect.is_some(), ProbeKind::SendExpect),
        ];
        let strangers =
            given.into_iter().filter(|(_, is_given, of)| *is_given && *of != self.probe);
        let mut misfits: Vec<_> = strangers
            .map(|(key, _, of)| ProbeMisfit {
                key,
                what: format!("`{key}` means nothing to the probe \"{probe}\""),
                right: format!("set `probe = \"{}\"`, or leave it out", of.name()),
            })
            .collect();
        if self.probe == ProbeKind::SendExpect && self.expect.is_none() {
            misfits.push(ProbeMisfit {
                key: "probe",
                what: format!("the probe \"{probe}\" has no `expect`"),
                right: "add the answer's beginning: `expect = \"+PONG\"`".to_owned(),
            });
        }
        misfits
    }

    /// Returns the settings; `None` trusts every backend.
    pub(super) fn settings(self) -> Option<HealthSettings> {
        let probe = match self.probe {
            ProbeKind::None => return None,
            ProbeKind::Tcp => Probe::Tcp,
            ProbeKind::Http => Probe::Http {
                path: self.path.unwrap_or_else(|| "/".to_owned()),
                host: self.host,
                status: self.status.unwrap_or((200, 399)),
            },
            ProbeKind::SendExpect => Probe::SendExpect {
                send: self.send.unwrap_or_default().into_bytes(),
                expect: self.expect.unwrap_or_default().into_bytes(),
            },
        };
        Some(HealthSettings { probe, ..self.settings })
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ProbeKind {
    None,
    #[default]
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

pub(super) static HEALTH: &[Key<ProxyDraft>] = &[
    Key {
        name: "probe",
        presence: Presence::Default("\"tcp\""),
        example: "\"http\"",
        doc: "What proves a backend healthy.",
        kind: Kind::Choice(&[
            Choice {
                name: "tcp",
                doc: "it accepts a connection",
                set: |proxy| proxy.health.probe = ProbeKind::Tcp,
            },
            Choice {
                name: "http",
                doc: "it answers `GET path` with a good status",
                set: |proxy| proxy.health.probe = ProbeKind::Http,
            },
            Choice {
                name: "send-expect",
                doc: "it answers `send` with what begins with `expect`",
                set: |proxy| proxy.health.probe = ProbeKind::SendExpect,
            },
            Choice {
                name: "none",
                doc: "nothing is sent; every backend is trusted",
                set: |proxy| proxy.health.probe = ProbeKind::None,
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
            set: |proxy, interval| proxy.health.settings.interval = interval,
        },
    },
    Key {
        name: "jitter",
        presence: Presence::Default("\"10%\""),
        example: "\"10%\"",
        doc: "Share of the interval by which each wait is randomly shorter or longer.",
        kind: Kind::Percent(|proxy, percent| proxy.health.settings.jitter_percent = percent),
    },
    Key {
        name: "timeout",
        presence: Presence::Default("\"1s\""),
        example: "\"1s\"",
        doc: "Connect and answer together must arrive within this.",
        kind: Kind::Duration {
            min: Duration::from_millis(1),
            max: HOUR,
            set: |proxy, timeout| proxy.health.settings.timeout = timeout,
        },
    },
    Key {
        name: "rise",
        presence: Presence::Default("2"),
        example: "2",
        doc: "Successes in a row that bring a backend up.",
        kind: Kind::Integer {
            min: 1,
            max: 1_000,
            set: |proxy, rise| proxy.health.settings.rise = rise,
        },
    },
    Key {
        name: "fall",
        presence: Presence::Default("2"),
        example: "3",
        doc: "Failures in a row that take a backend down.",
        kind: Kind::Integer {
            min: 1,
            max: 1_000,
            set: |proxy, fall| proxy.health.settings.fall = fall,
        },
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
                set: |proxy| proxy.health.settings.start_up = true,
            },
            Choice {
                name: "down",
                doc: "it serves once probes have brought it up",
                set: |proxy| proxy.health.settings.start_up = false,
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
            set: |proxy, path| proxy.health.path = Some(path),
        },
    },
    Key {
        name: "host",
        presence: Presence::Absent("the backend as written"),
        example: "\"shop.example\"",
        doc: "Probe `http`: the `Host` header.",
        kind: Kind::Text {
            bytes_max: 255,
            begins: "",
            set: |proxy, host| proxy.health.host = Some(host),
        },
    },
    Key {
        name: "status",
        presence: Presence::Default("\"200-399\""),
        example: "\"200-299\"",
        doc: "Probe `http`: the good statuses, one or an inclusive range.",
        kind: Kind::Statuses(|proxy, status| proxy.health.status = Some(status)),
    },
    Key {
        name: "send",
        presence: Presence::Absent("nothing is sent: the server speaks first"),
        example: "\"PING\\r\\n\"",
        doc: "Probe `send-expect`: what is sent.",
        kind: Kind::Text {
            bytes_max: 1_024,
            begins: "",
            set: |proxy, send| proxy.health.send = Some(send),
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
            set: |proxy, expect| proxy.health.expect = Some(expect),
        },
    },
];

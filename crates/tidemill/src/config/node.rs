//! `[node]`: the process itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::definition::{Choice, Key, Kind, Presence, Section};

/// What `[node]` says.
///
/// # Defaults
///
/// The page, the API and the metrics on 127.0.0.1:7070, state in `~/.local/state/tidemill`, one
/// data-plane thread per core, 30 s for a stop; metrics recorded, their history flushed every 10 s
/// into 16 MiB, counters from zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// Where page, API and metrics are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the node keeps its state, as written.
    pub data_dir: String,
    /// Data-plane threads; `None` is one per core.
    pub workers: Option<NonZeroUsize>,
    /// How long a stop waits for open connections.
    pub stop_deadline: Duration,
    /// Whether anything is recorded.
    pub metrics: bool,
    /// How often the history of the metrics is written to its file.
    pub metrics_flush: Duration,
    /// How much that file and the one before it take, in MiB; 0 keeps nothing on disk.
    pub metrics_history_mib: u32,
    /// Whether counters go on from where the last run left them.
    pub counters_continue: bool,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)),
            data_dir: "~/.local/state/tidemill".to_owned(),
            workers: None,
            stop_deadline: Duration::from_secs(30),
            metrics: true,
            metrics_flush: Duration::from_secs(10),
            metrics_history_mib: 16,
            counters_continue: false,
        }
    }
}

pub(super) static NODE: Section<NodeSettings> = Section {
    name: "node",
    is_repeated: false,
    doc: "The process itself. All but `stop_deadline` takes effect at the next start.",
    keys: &[
        Key {
            name: "listen",
            presence: Presence::Default("\"127.0.0.1:7070\""),
            example: "\"127.0.0.1:7070\"",
            doc: "Where the page, the API and `/metrics` are served.",
            kind: Kind::Listen(|node, address| node.listen = address),
        },
        Key {
            name: "data_dir",
            presence: Presence::Default("\"~/.local/state/tidemill\""),
            example: "\"~/.local/state/tidemill\"",
            doc: "Where the node keeps its token, its lock and the addresses in use. `~/` is the \
                  home folder; a relative path begins at this file's folder.",
            kind: Kind::Folder(|node, folder| node.data_dir = folder),
        },
        Key {
            name: "workers",
            presence: Presence::Default("\"auto\""),
            example: "\"auto\"",
            doc: "Data-plane threads; `\"auto\"` is one per core.",
            kind: Kind::Threads { max: 1_024, set: |node, workers| node.workers = workers },
        },
        Key {
            name: "stop_deadline",
            presence: Presence::Default("\"30s\""),
            example: "\"30s\"",
            doc: "How long a stop waits for open connections before it closes them.",
            kind: Kind::Duration {
                min: Duration::ZERO,
                max: Duration::from_secs(86_400),
                set: |node, deadline| node.stop_deadline = deadline,
            },
        },
        Key {
            name: "metrics",
            presence: Presence::Default("\"on\""),
            example: "\"on\"",
            doc: "Whether anything is counted. Without it `/metrics`, `status` and the page show \
                  zeros.",
            kind: Kind::Choice(&[
                Choice {
                    name: "on",
                    doc: "everything that docs/reference/metrics.md names",
                    set: |node| node.metrics = true,
                },
                Choice { name: "off", doc: "nothing", set: |node| node.metrics = false },
            ]),
        },
        Key {
            name: "metrics_flush",
            presence: Presence::Default("\"10s\""),
            example: "\"10s\"",
            doc: "How often the history of the metrics is written to `data_dir`; a crash costs at \
                  most this much of it.",
            kind: Kind::Duration {
                min: Duration::from_secs(1),
                max: Duration::from_secs(3_600),
                set: |node, interval| node.metrics_flush = interval,
            },
        },
        Key {
            name: "metrics_history_mib",
            presence: Presence::Default("16"),
            example: "16",
            doc: "How many MiB the history of the metrics takes on disk at most; the oldest goes \
                  first. 0 keeps it in memory only.",
            kind: Kind::Integer {
                min: 0,
                max: 1_024,
                set: |node, mib| node.metrics_history_mib = mib,
            },
        },
        Key {
            name: "counters",
            presence: Presence::Default("\"from-zero\""),
            example: "\"from-zero\"",
            doc: "Where counters begin at a start. What came after the last flush before a crash \
                  is not in them.",
            kind: Kind::Choice(&[
                Choice {
                    name: "from-zero",
                    doc: "as Prometheus expects of a new process",
                    set: |node| node.counters_continue = false,
                },
                Choice {
                    name: "continue",
                    doc: "where the history's last flush has them",
                    set: |node| node.counters_continue = true,
                },
            ]),
        },
    ],
};

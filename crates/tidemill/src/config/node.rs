//! `[node]`: the process itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::definition::{Key, Kind, Presence, Section};

/// What `[node]` says.
///
/// # Defaults
///
/// The page, the API and the metrics on 127.0.0.1:7070, state in `~/.local/state/tidemill`, one
/// data-plane thread per core, 30 s for a stop.
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
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)),
            data_dir: "~/.local/state/tidemill".to_owned(),
            workers: None,
            stop_deadline: Duration::from_secs(30),
        }
    }
}

pub(super) static NODE: Section<NodeSettings> = Section {
    name: "node",
    is_repeated: false,
    doc: "The process itself. `listen`, `data_dir` and `workers` take effect at the next start.",
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
    ],
};

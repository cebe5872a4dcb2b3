//! The configuration file `tidemill.toml`: one table of keys and everything that follows from it.
//!
//! `node.rs`, `proxy/` and `workstream.rs` hold the rows, in the shape that `definition.rs` gives
//! them. `read.rs` reads a file by them, `reference.rs` renders the reference page and the sample
//! file, `schema.rs` the JSON schema. A new key is one new row, and one in the test that proves
//! that it changes something.

mod definition;
mod file;
mod jobs;
mod node;
mod problem;
mod proxy;
mod read;
mod reference;
mod resolve;
mod schema;
mod value;
mod workstream;

use tidemill_proxy::core::settings::ProxySettings;

pub(crate) use definition::nearest;
pub use file::{LoadError, Loaded, Source};
pub use jobs::{ClusterSettings, JobsSettings};
pub use node::NodeSettings;
pub use problem::Problem;
pub use read::read;
pub use reference::{Row, reference, rows, sample};
pub use resolve::{Excess, Machine};
pub use schema::schema;
pub use value::{Endpoint, format_duration, parse_duration, parse_endpoint, parse_listen};
pub use workstream::WorkstreamSettings;

/// A whole configuration, found good.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// What `[node]` says.
    pub node: NodeSettings,
    /// What `[jobs]` says.
    pub jobs: JobsSettings,
    /// What `[cluster]` says.
    pub cluster: ClusterSettings,
    /// Each `[[proxy]]`, in the order of the file.
    pub proxies: Vec<ProxySettings>,
    /// What `[workstream]` says.
    pub workstream: WorkstreamSettings,
}

/// Every section: its name and its head in a file.
const SECTIONS: [(&str, &str); 5] = [
    ("node", "`[node]`"),
    ("jobs", "`[jobs]`"),
    ("cluster", "`[cluster]`"),
    ("proxy", "`[[proxy]]`"),
    ("workstream", "`[workstream]`"),
];

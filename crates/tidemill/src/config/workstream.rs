//! `[workstream]`: the workspace that the node serves.

use super::definition::{Key, Kind, Presence, Section};

/// What `[workstream]` says.
///
/// # Defaults
///
/// The workspace `.workspace` beside the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkstreamSettings {
    /// The workspace's folder, as written.
    pub path: String,
}

impl Default for WorkstreamSettings {
    fn default() -> Self {
        Self { path: ".workspace".to_owned() }
    }
}

pub(super) static WORKSTREAM: Section<WorkstreamSettings> = Section {
    name: "workstream",
    is_repeated: false,
    doc: "Tasks and shared memory of a folder. `path` takes effect at the next start.",
    keys: &[Key {
        name: "path",
        presence: Presence::Default("\".workspace\""),
        example: "\".workspace\"",
        doc: "The workspace's folder, made at the first start. `~/` is the home folder; a relative \
              path begins at this file's folder.",
        kind: Kind::Folder(|workstream, folder| workstream.path = folder),
    }],
};

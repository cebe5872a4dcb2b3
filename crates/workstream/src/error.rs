//! Why a workspace did not do what it was asked; what was acknowledged before is not touched.

use std::io;
use std::path::PathBuf;

/// Why a workspace did not do what it was asked. Nothing of the request was stored.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] Kind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("{field} {reason}")]
    Invalid { field: &'static str, reason: &'static str },
    #[error("{field} has {chars} characters; {chars_max} are the most")]
    TooLong { field: &'static str, chars: usize, chars_max: usize },
    #[error("`{0}` is not the `next` of a page of this list")]
    Cursor(String),
    #[error("there is no {0}")]
    NotFound(String),
    #[error("there is a {0} already")]
    Exists(String),
    #[error("`{prefix}` is the beginning of more than one task id: {candidates}")]
    Ambiguous { prefix: String, candidates: String },
    #[error("{subject} was changed meanwhile: it has version {version}; read it and try again")]
    Stale { subject: String, version: u64 },
    #[error("{task} is claimed by {holder} until {until}")]
    Claimed { task: String, holder: String, until: String },
    #[error("{task} cannot be claimed: {reason}")]
    NotReady { task: String, reason: &'static str },
    #[error("{task} is not claimed by {holder}")]
    NotHolder { task: String, holder: String },
    #[error(
        "{} is in use by process {holder}; use that one's API or stop it",
        .workspace.display()
    )]
    Locked { workspace: PathBuf, holder: String },
    #[error(
        "the database {} is damaged ({detail}); {}",
        .database.display(),
        backup_advice(.backup.as_ref())
    )]
    Damaged { database: PathBuf, detail: String, backup: Option<PathBuf> },
    #[error(
        "{} was written by a newer version (schema {found}, this one knows {known}); use that one",
        .database.display()
    )]
    TooNew { database: PathBuf, found: i64, known: i64 },
    #[error("no room left on the disk; nothing of this was stored: {0}")]
    Full(String),
    #[error("the database answered: {0}")]
    Database(#[source] rusqlite::Error),
    #[error("the batch that this was part of was not stored: {0}")]
    Batch(String),
    #[error("the search index answered: {0}")]
    Index(#[source] tantivy::TantivyError),
    #[error("the search index was opened as it is and nothing brings it up to date")]
    Idle,
    #[error("cannot {action} {}: {source}", .path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    #[error("no random numbers from the kernel: {0}")]
    Random(getrandom::Error),
    #[error("an operation of another actor cannot be read: {0}")]
    Wire(#[from] crate::core::WireError),
    #[error(
        "operation {0} claims to be of this store, which never wrote it: two stores have one \
         identity; stop both and put a backup in place of one, which gives it a new identity"
    )]
    OwnActor(String),
    #[error(
        "operations before the oldest that are kept would be needed; begin with a copy of the store"
    )]
    Behind,
    #[error("this workspace was opened without its files")]
    NoFiles,
    #[error("the workspace is closed")]
    Closed,
    #[error("a task of the runtime ended early: {0}")]
    Interrupted(String),
}

impl Error {
    /// Returns true when a field of the request is not acceptable.
    pub fn is_invalid(&self) -> bool {
        matches!(self.0, Kind::Invalid { .. } | Kind::TooLong { .. } | Kind::Cursor(_))
    }

    /// Returns the field that is not acceptable.
    pub fn field(&self) -> Option<&'static str> {
        match &self.0 {
            Kind::Invalid { field, .. } | Kind::TooLong { field, .. } => Some(field),
            Kind::Cursor(_) => Some("after"),
            _ => None,
        }
    }

    /// Returns true when the task or memory entry does not exist, or does no longer.
    pub fn is_not_found(&self) -> bool {
        matches!(self.0, Kind::NotFound(_))
    }

    /// Returns true when something of that identity exists already.
    pub fn is_existing(&self) -> bool {
        matches!(self.0, Kind::Exists(_))
    }

    /// Returns true when a shortened identity fits more than one task.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self.0, Kind::Ambiguous { .. })
    }

    /// Returns true when the expected version is not the one that stands; read again and retry.
    pub fn is_stale(&self) -> bool {
        matches!(self.0, Kind::Stale { .. })
    }

    /// Returns true when a claim, renewal or release was refused by the state of the task.
    pub fn is_claim_refused(&self) -> bool {
        matches!(self.0, Kind::Claimed { .. } | Kind::NotReady { .. } | Kind::NotHolder { .. })
    }

    /// Returns true when another process has the workspace open.
    pub fn is_locked(&self) -> bool {
        matches!(self.0, Kind::Locked { .. })
    }

    /// Returns true when the database cannot be trusted; the message names the newest backup.
    pub fn is_damaged(&self) -> bool {
        matches!(self.0, Kind::Damaged { .. })
    }

    /// Returns true when the disk is full; the same request may succeed once there is room.
    pub fn is_full(&self) -> bool {
        matches!(self.0, Kind::Full(_))
    }

    /// Returns SQLite's own word for what went wrong.
    pub(crate) fn database_code(&self) -> Option<rusqlite::ErrorCode> {
        match &self.0 {
            Kind::Database(error) => error.sqlite_error_code(),
            _ => None,
        }
    }

    /// Returns what the database said when it failed, and whether for want of room.
    pub(crate) fn storage_failure(&self) -> Option<(bool, String)> {
        match &self.0 {
            Kind::Full(detail) => Some((true, detail.clone())),
            Kind::Batch(detail) => Some((false, detail.clone())),
            Kind::Database(error) => Some((false, error.to_string())),
            _ => None,
        }
    }

    /// Returns true when somebody is too far behind to be sent operations and needs a copy of the
    /// store.
    pub fn is_behind(&self) -> bool {
        matches!(self.0, Kind::Behind)
    }

    /// Returns true after [`close`](crate::Workstream::close).
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.into())
    }
}

impl From<rusqlite::Error> for Kind {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(error.to_string()),
            _ => Self::Database(error),
        }
    }
}

impl From<tantivy::TantivyError> for Error {
    fn from(error: tantivy::TantivyError) -> Self {
        Self(Kind::Index(error))
    }
}

impl From<crate::core::WireError> for Error {
    fn from(error: crate::core::WireError) -> Self {
        Self(Kind::Wire(error))
    }
}

fn backup_advice(backup: Option<&PathBuf>) -> String {
    match backup {
        Some(path) => format!("the newest backup is {}: copy it over the database", path.display()),
        None => "there is no backup; move it away, and the files are read anew".to_owned(),
    }
}

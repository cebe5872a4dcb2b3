//! What can go wrong in a session, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a session, or a part of it, could not be done.
///
/// The message says what failed and what would help; [`Error::source`](std::error::Error::source)
/// carries what the system said. [`Error::kind`] is for callers that branch.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The project: it does not compile, its tests fail, its output changes from run to run.
    Project,
    /// What was asked: a missing workload, a wrong key, an unknown name.
    Request,
    /// The machine: a full disk, a missing tool, no right to profile.
    Machine,
    /// Somebody asked to stop.
    Cancelled,
}

impl Error {
    /// Returns an error that the project has to mend.
    #[must_use]
    pub fn project(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Project, what: what.into(), source: None }
    }

    /// Returns an error that the caller has to mend.
    #[must_use]
    pub fn request(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Request, what: what.into(), source: None }
    }

    /// Returns an error that lies in the machine.
    #[must_use]
    pub fn machine(what: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Machine, what: what.into(), source: None }
    }

    /// Returns the error of a session that was told to stop.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { kind: ErrorKind::Cancelled, what: "stopped on request".to_owned(), source: None }
    }

    /// Returns an error of the machine about a file.
    pub(crate) fn file(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::machine(format!("cannot {doing} {}", path.display())).because(source)
    }

    /// Returns the same error with what the system said.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Returns whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// A line and column in a file that a person wrote, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// Returns the place of a byte offset in a text.
    pub(crate) fn of(path: &Path, text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        Self { path: path.to_owned(), line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
    }
}

//! Why there is no scheduler, and why a task has no result.

use std::sync::Arc;

use crate::core::{InvalidLimits, Rejection};

/// Why a scheduler was not built.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BuildError(#[from] Kind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("the limits contradict each other: {0}")]
    Limits(#[from] InvalidLimits),
    #[error("cannot register metrics: {0}")]
    Metrics(#[from] tidemill_metrics::Error),
    #[error("two classes are called {0:?}; give each its own name")]
    ClassTwice(String),
    #[error("there is no runtime here; build inside of one, or name an executor")]
    NoRuntime,
}

impl BuildError {
    /// Returns true when the caller asked for what cannot be.
    pub fn is_invalid(&self) -> bool {
        matches!(self.0, Kind::Limits(_) | Kind::ClassTwice(_))
    }
}

impl From<InvalidLimits> for BuildError {
    fn from(error: InvalidLimits) -> Self {
        Self(Kind::Limits(error))
    }
}

impl From<tidemill_metrics::Error> for BuildError {
    fn from(error: tidemill_metrics::Error) -> Self {
        Self(Kind::Metrics(error))
    }
}

/// Why a task that was taken has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "every state but completed that is final")]
pub enum TaskError {
    /// Its last attempt ended with this error or panic.
    #[error("the task failed: {0}")]
    Failed(Arc<str>),
    /// Somebody asked for its end.
    #[error("the task was cancelled")]
    Cancelled,
    /// It ran longer than it may.
    #[error("the task ran longer than its timeout")]
    TimedOut,
    /// It was never started.
    #[error("the task was rejected: {0}")]
    Rejected(Box<Rejection>),
}

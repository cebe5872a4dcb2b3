//! What is asked for one task, and what is known about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::moment::Moment;
use super::priority::Priority;
use super::retry::Retry;
use super::state::State;

/// Names one task for as long as its record is kept; never given twice.
///
/// The lower half is a place in the table, the upper half counts how often the place was used, so
/// a name that outlived its record is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl TaskId {
    pub(super) fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    pub(super) fn index(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the number that stands for the task in logs and metrics; never zero.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the task of a number that [`as_u64`](Self::as_u64) gave. Any other number names a
    /// task that nobody knows.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index(), self.generation())
    }
}

/// A kind of work whose tasks resemble each other: they share a limit, statistics and what is
/// learned about run times. The number is the place in the list of classes, 0 the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u8);

/// The most classes that one scheduler has: a set of them is one machine word.
pub const CLASSES_MAX: usize = 64;

/// The most tasks that one task may wait for.
pub const DEPENDENCIES_MAX: usize = 64;

/// What is asked for one task.
///
/// # Defaults
///
/// Normal priority, the first class, as soon as possible, one attempt, no limit in time.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// How urgent it is.
    pub priority: Priority,
    /// What kind of work it is.
    pub class: Class,
    /// Orders tasks of one priority, the nearest first; passing it has no other effect.
    pub deadline: Option<Moment>,
    /// It is not started earlier.
    pub not_before: Option<Moment>,
    /// How long an attempt may run.
    pub timeout: Option<Duration>,
    /// How often it is attempted, where its payload can be run again.
    pub retry: Retry,
    /// It is run again and again, begin to begin, until cancelled. Beats that were missed are
    /// left out.
    pub every: Option<Duration>,
    /// It waits until all of these have completed; at most [`DEPENDENCIES_MAX`].
    pub after: Vec<TaskId>,
    /// No second task with the same key is taken while a record of the first is kept.
    pub key: Option<Arc<str>>,
}

/// What is known about a task, at the time of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub id: TaskId,
    /// Where it stands.
    pub state: State,
    /// How urgent it is.
    pub priority: Priority,
    /// What kind of work it is.
    pub class: Class,
    /// When it was submitted.
    pub submitted: Moment,
    /// When it could first have run: its time had come and what it waited for was done.
    pub ready: Option<Moment>,
    /// When the last attempt began.
    pub started: Option<Moment>,
    /// When it ended.
    pub ended: Option<Moment>,
    /// Attempts begun.
    pub attempts: u32,
    /// Why it failed or was rejected; of a task that is to be repeated, why the last attempt
    /// failed.
    pub reason: Option<Arc<str>>,
}

/// Why a task was not taken, or why one that waited was never started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// As many tasks wait as may wait.
    #[error("the queue is full: {limit} tasks wait; submit again later, or raise `queue`")]
    QueueFull {
        /// How many may wait.
        limit: usize,
    },
    /// The scheduler is shutting down.
    #[error("the scheduler is shutting down and takes no tasks")]
    ShuttingDown,
    /// A task with the same key is known.
    #[error("task {id} has the same key and was submitted before")]
    Duplicate {
        /// The task that was first.
        id: TaskId,
    },
    /// It depends on a task that is not known.
    #[error("it depends on task {on}, which never was or is forgotten")]
    UnknownDependency {
        /// The one that is missing.
        on: TaskId,
    },
    /// It depends on a task that ended without completing.
    #[error("it depends on task {on}, which ended as {state}")]
    DependencyFailed {
        /// The one that did not complete.
        on: TaskId,
        /// How that one ended.
        state: State,
    },
    /// Two tasks would wait for each other.
    #[error("task {on} already waits for task {task}, directly or through others")]
    Cyclic {
        /// The one that was to wait.
        task: TaskId,
        /// What it was to wait for.
        on: TaskId,
    },
    /// It depends on more tasks than one may.
    #[error("it depends on {count} tasks; at most {DEPENDENCIES_MAX} are allowed")]
    TooManyDependencies {
        /// How many were named.
        count: usize,
    },
    /// It is of a class that the scheduler was not built with.
    #[error("no class has the number {number}; there are {count}")]
    UnknownClass {
        /// What was asked for.
        number: u8,
        /// How many there are.
        count: usize,
    },
    /// It has begun or ended, so that it cannot be made to wait for another.
    #[error("task {task} has begun or is forgotten; only one that waits can be given dependencies")]
    NotPending {
        /// The task.
        task: TaskId,
    },
}

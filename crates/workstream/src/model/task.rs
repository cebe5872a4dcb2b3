//! A task as it is read, and what is given to make or change one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{OperationId, TaskId, Timestamp};

/// One task as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The identity, for ever.
    pub id: TaskId,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Where it stands.
    pub status: Status,
    /// How urgent it is.
    pub priority: Priority,
    /// The role that may claim it; `None` for everybody.
    pub role: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Labels, sorted.
    pub labels: Vec<String>,
    /// The task it is a part of.
    pub parent: Option<TaskId>,
    /// The tasks that come first, sorted.
    pub depends_on: Vec<TaskId>,
    /// The claim on it, also when it is over.
    pub lease: Option<Lease>,
    /// When the identity was made.
    pub created_at: Timestamp,
    /// When it was changed last, by the clock of whoever did.
    pub updated_at: Timestamp,
    /// Operations applied to it. Rises with every change; the same on nodes that know the same.
    pub version: u64,
    /// Comments it has.
    pub comments: u64,
    /// Fields with values that lost against concurrent ones and wait for a decision.
    pub conflicts: u64,
    /// Deleted by one actor while another changed it, and therefore still here.
    pub is_revived: bool,
}

/// Where a task stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "complete by the design")]
pub enum Status {
    /// Nobody works on it yet.
    #[default]
    Todo,
    /// Somebody works on it.
    Doing,
    /// Waits for something that is no task.
    Blocked,
    /// Finished.
    Done,
    /// Will not be done.
    Cancelled,
}

/// How urgent a task is, least first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "complete by the design")]
pub enum Priority {
    /// Can wait.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before others.
    High,
    /// Today.
    Critical,
    /// Now.
    Emergency,
}

/// A claim on a task: until when whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who claimed it.
    pub holder: String,
    /// When the claim ends unless it is renewed.
    pub until: Timestamp,
}

/// What a task is made of.
///
/// # Defaults
///
/// Everything but the title: an empty body, `todo`, `normal`, nothing else, a fresh identity.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewTask {
    /// The identity, when it was made elsewhere (a file); else a fresh one.
    pub id: Option<TaskId>,
    /// One line, required.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Where it stands.
    pub status: Status,
    /// How urgent it is.
    pub priority: Priority,
    /// The role that may claim it.
    pub role: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Labels in any order.
    pub labels: Vec<String>,
    /// The task it is a part of.
    pub parent: Option<TaskId>,
    /// The tasks that come first.
    pub depends_on: Vec<TaskId>,
}

/// What to change of a task; `None` leaves as is. Of optional fields, `Some(None)` empties.
///
/// With [`base`](Self::base), the patch is a change against those values rather than against what
/// the store holds: sets are changed by their difference, texts are merged in three ways, and where
/// both sides changed the same thing the patch wins and the other value is kept as a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskPatch {
    /// The new title.
    pub title: Option<String>,
    /// The new body.
    pub body: Option<String>,
    /// The new status.
    pub status: Option<Status>,
    /// The new priority.
    pub priority: Option<Priority>,
    /// The new role.
    pub role: Option<Option<String>>,
    /// The new assignee.
    pub assignee: Option<Option<String>>,
    /// The new parent.
    pub parent: Option<Option<TaskId>>,
    /// All labels it shall have.
    pub labels: Option<Vec<String>>,
    /// Labels to add to those it has.
    pub labels_added: Vec<String>,
    /// Labels to take from those it has.
    pub labels_removed: Vec<String>,
    /// All dependencies it shall have.
    pub depends_on: Option<Vec<TaskId>>,
    /// The claim on it.
    pub lease: Option<Option<Lease>>,
    /// The values that the patch was made from.
    pub base: Option<Box<Task>>,
}

/// A remark on a task. Comments are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// The operation that added it.
    pub id: OperationId,
    /// Who wrote it.
    pub author: String,
    /// When, by the author's clock.
    pub at: Timestamp,
    /// Markdown.
    pub text: String,
}

/// A field of a task as history, conflicts and changes name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Field {
    /// The title.
    Title,
    /// The body.
    Body,
    /// The status.
    Status,
    /// The priority.
    Priority,
    /// The role.
    Role,
    /// The assignee.
    Assignee,
    /// The parent.
    Parent,
    /// The labels.
    Labels,
    /// The dependencies.
    DependsOn,
    /// The claim.
    Lease,
    /// A comment.
    Comment,
    /// Whether the task is deleted.
    Deleted,
    /// The value of a memory entry.
    Value,
}

/// Why a word is no status, priority or field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {known}")]
pub struct ParseWordError {
    word: String,
    known: String,
}

impl Task {
    /// Returns true when nobody may claim it any more.
    pub fn is_closed(&self) -> bool {
        self.status.is_closed()
    }
}

impl Status {
    /// Every status, in the order of a board.
    pub const ALL: [Self; 5] =
        [Self::Todo, Self::Doing, Self::Blocked, Self::Done, Self::Cancelled];

    /// Returns true for `done` and `cancelled`.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }

    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Todo => "todo",
            Self::Doing => "doing",
            Self::Blocked => "blocked",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Priority {
    /// Every priority, least urgent first.
    pub const ALL: [Self; 5] =
        [Self::Low, Self::Normal, Self::High, Self::Critical, Self::Emergency];

    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 13] = [
        Self::Title,
        Self::Body,
        Self::Status,
        Self::Priority,
        Self::Role,
        Self::Assignee,
        Self::Parent,
        Self::Labels,
        Self::DependsOn,
        Self::Lease,
        Self::Comment,
        Self::Deleted,
        Self::Value,
    ];

    /// Returns the word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Body => "body",
            Self::Status => "status",
            Self::Priority => "priority",
            Self::Role => "role",
            Self::Assignee => "assignee",
            Self::Parent => "parent",
            Self::Labels => "labels",
            Self::DependsOn => "depends_on",
            Self::Lease => "lease",
            Self::Comment => "comment",
            Self::Deleted => "deleted",
            Self::Value => "value",
        }
    }
}

/// Reads and writes the words of an enumeration.
macro_rules! words {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = ParseWordError;

            fn from_str(word: &str) -> Result<Self, ParseWordError> {
                let known = Self::ALL.iter().find(|known| known.word() == word);
                known.copied().ok_or_else(|| ParseWordError {
                    word: word.to_owned(),
                    known: Self::ALL.map(Self::word).join(", "),
                })
            }
        }
    )*};
}

words!(Status, Priority, Field);

//! What happened and what waits for a decision: history, conflicts, counts.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ActorId, Field, OperationId, Timestamp};

/// One operation on a task or memory entry, told for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The operation.
    pub id: OperationId,
    /// Who did it.
    pub author: String,
    /// When, by the author's clock.
    pub at: Timestamp,
    /// What was done.
    pub action: HistoryAction,
    /// What it wrote, in the order it was written.
    pub changes: Vec<FieldChange>,
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HistoryAction {
    /// Made it.
    Created,
    /// Changed it.
    Changed,
    /// Deleted it.
    Deleted,
    /// Something that a newer version understands.
    Unknown,
}

/// One field that an operation wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field.
    pub field: Field,
    /// What was written. Of a set: `{"added": [...], "removed": [...]}`. Of a body: its text.
    pub to: Value,
}

/// A field with more than one value: written concurrently, one of them stands, the others wait.
///
/// A later write of the field by somebody who saw them ends the conflict; so does
/// [`Resolution`]. Every value stays in the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The field. `deleted` is for a task that was deleted and changed at once.
    pub field: Field,
    /// What stands now. Of a body it may be a merge that none of the values is.
    pub current: Value,
    /// Each concurrent value, the winner first.
    pub values: Vec<ConflictValue>,
}

/// One of the values of a conflict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConflictValue {
    /// The operation that wrote it.
    pub id: OperationId,
    /// Who wrote it.
    pub author: String,
    /// When, by the author's clock.
    pub at: Timestamp,
    /// The value.
    pub value: Value,
}

/// How a conflict ends.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Resolution {
    /// What stands now stays.
    KeepCurrent,
    /// The value that this operation wrote.
    Take(OperationId),
    /// Another value, in the form that [`Conflict::current`] has.
    Write(Value),
}

/// Counts and sizes of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// This store's actor.
    pub actor: ActorId,
    /// Tasks by status, in the order of [`Status::ALL`](super::Status::ALL), without deleted ones.
    pub tasks: [u64; 5],
    /// Tasks with conflicts, or deleted and changed at once.
    pub conflicted: u64,
    /// Memory entries.
    pub memory_entries: u64,
    /// Operations in the log that this store wrote.
    pub operations_local: u64,
    /// Operations in the log that other actors wrote.
    pub operations_remote: u64,
    /// Place of the last operation in the log.
    pub position: u64,
    /// Operations that the index does not hold yet.
    pub index_lag: u64,
    /// Bytes of the database and its write-ahead log.
    pub store_bytes: u64,
    /// Writes that wait in the queue.
    pub writes_queued: u64,
    /// Batches that the writer committed since start.
    pub batches: u64,
}

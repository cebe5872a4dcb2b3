//! What a subscriber is told after something was stored.

use serde::{Deserialize, Serialize};

use super::{Field, MemoryKey, OperationId, TaskId};

/// One operation that was stored and applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Place in this store's log, from 1, rising; a resumed stream asks for what comes after it.
    pub position: u64,
    /// The operation.
    pub operation: OperationId,
    /// Who did it.
    pub author: String,
    /// What it is about.
    pub subject: Subject,
    /// What happened to it.
    pub what: What,
    /// The fields that were written.
    pub fields: Vec<Field>,
    /// True when another actor wrote it.
    pub is_remote: bool,
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Subject {
    /// A task.
    Task(TaskId),
    /// A memory entry.
    Memory(MemoryKey),
    /// Something that a newer version understands.
    Unknown,
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// It is new.
    Created,
    /// It changed.
    Changed,
    /// It is gone.
    Deleted,
}

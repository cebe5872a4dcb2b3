//! What people, agents and peers see: tasks, memory, history, conflicts, questions and answers.
//!
//! Plain values with public fields; [`limits`] says which of them are accepted. Serialised names
//! are those of the HTTP API. Nothing here reads a clock, a file or the store.

mod change;
mod id;
pub mod limits;
mod memory;
mod query;
mod record;
mod task;
mod time;

pub use change::{Change, Subject, What};
pub use id::{ActorId, IdError, OperationId, TaskId};
pub use memory::{MemoryEntry, MemoryKey, MemoryPut};
pub use query::{
    HitKind, Page, PageRequest, SearchHit, SearchQuery, SortKey, TaskFilter, TaskSort,
};
pub use record::{
    Conflict, ConflictValue, FieldChange, HistoryAction, HistoryEntry, Resolution, Stats,
};
pub use task::{Comment, Field, Lease, NewTask, ParseWordError, Priority, Status, Task, TaskPatch};
pub use time::{Timestamp, TimestampError};

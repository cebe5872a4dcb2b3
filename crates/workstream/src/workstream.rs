//! The facade: an open workspace.
//!
//! Every method that writes takes the name of whoever does it. A write is answered after its batch
//! was committed; a dropped future does not take a write back that was queued already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::core::VectorClock;
use crate::error::Error;
use crate::model::{
    Change, Comment, Conflict, Field, HistoryEntry, MemoryEntry, MemoryKey, MemoryPut, NewTask,
    Page, PageRequest, Resolution, SearchHit, SearchQuery, Stats, Subject, Task, TaskFilter,
    TaskId, TaskPatch, TaskSort, Timestamp,
};

/// An open workspace. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Workstream {}

/// How a workspace is opened.
///
/// # Defaults
///
/// The machine's clock, [`Durability::Power`], an index.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the time comes from.
    pub clock: Clock,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Opens without the search index, for a command that does not search. Searches are then
    /// answered from the index as it was left, if it is there.
    pub is_index_idle: bool,
}

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Durability {
    /// Loss of power: each batch is synced to the disk before it is answered.
    #[default]
    Power,
    /// The end of the process, however violent; loss of power may take the last batches.
    Process,
}

/// Who claims, what, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Who claims; becomes assignee and holder of the lease.
    pub holder: String,
    /// Tasks of this role and of no role; `None` takes tasks of every role.
    pub role: Option<String>,
    /// How long the claim holds, 1 second to 24 hours.
    pub lease: Duration,
}

/// Changes as they are stored, from the time of subscription on.
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
}

/// A subscriber was slower than 1,024 changes: this many are lost to it. It has to read anew, or
/// ask for the [`changes_after`](Workstream::changes_after) its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} changes were missed")]
pub struct Lagged(pub u64);

impl Workstream {
    /// Opens the workspace in the folder `path`, usually `.workspace`; makes it if it is not there.
    ///
    /// # Errors
    ///
    /// When another process has it open ([`Error::is_locked`]), the database is damaged
    /// ([`Error::is_damaged`]) or newer than this version, or the folder cannot be written.
    pub async fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        todo!()
    }

    /// Returns the workspace's folder.
    pub fn path(&self) -> &Path {
        todo!()
    }

    /// Returns the time by the workspace's clock.
    pub fn now(&self) -> Timestamp {
        todo!()
    }

    /// Answers what is queued, brings the index up to date, leaves the store marked as sound and
    /// releases the lock. Requests that come later are refused.
    ///
    /// # Errors
    ///
    /// When the last commit fails; the lock is released nevertheless.
    pub async fn close(&self) -> Result<(), Error> {
        todo!()
    }

    /// Makes a task.
    ///
    /// # Errors
    ///
    /// When a field is not acceptable, the identity exists already, or the store fails.
    pub async fn create(&self, author: &str, new: NewTask) -> Result<Task, Error> {
        todo!()
    }

    /// Makes many tasks in one transaction: all or none. They may depend on one another.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); more than 1,000 tasks are refused.
    pub async fn create_all(&self, author: &str, new: Vec<NewTask>) -> Result<Vec<Task>, Error> {
        todo!()
    }

    /// Reads a task.
    ///
    /// # Errors
    ///
    /// When it does not exist or is deleted ([`Error::is_not_found`]).
    pub async fn get(&self, id: TaskId) -> Result<Task, Error> {
        todo!()
    }

    /// Finds the one task whose identity begins with `prefix`.
    ///
    /// # Errors
    ///
    /// When there is none ([`Error::is_not_found`]) or more than one ([`Error::is_ambiguous`]).
    pub async fn find(&self, prefix: &str) -> Result<TaskId, Error> {
        todo!()
    }

    /// Lists tasks, page by page. A page costs its own length, wherever it lies.
    ///
    /// # Errors
    ///
    /// When the cursor is not of this list.
    pub async fn list(
        &self,
        filter: TaskFilter,
        sort: TaskSort,
        page: PageRequest,
    ) -> Result<Page<Task>, Error> {
        todo!()
    }

    /// Changes a task. With `expected`, only if that is the version that stands. A patch that
    /// changes nothing stores nothing.
    ///
    /// # Errors
    ///
    /// When the task does not exist, has another version ([`Error::is_stale`]), a field is not
    /// acceptable, or dependencies or parents would form a circle.
    pub async fn patch(
        &self,
        author: &str,
        id: TaskId,
        patch: TaskPatch,
        expected: Option<u64>,
    ) -> Result<Task, Error> {
        todo!()
    }

    /// Deletes a task. Its history stays; an actor who changes it at the same time brings it back.
    ///
    /// # Errors
    ///
    /// As [`patch`](Self::patch).
    pub async fn delete(
        &self,
        author: &str,
        id: TaskId,
        expected: Option<u64>,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Brings a deleted task back as it was.
    ///
    /// # Errors
    ///
    /// When there never was such a task.
    pub async fn restore(&self, author: &str, id: TaskId) -> Result<Task, Error> {
        todo!()
    }

    /// Adds a comment.
    ///
    /// # Errors
    ///
    /// When the task does not exist or the comment is empty or too long.
    pub async fn comment(&self, author: &str, id: TaskId, text: &str) -> Result<Comment, Error> {
        todo!()
    }

    /// Lists the comments of a task, oldest first.
    ///
    /// # Errors
    ///
    /// When the task does not exist.
    pub async fn comments(&self, id: TaskId, page: PageRequest) -> Result<Page<Comment>, Error> {
        todo!()
    }

    /// Lists what happened to a task or memory entry, newest first, also after it was deleted.
    ///
    /// # Errors
    ///
    /// When there never was such a thing.
    pub async fn history(
        &self,
        subject: &Subject,
        page: PageRequest,
    ) -> Result<Page<HistoryEntry>, Error> {
        todo!()
    }

    /// Lists the fields with values that wait for a decision.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub async fn conflicts(&self, subject: &Subject) -> Result<Vec<Conflict>, Error> {
        todo!()
    }

    /// Ends a conflict.
    ///
    /// # Errors
    ///
    /// When there is none on this field, or the value is not acceptable.
    pub async fn resolve(
        &self,
        author: &str,
        subject: &Subject,
        field: Field,
        resolution: Resolution,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Claims the next ready task: of the role or of none, open, not held by a valid lease, with
    /// every dependency done, cancelled or deleted; most urgent first, then oldest. It becomes
    /// `doing`, assigned to the holder, with a lease. `None` when nothing is ready.
    ///
    /// One node never gives a task to two holders. Nodes that do not see each other can: the greater
    /// hybrid time wins when they meet, and the other holder sees it by a failing
    /// [`renew`](Self::renew), a change, and a conflict on `lease`.
    ///
    /// # Errors
    ///
    /// When the request is not acceptable or the store fails.
    pub async fn claim(&self, request: ClaimRequest) -> Result<Option<Task>, Error> {
        todo!()
    }

    /// Claims this task, by the same rules.
    ///
    /// # Errors
    ///
    /// When it is held by another or not ready ([`Error::is_claim_refused`]).
    pub async fn claim_task(&self, id: TaskId, request: ClaimRequest) -> Result<Task, Error> {
        todo!()
    }

    /// Prolongs a claim: it holds for `lease` from now. An expired claim that nobody took over can
    /// be renewed.
    ///
    /// # Errors
    ///
    /// When it is not the holder's ([`Error::is_claim_refused`]).
    pub async fn renew(&self, id: TaskId, holder: &str, lease: Duration) -> Result<Task, Error> {
        todo!()
    }

    /// Gives a claim back: a task that is `doing` becomes `todo`, of nobody.
    ///
    /// # Errors
    ///
    /// When it is not the holder's ([`Error::is_claim_refused`]).
    pub async fn release(&self, id: TaskId, holder: &str) -> Result<Task, Error> {
        todo!()
    }

    /// Searches tasks and memory, best first.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub async fn search(&self, query: SearchQuery) -> Result<Vec<SearchHit>, Error> {
        todo!()
    }

    /// Stores a value. With `expected`, only if that is the version that stands; 0 is for an entry
    /// that does not exist.
    ///
    /// # Errors
    ///
    /// When the name or value is not acceptable or the version is another.
    pub async fn memory_put(
        &self,
        author: &str,
        key: &MemoryKey,
        put: MemoryPut,
        expected: Option<u64>,
    ) -> Result<MemoryEntry, Error> {
        todo!()
    }

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub async fn memory_get(&self, key: &MemoryKey) -> Result<MemoryEntry, Error> {
        todo!()
    }

    /// Lists entries by scope and key: those of a scope, or all.
    ///
    /// # Errors
    ///
    /// When the cursor is not of this list.
    pub async fn memory_list(
        &self,
        scope: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<MemoryEntry>, Error> {
        todo!()
    }

    /// Deletes a value.
    ///
    /// # Errors
    ///
    /// As [`memory_put`](Self::memory_put), or when it does not exist.
    pub async fn memory_delete(
        &self,
        author: &str,
        key: &MemoryKey,
        expected: Option<u64>,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Subscribes to changes from now on.
    pub fn subscribe(&self) -> Changes {
        todo!()
    }

    /// Lists up to `limit` changes after a position, oldest first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn changes_after(&self, position: u64, limit: usize) -> Result<Vec<Change>, Error> {
        todo!()
    }

    /// Counts.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn stats(&self) -> Result<Stats, Error> {
        todo!()
    }

    /// Waits until everything that was stored before this call can be found by a search.
    ///
    /// # Errors
    ///
    /// When the workspace is closed or the index fails.
    pub async fn indexed(&self) -> Result<(), Error> {
        todo!()
    }

    /// Returns what this store knows of each actor: only what was applied and stored.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn clock(&self) -> Result<VectorClock, Error> {
        todo!()
    }

    /// Returns encoded operations that `known` does not cover, in an order in which they can be
    /// applied, up to about `bytes_max` bytes and at least one.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn operations_after(
        &self,
        known: &VectorClock,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, Error> {
        todo!()
    }

    /// Takes encoded operations of other actors, in any order, and returns how many were new.
    /// Those whose predecessors are missing wait in memory, up to 4,096; what does not fit has to
    /// be sent again.
    ///
    /// # Errors
    ///
    /// When one cannot be read; then none of them is stored.
    pub async fn apply(&self, operations: Vec<Vec<u8>>) -> Result<usize, Error> {
        todo!()
    }
}

impl Changes {
    /// Waits for the next change; `None` once the workspace is closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// When changes were lost because this subscriber was too slow.
    pub async fn next(&mut self) -> Result<Option<Change>, Lagged> {
        match self.receiver.recv().await {
            Ok(change) => Ok(Some(change)),
            Err(broadcast::error::RecvError::Closed) => Ok(None),
            Err(broadcast::error::RecvError::Lagged(missed)) => Err(Lagged(missed)),
        }
    }
}

//! What happened, what waits for a decision, what can be found, and what other stores need.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::core::{Action, MemoryWrite, Operation, VectorClock, Write};
use crate::error::{Error, Kind};
use crate::model::limits;
use crate::model::{
    ActorId, Change, Conflict, Field, HistoryEntry, Page, PageRequest, Resolution, SearchHit,
    SearchQuery, Stats, Subject, TaskPatch, Timestamp,
};
use crate::store::{self, Batch};

use super::{Changes, Workstream};

impl Workstream {
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
        let subject = subject.clone();
        self.inner.store.read(move |connection| store::history(connection, &subject, &page)).await
    }

    /// Lists the fields with values that wait for a decision.
    ///
    /// # Errors
    ///
    /// When it does not exist.
    pub async fn conflicts(&self, subject: &Subject) -> Result<Vec<Conflict>, Error> {
        let subject = subject.clone();
        self.inner.store.read(move |connection| store::conflicts(connection, &subject)).await
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
        limits::check_author(author)?;
        let (author, subject) = (author.to_owned(), subject.clone());
        self.inner
            .store
            .write(move |batch| {
                let conflicts = store::conflicts(batch.connection(), &subject)?;
                let Some(conflict) = conflicts.iter().find(|conflict| conflict.field == field)
                else {
                    let what = format!("conflict on {field} of this");
                    return Err(Kind::NotFound(what).into());
                };
                let value = decision(conflict, resolution)?;
                match subject {
                    Subject::Task(id) => match task_decision(field, value)? {
                        None => batch.delete_task(&author, id),
                        Some(write) => batch.write_task(&author, id, vec![write]).map(drop),
                    },
                    Subject::Memory(key) => {
                        let action = match (field, value) {
                            (Field::Deleted, Value::Bool(true)) => Action::DeleteMemory { key },
                            (Field::Deleted, _) => Action::Memory { key, writes: Vec::new() },
                            (_, Value::String(value)) => {
                                Action::Memory { key, writes: vec![MemoryWrite::Value(value)] }
                            }
                            _ => return limits::invalid("value", "has to be a text"),
                        };
                        batch.write_memory(&author, action).map(drop)
                    }
                    Subject::Unknown => Err(store::not_found(&subject)),
                }
            })
            .await
    }

    /// Searches tasks and memory, best first.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub async fn search(&self, query: SearchQuery) -> Result<Vec<SearchHit>, Error> {
        self.inner.index.search(query).await
    }

    /// Subscribes to changes from now on.
    pub fn subscribe(&self) -> Changes {
        Changes { receiver: self.inner.store.changes.subscribe() }
    }

    /// Lists up to `limit` changes after a position, oldest first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn changes_after(&self, position: u64, limit: usize) -> Result<Vec<Change>, Error> {
        let limit = limit.clamp(1, limits::PAGE_MAX);
        self.inner.store.read(move |connection| store::changes(connection, position, limit)).await
    }

    /// Counts.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn stats(&self) -> Result<Stats, Error> {
        let mut stats = self.inner.store.stats().await?;
        stats.index_lag = stats.position.saturating_sub(self.inner.index.position());
        Ok(stats)
    }

    /// Waits until everything that was stored before this call can be found by a search.
    ///
    /// # Errors
    ///
    /// When the workspace is closed or the index fails.
    pub async fn indexed(&self) -> Result<(), Error> {
        let position = self.inner.store.read(store::last_position).await?;
        self.inner.index.wait_for(position).await
    }

    /// Returns what this store knows of each actor: only what was applied and stored.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn clock(&self) -> Result<VectorClock, Error> {
        self.inner.store.read(store::clock).await
    }

    /// Returns encoded operations that `known` does not cover, in an order in which they can be
    /// applied, up to about `bytes_max` bytes and at least one.
    ///
    /// # Errors
    ///
    /// When operations that would be needed were forgotten ([`Error::is_behind`]), or the store
    /// fails.
    pub async fn operations_after(
        &self,
        known: &VectorClock,
        bytes_max: usize,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let known = known.clone();
        self.inner
            .store
            .read(move |connection| store::operations(connection, &known, bytes_max))
            .await
    }

    /// Notes that another actor has stored everything that `known` covers.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn acknowledge(&self, actor: ActorId, known: VectorClock) -> Result<(), Error> {
        self.inner
            .store
            .write(move |batch| store::acknowledge(batch.connection(), actor, &known))
            .await
    }

    /// Forgets operations that every actor has and that are older than `keep`; returns how many.
    /// States, clocks and searches stay as they are, histories become shorter. Works in steps of
    /// 200 tasks, between which other writes go on.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn compact(&self, keep: Duration) -> Result<usize, Error> {
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_unix_ms(self.now().unix_ms().saturating_sub(keep_ms));
        let indexed = self.inner.index.position();
        let (mut forgotten, mut after) = (0, 0);
        loop {
            let found = self.inner.store.read(move |connection| {
                store::candidates(connection, indexed, after, COMPACTED_AT_ONCE)
            });
            let found = found.await?;
            let Some((last, _)) = found.last() else { return Ok(forgotten) };
            after = *last;
            let forget = move |batch: &mut Batch<'_>| {
                let cut = store::cut(batch.connection())?;
                let mut forgotten = 0;
                for (_, subject) in &found {
                    forgotten += store::forget(batch.connection(), subject, before, &cut)?;
                }
                Ok(forgotten)
            };
            forgotten += self.inner.store.write(forget).await?;
        }
    }

    /// Writes a copy of the store to a file, for a store that begins or is too far behind: put in
    /// place as `.tidemill/tidemill.db`, it goes on under an identity of its own.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub async fn snapshot(&self, target: &Path) -> Result<(), Error> {
        let (store, target) = (Arc::clone(&self.inner.store), target.to_owned());
        let copied = tokio::task::spawn_blocking(move || store.snapshot(&target));
        copied.await.map_err(|error| Kind::Interrupted(error.to_string()))?
    }

    /// Takes encoded operations of other actors, in any order, and returns how many were new.
    /// Those whose predecessors are missing wait in memory, up to 4,096; what does not fit has to
    /// be sent again.
    ///
    /// # Errors
    ///
    /// When one cannot be read; then none of them is stored.
    pub async fn apply(&self, operations: Vec<Vec<u8>>) -> Result<usize, Error> {
        let decoded = operations.iter().map(|bytes| Operation::decode(bytes));
        let decoded = decoded.collect::<Result<Vec<_>, _>>()?;
        self.inner.store.write(move |batch| batch.take(decoded)).await
    }
}

/// Returns the value that ends a conflict.
fn decision(conflict: &Conflict, resolution: Resolution) -> Result<Value, Error> {
    match resolution {
        Resolution::KeepCurrent => Ok(conflict.current.clone()),
        Resolution::Write(value) => Ok(value),
        Resolution::Take(id) => {
            let value = conflict.values.iter().find(|value| value.id == id);
            let absent = || Kind::NotFound(format!("value of operation {id} in this conflict"));
            Ok(value.ok_or_else(absent)?.value.clone())
        }
    }
}

/// Returns the write that ends a conflict of a task; `None` is its deletion.
fn task_decision(field: Field, value: Value) -> Result<Option<Write>, Error> {
    fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Error> {
        let read = serde_json::from_value(value);
        read.or_else(|_| limits::invalid("value", "is of another kind than the field"))
    }
    let mut patch = TaskPatch::default();
    let write = match field {
        Field::Deleted => return Ok((!read::<bool>(value)?).then_some(Write::Restore)),
        Field::Title => Write::Title(read(value)?),
        Field::Body => Write::Body(read(value)?),
        Field::Status => Write::Status(read(value)?),
        Field::Priority => Write::Priority(read(value)?),
        Field::Role => Write::Role(read(value)?),
        Field::Assignee => Write::Assignee(read(value)?),
        Field::Parent => Write::Parent(read(value)?),
        Field::Lease => Write::Lease(read(value)?),
        _ => return limits::invalid("field", "cannot be in conflict"),
    };
    match &write {
        Write::Title(title) => patch.title = Some(title.clone()),
        Write::Body(body) => patch.body = Some(body.clone()),
        Write::Role(role) => patch.role = Some(role.clone()),
        Write::Assignee(assignee) => patch.assignee = Some(assignee.clone()),
        Write::Lease(lease) => patch.lease = Some(lease.clone()),
        _ => {}
    }
    limits::check_patch(&patch)?;
    Ok(Some(write))
}

/// Tasks and memory entries of one step of a compaction.
const COMPACTED_AT_ONCE: usize = 200;

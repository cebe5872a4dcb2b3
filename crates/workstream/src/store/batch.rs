//! What a request can do inside the writer's transaction: write operations and apply them.
//!
//! The way of an operation, the same for one of ours and one of another actor's:
//!
//! 1. its row in `operations` gives it a position,
//! 2. the state of its task or memory entry is read, changed by the core, and written back,
//! 3. its actor's row says what was applied.
//!
//! All of it commits together, so the vector clock never knows more than the tables do.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{rows, tables};
use crate::core::{
    Action, Arrival, HybridClock, HybridTime, Inbox, MemoryState, Operation, Stamp, VectorClock,
    Write,
};
use crate::error::{Error, Kind};
use crate::model::{
    ActorId, Change, MemoryEntry, OperationId, Subject, Task, TaskId, Timestamp, What,
};

/// What the writer knows of the log; the same as the tables say, kept at hand.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    /// Whose operations this store writes.
    pub(super) actor: ActorId,
    /// What was applied.
    pub(super) applied: VectorClock,
    /// What each actor had applied when it wrote its last operation, that one included.
    known: BTreeMap<ActorId, VectorClock>,
    hybrid: HybridClock,
    last_task: TaskId,
}

/// The transaction from a request's side.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    connection: &'a Connection,
    marks: &'a mut Marks,
    inbox: &'a mut Inbox,
    now: Timestamp,
    changes: Vec<Change>,
}

impl Marks {
    /// Reads the marks of an actor's store.
    pub(super) fn read(connection: &Connection, actor: ActorId) -> Result<Self, Error> {
        let mut marks = Self {
            actor,
            applied: VectorClock::default(),
            known: BTreeMap::new(),
            hybrid: HybridClock::default(),
            last_task: TaskId::new(0, 0),
        };
        let mut statement =
            connection.prepare("SELECT actor, sequence, time, known FROM actors")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let known_actor = ActorId::from_bytes(row.get(0)?);
            marks.applied.advance(known_actor, row.get(1)?);
            if known_actor == actor {
                marks.hybrid.resume(HybridTime::from_bits(rows::unsigned(row.get(2)?)));
            }
            let known: Vec<u8> = row.get(3)?;
            marks.known.insert(known_actor, VectorClock::decode(&known)?);
        }
        Ok(marks)
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        marks: &'a mut Marks,
        inbox: &'a mut Inbox,
        now: Timestamp,
    ) -> Self {
        Self { connection, marks, inbox, now, changes: Vec::new() }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Returns the connection, for questions.
    pub(crate) fn connection(&self) -> &Connection {
        self.connection
    }

    /// Returns the time of this request.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Makes an identity for a task, above those made before in the same millisecond.
    pub(crate) fn new_task_id(&mut self) -> Result<TaskId, Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(Kind::Random)?;
        let last = self.marks.last_task;
        let fresh = TaskId::new(self.now.unix_ms(), u128::from_be_bytes(random));
        let id = if last.unix_ms() >= fresh.unix_ms() { last.successor() } else { fresh };
        self.marks.last_task = id;
        Ok(id)
    }

    /// Writes an operation on a task that was looked up before, and returns the task after it.
    pub(crate) fn write_task(
        &mut self,
        author: &str,
        task: TaskId,
        writes: Vec<Write>,
    ) -> Result<Task, Error> {
        let (after, _) = self.write(author, Action::Task { task, writes })?;
        after.into_task()
    }

    /// Adds a comment and returns the operation that did.
    pub(crate) fn write_comment(
        &mut self,
        author: &str,
        task: TaskId,
        text: String,
    ) -> Result<(OperationId, Timestamp), Error> {
        let action = Action::Task { task, writes: vec![Write::Comment(text)] };
        let (_, operation) = self.write(author, action)?;
        Ok((operation.id, operation.at()))
    }

    /// Writes an operation on a memory entry and returns the entry after it.
    pub(crate) fn write_memory(
        &mut self,
        author: &str,
        action: Action,
    ) -> Result<MemoryEntry, Error> {
        let (after, _) = self.write(author, action)?;
        after.into_memory()
    }

    /// Deletes a task.
    pub(crate) fn delete_task(&mut self, author: &str, task: TaskId) -> Result<(), Error> {
        self.write(author, Action::DeleteTask { task }).map(drop)
    }

    /// Takes operations of others and returns how many were applied that were not before.
    pub(crate) fn take(&mut self, operations: Vec<Operation>) -> Result<usize, Error> {
        let mut applied = 0;
        for operation in operations {
            if operation.id.actor == self.marks.actor && !self.marks.applied.covers(operation.id) {
                return Err(Kind::OwnActor(operation.id.to_string()).into());
            }
            if let Arrival::Ready(operation) = self.inbox.take(operation, &self.marks.applied) {
                self.take_ready(&operation)?;
                applied += 1;
            }
            while let Some(operation) = self.inbox.next_ready(&self.marks.applied) {
                self.take_ready(&operation)?;
                applied += 1;
            }
        }
        Ok(applied)
    }

    fn take_ready(&mut self, operation: &Operation) -> Result<(), Error> {
        self.marks.hybrid.observe(operation.time, self.now);
        self.apply(operation).map(drop)
    }

    fn write(&mut self, author: &str, action: Action) -> Result<(After, Operation), Error> {
        let actor = self.marks.actor;
        let sequence = self.marks.applied.get(actor) + 1;
        let known = self.marks.known.entry(actor).or_default();
        let news = self
            .marks
            .applied
            .iter()
            .filter(|(other, sequence)| *other != actor && *sequence > known.get(*other));
        let operation = Operation {
            id: OperationId { actor, sequence },
            time: self.marks.hybrid.tick(self.now),
            seen: news.collect(),
            author: author.to_owned(),
            action,
        };
        let after = self.apply(&operation)?;
        Ok((after, operation))
    }

    /// Applies an operation whose predecessors were all applied.
    fn apply(&mut self, operation: &Operation) -> Result<After, Error> {
        let OperationId { actor, sequence } = operation.id;
        let mut seen = self.marks.known.get(&actor).cloned().unwrap_or_default();
        seen.join(&operation.seen);
        let height = seen.total() + 1;
        let (subject, what) = tables::subject_of(self.connection, &operation.action)?;
        let position = self.insert(operation, height, &subject, what)?;
        let stamp = Stamp { id: operation.id, time: operation.time, seen: &seen };
        let author = operation.author.as_str();
        let after = match &operation.action {
            Action::Task { task, writes } => {
                let state = tables::change_task(self.connection, *task, |state| {
                    state.apply(stamp, writes);
                })?;
                tables::add_comments(self.connection, *task, stamp, author, writes)?;
                After::Task(Box::new(state))
            }
            Action::DeleteTask { task } => {
                let state =
                    tables::change_task(self.connection, *task, |state| state.delete(stamp))?;
                After::Task(Box::new(state))
            }
            Action::Memory { key, writes } => {
                let change = |state: &mut MemoryState| state.apply(stamp, writes);
                After::Memory(tables::change_memory(self.connection, key, author, change)?)
            }
            Action::DeleteMemory { key } => {
                let change = |state: &mut MemoryState| state.delete(stamp);
                After::Memory(tables::change_memory(self.connection, key, author, change)?)
            }
            Action::Unknown { .. } => After::Nothing,
        };
        seen.advance(actor, sequence);
        self.mark(operation, seen)?;
        self.changes.push(Change {
            position,
            operation: operation.id,
            author: operation.author.clone(),
            subject,
            what,
            fields: rows::fields(&operation.action),
            is_remote: actor != self.marks.actor,
        });
        Ok(after)
    }

    fn insert(
        &self,
        operation: &Operation,
        height: u64,
        subject: &Subject,
        what: What,
    ) -> Result<u64, Error> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO operations (actor, sequence, height, subject, what, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        statement.execute(params![
            operation.id.actor.to_bytes(),
            operation.id.sequence,
            height,
            rows::SubjectColumn(subject),
            rows::what_number(what),
            operation.encode(),
        ])?;
        Ok(rows::unsigned(self.connection.last_insert_rowid()))
    }

    fn mark(&mut self, operation: &Operation, known: VectorClock) -> Result<(), Error> {
        let OperationId { actor, sequence } = operation.id;
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO actors (actor, sequence, time, known) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (actor) DO UPDATE SET
                 sequence = excluded.sequence, time = excluded.time, known = excluded.known",
        )?;
        statement.execute(params![
            actor.to_bytes(),
            sequence,
            rows::signed(operation.time.to_bits()),
            known.encode(),
        ])?;
        self.marks.applied.advance(actor, sequence);
        self.marks.known.insert(actor, known);
        Ok(())
    }
}

/// What an operation was about, as it is after it.
enum After {
    Task(Box<Task>),
    Memory(MemoryEntry),
    Nothing,
}

impl After {
    fn into_task(self) -> Result<Task, Error> {
        match self {
            Self::Task(task) => Ok(*task),
            Self::Memory(_) | Self::Nothing => unreachable!("the operation was on a task"),
        }
    }

    fn into_memory(self) -> Result<MemoryEntry, Error> {
        match self {
            Self::Memory(entry) => Ok(entry),
            Self::Task(_) | Self::Nothing => unreachable!("the operation was on memory"),
        }
    }
}

/// Returns the last position of the log.
pub(crate) fn last_position(connection: &Connection) -> Result<u64, Error> {
    let mut statement = connection.prepare_cached("SELECT max(position) FROM operations")?;
    let last: Option<Option<i64>> = statement.query_row([], |row| row.get(0)).optional()?;
    Ok(last.flatten().map_or(0, rows::unsigned))
}

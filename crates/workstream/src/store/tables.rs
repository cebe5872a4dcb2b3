//! States in tables: reading one, changing it through the core, writing it back with its columns.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{self, IdColumn, ReadSubject, SubjectColumn};
use crate::core::{
    Action, Bases, MemoryState, MemoryWrite, Operation, Stamp, TaskState, VectorClock, Write,
};
use crate::error::Error;
use crate::model::{
    ActorId, Lease, MemoryEntry, MemoryKey, OperationId, Subject, Task, TaskId, Timestamp, What,
};

/// Earlier versions of a task's body or an entry's value, from the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogBases<'a> {
    pub(super) connection: &'a Connection,
    pub(super) subject: &'a Subject,
}

impl Bases for LogBases<'_> {
    type Error = Error;

    fn newest_within(&self, known: &VectorClock) -> Result<Option<String>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT actor, sequence, bytes FROM operations
             WHERE subject = ?1 ORDER BY height DESC, actor DESC, sequence DESC",
        )?;
        let mut found = statement.query([SubjectColumn(self.subject)])?;
        while let Some(row) = found.next()? {
            let actor = ActorId::from_bytes(row.get(0)?);
            if !known.covers(OperationId { actor, sequence: row.get(1)? }) {
                continue;
            }
            let operation = Operation::decode(row.get_ref(2)?.as_blob().map_err(column(2))?)?;
            if let Some(text) = text_of(operation.action) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

/// Changes a task's state, writes its row and sets, and returns it as it is then.
pub(super) fn change_task(
    connection: &Connection,
    id: TaskId,
    change: impl FnOnce(&mut TaskState),
) -> Result<Task, Error> {
    let mut state = task_state(connection, id)?.unwrap_or_default();
    let sets_before = sets_of(&state);
    change(&mut state);
    let subject = Subject::Task(id);
    let task = state.view(id, &LogBases { connection, subject: &subject })?;
    write_sets(connection, id, &sets_before, &sets_of(&state))?;
    write_task(connection, &task, &state)?;
    Ok(task)
}

/// Changes a memory entry's state, writes its row, and returns it as it is then.
pub(super) fn change_memory(
    connection: &Connection,
    key: &MemoryKey,
    author: &str,
    change: impl FnOnce(&mut MemoryState),
) -> Result<MemoryEntry, Error> {
    let (mut state, author_before) = memory_state(connection, key)?.unwrap_or_default();
    let winner_before = state.winner();
    change(&mut state);
    let subject = Subject::Memory(key.clone());
    let mut entry = state.view(key, &LogBases { connection, subject: &subject })?;
    let is_by_author = state.winner() != winner_before;
    entry.author = if is_by_author { author.to_owned() } else { author_before };
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO memory
             (scope, key, is_there, format, author, updated_at, version, conflicts, state, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        entry.scope,
        entry.key,
        state.is_there(),
        entry.format,
        entry.author,
        entry.updated_at.unix_ms(),
        entry.version,
        entry.conflicts,
        state.encode(),
        entry.value,
    ])?;
    Ok(entry)
}

/// Adds the comments among the writes of an operation.
pub(super) fn add_comments(
    connection: &Connection,
    task: TaskId,
    stamp: Stamp<'_>,
    author: &str,
    writes: &[Write],
) -> Result<(), Error> {
    let comments = writes.iter().filter_map(|write| match write {
        Write::Comment(text) => Some(text),
        _ => None,
    });
    for (part, text) in comments.enumerate() {
        let mut statement = connection.prepare_cached(
            "INSERT INTO comments (task, time, actor, sequence, part, author, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        statement.execute(params![
            IdColumn(task),
            rows::signed(stamp.time.to_bits()),
            stamp.id.actor.to_bytes(),
            stamp.id.sequence,
            part,
            author,
            text,
        ])?;
    }
    Ok(())
}

/// Returns what an action is about and does, given what is there before it.
pub(super) fn subject_of(
    connection: &Connection,
    action: &Action,
) -> Result<(Subject, What), Error> {
    Ok(match action {
        Action::Task { task, .. } => {
            let mut known =
                connection.prepare_cached("SELECT 1 FROM tasks WHERE id = ?1 AND is_there")?;
            let is_known = known.exists([IdColumn(*task)])?;
            (Subject::Task(*task), if is_known { What::Changed } else { What::Created })
        }
        Action::DeleteTask { task } => (Subject::Task(*task), What::Deleted),
        Action::Memory { key, .. } => {
            let mut known = connection.prepare_cached(
                "SELECT 1 FROM memory WHERE scope = ?1 AND key = ?2 AND is_there",
            )?;
            let is_known = known.exists([&key.scope, &key.key])?;
            let what = if is_known { What::Changed } else { What::Created };
            (Subject::Memory(key.clone()), what)
        }
        Action::DeleteMemory { key } => (Subject::Memory(key.clone()), What::Deleted),
        Action::Unknown { .. } => (Subject::Unknown, What::Changed),
    })
}

/// Reads a task's state, also of a deleted one.
pub(super) fn task_state(connection: &Connection, id: TaskId) -> Result<Option<TaskState>, Error> {
    let mut statement = connection.prepare_cached("SELECT state, body FROM tasks WHERE id = ?1")?;
    let mut found = statement.query([IdColumn(id)])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let state = row.get_ref(0)?.as_blob().map_err(column(0))?;
    let body = row.get_ref(1)?.as_str().map_err(column(1))?;
    Ok(Some(TaskState::decode(state, body)?))
}

/// Reads a memory entry's state and the author of its value, also of a deleted one.
pub(super) fn memory_state(
    connection: &Connection,
    key: &MemoryKey,
) -> Result<Option<(MemoryState, String)>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT state, value, author FROM memory WHERE scope = ?1 AND key = ?2")?;
    let mut found = statement.query([&key.scope, &key.key])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let state = row.get_ref(0)?.as_blob().map_err(column(0))?;
    let value = row.get_ref(1)?.as_str().map_err(column(1))?;
    Ok(Some((MemoryState::decode(state, value)?, row.get(2)?)))
}

/// Reads a task; `None` when it is not there.
pub(crate) fn task(connection: &Connection, id: TaskId) -> Result<Option<Task>, Error> {
    let sql = format!("{SELECT_TASKS} AND id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([IdColumn(id)], task_of_row).optional()?)
}

/// Returns true when there is such a task, or was.
pub(crate) fn was_task(connection: &Connection, id: TaskId) -> Result<bool, Error> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM tasks WHERE id = ?1")?;
    Ok(statement.exists([IdColumn(id)])?)
}

/// Returns the texts of a task's comments.
pub(crate) fn comment_texts(connection: &Connection, id: TaskId) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT text FROM comments WHERE task = ?1 ORDER BY time, actor, sequence, part",
    )?;
    let found = statement.query_map([IdColumn(id)], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Shows each task and its comments.
pub(crate) fn each_task(
    connection: &Connection,
    mut show: impl FnMut(Task, Vec<String>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut statement = connection.prepare(SELECT_TASKS)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let task = task_of_row(row)?;
        let comments =
            if task.comments > 0 { comment_texts(connection, task.id)? } else { Vec::new() };
        show(task, comments)?;
    }
    Ok(())
}

/// Shows each memory entry.
pub(crate) fn each_memory(
    connection: &Connection,
    mut show: impl FnMut(MemoryEntry) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut statement =
        connection.prepare(&format!("SELECT {MEMORY_COLUMNS} FROM memory WHERE is_there"))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        show(memory_of_row(row)?)?;
    }
    Ok(())
}

/// Returns what up to `limit` operations after a position were about, each once, and the position
/// of the last of them; `None` when there are none.
pub(crate) fn subjects_after(
    connection: &Connection,
    position: u64,
    limit: usize,
) -> Result<Option<(u64, BTreeSet<Subject>)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT position, subject FROM operations WHERE position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let mut found = statement.query(params![position, limit])?;
    let mut subjects = BTreeSet::new();
    let mut last = None;
    while let Some(row) = found.next()? {
        last = Some(row.get(0)?);
        subjects.insert(row.get::<_, ReadSubject>(1)?.0);
    }
    Ok(last.map(|last| (last, subjects)))
}

/// Reads a memory entry; `None` when it is not there.
pub(crate) fn memory(
    connection: &Connection,
    key: &MemoryKey,
) -> Result<Option<MemoryEntry>, Error> {
    let sql =
        format!("SELECT {MEMORY_COLUMNS} FROM memory WHERE scope = ?1 AND key = ?2 AND is_there");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([&key.scope, &key.key], memory_of_row).optional()?)
}

/// Reads a task from a row of [`SELECT_TASKS`].
pub(super) fn task_of_row(row: &Row<'_>) -> rusqlite::Result<Task> {
    let id = row.get::<_, IdColumn>(0)?.0;
    let holder: Option<String> = row.get(7)?;
    let until: Option<i64> = row.get(8)?;
    let labels: String = row.get(9)?;
    let depends_on: Vec<u8> = row.get(10)?;
    Ok(Task {
        id,
        title: row.get(1)?,
        status: rows::status(row.get(2)?),
        priority: rows::priority(row.get(3)?),
        role: row.get(4)?,
        assignee: row.get(5)?,
        parent: row.get::<_, Option<IdColumn>>(6)?.map(|parent| parent.0),
        lease: holder
            .zip(until)
            .map(|(holder, until)| Lease { holder, until: rows::timestamp(until) }),
        labels: labels.split('\n').filter(|label| !label.is_empty()).map(str::to_owned).collect(),
        depends_on: depends_on
            .as_chunks::<16>()
            .0
            .iter()
            .map(|bytes| TaskId::from_bytes(*bytes))
            .collect(),
        created_at: Timestamp::from_unix_ms(id.unix_ms()),
        updated_at: rows::timestamp(row.get(11)?),
        version: row.get(12)?,
        comments: row.get(13)?,
        conflicts: row.get(14)?,
        is_revived: row.get(15)?,
        body: row.get(16)?,
    })
}

/// Reads a memory entry from a row of [`MEMORY_COLUMNS`].
pub(super) fn memory_of_row(row: &Row<'_>) -> rusqlite::Result<MemoryEntry> {
    Ok(MemoryEntry {
        scope: row.get(0)?,
        key: row.get(1)?,
        format: row.get(2)?,
        author: row.get(3)?,
        updated_at: rows::timestamp(row.get(4)?),
        version: row.get(5)?,
        conflicts: row.get(6)?,
        value: row.get(7)?,
    })
}

/// A column of another type than it was written with.
pub(super) fn column(index: usize) -> impl Fn(rusqlite::types::FromSqlError) -> Error {
    move |error| {
        let kind = rusqlite::types::Type::Blob;
        rusqlite::Error::FromSqlConversionFailure(index, kind, Box::new(error)).into()
    }
}

fn write_task(connection: &Connection, task: &Task, state: &TaskState) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO tasks (id, is_there, title, status, priority, role, assignee, parent,
             lease_holder, lease_until, updated_at, version, comments, conflicts, is_revived,
             labels, depends_on, state, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
             ?19)
         ON CONFLICT (id) DO UPDATE SET
             is_there = excluded.is_there, title = excluded.title, status = excluded.status,
             priority = excluded.priority, role = excluded.role, assignee = excluded.assignee,
             parent = excluded.parent, lease_holder = excluded.lease_holder,
             lease_until = excluded.lease_until, updated_at = excluded.updated_at,
             version = excluded.version, comments = excluded.comments,
             conflicts = excluded.conflicts, is_revived = excluded.is_revived,
             labels = excluded.labels, depends_on = excluded.depends_on, state = excluded.state,
             body = excluded.body",
    )?;
    let depends_on: Vec<u8> = task.depends_on.iter().flat_map(|id| id.to_bytes()).collect();
    statement.execute(params![
        IdColumn(task.id),
        state.is_there(),
        task.title,
        rows::status_number(task.status),
        rows::priority_number(task.priority),
        task.role,
        task.assignee,
        task.parent.map(IdColumn),
        task.lease.as_ref().map(|lease| &lease.holder),
        task.lease.as_ref().map(|lease| lease.until.unix_ms()),
        task.updated_at.unix_ms(),
        task.version,
        task.comments,
        task.conflicts,
        task.is_revived,
        task.labels.join("\n"),
        depends_on,
        state.encode(),
        task.body,
    ])?;
    Ok(())
}

/// Labels and dependencies of a task that is there; of a deleted one, none.
type Sets = (Vec<String>, Vec<TaskId>);

fn sets_of(state: &TaskState) -> Sets {
    if state.is_there() { (state.labels(), state.depends_on()) } else { Sets::default() }
}

fn write_sets(connection: &Connection, id: TaskId, old: &Sets, new: &Sets) -> Result<(), Error> {
    for (sql, labels, without) in [
        ("DELETE FROM task_labels WHERE label = ?1 AND task = ?2", &old.0, &new.0),
        ("INSERT INTO task_labels (label, task) VALUES (?1, ?2)", &new.0, &old.0),
    ] {
        for label in labels.iter().filter(|label| !without.contains(label)) {
            connection.prepare_cached(sql)?.execute(params![label, IdColumn(id)])?;
        }
    }
    for (sql, tasks, without) in [
        ("DELETE FROM task_dependencies WHERE depends_on = ?1 AND task = ?2", &old.1, &new.1),
        ("INSERT INTO task_dependencies (depends_on, task) VALUES (?1, ?2)", &new.1, &old.1),
    ] {
        for other in tasks.iter().filter(|other| !without.contains(other)) {
            connection.prepare_cached(sql)?.execute(params![IdColumn(*other), IdColumn(id)])?;
        }
    }
    Ok(())
}

/// Returns the text version that an action wrote.
fn text_of(action: Action) -> Option<String> {
    match action {
        Action::Task { writes, .. } => writes.into_iter().rev().find_map(|write| match write {
            Write::Body(body) => Some(body),
            _ => None,
        }),
        Action::Memory { writes, .. } => writes.into_iter().rev().find_map(|write| match write {
            MemoryWrite::Value(value) => Some(value),
            _ => None,
        }),
        _ => None,
    }
}

/// Selects tasks that are there, with the columns of [`task_of_row`]; a condition may follow.
pub(super) const SELECT_TASKS: &str = "SELECT id, title, status, priority, role, assignee, \
    parent, lease_holder, lease_until, labels, depends_on, updated_at, version, comments, \
    conflicts, is_revived, body FROM tasks WHERE is_there";

/// The columns of [`memory_of_row`].
pub(super) const MEMORY_COLUMNS: &str =
    "scope, key, format, author, updated_at, version, conflicts, value";

//! What the log tells: history of one thing, changes after a position, operations for others.

use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::list::{check_limit, paged};
use super::rows::{self, IdColumn, ReadSubject, SubjectColumn};
use super::tables;
use crate::core::{Action, HybridTime, MemoryWrite, Operation, VectorClock, Write};
use crate::error::{Error, Kind};
use crate::model::{
    ActorId, Change, Comment, Conflict, Field, FieldChange, HistoryAction, HistoryEntry,
    OperationId, Page, PageRequest, Subject, TaskId, What,
};

/// Lists what happened to something, newest first.
pub(crate) fn history(
    connection: &Connection,
    subject: &Subject,
    page: &PageRequest,
) -> Result<Page<HistoryEntry>, Error> {
    check_limit(page.limit)?;
    let before = match &page.after {
        None => i64::MAX,
        Some(after) => after.parse().map_err(|_| Kind::Cursor(after.clone()))?,
    };
    let mut statement = connection.prepare_cached(
        "SELECT position, what, bytes FROM operations
         WHERE subject = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
    )?;
    let mut found = statement.query(params![SubjectColumn(subject), before, page.limit + 1])?;
    let mut entries = Vec::new();
    while let Some(row) = found.next()? {
        let position: i64 = row.get(0)?;
        let bytes = row.get_ref(2)?.as_blob().map_err(tables::column(2))?;
        let operation = Operation::decode(bytes)?;
        entries.push((position, entry(operation, rows::what(row.get(1)?))));
    }
    if entries.is_empty() && page.after.is_none() && !was_there(connection, subject)? {
        return Err(not_found(subject));
    }
    let page = paged(entries, page.limit, |(position, _)| position.to_string());
    Ok(page.map(|(_, entry)| entry))
}

/// Lists changes after a position, oldest first.
pub(crate) fn changes(
    connection: &Connection,
    position: u64,
    limit: usize,
) -> Result<Vec<Change>, Error> {
    let own = actor(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT position, subject, what, bytes FROM operations
         WHERE position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let mut found = statement.query(params![rows::signed(position), limit])?;
    let mut changes = Vec::new();
    while let Some(row) = found.next()? {
        let bytes = row.get_ref(3)?.as_blob().map_err(tables::column(3))?;
        let operation = Operation::decode(bytes)?;
        changes.push(Change {
            position: rows::unsigned(row.get(0)?),
            operation: operation.id,
            subject: row.get::<_, ReadSubject>(1)?.0,
            what: rows::what(row.get(2)?),
            fields: rows::fields(&operation.action),
            is_remote: operation.id.actor != own,
            author: operation.author,
        });
    }
    Ok(changes)
}

/// Lists encoded operations that `known` does not cover, in the order of application here, which
/// is an order in which they can be applied anywhere.
pub(crate) fn operations(
    connection: &Connection,
    known: &VectorClock,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    if !known.covers_all(&super::compact::floor(connection)?) {
        return Err(Kind::Behind.into());
    }
    // Everything up to here is known there: the earliest position of what is not.
    let mut first = i64::MAX;
    let mut missing = connection.prepare_cached(
        "SELECT min(position) FROM operations WHERE actor = ?1 AND sequence > ?2",
    )?;
    for (actor, sequence) in clock(connection)?.iter() {
        if sequence > known.get(actor) {
            let position: Option<i64> =
                missing.query_row(params![actor.to_bytes(), known.get(actor)], |row| row.get(0))?;
            first = first.min(position.unwrap_or(i64::MAX));
        }
    }
    let mut statement = connection.prepare_cached(
        "SELECT actor, sequence, bytes FROM operations WHERE position >= ?1 ORDER BY position",
    )?;
    let mut found = statement.query([first])?;
    let (mut operations, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let actor = ActorId::from_bytes(row.get(0)?);
        if known.covers(OperationId { actor, sequence: row.get(1)? }) {
            continue;
        }
        let operation: Vec<u8> = row.get(2)?;
        bytes += operation.len();
        operations.push(operation);
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(operations)
}

/// Returns what was applied, by actor.
pub(crate) fn clock(connection: &Connection) -> Result<VectorClock, Error> {
    let mut statement = connection.prepare_cached("SELECT actor, sequence FROM actors")?;
    let mut found = statement.query([])?;
    let mut clock = VectorClock::default();
    while let Some(row) = found.next()? {
        clock.advance(ActorId::from_bytes(row.get(0)?), row.get(1)?);
    }
    Ok(clock)
}

/// Returns whose operations this store writes.
pub(crate) fn actor(connection: &Connection) -> Result<ActorId, Error> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = 'actor'")?;
    Ok(ActorId::from_bytes(statement.query_row([], |row| row.get(0))?))
}

/// Lists the comments of a task, oldest first.
pub(crate) fn comments(
    connection: &Connection,
    task: TaskId,
    page: &PageRequest,
) -> Result<Page<Comment>, Error> {
    check_limit(page.limit)?;
    let skipped: u64 = match &page.after {
        None => 0,
        Some(after) => after.parse().map_err(|_| Kind::Cursor(after.clone()))?,
    };
    if tables::task(connection, task)?.is_none() {
        return Err(not_found(&Subject::Task(task)));
    }
    let mut statement = connection.prepare_cached(
        "SELECT time, actor, sequence, author, text FROM comments
         WHERE task = ?1 ORDER BY time, actor, sequence, part LIMIT ?2 OFFSET ?3",
    )?;
    let mut found = statement.query(params![IdColumn(task), page.limit + 1, skipped])?;
    let mut comments = Vec::new();
    while let Some(row) = found.next()? {
        let actor = ActorId::from_bytes(row.get(1)?);
        comments.push(Comment {
            id: OperationId { actor, sequence: row.get(2)? },
            author: row.get(3)?,
            at: HybridTime::from_bits(rows::unsigned(row.get(0)?)).timestamp(),
            text: row.get(4)?,
        });
    }
    let next = skipped + page.limit as u64;
    Ok(paged(comments, page.limit, |_| next.to_string()))
}

/// Lists the conflicts of something, with the names of authors.
pub(crate) fn conflicts(
    connection: &Connection,
    subject: &Subject,
) -> Result<Vec<Conflict>, Error> {
    let bases = tables::LogBases { connection, subject };
    let conflicts = match subject {
        Subject::Task(id) => match tables::task_state(connection, *id)? {
            Some(state) if state.is_there() => Some(state.conflicts(&bases)?),
            _ => None,
        },
        Subject::Memory(key) => match tables::memory_state(connection, key)? {
            Some((state, _)) if state.is_there() => Some(state.conflicts(&bases)?),
            _ => None,
        },
        Subject::Unknown => None,
    };
    let mut conflicts = conflicts.ok_or_else(|| not_found(subject))?;
    for value in conflicts.iter_mut().flat_map(|conflict| &mut conflict.values) {
        if let Some(operation) = operation(connection, value.id)? {
            value.at = operation.at();
            value.author = operation.author;
        }
    }
    Ok(conflicts)
}

pub(crate) fn not_found(subject: &Subject) -> Error {
    let called = match subject {
        Subject::Task(id) => format!("task {id}"),
        Subject::Memory(key) => format!("memory entry {key}"),
        Subject::Unknown => "such thing".to_owned(),
    };
    Kind::NotFound(called).into()
}

/// Returns true when there is such a thing, or was; its operations may be forgotten.
fn was_there(connection: &Connection, subject: &Subject) -> Result<bool, Error> {
    Ok(match subject {
        Subject::Task(id) => tables::was_task(connection, *id)?,
        Subject::Memory(key) => tables::memory_state(connection, key)?.is_some(),
        Subject::Unknown => false,
    })
}

fn operation(connection: &Connection, id: OperationId) -> Result<Option<Operation>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT bytes FROM operations WHERE actor = ?1 AND sequence = ?2")?;
    let mut found = statement.query(params![id.actor.to_bytes(), id.sequence])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let bytes = row.get_ref(0)?.as_blob().map_err(tables::column(0))?;
    Ok(Some(Operation::decode(bytes)?))
}

fn entry(operation: Operation, what: What) -> HistoryEntry {
    let (id, at, author) = (operation.id, operation.at(), operation.author);
    let action = match (&operation.action, what) {
        (Action::Unknown { .. }, _) => HistoryAction::Unknown,
        (_, What::Created) => HistoryAction::Created,
        (_, What::Changed) => HistoryAction::Changed,
        (_, What::Deleted) => HistoryAction::Deleted,
    };
    let changes = match operation.action {
        Action::Task { writes, .. } => field_changes(&writes),
        Action::Memory { writes, .. } => writes.iter().filter_map(memory_change).collect(),
        _ => Vec::new(),
    };
    HistoryEntry { id, author, at, action, changes }
}

/// Tells the writes of a task; those of one set are told together.
fn field_changes(writes: &[Write]) -> Vec<FieldChange> {
    let mut changes: Vec<FieldChange> = Vec::new();
    for write in writes {
        let Some(field) = rows::field_of(write) else { continue };
        let (side, value) = match write {
            Write::Title(text) | Write::Body(text) | Write::Comment(text) => (None, json!(text)),
            Write::Status(status) => (None, json!(status)),
            Write::Priority(priority) => (None, json!(priority)),
            Write::Role(name) | Write::Assignee(name) => (None, json!(name)),
            Write::Parent(parent) => (None, json!(parent)),
            Write::Lease(lease) => (None, json!(lease)),
            Write::AddLabel(label) => (Some("added"), json!(label)),
            Write::RemoveLabel(label) => (Some("removed"), json!(label)),
            Write::AddDependency(task) => (Some("added"), json!(task)),
            Write::RemoveDependency(task) => (Some("removed"), json!(task)),
            Write::Restore => (None, json!(false)),
            Write::Keep(_) | Write::Unknown(..) => continue,
        };
        let Some(side) = side else {
            changes.push(FieldChange { field, to: value });
            continue;
        };
        let known = changes.iter().position(|change| change.field == field);
        let place = known.unwrap_or_else(|| {
            changes.push(FieldChange { field, to: json!({ "added": [], "removed": [] }) });
            changes.len() - 1
        });
        if let Some(Value::Array(elements)) = changes[place].to.get_mut(side) {
            elements.push(value);
        }
    }
    changes
}

fn memory_change(write: &MemoryWrite) -> Option<FieldChange> {
    match write {
        MemoryWrite::Value(value) => Some(FieldChange { field: Field::Value, to: json!(value) }),
        _ => None,
    }
}

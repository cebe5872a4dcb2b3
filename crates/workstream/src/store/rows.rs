//! How values stand in columns. Numbers of enumerations are the places in their `ALL`.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::core::{Action, Write};
use crate::model::{Field, MemoryKey, Priority, Status, Subject, TaskId, Timestamp, What};

/// A task's identity as 16 bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdColumn(pub(super) TaskId);

/// What an operation is about: 16 bytes, `scope/key`, or NULL.
#[derive(Debug, Clone, Copy)]
pub(super) struct SubjectColumn<'a>(pub(super) &'a Subject);

/// The same, read.
#[derive(Debug)]
pub(super) struct ReadSubject(pub(super) Subject);

impl ToSql for IdColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.to_bytes().to_vec()))
    }
}

impl FromSql for IdColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(|bytes| Self(TaskId::from_bytes(bytes)))
    }
}

impl ToSql for SubjectColumn<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Subject::Task(id) => ToSqlOutput::from(id.to_bytes().to_vec()),
            Subject::Memory(key) => ToSqlOutput::from(key.to_string()),
            Subject::Unknown => ToSqlOutput::from(rusqlite::types::Null),
        })
    }
}

impl FromSql for ReadSubject {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(match value {
            ValueRef::Null => Subject::Unknown,
            ValueRef::Blob(_) => Subject::Task(IdColumn::column_result(value)?.0),
            _ => {
                let text = value.as_str()?;
                let (scope, key) = text.split_once('/').ok_or(FromSqlError::InvalidType)?;
                Subject::Memory(MemoryKey::new(scope, key))
            }
        }))
    }
}

pub(super) fn status_number(status: Status) -> i64 {
    place(&Status::ALL, status)
}

pub(super) fn status(number: i64) -> Status {
    usize::try_from(number).ok().and_then(|n| Status::ALL.get(n).copied()).unwrap_or_default()
}

pub(super) fn priority_number(priority: Priority) -> i64 {
    place(&Priority::ALL, priority)
}

pub(super) fn priority(number: i64) -> Priority {
    usize::try_from(number).ok().and_then(|n| Priority::ALL.get(n).copied()).unwrap_or_default()
}

pub(super) fn what_number(what: What) -> i64 {
    place(&WHATS, what)
}

pub(super) fn what(number: i64) -> What {
    let known = usize::try_from(number).ok().and_then(|n| WHATS.get(n).copied());
    known.unwrap_or(What::Changed)
}

pub(super) fn timestamp(unix_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(unsigned(unix_ms))
}

/// SQLite's integers are signed; the bits stay.
pub(super) const fn unsigned(number: i64) -> u64 {
    number.cast_unsigned()
}

pub(super) const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

/// Returns the fields that an operation writes, each once.
pub(super) fn fields(action: &Action) -> Vec<Field> {
    let mut fields: Vec<Field> = match action {
        Action::Task { writes, .. } => writes.iter().filter_map(field_of).collect(),
        Action::Memory { .. } => vec![Field::Value],
        Action::DeleteTask { .. } | Action::DeleteMemory { .. } => vec![Field::Deleted],
        Action::Unknown { .. } => Vec::new(),
    };
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// Returns the field that a write is about.
pub(super) fn field_of(write: &Write) -> Option<Field> {
    Some(match write {
        Write::Title(_) => Field::Title,
        Write::Body(_) => Field::Body,
        Write::Status(_) => Field::Status,
        Write::Priority(_) => Field::Priority,
        Write::Role(_) => Field::Role,
        Write::Assignee(_) => Field::Assignee,
        Write::Parent(_) => Field::Parent,
        Write::Lease(_) => Field::Lease,
        Write::AddLabel(_) | Write::RemoveLabel(_) => Field::Labels,
        Write::AddDependency(_) | Write::RemoveDependency(_) => Field::DependsOn,
        Write::Comment(_) => Field::Comment,
        Write::Restore => Field::Deleted,
        Write::Keep(_) | Write::Unknown(..) => return None,
    })
}

fn place<T: PartialEq>(all: &[T], value: T) -> i64 {
    let place = all.iter().position(|known| *known == value);
    i64::try_from(place.expect("`ALL` holds every variant")).expect("a handful of variants")
}

const WHATS: [What; 3] = [What::Created, What::Changed, What::Deleted];

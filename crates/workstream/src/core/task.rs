//! The state of a task: its fields as registers and sets, its body as concurrent versions.
//!
//! [`apply`](TaskState::apply) is the only way to change it, one operation at a time and in the
//! order of delivery. The encoding is the store's own and has a version; it can always be rebuilt
//! from the log, so it may change, unlike that of operations.

use serde_json::{Value, json};

use crate::model::{
    Conflict, ConflictValue, Field, Lease, OperationId, Priority, Status, Task, TaskId, Timestamp,
};

use super::operation::Write;
use super::presence::Presence;
use super::register::{Entry, Register, Stamp};
use super::set::ObservedSet;
use super::text::{Bases, MergedText};
use super::wire::{Decoder, Encoder, WireError};

/// Everything that operations made of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskState {
    title: Register<String>,
    status: Register<Status>,
    priority: Register<Priority>,
    role: Register<Option<String>>,
    assignee: Register<Option<String>>,
    parent: Register<Option<TaskId>>,
    lease: Register<Option<Lease>>,
    body: MergedText,
    labels: ObservedSet<String>,
    depends_on: ObservedSet<TaskId>,
    presence: Presence,
    comments: u64,
    operations: u64,
    updated_at: Timestamp,
}

impl TaskState {
    /// Applies the writes of an operation.
    pub fn apply(&mut self, stamp: Stamp<'_>, writes: &[Write]) {
        self.count(stamp);
        self.presence.change(stamp);
        for write in writes {
            self.write(stamp, write);
        }
    }

    /// Applies a deletion.
    pub fn delete(&mut self, stamp: Stamp<'_>) {
        self.count(stamp);
        self.presence.delete(stamp);
    }

    /// Returns true when the task is there: made, and not deleted.
    pub fn is_there(&self) -> bool {
        self.presence.is_there()
    }

    /// Returns the labels, in their order.
    pub fn labels(&self) -> Vec<String> {
        self.labels.iter().cloned().collect()
    }

    /// Returns the dependencies, in their order.
    pub fn depends_on(&self) -> Vec<TaskId> {
        self.depends_on.iter().copied().collect()
    }

    /// Returns true when nothing is left to merge or decide.
    pub fn is_settled(&self) -> bool {
        self.title.is_settled()
            && self.status.is_settled()
            && self.priority.is_settled()
            && self.role.is_settled()
            && self.assignee.is_settled()
            && self.parent.is_settled()
            && self.lease.is_settled()
            && self.body.is_settled()
            && self.presence.is_settled()
    }

    /// Returns the operation that wrote the body.
    pub fn text(&self) -> Option<OperationId> {
        self.body.winner().map(|entry| entry.id)
    }

    /// Returns when the task was changed last.
    pub fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Returns how many operations were applied.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Returns the task as people see it, deleted or not.
    ///
    /// # Errors
    ///
    /// When an earlier version of the body is needed and cannot be looked up.
    pub fn view<B: Bases>(&self, id: TaskId, bases: &B) -> Result<Task, B::Error> {
        let (body, versions) = self.body.view(bases)?;
        Ok(Task {
            id,
            title: value(&self.title),
            body,
            status: value(&self.status),
            priority: value(&self.priority),
            role: value(&self.role),
            assignee: value(&self.assignee),
            labels: self.labels.iter().cloned().collect(),
            parent: value(&self.parent),
            depends_on: self.depends_on.iter().copied().collect(),
            lease: value(&self.lease),
            created_at: Timestamp::from_unix_ms(id.unix_ms()),
            updated_at: self.updated_at,
            version: self.operations,
            comments: self.comments,
            conflicts: self.conflicted_registers() + u64::from(!versions.is_empty()),
            is_revived: self.presence.is_revived(),
        })
    }

    /// Returns the conflicts, without the names of authors, which only the log knows.
    ///
    /// # Errors
    ///
    /// As [`view`](Self::view).
    pub fn conflicts<B: Bases>(&self, bases: &B) -> Result<Vec<Conflict>, B::Error> {
        let mut conflicts: Vec<Conflict> = [
            conflict(Field::Title, &self.title),
            conflict(Field::Status, &self.status),
            conflict(Field::Priority, &self.priority),
            conflict(Field::Role, &self.role),
            conflict(Field::Assignee, &self.assignee),
            conflict(Field::Parent, &self.parent),
            conflict(Field::Lease, &self.lease),
        ]
        .into_iter()
        .flatten()
        .collect();
        let (text, versions) = self.body.view(bases)?;
        if !versions.is_empty() {
            conflicts.push(Conflict {
                field: Field::Body,
                current: json!(text),
                values: versions.into_iter().map(conflict_value).collect(),
            });
        }
        if self.presence.is_revived() {
            conflicts.push(self.presence.conflict());
        }
        Ok(conflicts)
    }

    /// Writes the state. `body` of a single version stands beside it and is not in here.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.raw(&[VERSION]);
        self.title.encode(&mut encoder, |encoder, title| encoder.text(title));
        self.status.encode(&mut encoder, |encoder, status| encoder.text(status.word()));
        self.priority.encode(&mut encoder, |encoder, priority| encoder.text(priority.word()));
        for names in [&self.role, &self.assignee] {
            names.encode(&mut encoder, |encoder, name| {
                encoder.optional(name.as_deref(), Encoder::text);
            });
        }
        self.parent.encode(&mut encoder, |encoder, parent| {
            encoder.optional(*parent, Encoder::task);
        });
        self.lease.encode(&mut encoder, |encoder, lease| {
            encoder.optional(lease.as_ref(), |encoder, lease| {
                encoder.text(&lease.holder);
                encoder.number(lease.until.unix_ms());
            });
        });
        self.body.encode(&mut encoder);
        self.labels.encode(&mut encoder, |encoder, label| encoder.text(label));
        self.depends_on.encode(&mut encoder, |encoder, task| encoder.task(*task));
        self.presence.encode(&mut encoder);
        encoder.number(self.comments);
        encoder.number(self.operations);
        encoder.number(self.updated_at.unix_ms());
        encoder.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote, given the body that stands beside it.
    ///
    /// # Errors
    ///
    /// When the bytes are no state of this version.
    pub fn decode(bytes: &[u8], body: &str) -> Result<Self, WireError> {
        let mut decoder = Decoder::new(bytes);
        let decoder = &mut decoder;
        if decoder.raw(1)? != [VERSION] {
            return Err(WireError("the state of a task is of another version"));
        }
        let unknown_word = |_| WireError("a word in the state of a task is not known");
        let optional_text = |decoder: &mut Decoder<'_>| decoder.optional(Decoder::text);
        let state = Self {
            title: Register::decode(decoder, Decoder::text)?,
            status: Register::decode(decoder, |d| d.text()?.parse().map_err(unknown_word))?,
            priority: Register::decode(decoder, |d| d.text()?.parse().map_err(unknown_word))?,
            role: Register::decode(decoder, optional_text)?,
            assignee: Register::decode(decoder, optional_text)?,
            parent: Register::decode(decoder, |d| d.optional(Decoder::task))?,
            lease: Register::decode(decoder, |d| {
                d.optional(|d| {
                    let holder = d.text()?;
                    Ok(Lease { holder, until: Timestamp::from_unix_ms(d.number()?) })
                })
            })?,
            body: MergedText::decode(decoder, body)?,
            labels: ObservedSet::decode(decoder, Decoder::text)?,
            depends_on: ObservedSet::decode(decoder, Decoder::task)?,
            presence: Presence::decode(decoder)?,
            comments: decoder.number()?,
            operations: decoder.number()?,
            updated_at: Timestamp::from_unix_ms(decoder.number()?),
        };
        if decoder.is_empty() { Ok(state) } else { Err(WireError("bytes follow its end")) }
    }

    fn count(&mut self, stamp: Stamp<'_>) {
        self.operations += 1;
        self.updated_at = self.updated_at.max(stamp.time.timestamp());
    }

    fn write(&mut self, stamp: Stamp<'_>, write: &Write) {
        match write {
            Write::Title(title) => self.title.write(stamp, title.clone()),
            Write::Body(body) => self.body.write(stamp, body.clone()),
            Write::Status(status) => self.status.write(stamp, *status),
            Write::Priority(priority) => self.priority.write(stamp, *priority),
            Write::Role(role) => self.role.write(stamp, role.clone()),
            Write::Assignee(assignee) => self.assignee.write(stamp, assignee.clone()),
            Write::Parent(parent) => self.parent.write(stamp, *parent),
            Write::Lease(lease) => self.lease.write(stamp, lease.clone()),
            Write::AddLabel(label) => self.labels.add(stamp, label.clone()),
            Write::RemoveLabel(label) => self.labels.remove(stamp, label),
            Write::AddDependency(task) => self.depends_on.add(stamp, *task),
            Write::RemoveDependency(task) => self.depends_on.remove(stamp, task),
            Write::Comment(_) => self.comments += 1,
            Write::Keep(kept) => self.keep(stamp, kept),
            Write::Restore | Write::Unknown(..) => {}
        }
    }

    fn keep(&mut self, stamp: Stamp<'_>, kept: &Write) {
        match kept {
            Write::Title(title) => self.title.keep(stamp, title.clone()),
            Write::Body(body) => self.body.keep(stamp, body.clone()),
            Write::Status(status) => self.status.keep(stamp, *status),
            Write::Priority(priority) => self.priority.keep(stamp, *priority),
            Write::Role(role) => self.role.keep(stamp, role.clone()),
            Write::Assignee(assignee) => self.assignee.keep(stamp, assignee.clone()),
            Write::Parent(parent) => self.parent.keep(stamp, *parent),
            Write::Lease(lease) => self.lease.keep(stamp, lease.clone()),
            // Sets and comments lose nothing; `decode` lets nothing else through.
            _ => {}
        }
    }

    fn conflicted_registers(&self) -> u64 {
        let conflicted = [
            self.title.is_conflicted(),
            self.status.is_conflicted(),
            self.priority.is_conflicted(),
            self.role.is_conflicted(),
            self.assignee.is_conflicted(),
            self.parent.is_conflicted(),
            self.lease.is_conflicted(),
        ];
        conflicted.into_iter().map(u64::from).sum()
    }
}

pub(super) fn value<T: Clone + PartialEq + Default>(register: &Register<T>) -> T {
    register.winner().map(|entry| entry.value.clone()).unwrap_or_default()
}

pub(super) fn conflict_value<T: serde::Serialize>(entry: &Entry<T>) -> ConflictValue {
    ConflictValue {
        id: entry.id,
        author: String::new(),
        at: entry.time.timestamp(),
        value: json!(entry.value),
    }
}

fn conflict<T>(field: Field, register: &Register<T>) -> Option<Conflict>
where
    T: Clone + PartialEq + serde::Serialize,
{
    let values: Vec<_> = register.conflict().into_iter().map(conflict_value).collect();
    let current: Value = values.first()?.value.clone();
    Some(Conflict { field, current, values })
}

/// Of the state's encoding; another one makes the store rebuild its states from the log.
const VERSION: u8 = 1;

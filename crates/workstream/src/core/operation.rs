//! One operation and its stable encoding.
//!
//! ```text
//! version 1 · actor (16 bytes) · sequence · hybrid time · count · (actor, sequence)* · author
//!           · kind · length · payload
//! kind 1: task (16 bytes) · count · (tag · length · value)*       writes
//! kind 2: task (16 bytes)                                         deletion
//! kind 3: scope · key · count · (tag · length · value)*           writes
//! kind 4: scope · key                                             deletion
//! ```
//!
//! `seen` holds what the author had applied of others since its operation before; what it had seen
//! altogether is the sum of its log so far. Tags and kinds that are not known are kept as they are,
//! so that an older node forwards what a newer one wrote. An encoding never changes: what is new
//! gets a new tag, kind or version. `tests/golden` holds the bytes.

use crate::model::{ActorId, Lease, MemoryKey, OperationId, Priority, Status, TaskId, Timestamp};

use super::clock::{HybridTime, VectorClock};
use super::wire::{Decoder, Encoder, OPERATION_BYTES_MAX, WireError};

/// One entry of an actor's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Whose, and the how-manieth.
    pub id: OperationId,
    /// When, in hybrid time.
    pub time: HybridTime,
    /// What the actor had applied of others since its operation before.
    pub seen: VectorClock,
    /// Who did it: a person's or agent's name.
    pub author: String,
    /// What was done.
    pub action: Action,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what is not known has a variant")]
pub enum Action {
    /// Writes fields of a task; the first one makes it.
    Task {
        /// Which one.
        task: TaskId,
        /// The fields.
        writes: Vec<Write>,
    },
    /// Deletes a task.
    DeleteTask {
        /// Which one.
        task: TaskId,
    },
    /// Writes a memory entry.
    Memory {
        /// Which one.
        key: MemoryKey,
        /// Its parts.
        writes: Vec<MemoryWrite>,
    },
    /// Deletes a memory entry.
    DeleteMemory {
        /// Which one.
        key: MemoryKey,
    },
    /// What a newer version understands; kept and forwarded.
    Unknown {
        /// Its kind.
        kind: u64,
        /// Its payload.
        payload: Vec<u8>,
    },
}

/// One write to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what is not known has a variant")]
pub enum Write {
    /// The title.
    Title(String),
    /// The whole body.
    Body(String),
    /// The status.
    Status(Status),
    /// The priority.
    Priority(Priority),
    /// The role.
    Role(Option<String>),
    /// The assignee.
    Assignee(Option<String>),
    /// The parent.
    Parent(Option<TaskId>),
    /// The claim.
    Lease(Option<Lease>),
    /// Adds a label.
    AddLabel(String),
    /// Takes a label away.
    RemoveLabel(String),
    /// Adds a dependency.
    AddDependency(TaskId),
    /// Takes a dependency away.
    RemoveDependency(TaskId),
    /// Adds a comment.
    Comment(String),
    /// Keeps the value of a write as one that lost; it stands in conflict with what is written.
    Keep(Box<Self>),
    /// Changes nothing; brings a deleted task back.
    Restore,
    /// What a newer version understands.
    Unknown(u64, Vec<u8>),
}

/// One write to a memory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what is not known has a variant")]
pub enum MemoryWrite {
    /// The whole value.
    Value(String),
    /// What the value is, as a file ending.
    Format(String),
    /// Keeps a value as one that lost.
    Keep(String),
    /// What a newer version understands.
    Unknown(u64, Vec<u8>),
}

impl Operation {
    /// Returns the stable bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.raw(&[VERSION]);
        encoder.operation_id(self.id);
        encoder.number(self.time.to_bits());
        encoder.clock(&self.seen);
        encoder.text(&self.author);
        let (kind, payload) = self.action.encode();
        encoder.number(kind);
        encoder.bytes(&payload);
        encoder.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// When the bytes are no operation of a version that is known.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() > OPERATION_BYTES_MAX {
            return Err(WireError("an operation has more than 4 MiB"));
        }
        let mut decoder = Decoder::new(bytes);
        if decoder.raw(1)? != [VERSION] {
            return Err(WireError("the encoding is of a version that is not known here"));
        }
        let id = decoder.operation_id()?;
        let time = HybridTime::from_bits(decoder.number()?);
        let seen = decoder.clock()?;
        if seen.get(id.actor) > 0 {
            return Err(WireError("an operation claims to have seen its own log"));
        }
        let author = decoder.text()?;
        let kind = decoder.number()?;
        let action = Action::decode(kind, decoder.bytes()?)?;
        decoder.end()?;
        Ok(Self { id, time, seen, author, action })
    }

    /// Returns when it was made, by its author's clock.
    pub fn at(&self) -> Timestamp {
        self.time.timestamp()
    }

    /// Returns the author's log.
    pub fn actor(&self) -> ActorId {
        self.id.actor
    }
}

impl Action {
    fn encode(&self) -> (u64, Vec<u8>) {
        let mut payload = Encoder::default();
        let kind = match self {
            Self::Task { task, writes } => {
                payload.task(*task);
                payload.count(writes.len());
                for write in writes {
                    let (tag, value) = write.encode();
                    payload.number(tag);
                    payload.bytes(&value);
                }
                1
            }
            Self::DeleteTask { task } => {
                payload.task(*task);
                2
            }
            Self::Memory { key, writes } => {
                payload.text(&key.scope);
                payload.text(&key.key);
                payload.count(writes.len());
                for write in writes {
                    let (tag, value) = write.encode();
                    payload.number(tag);
                    payload.bytes(value);
                }
                3
            }
            Self::DeleteMemory { key } => {
                payload.text(&key.scope);
                payload.text(&key.key);
                4
            }
            Self::Unknown { kind, payload } => return (*kind, payload.clone()),
        };
        (kind, payload.finish())
    }

    fn decode(kind: u64, payload: &[u8]) -> Result<Self, WireError> {
        let mut decoder = Decoder::new(payload);
        let action = match kind {
            1 => {
                let task = decoder.task()?;
                let writes = decode_writes(&mut decoder, Write::decode)?;
                Self::Task { task, writes }
            }
            2 => Self::DeleteTask { task: decoder.task()? },
            3 => {
                let key = decode_key(&mut decoder)?;
                let writes = decode_writes(&mut decoder, MemoryWrite::decode)?;
                Self::Memory { key, writes }
            }
            4 => Self::DeleteMemory { key: decode_key(&mut decoder)? },
            _ => return Ok(Self::Unknown { kind, payload: payload.to_vec() }),
        };
        decoder.end()?;
        Ok(action)
    }
}

impl Write {
    fn encode(&self) -> (u64, Vec<u8>) {
        let mut value = Encoder::default();
        let tag = match self {
            Self::Title(text) => raw_text(&mut value, 1, text),
            Self::Body(text) => raw_text(&mut value, 2, text),
            Self::Status(status) => raw_text(&mut value, 3, status.word()),
            Self::Priority(priority) => raw_text(&mut value, 4, priority.word()),
            Self::Role(role) => {
                value.optional(role.as_deref(), Encoder::text);
                5
            }
            Self::Assignee(assignee) => {
                value.optional(assignee.as_deref(), Encoder::text);
                6
            }
            Self::Parent(parent) => {
                value.optional(*parent, Encoder::task);
                7
            }
            Self::Lease(lease) => {
                value.optional(lease.as_ref(), |value, lease| {
                    value.text(&lease.holder);
                    value.number(lease.until.unix_ms());
                });
                8
            }
            Self::AddLabel(label) => raw_text(&mut value, 9, label),
            Self::RemoveLabel(label) => raw_text(&mut value, 10, label),
            Self::AddDependency(task) => raw_task(&mut value, 11, *task),
            Self::RemoveDependency(task) => raw_task(&mut value, 12, *task),
            Self::Comment(text) => raw_text(&mut value, 13, text),
            Self::Keep(write) => {
                let (tag, kept) = write.encode();
                value.number(tag);
                value.raw(&kept);
                14
            }
            Self::Restore => 15,
            Self::Unknown(tag, value) => return (*tag, value.clone()),
        };
        (tag, value.finish())
    }

    fn decode(tag: u64, value: &[u8]) -> Result<Self, WireError> {
        let mut decoder = Decoder::new(value);
        let write = match tag {
            1 => return Ok(Self::Title(utf8(value)?)),
            2 => return Ok(Self::Body(utf8(value)?)),
            3 => match utf8(value)?.parse() {
                Ok(status) => return Ok(Self::Status(status)),
                Err(_) => return Ok(Self::Unknown(tag, value.to_vec())),
            },
            4 => match utf8(value)?.parse() {
                Ok(priority) => return Ok(Self::Priority(priority)),
                Err(_) => return Ok(Self::Unknown(tag, value.to_vec())),
            },
            5 => Self::Role(decoder.optional(Decoder::text)?),
            6 => Self::Assignee(decoder.optional(Decoder::text)?),
            7 => Self::Parent(decoder.optional(Decoder::task)?),
            8 => Self::Lease(decoder.optional(decode_lease)?),
            9 => return Ok(Self::AddLabel(utf8(value)?)),
            10 => return Ok(Self::RemoveLabel(utf8(value)?)),
            11 => Self::AddDependency(decoder.task()?),
            12 => Self::RemoveDependency(decoder.task()?),
            13 => return Ok(Self::Comment(utf8(value)?)),
            14 => return Self::decode_kept(value),
            15 => Self::Restore,
            _ => return Ok(Self::Unknown(tag, value.to_vec())),
        };
        decoder.end()?;
        Ok(write)
    }

    /// Only the write of one value can be kept; nothing nests.
    fn decode_kept(value: &[u8]) -> Result<Self, WireError> {
        let mut decoder = Decoder::new(value);
        let tag = decoder.number()?;
        let rest = decoder.rest();
        match tag {
            1..=8 => Ok(Self::Keep(Box::new(Self::decode(tag, rest)?))),
            _ => Ok(Self::Unknown(14, value.to_vec())),
        }
    }
}

impl MemoryWrite {
    fn encode(&self) -> (u64, &[u8]) {
        match self {
            Self::Value(value) => (1, value.as_bytes()),
            Self::Format(format) => (2, format.as_bytes()),
            Self::Keep(value) => (3, value.as_bytes()),
            Self::Unknown(tag, value) => (*tag, value),
        }
    }

    fn decode(tag: u64, value: &[u8]) -> Result<Self, WireError> {
        Ok(match tag {
            1 => Self::Value(utf8(value)?),
            2 => Self::Format(utf8(value)?),
            3 => Self::Keep(utf8(value)?),
            _ => Self::Unknown(tag, value.to_vec()),
        })
    }
}

fn decode_writes<T>(
    decoder: &mut Decoder<'_>,
    read: impl Fn(u64, &[u8]) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let count = decoder.count(2)?;
    (0..count).map(|_| read(decoder.number()?, decoder.bytes()?)).collect()
}

fn decode_key(decoder: &mut Decoder<'_>) -> Result<MemoryKey, WireError> {
    Ok(MemoryKey { scope: decoder.text()?, key: decoder.text()? })
}

fn decode_lease(decoder: &mut Decoder<'_>) -> Result<Lease, WireError> {
    Ok(Lease { holder: decoder.text()?, until: Timestamp::from_unix_ms(decoder.number()?) })
}

fn raw_text(value: &mut Encoder, tag: u64, text: &str) -> u64 {
    value.raw(text.as_bytes());
    tag
}

fn raw_task(value: &mut Encoder, tag: u64, task: TaskId) -> u64 {
    value.task(task);
    tag
}

fn utf8(value: &[u8]) -> Result<String, WireError> {
    let text = std::str::from_utf8(value);
    text.map(str::to_owned).map_err(|_| WireError("a text is not UTF-8"))
}

const VERSION: u8 = 1;

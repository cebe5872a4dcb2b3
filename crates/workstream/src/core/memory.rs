//! The state of a memory entry: a merged text, its format, and whether it is there.

use serde_json::json;

use crate::model::{Conflict, Field, MemoryEntry, MemoryKey, OperationId, Timestamp};

use super::operation::MemoryWrite;
use super::presence::Presence;
use super::register::{Register, Stamp};
use super::task::{conflict_value, value};
use super::text::{Bases, MergedText};
use super::wire::{Decoder, Encoder, WireError};

/// Everything that operations made of a memory entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryState {
    value: MergedText,
    format: Register<String>,
    presence: Presence,
    operations: u64,
    updated_at: Timestamp,
}

impl MemoryState {
    /// Applies the writes of an operation.
    pub fn apply(&mut self, stamp: Stamp<'_>, writes: &[MemoryWrite]) {
        self.count(stamp);
        self.presence.change(stamp);
        for write in writes {
            match write {
                MemoryWrite::Value(value) => self.value.write(stamp, value.clone()),
                MemoryWrite::Format(format) => self.format.write(stamp, format.clone()),
                MemoryWrite::Keep(value) => self.value.keep(stamp, value.clone()),
                MemoryWrite::Unknown(..) => {}
            }
        }
    }

    /// Applies a deletion.
    pub fn delete(&mut self, stamp: Stamp<'_>) {
        self.count(stamp);
        self.presence.delete(stamp);
    }

    /// Returns true when the entry is there: made, and not deleted.
    pub fn is_there(&self) -> bool {
        self.presence.is_there()
    }

    /// Returns true when nothing is left to merge or decide.
    pub fn is_settled(&self) -> bool {
        self.value.is_settled() && self.format.is_settled() && self.presence.is_settled()
    }

    /// Returns when the entry was changed last.
    pub fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Returns how many operations were applied.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Returns the operation that wrote the winning value.
    pub fn winner(&self) -> Option<OperationId> {
        self.value.winner().map(|entry| entry.id)
    }

    /// Returns the entry as people see it, without the author, whom only the log knows.
    ///
    /// # Errors
    ///
    /// When an earlier version of the value is needed and cannot be looked up.
    pub fn view<B: Bases>(&self, key: &MemoryKey, bases: &B) -> Result<MemoryEntry, B::Error> {
        let (text, versions) = self.value.view(bases)?;
        let format = value(&self.format);
        Ok(MemoryEntry {
            scope: key.scope.clone(),
            key: key.key.clone(),
            value: text,
            format: if format.is_empty() { "md".to_owned() } else { format },
            author: String::new(),
            updated_at: self.updated_at,
            version: self.operations,
            conflicts: u64::from(!versions.is_empty() || self.presence.is_revived()),
        })
    }

    /// Returns the conflicts, without the names of authors.
    ///
    /// # Errors
    ///
    /// As [`view`](Self::view).
    pub fn conflicts<B: Bases>(&self, bases: &B) -> Result<Vec<Conflict>, B::Error> {
        let (text, versions) = self.value.view(bases)?;
        let mut conflicts = Vec::new();
        if !versions.is_empty() {
            let values = versions.into_iter().map(conflict_value).collect();
            conflicts.push(Conflict { field: Field::Value, current: json!(text), values });
        }
        if self.presence.is_revived() {
            conflicts.push(self.presence.conflict());
        }
        Ok(conflicts)
    }

    /// Writes the state. A single version's value stands beside it and is not in here.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.raw(&[VERSION]);
        self.value.encode(&mut encoder);
        self.format.encode(&mut encoder, |encoder, format| encoder.text(format));
        self.presence.encode(&mut encoder);
        encoder.number(self.operations);
        encoder.number(self.updated_at.unix_ms());
        encoder.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote, given the value that stands beside it.
    ///
    /// # Errors
    ///
    /// When the bytes are no state of this version.
    pub fn decode(bytes: &[u8], value: &str) -> Result<Self, WireError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.raw(1)? != [VERSION] {
            return Err(WireError("the state of a memory entry is of another version"));
        }
        let state = Self {
            value: MergedText::decode(&mut decoder, value)?,
            format: Register::decode(&mut decoder, Decoder::text)?,
            presence: Presence::decode(&mut decoder)?,
            operations: decoder.number()?,
            updated_at: Timestamp::from_unix_ms(decoder.number()?),
        };
        decoder.end()?;
        Ok(state)
    }

    fn count(&mut self, stamp: Stamp<'_>) {
        self.operations += 1;
        self.updated_at = self.updated_at.max(stamp.time.timestamp());
    }
}

/// Of the state's encoding; another one makes the store rebuild its states from the log.
const VERSION: u8 = 1;

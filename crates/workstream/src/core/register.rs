//! A field with one value that stands and the concurrent ones that lost: a multi-value register.
//!
//! A write removes the values its author had seen and adds its own; what is left are the concurrent
//! values, whatever the order of arrival. At most one value per actor can be left, and kept ones.

use crate::model::OperationId;

use super::clock::{HybridTime, VectorClock};
use super::wire::{Decoder, Encoder, WireError};

/// One of the concurrent values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<T> {
    /// The operation that wrote it.
    pub id: OperationId,
    /// When.
    pub time: HybridTime,
    /// True for a value that was kept as a loser when it was overwritten.
    pub is_kept: bool,
    /// The value.
    pub value: T,
}

/// The concurrent values of a field, ordered by time, actor, and kept ones first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register<T> {
    entries: Vec<Entry<T>>,
}

/// Who writes, when, and what it has seen.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// The operation that writes.
    pub id: OperationId,
    /// When.
    pub time: HybridTime,
    /// Everything its author had applied, its own earlier operations too.
    pub seen: &'a VectorClock,
}

impl Stamp<'_> {
    /// Returns true for what its author had seen and for the operation itself, whose writes act in
    /// their order.
    pub(super) fn covers(self, id: OperationId) -> bool {
        self.seen.covers(id) || self.id == id
    }
}

impl<T> Default for Register<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T: Clone + PartialEq> Register<T> {
    /// Writes a value over those that were seen, and over one of the same operation.
    pub fn write(&mut self, stamp: Stamp<'_>, value: T) {
        self.entries.retain(|entry| {
            !stamp.seen.covers(entry.id) && (entry.is_kept || entry.id != stamp.id)
        });
        self.insert(Entry { id: stamp.id, time: stamp.time, is_kept: false, value });
    }

    /// Keeps a value that the same operation overwrote.
    pub fn keep(&mut self, stamp: Stamp<'_>, value: T) {
        self.insert(Entry { id: stamp.id, time: stamp.time, is_kept: true, value });
    }

    /// Returns the value that stands; `None` when none was written.
    pub fn winner(&self) -> Option<&Entry<T>> {
        self.entries.iter().rev().find(|entry| !entry.is_kept)
    }

    /// Returns every value, the winner first, if they differ; else nothing.
    pub fn conflict(&self) -> Vec<&Entry<T>> {
        let Some(winner) = self.winner() else { return Vec::new() };
        let mut values = vec![winner];
        for entry in self.entries.iter().rev() {
            if values.iter().all(|seen| seen.value != entry.value) {
                values.push(entry);
            }
        }
        if values.len() > 1 { values } else { Vec::new() }
    }

    /// Returns true when values differ.
    pub fn is_conflicted(&self) -> bool {
        let winner = self.winner();
        winner.is_some_and(|winner| self.entries.iter().any(|entry| entry.value != winner.value))
    }

    /// Returns true when there is one value at most.
    pub fn is_settled(&self) -> bool {
        self.entries.len() <= 1
    }

    pub(super) fn encode(&self, encoder: &mut Encoder, value: impl Fn(&mut Encoder, &T)) {
        encoder.count(self.entries.len());
        for entry in &self.entries {
            encoder.operation_id(entry.id);
            encoder.number(entry.time.to_bits());
            encoder.number(u64::from(entry.is_kept));
            value(encoder, &entry.value);
        }
    }

    pub(super) fn decode<'a>(
        decoder: &mut Decoder<'a>,
        value: impl Fn(&mut Decoder<'a>) -> Result<T, WireError>,
    ) -> Result<Self, WireError> {
        let count = decoder.count(19)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let id = decoder.operation_id()?;
            let time = HybridTime::from_bits(decoder.number()?);
            let is_kept = decoder.number()? == 1;
            entries.push(Entry { id, time, is_kept, value: value(decoder)? });
        }
        Ok(Self { entries })
    }

    fn insert(&mut self, entry: Entry<T>) {
        let rank = |entry: &Entry<T>| (entry.time, entry.id, !entry.is_kept);
        let place = self.entries.partition_point(|present| rank(present) < rank(&entry));
        self.entries.insert(place, entry);
    }
}

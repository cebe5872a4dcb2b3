//! Whether something is there: a deletion removes it unless somebody changed it at the same time.
//!
//! Two sets of operations, each without those that a later one had seen: changes that no deletion
//! covers, and deletions that no change covers.
//!
//! | changes | deletions | it is |
//! |---|---|---|
//! | some | none | there |
//! | none | some | deleted |
//! | some | some | there, and revived: somebody should look |

use serde_json::json;

use crate::model::{Conflict, ConflictValue, Field, OperationId, Timestamp};

use super::register::Stamp;
use super::wire::{Decoder, Encoder, WireError};

/// Changes and deletions that are left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Presence {
    changes: Vec<OperationId>,
    deletions: Vec<OperationId>,
}

impl Presence {
    /// Notes a change.
    pub(super) fn change(&mut self, stamp: Stamp<'_>) {
        self.forget_seen(stamp);
        insert(&mut self.changes, stamp.id);
    }

    /// Notes a deletion.
    pub(super) fn delete(&mut self, stamp: Stamp<'_>) {
        self.forget_seen(stamp);
        insert(&mut self.deletions, stamp.id);
    }

    pub(super) fn is_there(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(super) fn is_revived(&self) -> bool {
        self.is_there() && !self.deletions.is_empty()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.changes.len() + self.deletions.len() <= 1
    }

    /// Tells of a deletion that a concurrent change took back.
    pub(super) fn conflict(&self) -> Conflict {
        let deleted = |id: &OperationId| ConflictValue {
            id: *id,
            author: String::new(),
            at: Timestamp::default(),
            value: json!(true),
        };
        Conflict {
            field: Field::Deleted,
            current: json!(false),
            values: self.deletions.iter().map(deleted).collect(),
        }
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        for operations in [&self.changes, &self.deletions] {
            encoder.count(operations.len());
            operations.iter().for_each(|id| encoder.operation_id(*id));
        }
    }

    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let mut read = || {
            let count = decoder.count(17)?;
            (0..count).map(|_| decoder.operation_id()).collect::<Result<_, _>>()
        };
        Ok(Self { changes: read()?, deletions: read()? })
    }

    fn forget_seen(&mut self, stamp: Stamp<'_>) {
        self.changes.retain(|id| !stamp.seen.covers(*id));
        self.deletions.retain(|id| !stamp.seen.covers(*id));
    }
}

fn insert(operations: &mut Vec<OperationId>, id: OperationId) {
    let place = operations.partition_point(|present| *present < id);
    operations.insert(place, id);
}

//! The order of delivery: an operation is applied after everything its author had seen.
//!
//! What comes too early waits, up to a bound; what was applied before is nothing new. So operations
//! may come in any order, twice, or not at all, and the state is that of a set of operations.

use std::collections::BTreeMap;

use crate::model::OperationId;

use super::clock::VectorClock;
use super::operation::Operation;

/// Operations that came too early.
#[derive(Debug, Clone)]
pub struct Inbox {
    waiting: BTreeMap<OperationId, Operation>,
    bytes: usize,
    bytes_max: usize,
}

/// What to do with an operation that came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Arrival {
    /// Apply it now.
    Ready(Operation),
    /// It was applied before.
    Known,
    /// It waits for others.
    Early,
    /// It came too early and there is no room to let it wait; it has to be sent again.
    Refused,
}

impl Inbox {
    /// Lets operations of up to so many bytes of texts wait, and as many as make the bound.
    pub fn new(bytes_max: usize) -> Self {
        Self { waiting: BTreeMap::new(), bytes: 0, bytes_max }
    }

    /// Takes an operation, given what was applied.
    pub fn take(&mut self, operation: Operation, applied: &VectorClock) -> Arrival {
        if applied.covers(operation.id) {
            return Arrival::Known;
        }
        if is_ready(&operation, applied) {
            return Arrival::Ready(operation);
        }
        if self.waiting.contains_key(&operation.id) {
            return Arrival::Early;
        }
        let bytes = weight(&operation);
        if self.bytes + bytes > self.bytes_max {
            return Arrival::Refused;
        }
        self.bytes += bytes;
        self.waiting.insert(operation.id, operation);
        Arrival::Early
    }

    /// Returns an operation that waited and can be applied now.
    pub fn next_ready(&mut self, applied: &VectorClock) -> Option<Operation> {
        let waiting = &self.waiting;
        let ready = waiting
            .values()
            .find(|operation| applied.covers(operation.id) || is_ready(operation, applied))?
            .id;
        let operation = self.waiting.remove(&ready)?;
        self.bytes -= weight(&operation);
        if applied.covers(ready) { self.next_ready(applied) } else { Some(operation) }
    }

    /// Returns how many operations wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns true when none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

fn is_ready(operation: &Operation, applied: &VectorClock) -> bool {
    let before = operation.id.sequence - 1;
    applied.get(operation.id.actor) == before && applied.covers_all(&operation.seen)
}

/// The bytes that an operation is counted with: its encoding and what keeps it.
fn weight(operation: &Operation) -> usize {
    operation.encode().len() + 256
}

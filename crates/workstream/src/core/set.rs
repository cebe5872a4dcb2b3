//! A set whose removals take away only what was seen: an observed-remove set.
//!
//! An element is in the set as long as one of the operations that added it is left. A removal takes
//! those that its author had seen, so a concurrent addition stays.
//! (Shapiro et al., "A comprehensive study of Convergent and Commutative Replicated Data Types".)

use std::collections::BTreeMap;

use crate::model::OperationId;

use super::register::Stamp;
use super::wire::{Decoder, Encoder, WireError};

/// Elements and the operations that added them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSet<T> {
    elements: BTreeMap<T, Vec<OperationId>>,
}

impl<T> Default for ObservedSet<T> {
    fn default() -> Self {
        Self { elements: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> ObservedSet<T> {
    /// Adds an element.
    pub fn add(&mut self, stamp: Stamp<'_>, element: T) {
        let additions = self.elements.entry(element).or_default();
        additions.retain(|id| !stamp.covers(*id));
        let place = additions.partition_point(|present| *present < stamp.id);
        additions.insert(place, stamp.id);
    }

    /// Takes an element away, as far as its additions were seen or are of the same operation.
    pub fn remove(&mut self, stamp: Stamp<'_>, element: &T) {
        let Some(additions) = self.elements.get_mut(element) else { return };
        additions.retain(|id| !stamp.covers(*id));
        if additions.is_empty() {
            self.elements.remove(element);
        }
    }

    /// Returns the elements in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.elements.keys()
    }

    pub(super) fn encode(&self, encoder: &mut Encoder, element: impl Fn(&mut Encoder, &T)) {
        encoder.count(self.elements.len());
        for (value, additions) in &self.elements {
            element(encoder, value);
            encoder.count(additions.len());
            additions.iter().for_each(|id| encoder.operation_id(*id));
        }
    }

    pub(super) fn decode<'a>(
        decoder: &mut Decoder<'a>,
        element: impl Fn(&mut Decoder<'a>) -> Result<T, WireError>,
    ) -> Result<Self, WireError> {
        let count = decoder.count(18)?;
        let mut elements = BTreeMap::new();
        for _ in 0..count {
            let value = element(decoder)?;
            let additions = decoder.count(17)?;
            let additions =
                (0..additions).map(|_| decoder.operation_id()).collect::<Result<_, _>>()?;
            elements.insert(value, additions);
        }
        Ok(Self { elements })
    }
}

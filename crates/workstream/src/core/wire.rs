//! The primitives of the stable encoding: LEB128 numbers, length-prefixed bytes, bounded reading.
//!
//! Everything that is read comes from a file or a peer: no length is believed beyond what is there,
//! nothing is allocated before it was seen.

use crate::core::VectorClock;
use crate::model::{ActorId, OperationId, TaskId};

/// Bytes of one operation: the longest body, and room for the rest of a creation.
pub const OPERATION_BYTES_MAX: usize = (4 << 20) - 1;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub(crate) &'static str);

/// Appends values to bytes.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

/// Takes values from bytes.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

impl Encoder {
    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn actor(&mut self, actor: ActorId) {
        self.raw(&actor.to_bytes());
    }

    pub(crate) fn task(&mut self, task: TaskId) {
        self.raw(&task.to_bytes());
    }

    pub(crate) fn operation_id(&mut self, id: OperationId) {
        self.actor(id.actor);
        self.number(id.sequence);
    }

    pub(crate) fn clock(&mut self, clock: &VectorClock) {
        self.count(clock.iter().count());
        for (actor, sequence) in clock.iter() {
            self.actor(actor);
            self.number(sequence);
        }
    }

    /// Writes `present` 0 or 1 and then the value.
    pub(crate) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn end(self) -> Result<(), WireError> {
        if self.is_empty() { Ok(()) } else { Err(WireError("bytes follow its end")) }
    }

    pub(crate) fn number(&mut self) -> Result<u64, WireError> {
        let mut value: u64 = 0;
        for index in 0..10 {
            let byte = self.raw(1)?[0];
            let part = u64::from(byte & 0x7f);
            if index == 9 && part > 1 {
                break;
            }
            value |= part << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError("a number has more than 64 bits"))
    }

    /// Reads a count of things that take at least `bytes_min` bytes each.
    pub(crate) fn count(&mut self, bytes_min: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > self.rest.len() / bytes_min {
            return Err(WireError("a count exceeds the bytes that are there"));
        }
        Ok(count)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.count(1)?;
        self.raw(length)
    }

    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        let text = std::str::from_utf8(self.bytes()?);
        text.map(str::to_owned).map_err(|_| WireError("a text is not UTF-8"))
    }

    pub(crate) fn raw(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let parts = self.rest.split_at_checked(length);
        let (raw, rest) = parts.ok_or(WireError("it ends too early"))?;
        self.rest = rest;
        Ok(raw)
    }

    pub(crate) fn sixteen(&mut self) -> Result<[u8; 16], WireError> {
        Ok(self.raw(16)?.try_into().expect("raw returns as many bytes as asked for"))
    }

    pub(crate) fn actor(&mut self) -> Result<ActorId, WireError> {
        self.sixteen().map(ActorId::from_bytes)
    }

    pub(crate) fn task(&mut self) -> Result<TaskId, WireError> {
        self.sixteen().map(TaskId::from_bytes)
    }

    pub(crate) fn operation_id(&mut self) -> Result<OperationId, WireError> {
        let actor = self.actor()?;
        let sequence = self.number()?;
        if sequence == 0 {
            return Err(WireError("sequences begin with 1"));
        }
        Ok(OperationId { actor, sequence })
    }

    pub(crate) fn clock(&mut self) -> Result<VectorClock, WireError> {
        let count = self.count(17)?;
        (0..count).map(|_| Ok((self.actor()?, self.number()?))).collect()
    }

    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, WireError>,
    ) -> Result<Option<T>, WireError> {
        match self.number()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(WireError("an optional value is neither there nor not")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut encoder = Encoder::default();
            encoder.number(value);
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            assert_eq!(decoder.number(), Ok(value));
            assert!(decoder.is_empty());
        }
        assert!(Decoder::new(&[0xff; 10]).number().is_err());
        assert!(Decoder::new(&[0x80]).number().is_err());
    }

    #[test]
    fn a_count_is_not_believed() {
        let mut encoder = Encoder::default();
        encoder.number(u64::MAX);
        assert!(Decoder::new(&encoder.finish()).bytes().is_err());
    }
}

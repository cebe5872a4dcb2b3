//! The profile as pprof's protocol buffer (`profile.proto`), which `go tool pprof`, speedscope and
//! many services read.
//!
//! The message is small enough to be written by hand: numbers as variable-length integers, and
//! everything else with its length before it. Inlined functions are further lines of a location,
//! innermost first, as the format asks.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use super::profile::{Frame, Profile};
use crate::clock;

/// Encodes a profile, uncompressed.
pub(super) fn encode(profile: &Profile) -> Vec<u8> {
    let mut tables = Tables::default();
    tables.string("");
    let mut message = Message::default();
    for (kind, unit) in [("samples", "count"), ("cpu", "nanoseconds")] {
        message.nested(1, &tables.value_type(kind, unit));
    }
    let period_ns = 1_000_000_000 / u64::from(profile.frequency().max(1));
    for (thread, node, samples) in &profile.counts {
        let mut sample = Message::default();
        let places = profile.path(*node);
        sample.packed(1, places.iter().rev().map(|place| u64::from(*place) + 1));
        sample.packed(2, [*samples, *samples * period_ns].into_iter());
        let thread = &profile.threads[*thread as usize];
        let mut label = Message::default();
        label.number(1, tables.string("thread"));
        label.number(2, tables.string(&thread.name));
        sample.nested(3, &label);
        message.nested(2, &sample);
    }
    for (index, (place, frames)) in profile.places.iter().zip(&profile.frames).enumerate() {
        let mut location = Message::default();
        location.number(1, index as u64 + 1);
        location.number(2, tables.mapping(&frames[0].module, place.code.is_image()));
        location.number(3, place.address);
        for frame in frames.iter().rev() {
            let mut line = Message::default();
            line.number(1, tables.function(frame));
            line.number(2, u64::from(frame.line.unwrap_or(0)));
            location.nested(4, &line);
        }
        message.nested(4, &location);
    }
    message.nested(11, &tables.value_type("cpu", "nanoseconds"));
    message.number(12, period_ns);
    let date = clock::date().duration_since(UNIX_EPOCH).unwrap_or_default();
    message.number(9, nanoseconds(date).saturating_sub(nanoseconds(profile.duration())));
    message.number(10, nanoseconds(profile.duration()));
    tables.append_to(message)
}

/// What the message refers to by number.
#[derive(Default)]
struct Tables {
    strings: Vec<String>,
    string_ids: HashMap<String, u64>,
    functions: Vec<Message>,
    function_ids: HashMap<(String, Option<String>), u64>,
    mappings: Vec<Message>,
    mapping_ids: HashMap<String, u64>,
}

impl Tables {
    fn string(&mut self, text: &str) -> u64 {
        if let Some(id) = self.string_ids.get(text) {
            return *id;
        }
        let id = self.strings.len() as u64;
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> Message {
        let mut message = Message::default();
        message.number(1, self.string(kind));
        message.number(2, self.string(unit));
        message
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let key = (frame.function.clone(), frame.file.clone());
        if let Some(id) = self.function_ids.get(&key) {
            return *id;
        }
        let id = self.functions.len() as u64 + 1;
        let mut message = Message::default();
        message.number(1, id);
        let name = self.string(&frame.function);
        message.number(2, name);
        message.number(3, name);
        message.number(4, self.string(frame.file.as_deref().unwrap_or_default()));
        self.functions.push(message);
        self.function_ids.insert(key, id);
        id
    }

    fn mapping(&mut self, module: &str, is_file: bool) -> u64 {
        if let Some(id) = self.mapping_ids.get(module) {
            return *id;
        }
        let id = self.mappings.len() as u64 + 1;
        let mut message = Message::default();
        message.number(1, id);
        message.number(5, self.string(module));
        // Names and, for files, lines and inlined functions are in the message.
        message.number(7, 1);
        for field in [8, 9, 10] {
            message.number(field, u64::from(is_file));
        }
        self.mappings.push(message);
        self.mapping_ids.insert(module.to_owned(), id);
        id
    }

    fn append_to(self, mut message: Message) -> Vec<u8> {
        for mapping in &self.mappings {
            message.nested(3, mapping);
        }
        for function in &self.functions {
            message.nested(5, function);
        }
        for text in &self.strings {
            message.bytes(6, text.as_bytes());
        }
        message.0
    }
}

/// A protocol buffer in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) {
        if value != 0 {
            self.variable(field << 3);
            self.variable(value);
        }
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.variable(field << 3 | 2);
        self.variable(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn nested(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn packed(&mut self, field: u64, values: impl Iterator<Item = u64>) {
        let mut packed = Self::default();
        values.for_each(|value| packed.variable(value));
        self.nested(field, &packed);
    }

    /// Seven bits at a time, the lowest first; the highest bit says that more come.
    fn variable(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_the_format_says() {
        let mut message = Message::default();
        message.number(1, 150);
        message.bytes(2, b"testing");
        message.packed(6, [3, 270, 86942].into_iter());
        // The examples of the format's own documentation.
        let want = b"\x08\x96\x01\x12\x07testing\x32\x06\x03\x8e\x02\x9e\xa7\x05";
        assert_eq!(message.0, want);
    }
}

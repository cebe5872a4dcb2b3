//! What changed in a registry since the last look, small enough to stream.
//!
//! The first delta names every series and gives it a number; later ones use the number, and hold
//! only what changed. Counts come as what they grew by. As JSON:
//!
//! ```json
//! {"t":1700000000000,"new":[[0,"hits_total","count"],[1,"load_ratio","number"]],"v":[0,7,1,0.5]}
//! {"t":1700000001000,"v":[0,2]}
//! {"t":1700000002000,"gone":[1]}
//! ```
//!
//! `t` is in milliseconds since 1970; `v` is number, value, number, value; a value that is no
//! finite number is `null`. The memory used is one entry for each series.

use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::clock;
use crate::registry::Registry;
use crate::sample::{Key, Value};
use crate::spelling::{push_f64, push_u64};

/// An endless iterator: each `next` looks at the registry now. Who calls it sets the pace.
#[derive(Debug)]
pub struct Deltas {
    registry: Registry,
    known: HashMap<Key, Known>,
    next_number: u64,
    looks: u64,
}

#[derive(Debug)]
struct Known {
    number: u64,
    value: Value,
    /// The look that saw it last.
    seen_at: u64,
}

/// What one look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Series seen for the first time: number, name, and whether it is a count.
    pub new: Vec<(u64, String, bool)>,
    /// Numbers of series with what a count grew by, or what a number is now.
    pub values: Vec<(u64, Value)>,
    /// Numbers of series that are no longer there.
    pub gone: Vec<u64>,
}

impl Deltas {
    /// Makes a stream that has seen nothing yet.
    pub fn new(registry: &Registry) -> Self {
        Self { registry: registry.clone(), known: HashMap::new(), next_number: 0, looks: 0 }
    }

    /// Looks once.
    pub fn look(&mut self, now: Instant, at: SystemTime) -> Delta {
        let Self { registry, known, next_number, looks } = self;
        *looks += 1;
        let at_ms = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut delta = Delta { at_ms, new: Vec::new(), values: Vec::new(), gone: Vec::new() };
        registry.each_sample(now, |sample| {
            let value = sample.value();
            match known.get_mut(&sample.key()) {
                Some(known) => {
                    known.seen_at = *looks;
                    if !known.value.is_same(value) {
                        delta.values.push((known.number, growth(known.value, value)));
                        known.value = value;
                    }
                }
                None => {
                    let number = *next_number;
                    *next_number += 1;
                    known.insert(sample.key(), Known { number, value, seen_at: *looks });
                    let is_count = matches!(value, Value::Count(_));
                    delta.new.push((number, sample.series(), is_count));
                    delta.values.push((number, value));
                }
            }
        });
        known.retain(|_, known| {
            let is_there = known.seen_at == *looks;
            if !is_there {
                delta.gone.push(known.number);
            }
            is_there
        });
        delta.gone.sort_unstable();
        delta
    }
}

impl Iterator for Deltas {
    type Item = Delta;

    fn next(&mut self) -> Option<Delta> {
        Some(self.look(clock::now(), clock::wall()))
    }
}

impl Delta {
    /// Returns whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.values.is_empty() && self.gone.is_empty()
    }

    /// Writes one line of JSON.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"t\":");
        push_u64(&mut out, self.at_ms);
        list(&mut out, "new", &self.new, |out, (number, name, is_count)| {
            out.push('[');
            push_u64(out, *number);
            out.push_str(",\"");
            push_json_text(out, name);
            out.push_str(if *is_count { "\",\"count\"]" } else { "\",\"number\"]" });
        });
        list(&mut out, "v", &self.values, |out, (number, value)| {
            push_u64(out, *number);
            out.push(',');
            match value {
                Value::Count(count) => push_u64(out, *count),
                Value::Number(number) if number.is_finite() => push_f64(out, *number, false),
                Value::Number(_) => out.push_str("null"),
            }
        });
        list(&mut out, "gone", &self.gone, |out, number| push_u64(out, *number));
        out.push('}');
        out
    }
}

fn growth(before: Value, now: Value) -> Value {
    match (before, now) {
        (Value::Count(before), Value::Count(now)) => Value::Count(now.wrapping_sub(before)),
        (_, now) => now,
    }
}

fn list<T>(out: &mut String, name: &str, items: &[T], push: impl Fn(&mut String, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index == 0 {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":[");
        } else {
            out.push(',');
        }
        push(out, item);
    }
    if !items.is_empty() {
        out.push(']');
    }
}

fn push_json_text(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            char if (char as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", char as u32)),
            char => out.push(char),
        }
    }
}

//! Front matter in TOML: the known keys at the top level, with their places.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::document::Torn;
use super::front::{Entry, Key, Value};

/// Reads the known keys of the TOML in `inner`.
pub(super) fn read(text: &str, inner: Range<usize>) -> Result<Vec<Entry>, Torn> {
    let offset = inner.start;
    let table = DeTable::parse(&text[inner]).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Torn::at(text, offset + at, error.message().to_owned())
    })?;
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        let Some(key) = Key::of(name.get_ref()) else { continue };
        let span = offset + value.span().start..offset + value.span().end;
        let read = match (value.get_ref(), key.is_list()) {
            (DeValue::String(text), false) => Some(Value::Text(text.to_string())),
            (DeValue::Array(items), true) => {
                let texts = items.iter().map(|item| match item.get_ref() {
                    DeValue::String(text) => Some(text.to_string()),
                    _ => None,
                });
                texts.collect::<Option<Vec<_>>>().map(Value::List)
            }
            _ => None,
        };
        let Some(value) = read else {
            let wanted = if key.is_list() { "a list of texts" } else { "a text in quotes" };
            return Err(Torn::at(text, span.start, format!("{} is not {wanted}", key.word())));
        };
        entries.push(Entry { key, value, span, needs_space: false });
    }
    Ok(entries)
}

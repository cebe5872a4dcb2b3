//! Front matter in YAML, as far as tasks need it: `key: scalar`, `key: [a, b]`, `key:` with
//! lines `- item`. Anchors, tags, block scalars and nested values are refused in known keys and
//! passed over in others.

use std::ops::Range;

use super::document::Torn;
use super::front::{Entry, Key, Value};

/// Reads the known keys of the YAML in `inner`.
pub(super) fn read(text: &str, inner: Range<usize>) -> Result<Vec<Entry>, Torn> {
    let lines = lines_of(text, inner);
    let mut entries: Vec<Entry> = Vec::new();
    let mut index = 0;
    while let Some(line) = lines.get(index).cloned() {
        index += 1;
        let Some((key, colon)) = key_of(&text[line.clone()]) else { continue };
        let start = line.start + colon + 1;
        let written = &text[start..line.end];
        let lead = written.len() - written.trim_start().len();
        let value_start = start + lead;
        let value_text = without_comment(written.trim_start());
        if entries.iter().any(|entry| entry.key == key) {
            return Err(Torn::at(text, line.start, format!("{} is there twice", key.word())));
        }
        let wrong = |what: &str| Torn::at(text, value_start, format!("{} {what}", key.word()));
        let (value, span) = if value_text.is_empty() {
            let block_end = index + block_length(text, &lines[index..]);
            let block = &lines[index..block_end];
            index = block_end;
            match read_block(text, block).filter(|_| key.is_list()) {
                Some((items, end)) => (Value::List(items), start..end),
                None if block.iter().all(|line| is_blank(&text[line.clone()])) => {
                    (empty(key), start..start)
                }
                None => return Err(wrong("is of a kind that is not understood here")),
            }
        } else {
            let value = if key.is_list() { flow(value_text) } else { scalar(value_text) };
            let value = value.ok_or_else(|| wrong("is of a kind that is not understood here"))?;
            (value, value_start..value_start + value_text.len())
        };
        let needs_space = !text[..span.start].ends_with(' ');
        entries.push(Entry { key, value, span, needs_space });
    }
    Ok(entries)
}

/// Returns true for a text that means itself without quotes.
pub(super) fn is_plain(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " _./-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(text))
}

/// The lines without their ends.
fn lines_of(text: &str, inner: Range<usize>) -> Vec<Range<usize>> {
    let mut at = inner.start;
    text[inner]
        .split_inclusive('\n')
        .map(|line| {
            let start = at;
            at += line.len();
            start..start + line.trim_end_matches(['\n', '\r']).len()
        })
        .collect()
}

/// Returns the known key that a line begins with, and the place of its colon.
fn key_of(line: &str) -> Option<(Key, usize)> {
    let colon = line.find(':')?;
    let is_key = line[colon + 1..].is_empty() || line[colon + 1..].starts_with([' ', '\t']);
    Key::of(line[..colon].trim_end()).filter(|_| is_key).map(|key| (key, colon))
}

/// Returns how many lines belong to the key above them.
fn block_length(text: &str, lines: &[Range<usize>]) -> usize {
    let belongs = |line: &&Range<usize>| {
        let line = &text[(*line).clone()];
        is_blank(line) || line.starts_with([' ', '\t']) || is_item(line)
    };
    lines.iter().take_while(belongs).count()
}

fn is_blank(line: &str) -> bool {
    line.trim_start().is_empty() || line.trim_start().starts_with('#')
}

fn is_item(line: &str) -> bool {
    line == "-" || line.starts_with("- ")
}

/// Reads lines `- item`; returns the items and where the last one ends.
fn read_block(text: &str, block: &[Range<usize>]) -> Option<(Vec<String>, usize)> {
    let mut items = Vec::new();
    let mut end = None;
    for line in block {
        let written = &text[line.clone()];
        if is_blank(written) {
            continue;
        }
        let item = written.trim_start();
        if !is_item(item) {
            return None;
        }
        let item = without_comment(item[1..].trim_start());
        let Value::Text(item) = scalar(item)? else { return None };
        items.push(item);
        end = Some(line.end);
    }
    Some((items, end?))
}

fn flow(written: &str) -> Option<Value> {
    if matches!(written, "null" | "~") {
        return Some(Value::List(Vec::new()));
    }
    let mut rest = written.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut items = Vec::new();
    while !rest.is_empty() {
        let length = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted_length(rest, quote)?,
            _ => rest.find(',').unwrap_or(rest.len()),
        };
        let Value::Text(item) = scalar(rest[..length].trim_end())? else { return None };
        items.push(item);
        rest = rest[length..].trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(Value::List(items))
}

fn scalar(written: &str) -> Option<Value> {
    let text = match written.chars().next()? {
        '"' => {
            let length = quoted_length(written, '"')?;
            let whole = (length == written.len()).then_some(written)?;
            serde_json::from_str::<String>(whole).ok()?
        }
        '\'' => {
            let length = quoted_length(written, '\'')?;
            let whole = (length == written.len()).then_some(written)?;
            whole[1..length - 1].replace("''", "'")
        }
        '[' | '{' | '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' => return None,
        _ if matches!(written, "null" | "~") => String::new(),
        _ if written.contains(": ") => return None,
        _ => written.to_owned(),
    };
    Some(Value::Text(text))
}

/// Returns the length of a quoted text, its quotes included.
fn quoted_length(written: &str, quote: char) -> Option<usize> {
    let mut characters = written.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if quote == '"' && character == '\\' {
            characters.next();
        } else if character == quote {
            if quote == '\'' && characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
                continue;
            }
            return Some(at + 1);
        }
    }
    None
}

/// Cuts a comment off, and the space before it.
fn without_comment(written: &str) -> &str {
    let quoted = match written.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted_length(written, quote).unwrap_or(0),
        _ => 0,
    };
    let plain = &written[quoted..];
    if quoted == 0 && plain.starts_with('#') {
        return "";
    }
    let comment = plain.find(" #").or_else(|| plain.find("\t#"));
    written[..quoted + comment.unwrap_or(plain.len())].trim_end()
}

fn empty(key: Key) -> Value {
    if key.is_list() { Value::List(Vec::new()) } else { Value::Text(String::new()) }
}

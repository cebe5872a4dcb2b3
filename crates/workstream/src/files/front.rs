//! Front matter as entries with their places in the text, and how each syntax writes a value.
//!
//! Only the value's own bytes are ever replaced, so comments, order, unknown keys and line endings
//! around them stay.

use std::ops::Range;

use super::document::Torn;
use super::{front_toml, front_yaml};

/// The language of a front matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// Between lines `+++`.
    Toml,
    /// Between lines `---`; scalars and lists of scalars.
    Yaml,
}

/// The keys that are fields of a task; every other key is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Id,
    Title,
    Status,
    Priority,
    Role,
    Assignee,
    Labels,
    Parent,
    DependsOn,
}

/// A value of such a key. An empty text and an empty list are no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
}

/// One known key in a text.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) value: Value,
    /// The bytes of the value in the whole text.
    pub(super) span: Range<usize>,
    /// True where the value needs a space in front, because there was none at all.
    pub(super) needs_space: bool,
}

/// The front matter of a text.
#[derive(Debug, Clone)]
pub(super) struct Front {
    pub(super) syntax: Syntax,
    /// What stands between the fences.
    pub(super) inner: Range<usize>,
    pub(super) entries: Vec<Entry>,
}

impl Syntax {
    /// Returns the line around a front matter.
    pub(super) const fn fence(self) -> &'static str {
        match self {
            Self::Toml => "+++",
            Self::Yaml => "---",
        }
    }

    /// Returns a value as it is written.
    pub(super) fn format(self, value: &Value) -> String {
        match value {
            Value::Text(text) => self.text(text),
            Value::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.text(item)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    /// Returns a new line with a key.
    pub(super) fn line(self, key: Key, value: &Value) -> String {
        let sign = match self {
            Self::Toml => " =",
            Self::Yaml => ":",
        };
        format!("{}{sign} {}", key.word(), self.format(value))
    }

    fn text(self, text: &str) -> String {
        if self == Self::Yaml && front_yaml::is_plain(text) {
            return text.to_owned();
        }
        // A JSON string is a basic string of TOML and a double-quoted one of YAML, but for DEL.
        serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
    }
}

impl Key {
    pub(super) const ALL: [Self; 9] = [
        Self::Id,
        Self::Title,
        Self::Status,
        Self::Priority,
        Self::Role,
        Self::Assignee,
        Self::Labels,
        Self::Parent,
        Self::DependsOn,
    ];

    /// Returns the key as it is written.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Title => "title",
            Self::Status => "status",
            Self::Priority => "priority",
            Self::Role => "role",
            Self::Assignee => "assignee",
            Self::Labels => "labels",
            Self::Parent => "parent",
            Self::DependsOn => "depends_on",
        }
    }

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.word() == word)
    }

    pub(super) const fn is_list(self) -> bool {
        matches!(self, Self::Labels | Self::DependsOn)
    }
}

impl Value {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
        }
    }
}

impl Front {
    /// Reads the front matter at the beginning of a text (behind a mark of byte order, `start`) and
    /// returns it with the place where the body's part begins; `None` when the text has none.
    pub(super) fn read(text: &str, start: usize) -> Result<Option<(Self, usize)>, Torn> {
        let rest = &text[start..];
        let first = rest.split_inclusive('\n').next().unwrap_or_default();
        let syntax = match first.trim_end() {
            "+++" => Syntax::Toml,
            "---" => Syntax::Yaml,
            _ => return Ok(None),
        };
        let inner_start = start + first.len();
        let mut at = inner_start;
        for line in text[inner_start..].split_inclusive('\n') {
            if line.trim_end() == syntax.fence() {
                let inner = inner_start..at;
                let entries = match syntax {
                    Syntax::Toml => front_toml::read(text, inner.clone())?,
                    Syntax::Yaml => front_yaml::read(text, inner.clone())?,
                };
                return Ok(Some((Self { syntax, inner, entries }, at + line.len())));
            }
            at += line.len();
        }
        let what = format!("the front matter has no closing line `{}`", syntax.fence());
        Err(Torn::at(text, start, what))
    }

    pub(super) fn entry(&self, key: Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Returns where a new line goes: behind the last known key, the identity at the top.
    pub(super) fn place_of_new(&self, text: &str, key: Key) -> usize {
        let last = self.entries.iter().map(|entry| entry.span.end).max();
        match last {
            Some(end) if key != Key::Id => {
                let line_end = text[end..self.inner.end].find('\n');
                line_end.map_or(self.inner.end, |length| end + length + 1)
            }
            _ => self.inner.start,
        }
    }
}

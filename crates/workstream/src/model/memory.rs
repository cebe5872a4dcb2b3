//! Shared memory: values that people and coding agents keep under `scope/key`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The name of a memory entry; its text is `scope/key`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemoryKey {
    /// What the value belongs to, such as a project or a role.
    pub scope: String,
    /// The name within the scope.
    pub key: String,
}

/// One value as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEntry {
    /// What the value belongs to.
    pub scope: String,
    /// The name within the scope.
    pub key: String,
    /// The value, text.
    pub value: String,
    /// What the text is, as the ending of its file: `md`, `json`, `txt`, ...
    pub format: String,
    /// Who wrote it.
    pub author: String,
    /// When, by the author's clock.
    pub updated_at: Timestamp,
    /// Operations applied to it; rises with every change.
    pub version: u64,
    /// 1 while a concurrent value waits for a decision, else 0.
    pub conflicts: u64,
}

/// What to store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPut {
    /// The value, text.
    pub value: String,
    /// What the text is, as the ending of its file; `None` keeps it, `md` at first.
    pub format: Option<String>,
    /// The value that this one was made from: when another one stands there by now, the two are
    /// merged in three ways, and what cannot be merged is kept as a conflict.
    pub base: Option<String>,
}

impl MemoryKey {
    /// Puts a name together.
    pub fn new(scope: impl Into<String>, key: impl Into<String>) -> Self {
        Self { scope: scope.into(), key: key.into() }
    }
}

impl fmt::Display for MemoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.key)
    }
}

impl MemoryEntry {
    /// Returns the entry's name.
    pub fn name(&self) -> MemoryKey {
        MemoryKey::new(self.scope.clone(), self.key.clone())
    }
}

//! Questions and answers: filter, order and pages of tasks, full-text search.

use serde::{Deserialize, Serialize};

use super::{MemoryKey, Priority, Status, TaskId};

/// Which tasks; every condition that is given has to hold, an empty list is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFilter {
    /// Any of these.
    pub status: Vec<Status>,
    /// Any of these.
    pub priority: Vec<Priority>,
    /// All of these.
    pub labels: Vec<String>,
    /// Exactly this one; `Some(None)` is for tasks of nobody.
    pub assignee: Option<Option<String>>,
    /// Exactly this one; `Some(None)` is for tasks of no role.
    pub role: Option<Option<String>>,
    /// Parts of this task; `Some(None)` is for tasks that are part of none.
    pub parent: Option<Option<TaskId>>,
    /// Tasks with something to decide: a conflict, or deleted and changed at once.
    pub has_conflicts: Option<bool>,
    /// Tasks that match this search; of more than
    /// [`SEARCH_HITS_MAX`](super::limits::SEARCH_HITS_MAX) matches the best.
    pub text: Option<String>,
}

/// The order of a list. Tasks with the same key are in the order of their identities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskSort {
    /// By what.
    pub key: SortKey,
    /// Greatest first.
    pub is_descending: bool,
}

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SortKey {
    /// When the task was made.
    #[default]
    CreatedAt,
    /// When it was changed last.
    UpdatedAt,
    /// How urgent it is.
    Priority,
    /// Where it stands.
    Status,
    /// Its title, byte by byte.
    Title,
}

/// How many, and after what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// At most so many, from 1 to [`PAGE_MAX`](super::limits::PAGE_MAX).
    pub limit: usize,
    /// The [`next`](Page::next) of the page before.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// What was asked for.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// A full-text search.
///
/// Words are all required; `"a phrase"`, `begin*`, `field:word` (title, body, comment, label, key,
/// status, priority, role, assignee), `-not` and `OR` are understood. No text is an error: what has
/// no meaning is searched for as words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// What to look for.
    pub text: String,
    /// Only tasks or only memory.
    pub kind: Option<HitKind>,
    /// At most so many, up to [`SEARCH_HITS_MAX`](super::limits::SEARCH_HITS_MAX).
    pub limit: usize,
    /// Takes the last word as the beginning of one, as search-as-you-type does.
    pub is_last_word_open: bool,
}

/// One answer to a search, best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchHit {
    /// What was found.
    pub kind: HitKind,
    /// The task that was found.
    pub task: Option<TaskId>,
    /// The memory entry that was found.
    pub memory: Option<MemoryKey>,
    /// The task's title, or `scope/key`.
    pub title: String,
    /// The place of the match as HTML: text escaped, matches in `<b>`. Empty if only the title
    /// matches.
    pub snippet_html: String,
    /// How well it matches; comparable within one answer.
    pub score: f32,
}

/// What a search can find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum HitKind {
    /// A task.
    Task,
    /// A memory entry.
    Memory,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: 50, after: None }
    }
}

impl SearchQuery {
    /// Looks for `text` everywhere.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: None, limit: 20, is_last_word_open: false }
    }
}

impl<T> Page<T> {
    /// Returns the page with each item changed.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

//! Which values are accepted: every text and list has a bound, and a refusal names the field.
//!
//! The bounds hold for what people, agents and files give. What other actors wrote was checked
//! where it was written and is applied as it is, within the bounds of the wire format.

use super::{MemoryKey, MemoryPut, NewTask, TaskId, TaskPatch};
use crate::error::{Error, Kind};

/// Characters of a title.
pub const TITLE_CHARS_MAX: usize = 512;
/// Characters of a body or of a memory value; at most 1 MiB of UTF-8.
pub const TEXT_CHARS_MAX: usize = 256 << 10;
/// Characters of a comment.
pub const COMMENT_CHARS_MAX: usize = 16 << 10;
/// Characters of a role, an assignee, a lease's holder, an author.
pub const NAME_CHARS_MAX: usize = 128;
/// Characters of a label.
pub const LABEL_CHARS_MAX: usize = 64;
/// Labels of one task.
pub const LABELS_MAX: usize = 64;
/// Dependencies of one task.
pub const DEPENDENCIES_MAX: usize = 256;
/// Bytes of a scope or key of memory.
pub const KEY_BYTES_MAX: usize = 128;
/// Items of a page.
pub const PAGE_MAX: usize = 500;
/// Hits of a search.
pub const SEARCH_HITS_MAX: usize = 1_000;
/// Characters of a search.
pub const SEARCH_CHARS_MAX: usize = 512;
/// Longest lease.
pub const LEASE_MS_MAX: u64 = 24 * 3_600_000;
/// Shortest lease.
pub const LEASE_MS_MIN: u64 = 1_000;

/// Checks a new task.
///
/// # Errors
///
/// Names the first field that is out of bounds.
pub fn check_new(new: &NewTask) -> Result<(), Error> {
    title(&new.title)?;
    text("body", &new.body, TEXT_CHARS_MAX)?;
    optional_name("role", new.role.as_deref())?;
    optional_name("assignee", new.assignee.as_deref())?;
    labels("labels", &new.labels)?;
    dependencies(&new.depends_on)
}

/// Checks a patch.
///
/// # Errors
///
/// Names the first field that is out of bounds.
pub fn check_patch(patch: &TaskPatch) -> Result<(), Error> {
    patch.title.as_deref().map_or(Ok(()), title)?;
    patch.body.as_deref().map_or(Ok(()), |body| text("body", body, TEXT_CHARS_MAX))?;
    optional_name("role", patch.role.as_ref().and_then(Option::as_deref))?;
    optional_name("assignee", patch.assignee.as_ref().and_then(Option::as_deref))?;
    labels("labels", patch.labels.as_deref().unwrap_or_default())?;
    labels("labels_added", &patch.labels_added)?;
    if let Some(Some(lease)) = &patch.lease {
        name("lease.holder", &lease.holder)?;
    }
    dependencies(patch.depends_on.as_deref().unwrap_or_default())
}

/// Checks a comment.
///
/// # Errors
///
/// When it is empty or too long.
pub fn check_comment(comment: &str) -> Result<(), Error> {
    if comment.trim().is_empty() {
        return invalid("text", "is empty");
    }
    text("text", comment, COMMENT_CHARS_MAX)
}

/// Checks who does something.
///
/// # Errors
///
/// When the name is empty, too long, or holds control characters.
pub fn check_author(author: &str) -> Result<(), Error> {
    name("author", author)
}

/// Checks a holder and the length of a lease.
///
/// # Errors
///
/// When the name is no name or the lease too short or too long.
pub fn check_lease(holder: &str, lease_ms: u64) -> Result<(), Error> {
    name("holder", holder)?;
    if !(LEASE_MS_MIN..=LEASE_MS_MAX).contains(&lease_ms) {
        return invalid("lease", "has to be from 1 second to 24 hours");
    }
    Ok(())
}

/// Checks the name of a memory entry: letters, digits, `.`, `_`, `-`, so that it is a file name
/// everywhere; `.` not in front.
///
/// # Errors
///
/// Names the part that is no name.
pub fn check_memory_key(key: &MemoryKey) -> Result<(), Error> {
    file_name("scope", &key.scope)?;
    file_name("key", &key.key)
}

/// Checks a memory value.
///
/// # Errors
///
/// When it is too long or its format is no file ending.
pub fn check_memory_put(put: &MemoryPut) -> Result<(), Error> {
    text("value", &put.value, TEXT_CHARS_MAX)?;
    let Some(format) = &put.format else { return Ok(()) };
    let is_ending = (1..=16).contains(&format.len())
        && format.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if is_ending {
        return Ok(());
    }
    invalid("format", "has to be a file ending of 1 to 16 lower-case letters and digits")
}

fn title(title: &str) -> Result<(), Error> {
    if title.trim().is_empty() {
        return invalid("title", "is empty");
    }
    if title.chars().any(char::is_control) {
        return invalid("title", "has to be one line without control characters");
    }
    text("title", title, TITLE_CHARS_MAX)
}

fn optional_name(field: &'static str, value: Option<&str>) -> Result<(), Error> {
    value.map_or(Ok(()), |value| name(field, value))
}

fn name(field: &'static str, value: &str) -> Result<(), Error> {
    if value.trim().is_empty() || value.trim() != value {
        return invalid(field, "is empty or has space around it");
    }
    if value.chars().any(char::is_control) {
        return invalid(field, "has to be one line without control characters");
    }
    text(field, value, NAME_CHARS_MAX)
}

fn labels(field: &'static str, labels: &[String]) -> Result<(), Error> {
    if labels.len() > LABELS_MAX {
        return invalid(field, "are more than 64");
    }
    labels.iter().try_for_each(|label| {
        if label.is_empty()
            || label.chars().any(|c| c.is_control() || c.is_whitespace() || c == ',')
        {
            return invalid(field, "have to be words without space, comma or control character");
        }
        text(field, label, LABEL_CHARS_MAX)
    })
}

fn dependencies(dependencies: &[TaskId]) -> Result<(), Error> {
    if dependencies.len() > DEPENDENCIES_MAX {
        return invalid("depends_on", "are more than 256");
    }
    Ok(())
}

fn file_name(field: &'static str, value: &str) -> Result<(), Error> {
    let is_name = (1..=KEY_BYTES_MAX).contains(&value.len())
        && !value.starts_with('.')
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if is_name {
        return Ok(());
    }
    invalid(field, "has to be 1 to 128 letters, digits, `.`, `_` or `-`, and not begin with `.`")
}

fn text(field: &'static str, value: &str, chars_max: usize) -> Result<(), Error> {
    if value.contains('\0') {
        return invalid(field, "holds a NUL character");
    }
    // Fewer bytes than characters there cannot be.
    let chars = if value.len() > chars_max { value.chars().count() } else { 0 };
    if chars > chars_max {
        return Err(Kind::TooLong { field, chars, chars_max }.into());
    }
    Ok(())
}

pub(crate) fn invalid<T>(field: &'static str, reason: &'static str) -> Result<T, Error> {
    Err(Kind::Invalid { field, reason }.into())
}

//! From a file that changed to operations, inside one transaction of the writer.
//!
//! | the file's identity | what it is |
//! |---|---|
//! | of a task with no file, or whose file is gone | that task; a moved file |
//! | of a task whose file is still there | a copy: a new task, with a new identity |
//! | none, where a task's file was | that task; the identity is put back |
//! | none, elsewhere | a new task |
//! | of a deleted task | that task, back |
//!
//! The difference is against what the file held when both were the same, field by field.

use super::disk::{Disk, Found};
use super::document::{Document, body_in_file};
use crate::core::{self, Action, Write};
use crate::error::Error;
use crate::model::limits;
use crate::model::{MemoryKey, MemoryPut, Subject, Task, TaskId};
use crate::store::{self, Batch, FileRow};
use crate::workstream::{check_after, check_circles, memory_writes};

/// A changed file, read.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) changed_at: i128,
    pub(super) parsed: Parsed,
}

/// What a file says.
#[derive(Debug)]
pub(super) enum Parsed {
    Task(Box<Document>),
    Memory { key: MemoryKey, format: String, text: String },
}

/// What became of one file: what it stands for and what else needs a file now, or why not.
pub(super) type Outcome = (String, Result<Vec<Subject>, String>);

/// Reads a file's bytes as what its path says it is.
pub(super) fn parse(path: &str, bytes: &[u8]) -> Result<Parsed, String> {
    let Some(rest) = path.strip_prefix("memory/") else {
        let document = Document::read(bytes).map_err(|torn| torn.to_string())?;
        return Ok(Parsed::Task(Box::new(document)));
    };
    let name = rest.split_once('/').and_then(|(scope, name)| {
        let (key, format) = name.rsplit_once('.')?;
        Some((MemoryKey::new(scope, key), format.to_owned()))
    });
    let (key, format) = name.ok_or("is not at memory/SCOPE/KEY.ENDING")?;
    Ok(Parsed::Memory { key, format, text: memory_text(bytes)? })
}

/// Takes files in. A file that is refused leaves no trace but its reason.
pub(super) fn take_in(
    batch: &mut Batch<'_>,
    disk: &Disk,
    author: &str,
    mut seen: Vec<Seen>,
) -> Result<Vec<Outcome>, Error> {
    // Identities first: what has none may stand where a known file was moved away from.
    seen.sort_by_cached_key(|seen| {
        let has_id = matches!(&seen.parsed, Parsed::Task(file) if file.values().id.is_some());
        (!has_id, seen.changed_at, seen.path.clone())
    });
    let mut outcomes = Vec::with_capacity(seen.len());
    for seen in &seen {
        let taken = match &seen.parsed {
            Parsed::Task(document) => take_task(batch, disk, author, seen, document),
            Parsed::Memory { key, format, text } => {
                take_memory(batch, disk, author, seen, key, format, text)
            }
        };
        let taken = match taken {
            Err(error) if error.storage_failure().is_some() => return Err(error),
            other => other.map_err(|error| error.to_string()),
        };
        outcomes.push((seen.path.clone(), taken));
    }
    Ok(outcomes)
}

/// Returns the text of a memory file's bytes.
pub(super) fn memory_text(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n"))
}

/// Returns the bytes of a memory file that holds a value, in the manner of what is there.
pub(super) fn memory_bytes(value: &str, before: Option<&[u8]>) -> Vec<u8> {
    let before = before.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let text = body_in_file(value);
    let mut bytes = String::new();
    if before.starts_with('\u{feff}') {
        bytes.push('\u{feff}');
    }
    if before.contains("\r\n") {
        bytes.push_str(&text.replace('\n', "\r\n"));
    } else {
        bytes.push_str(&text);
    }
    bytes.into_bytes()
}

fn take_task(
    batch: &mut Batch<'_>,
    disk: &Disk,
    author: &str,
    seen: &Seen,
    document: &Document,
) -> Result<Vec<Subject>, Error> {
    let here = store::file_at(batch.connection(), &seen.path)?;
    let id = identity(batch, disk, seen, document, here.as_ref())?;
    let row = match id {
        Some(id) => store::file_of(batch.connection(), &Subject::Task(id))?,
        None => None,
    };
    let name = seen.path.rsplit('/').next().unwrap_or_default();
    let task = match id {
        Some(id) if store::was_task(batch.connection(), id)? => {
            change_task(batch, author, id, document, row.as_ref(), name)?
        }
        _ => {
            let mut new = document.new_task(name);
            limits::check_new(&new)?;
            new.id = id;
            let id = match id {
                Some(id) => id,
                None => batch.new_task_id()?,
            };
            let writes = core::creation(&new);
            check_circles(batch, id, &writes)?;
            batch.write_task(author, id, writes)?
        }
    };
    let subject = Subject::Task(task.id);
    let is_written = document.with(&task).text() == document.text();
    let mut unwritten = Vec::new();
    note(batch, seen, &subject, if is_written { task.version } else { 0 })?;
    if !is_written {
        unwritten.push(subject.clone());
    }
    // A task whose file was overwritten by another's gets one again.
    unwritten.extend(here.map(|row| row.subject).filter(|other| *other != subject));
    Ok(unwritten)
}

/// Returns whose file it is; `None` for a new task's.
fn identity(
    batch: &Batch<'_>,
    disk: &Disk,
    seen: &Seen,
    document: &Document,
    here: Option<&FileRow>,
) -> Result<Option<TaskId>, Error> {
    let Some(id) = document.values().id else {
        return Ok(match here.map(|row| &row.subject) {
            Some(Subject::Task(id)) => Some(*id),
            _ => None,
        });
    };
    let row = store::file_of(batch.connection(), &Subject::Task(id))?;
    let Some(elsewhere) = row.filter(|row| row.path != seen.path) else { return Ok(Some(id)) };
    let is_copy = match disk.read(&elsewhere.path) {
        Found::Missing => false,
        Found::Unreadable(_) => true,
        Found::File(bytes) => match Document::read(&bytes) {
            Ok(other) => other.values().id.is_none_or(|other| other == id),
            Err(_) => true,
        },
    };
    Ok((!is_copy).then_some(id))
}

fn change_task(
    batch: &mut Batch<'_>,
    author: &str,
    id: TaskId,
    document: &Document,
    row: Option<&FileRow>,
    name: &str,
) -> Result<Task, Error> {
    let (current, before) = match store::task(batch.connection(), id)? {
        // A write that may not have landed is no base: against what was there before it, its own
        // changes are already in the store.
        Some(task) => {
            let base = row.map(|row| row.before.as_ref().unwrap_or(&row.content));
            (task, base.and_then(|bytes| Document::read(bytes).ok()))
        }
        None => (batch.write_task(author, id, vec![Write::Restore])?, None),
    };
    let patch = document.patch(before.as_ref(), &current, name);
    limits::check_patch(&patch)?;
    let writes = core::patch_writes(&current, &patch);
    if writes.is_empty() {
        return Ok(current);
    }
    check_after(&current, &writes)?;
    check_circles(batch, id, &writes)?;
    batch.write_task(author, id, writes)
}

fn take_memory(
    batch: &mut Batch<'_>,
    disk: &Disk,
    author: &str,
    seen: &Seen,
    key: &MemoryKey,
    format: &str,
    text: &str,
) -> Result<Vec<Subject>, Error> {
    let subject = Subject::Memory(key.clone());
    let row = store::file_of(batch.connection(), &subject)?;
    if row.as_ref().is_some_and(|row| row.path != seen.path && disk.exists(&row.path)) {
        return limits::invalid("key", "has a file of another ending already");
    }
    let entry = store::memory(batch.connection(), key)?;
    let is_end_added =
        entry.as_ref().is_some_and(|entry| !entry.value.is_empty() && !entry.value.ends_with('\n'));
    let cut = |text: &str| {
        let cut = if is_end_added { text.strip_suffix('\n') } else { None };
        cut.unwrap_or(text).to_owned()
    };
    let base = row.map(|row| memory_text(row.before.as_ref().unwrap_or(&row.content)));
    let base = base.and_then(Result::ok).map(|base| cut(&base));
    let put = MemoryPut { value: cut(text), format: Some(format.to_owned()), base };
    limits::check_memory_key(key)?;
    limits::check_memory_put(&put)?;
    let writes = memory_writes(entry.as_ref(), &put);
    let entry = match entry {
        Some(entry) if writes.is_empty() => entry,
        _ => batch.write_memory(author, Action::Memory { key: key.clone(), writes })?,
    };
    let is_written = memory_bytes(&entry.value, Some(&seen.bytes)) == seen.bytes;
    note(batch, seen, &subject, if is_written { entry.version } else { 0 })?;
    Ok(if is_written { Vec::new() } else { vec![subject] })
}

fn note(batch: &Batch<'_>, seen: &Seen, subject: &Subject, version: u64) -> Result<(), Error> {
    let row = FileRow {
        path: seen.path.clone(),
        subject: subject.clone(),
        version,
        content: seen.bytes.clone(),
        before: None,
    };
    store::put_file(batch.connection(), &row)
}

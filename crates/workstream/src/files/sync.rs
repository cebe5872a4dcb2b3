//! Files and store kept alike: look at files, take in what changed, write out what they lack.
//!
//! One thread owns this; nobody else writes the ledger. A look compares bytes with the ledger, so
//! the node's own writes are recognised whatever event they caused. A file that is gone is waited
//! for a moment, in case it comes back under this or another name, and many at once are held back
//! until somebody confirms ([`is_mass`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::disk::{Disk, Draft, Found, Written, is_candidate};
use super::document::Document;
use super::ingest::{self, Seen};
use super::status::Shown;
use crate::core::Action;
use crate::error::Error;
use crate::model::{MemoryEntry, Subject, Task};
use crate::store::{self, Batch, FileRow, Store};

/// The synchroniser.
#[derive(Debug)]
pub(super) struct Sync {
    pub(super) disk: Disk,
    pub(super) store: Arc<Store>,
    pub(super) runtime: Handle,
    pub(super) author: String,
    pub(super) shown: Arc<Shown>,
    /// Known files that are gone, since when.
    vanished: BTreeMap<String, Instant>,
    /// Writes that were done and stand in the ledger as under way.
    landed: BTreeSet<String>,
    /// What has to be written out.
    todo: BTreeSet<Subject>,
    /// What could not be written and is tried again later.
    later: BTreeSet<Subject>,
    /// The store's position up to which files were written.
    position: u64,
}

/// What stands in the store.
enum Now {
    Task(Box<Task>),
    Memory(Box<MemoryEntry>),
    Gone,
}

/// A group of writes, first noted in the ledger, then done.
#[derive(Default)]
struct Plan {
    rows: Vec<FileRow>,
    drafts: Vec<(Draft, FileRow)>,
    removals: Vec<FileRow>,
    dropped: Vec<String>,
    again: BTreeSet<String>,
}

impl Sync {
    pub(super) fn new(
        disk: Disk,
        store: Arc<Store>,
        runtime: Handle,
        author: String,
        shown: Arc<Shown>,
    ) -> Self {
        Self {
            disk,
            store,
            runtime,
            author,
            shown,
            vanished: BTreeMap::new(),
            landed: BTreeSet::new(),
            todo: BTreeSet::new(),
            later: BTreeSet::new(),
            position: 0,
        }
    }

    /// Compares every file with the ledger and everything in the store with its file.
    pub(super) fn scan(&mut self, now: Instant) -> Result<(), Error> {
        self.position = *self.store.position.borrow();
        let listing = self.disk.list();
        let known = self.store.readers.ask_here(store::file_paths)?;
        self.shown.begin_scan();
        for (path, what) in &listing.problems {
            self.shown.problem(path, what.clone());
        }
        let paths: Vec<_> = listing.files.iter().cloned().collect();
        self.look(paths, now)?;
        if listing.problems.is_empty() {
            for path in known.into_iter().filter(|path| !listing.files.contains(path)) {
                self.vanished.entry(path).or_insert(now);
            }
        }
        self.todo.extend(self.store.readers.ask_here(store::unwritten)?);
        self.shown.end_scan(listing.files.len());
        Ok(())
    }

    /// Looks at files by path and takes in those that changed.
    pub(super) fn look(&mut self, paths: Vec<String>, now: Instant) -> Result<(), Error> {
        for paths in paths.chunks(AT_ONCE) {
            let rows = self.store.readers.ask_here(|connection| {
                paths.iter().map(|path| store::file_at(connection, path)).collect()
            });
            let rows: Vec<Option<FileRow>> = rows?;
            let mut seen = Vec::new();
            let mut undone = Vec::new();
            for (path, row) in paths.iter().zip(rows) {
                self.look_at(path, row, now, &mut seen, &mut undone);
            }
            if seen.is_empty() && undone.is_empty() {
                continue;
            }
            self.take_in(seen, undone)?;
        }
        Ok(())
    }

    /// Deletes what files that are gone for good stood for, unless they are too many at once.
    pub(super) fn settle(&mut self, now: Instant, grace: Duration) -> Result<(), Error> {
        let back: Vec<_> =
            self.vanished.keys().filter(|path| self.disk.exists(path)).cloned().collect();
        if !back.is_empty() {
            self.vanished.retain(|path, _| !back.contains(path));
            self.look(back, now)?;
        }
        let rows = self.store.readers.ask_here(|connection| {
            let paths = self.vanished.keys();
            paths.map(|path| store::file_at(connection, path)).collect::<Result<Vec<_>, _>>()
        })?;
        // What was moved has its row at the new path by now.
        let known: BTreeSet<_> = rows.into_iter().flatten().map(|row| row.path).collect();
        self.vanished.retain(|path, _| known.contains(path));
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= grace;
        if !self.vanished.values().any(is_due) {
            if self.vanished.is_empty() {
                self.shown.hold(0);
            }
            return Ok(());
        }
        let total = self.store.readers.ask_here(store::count_files)?;
        if self.shown.is_held() || is_mass(self.vanished.len(), total) {
            self.shown.hold(self.vanished.len());
            return Ok(());
        }
        let due = self.vanished.iter().filter(|(_, since)| is_due(since));
        let due: Vec<_> = due.map(|(path, _)| path.clone()).collect();
        self.delete(due)
    }

    /// Deletes what the held files stood for; returns how many.
    pub(super) fn confirm(&mut self) -> Result<usize, Error> {
        let paths: Vec<_> = self.vanished.keys().cloned().collect();
        let count = paths.len();
        self.delete(paths)?;
        self.shown.hold(0);
        Ok(count)
    }

    /// Writes the held files again; returns how many.
    pub(super) fn restore(&mut self) -> Result<usize, Error> {
        let paths: Vec<_> = std::mem::take(&mut self.vanished).into_keys().collect();
        let rows = self.write(move |batch| {
            let mut rows = Vec::new();
            for path in paths {
                if let Some(row) = store::file_at(batch.connection(), &path)? {
                    store::put_file(batch.connection(), &FileRow { version: 0, ..row.clone() })?;
                    rows.push(row);
                }
            }
            Ok(rows)
        })?;
        let drafts = rows.iter().map(|row| Draft {
            path: row.path.clone(),
            content: row.content.clone(),
            before: None,
        });
        let written = self.disk.write(&drafts.collect::<Vec<_>>());
        for (row, written) in rows.iter().zip(&written) {
            if let Written::Failed(why) = written {
                self.shown.problem(&row.path, format!("cannot be written: {why}"));
            }
        }
        self.todo.extend(rows.into_iter().map(|row| row.subject));
        self.shown.hold(0);
        Ok(written.iter().filter(|written| matches!(written, Written::Done)).count())
    }

    /// Writes out what changed in the store. What files changed meanwhile is taken in first.
    pub(super) fn export(&mut self, now: Instant) -> Result<(), Error> {
        self.note_stored()?;
        for _ in 0..ROUNDS_MAX {
            let subjects: Vec<_> = std::mem::take(&mut self.todo).into_iter().collect();
            if subjects.is_empty() {
                return Ok(());
            }
            for subjects in subjects.chunks(AT_ONCE) {
                let again = self.export_some(subjects, now)?;
                self.look(again, now)?;
            }
        }
        // A file that changes faster than it can be written waits for its next event.
        self.later.append(&mut self.todo);
        Ok(())
    }

    /// Puts back what could not be written for another try.
    pub(super) fn retry(&mut self) {
        self.todo.append(&mut self.later);
    }

    /// Returns true while something waits for time to pass.
    pub(super) fn is_waiting(&self) -> bool {
        !self.vanished.is_empty() || !self.later.is_empty()
    }

    /// Leaves the ledger without writes under way.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if self.landed.is_empty() { Ok(()) } else { self.write(|_| Ok(())) }
    }

    fn look_at(
        &mut self,
        path: &str,
        row: Option<FileRow>,
        now: Instant,
        seen: &mut Vec<Seen>,
        undone: &mut Vec<FileRow>,
    ) {
        let bytes = match self.disk.read(path) {
            Found::File(bytes) => bytes,
            Found::Missing => {
                self.shown.good(path);
                if row.is_some() {
                    self.vanished.entry(path.to_owned()).or_insert(now);
                }
                return;
            }
            Found::Unreadable(why) => {
                self.vanished.remove(path);
                return self.shown.problem(path, why);
            }
        };
        self.vanished.remove(path);
        if let Some(row) = row {
            if row.content == bytes {
                if row.before.is_some() {
                    self.landed.insert(path.to_owned());
                }
                return self.shown.good(path);
            }
            if row.before.as_ref() == Some(&bytes) && !self.landed.contains(path) {
                // The write was noted and never done.
                undone.push(FileRow { version: 0, content: bytes, before: None, ..row });
                return;
            }
        }
        match ingest::parse(path, &bytes) {
            Ok(parsed) => {
                let changed_at = self.disk.changed_at(path);
                seen.push(Seen { path: path.to_owned(), bytes, changed_at, parsed });
            }
            Err(why) => self.shown.problem(path, why),
        }
    }

    fn take_in(&mut self, seen: Vec<Seen>, undone: Vec<FileRow>) -> Result<(), Error> {
        let (disk, author) = (self.disk.clone(), self.author.clone());
        self.todo.extend(undone.iter().map(|row| row.subject.clone()));
        let outcomes = self.write(move |batch| {
            for row in &undone {
                store::put_file(batch.connection(), row)?;
            }
            ingest::take_in(batch, &disk, &author, seen)
        })?;
        for (path, outcome) in outcomes {
            self.landed.remove(&path);
            match outcome {
                Ok(unwritten) => {
                    self.shown.good(&path);
                    self.todo.extend(unwritten);
                }
                Err(why) => self.shown.problem(&path, why),
            }
        }
        Ok(())
    }

    fn delete(&mut self, paths: Vec<String>) -> Result<(), Error> {
        for path in &paths {
            self.vanished.remove(path);
        }
        let author = self.author.clone();
        let changed = self.write(move |batch| {
            let mut changed = Vec::new();
            for path in &paths {
                changed.extend(delete_one(batch, &author, path)?);
            }
            Ok(changed)
        })?;
        self.todo.extend(changed);
        Ok(())
    }

    /// Collects what was stored since the last time.
    fn note_stored(&mut self) -> Result<(), Error> {
        loop {
            let position = self.position;
            let found = self.store.readers.ask_here(|connection| {
                store::subjects_after(connection, position, SUBJECTS_AT_ONCE)
            })?;
            let Some((last, subjects)) = found else { return Ok(()) };
            self.position = last;
            self.todo.extend(subjects);
        }
    }

    /// Writes some subjects out; returns the files that have to be looked at first.
    fn export_some(&mut self, subjects: &[Subject], now: Instant) -> Result<Vec<String>, Error> {
        let found = self.store.readers.ask_here(|connection| {
            let subjects = subjects.iter();
            let found = subjects.map(|subject| {
                let row = store::file_of(connection, subject)?;
                Ok((subject.clone(), row, read_now(connection, subject)?))
            });
            found.collect::<Result<Vec<_>, Error>>()
        })?;
        let mut plan = Plan::default();
        for (subject, row, current) in found {
            match (current, row) {
                (Now::Gone, None) => {}
                (Now::Gone, Some(row)) => self.plan_removal(row, &mut plan),
                (current, None) => self.plan_new(subject, &current, &mut plan),
                (current, Some(row)) => self.plan_change(&current, row, now, &mut plan),
            }
        }
        self.carry_out(plan)
    }

    fn plan_removal(&mut self, row: FileRow, plan: &mut Plan) {
        match self.disk.read(&row.path) {
            Found::Missing => plan.dropped.push(row.path),
            Found::File(bytes) if bytes == row.content => plan.removals.push(row),
            Found::File(_) => {
                plan.again.insert(row.path);
            }
            Found::Unreadable(why) => self.shown.problem(&row.path, why),
        }
    }

    fn plan_new(&mut self, subject: Subject, current: &Now, plan: &mut Plan) {
        let (path, content, version) = match current {
            Now::Task(task) => {
                let content = Document::new(task).text().as_bytes().to_vec();
                (self.free_path(task), content, task.version)
            }
            Now::Memory(entry) => {
                let path = format!("memory/{}/{}.{}", entry.scope, entry.key, entry.format);
                if !is_candidate(&path) {
                    let why = format!("files with the ending .{} are not read", entry.format);
                    return self.shown.problem(&path, why);
                }
                if self.disk.exists(&path) {
                    plan.again.insert(path);
                    return;
                }
                (path, ingest::memory_bytes(&entry.value, None), entry.version)
            }
            Now::Gone => return,
        };
        let row = FileRow {
            path: path.clone(),
            subject,
            version,
            content: content.clone(),
            before: None,
        };
        plan.drafts.push((Draft { path, content, before: None }, row));
    }

    fn plan_change(&mut self, current: &Now, row: FileRow, now: Instant, plan: &mut Plan) {
        let version = match current {
            Now::Task(task) => task.version,
            Now::Memory(entry) => entry.version,
            Now::Gone => return,
        };
        if row.version == version {
            return;
        }
        let bytes = match self.disk.read(&row.path) {
            Found::Missing => {
                self.vanished.entry(row.path).or_insert(now);
                return;
            }
            Found::Unreadable(why) => return self.shown.problem(&row.path, why),
            Found::File(bytes) if bytes != row.content => {
                plan.again.insert(row.path);
                return;
            }
            Found::File(bytes) => bytes,
        };
        let content = match current {
            Now::Task(task) => match Document::read(&bytes) {
                Ok(document) => document.with(task).text().as_bytes().to_vec(),
                Err(torn) => return self.shown.problem(&row.path, torn.to_string()),
            },
            Now::Memory(entry) => ingest::memory_bytes(&entry.value, Some(&bytes)),
            Now::Gone => return,
        };
        if content == bytes {
            plan.rows.push(FileRow { version, ..row });
        } else if self.disk.is_read_only(&row.path) {
            let why = "is read-only; what changed is written once it is not".to_owned();
            self.shown.problem(&row.path, why);
            self.later.insert(row.subject);
        } else {
            let path = row.path.clone();
            let before = Some(bytes.clone());
            let noted =
                FileRow { version, content: content.clone(), before: before.clone(), ..row };
            plan.drafts.push((Draft { path, content, before }, noted));
        }
    }

    fn carry_out(&mut self, plan: Plan) -> Result<Vec<String>, Error> {
        let Plan { rows, drafts, removals, dropped, mut again } = plan;
        let (drafts, noted): (Vec<_>, Vec<_>) = drafts.into_iter().unzip();
        if !(rows.is_empty() && noted.is_empty() && dropped.is_empty()) {
            let noted = noted.clone();
            self.write(move |batch| {
                dropped.iter().try_for_each(|path| store::drop_file(batch.connection(), path))?;
                let mut rows = rows.iter().chain(&noted);
                rows.try_for_each(|row| store::put_file(batch.connection(), row))
            })?;
        }
        let mut undone = Vec::new();
        for (written, row) in self.disk.write(&drafts).into_iter().zip(noted) {
            match written {
                Written::Done => {
                    self.shown.good(&row.path);
                    if row.before.is_some() {
                        self.landed.insert(row.path);
                    }
                    continue;
                }
                Written::Outrun => {
                    again.insert(row.path.clone());
                }
                Written::Failed(why) => {
                    self.shown.problem(&row.path, format!("cannot be written: {why}"));
                    self.later.insert(row.subject.clone());
                }
            }
            undone.push(row);
        }
        let mut gone = Vec::new();
        for row in removals {
            match self.disk.remove(&row.path, &row.content) {
                Ok(true) => gone.push(row.path),
                Ok(false) => {
                    again.insert(row.path);
                }
                Err(error) => {
                    self.shown.problem(&row.path, format!("cannot be removed: {error}"));
                    self.later.insert(row.subject);
                }
            }
        }
        if !(undone.is_empty() && gone.is_empty()) {
            self.write(move |batch| {
                gone.iter().try_for_each(|path| store::drop_file(batch.connection(), path))?;
                undone.into_iter().try_for_each(|row| undo(batch, row))
            })?;
        }
        Ok(again.into_iter().collect())
    }

    /// Asks the writer, and notes on the way which writes were done.
    fn write<T: Send + 'static>(
        &mut self,
        request: impl FnOnce(&mut Batch<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let landed = self.landed.clone();
        let result = self.runtime.block_on(self.store.write(move |batch| {
            for path in &landed {
                store::settle_file(batch.connection(), path)?;
            }
            request(batch)
        }))?;
        self.landed.clear();
        Ok(result)
    }

    /// Returns a path for a new file of a task.
    fn free_path(&self, task: &Task) -> String {
        let path = format!("tasks/{}--{}.md", slug(&task.title), task.id);
        if !self.disk.exists(&path) {
            return path;
        }
        let others = (2_u32..).map(|number| format!("tasks/task-{number}--{}.md", task.id));
        others.into_iter().find(|path| !self.disk.exists(path)).unwrap_or(path)
    }
}

/// Returns true when so many files of `total` that vanished at once are held back.
fn is_mass(vanished: usize, total: usize) -> bool {
    vanished > MASS_FILES || (vanished > MASS_FILES_MIN && vanished * 4 > total)
}

/// Takes back the note of a write that was not done.
fn undo(batch: &Batch<'_>, row: FileRow) -> Result<(), Error> {
    match row.before {
        None => store::drop_file(batch.connection(), &row.path),
        Some(content) => {
            let row = FileRow { version: 0, content, before: None, ..row };
            store::put_file(batch.connection(), &row)
        }
    }
}

/// Deletes what a file stood for; what was changed since it was written stays and is returned.
fn delete_one(batch: &mut Batch<'_>, author: &str, path: &str) -> Result<Option<Subject>, Error> {
    let Some(row) = store::file_at(batch.connection(), path)? else { return Ok(None) };
    store::drop_file(batch.connection(), path)?;
    match store::version_of(batch.connection(), &row.subject)? {
        0 => return Ok(None),
        version if version != row.version => return Ok(Some(row.subject)),
        _ => {}
    }
    match row.subject {
        Subject::Task(id) => batch.delete_task(author, id)?,
        Subject::Memory(key) => {
            batch.write_memory(author, Action::DeleteMemory { key }).map(drop)?;
        }
        Subject::Unknown => {}
    }
    Ok(None)
}

fn read_now(connection: &rusqlite::Connection, subject: &Subject) -> Result<Now, Error> {
    Ok(match subject {
        Subject::Task(id) => {
            store::task(connection, *id)?.map_or(Now::Gone, |task| Now::Task(Box::new(task)))
        }
        Subject::Memory(key) => {
            store::memory(connection, key)?.map_or(Now::Gone, |entry| Now::Memory(Box::new(entry)))
        }
        Subject::Unknown => Now::Gone,
    })
}

/// Returns a title as a part of a file name.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for character in title.chars() {
        if slug.len() >= SLUG_CHARS_MAX {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "task".to_owned() } else { slug.to_owned() }
}

/// Files of one transaction.
const AT_ONCE: usize = 256;
const SUBJECTS_AT_ONCE: usize = 4_096;
/// Rounds of taking in and writing out before the rest waits for another event.
const ROUNDS_MAX: usize = 4;
/// More files than this never vanish unasked.
const MASS_FILES: usize = 50;
/// More than this, if they are more than a quarter of all.
const MASS_FILES_MIN: usize = 5;
const SLUG_CHARS_MAX: usize = 48;

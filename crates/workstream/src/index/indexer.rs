//! The thread that keeps the index beside the log.
//!
//! ```text
//! wait for a change ─▶ what changed since the index's position ─▶ replace those documents
//!                  ─▶ commit, with the new position in the commit ─▶ searches see it
//! ```
//!
//! A commit and its position are one, so an index that was left behind is caught up, and one of
//! another log is built anew. Commits are at least 40 ms apart; what comes meanwhile is one commit.
//! The writer's memory (15 MB) is given back after 5 s without a change.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tantivy::indexer::{IndexWriterOptions, PreparedCommit};
use tantivy::{IndexReader, IndexWriter, TantivyDocument, Term};
use tokio::sync::watch;

use super::schema::{Fields, VERSION};
use crate::error::Error;
use crate::model::{ActorId, MemoryEntry, Subject, Task};
use crate::store::{self, Readers, Seen, Signal};

/// What the thread works with.
pub(super) struct Indexer {
    pub(super) index: tantivy::Index,
    pub(super) reader: IndexReader,
    pub(super) fields: Fields,
    pub(super) readers: Arc<Readers>,
    pub(super) actor: ActorId,
    /// The position that searches see.
    pub(super) position: watch::Sender<u64>,
    /// False until the index was once made of this log.
    pub(super) is_whole: bool,
}

/// What a commit says about the log it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) version: u64,
    pub(super) actor: ActorId,
    pub(super) position: u64,
}

impl Indexer {
    /// Runs until the end is signalled, then catches up once more.
    pub(super) fn run(mut self, signal: &Signal) {
        let mut writer: Option<IndexWriter> = None;
        loop {
            let pause = match self.catch_up(&mut writer) {
                Ok(()) => COMMIT_INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "cannot bring the search index up to date");
                    // A writer that failed is of no use any more.
                    writer = None;
                    signal.stored();
                    RETRY_INTERVAL
                }
            };
            signal.pause(pause);
            let mut seen = signal.wait(Some(IDLE_INTERVAL));
            if seen == Seen::Nothing {
                finish(writer.take());
                seen = signal.wait(None);
            }
            if seen == Seen::Ended {
                break;
            }
        }
        if let Err(error) = self.catch_up(&mut writer) {
            tracing::warn!(%error, "the next start brings the search index up to date");
        }
        finish(writer);
    }

    fn catch_up(&mut self, writer: &mut Option<IndexWriter>) -> Result<(), Error> {
        if !self.is_whole {
            self.rebuild(writer)?;
        }
        loop {
            let from = *self.position.borrow();
            let readers = Arc::clone(&self.readers);
            let changed = readers
                .ask_here(|connection| store::subjects_after(connection, from, SUBJECTS_MAX))?;
            let Some((to, subjects)) = changed else { return Ok(()) };
            let writer = self.writer(writer)?;
            readers.ask_here(|connection| {
                subjects
                    .iter()
                    .try_for_each(|subject| replace(connection, writer, &self.fields, subject))
            })?;
            self.commit(writer, to)?;
        }
    }

    /// Makes the index of everything that is there.
    fn rebuild(&mut self, writer: &mut Option<IndexWriter>) -> Result<(), Error> {
        let readers = Arc::clone(&self.readers);
        let position = readers.ask_here(store::last_position)?;
        let fields = self.fields;
        let writer = self.writer(writer)?;
        writer.delete_all_documents()?;
        readers.ask_here(|connection| {
            store::each_task(connection, |task, comments| {
                writer.add_document(task_document(&fields, &task, &comments))?;
                Ok(())
            })?;
            store::each_memory(connection, |entry| {
                writer.add_document(memory_document(&fields, &entry))?;
                Ok(())
            })
        })?;
        self.commit(writer, position)?;
        self.is_whole = true;
        Ok(())
    }

    fn commit(&self, writer: &mut IndexWriter, position: u64) -> Result<(), Error> {
        let payload = Payload { version: VERSION, actor: self.actor, position };
        let payload = serde_json::to_string(&payload).expect("plain values");
        let mut commit: PreparedCommit<'_, TantivyDocument> = writer.prepare_commit()?;
        commit.set_payload(&payload);
        commit.commit()?;
        self.reader.reload()?;
        self.position.send_replace(position);
        Ok(())
    }

    fn writer<'a>(
        &self,
        writer: &'a mut Option<IndexWriter>,
    ) -> Result<&'a mut IndexWriter, Error> {
        if writer.is_none() {
            let options = IndexWriterOptions::builder()
                .num_worker_threads(1)
                .num_merge_threads(1)
                .memory_budget_per_thread(WRITER_BYTES)
                .build();
            *writer = Some(self.index.writer_with_options(options)?);
        }
        Ok(writer.as_mut().expect("made above"))
    }
}

fn finish(writer: Option<IndexWriter>) {
    if let Some(writer) = writer
        && let Err(error) = writer.wait_merging_threads()
    {
        tracing::warn!(%error, "merging segments of the search index failed");
    }
}

fn replace(
    connection: &Connection,
    writer: &IndexWriter,
    fields: &Fields,
    subject: &Subject,
) -> Result<(), Error> {
    let Some(name) = name(subject) else { return Ok(()) };
    writer.delete_term(Term::from_field_text(fields.subject, &name));
    let document = match subject {
        Subject::Task(id) => match store::task(connection, *id)? {
            Some(task) => {
                let comments = store::comment_texts(connection, *id)?;
                Some(task_document(fields, &task, &comments))
            }
            None => None,
        },
        Subject::Memory(key) => {
            store::memory(connection, key)?.map(|entry| memory_document(fields, &entry))
        }
        Subject::Unknown => None,
    };
    if let Some(document) = document {
        writer.add_document(document)?;
    }
    Ok(())
}

fn task_document(fields: &Fields, task: &Task, comments: &[String]) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    let subject = Subject::Task(task.id);
    document.add_text(fields.subject, name(&subject).expect("a task has a name"));
    document.add_text(fields.kind, "task");
    for field in [fields.title, fields.text] {
        document.add_text(field, &task.title);
    }
    for field in [fields.body, fields.text] {
        document.add_text(field, &task.body);
    }
    for comment in comments {
        document.add_text(fields.comment, comment);
        document.add_text(fields.text, comment);
    }
    for label in &task.labels {
        document.add_text(fields.label, label.to_lowercase());
        document.add_text(fields.text, label);
    }
    document.add_text(fields.status, task.status.word());
    document.add_text(fields.priority, task.priority.word());
    for (field, value) in [(fields.role, &task.role), (fields.assignee, &task.assignee)] {
        if let Some(value) = value {
            document.add_text(field, value.to_lowercase());
        }
    }
    document
}

fn memory_document(fields: &Fields, entry: &MemoryEntry) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    let key = entry.name();
    let called = key.to_string();
    let subject = Subject::Memory(key);
    document.add_text(fields.subject, name(&subject).expect("a memory entry has a name"));
    document.add_text(fields.kind, "memory");
    for field in [fields.title, fields.text] {
        document.add_text(field, &called);
    }
    for field in [fields.body, fields.text] {
        document.add_text(field, &entry.value);
    }
    document
}

fn name(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Task(id) => Some(format!("t{id}")),
        Subject::Memory(key) => Some(format!("m{key}")),
        Subject::Unknown => None,
    }
}

/// The least that tantivy takes for one thread.
const WRITER_BYTES: usize = 15_000_000;
/// Operations that one commit takes up.
const SUBJECTS_MAX: usize = 5_000;
const COMMIT_INTERVAL: Duration = Duration::from_millis(40);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
const IDLE_INTERVAL: Duration = Duration::from_secs(5);

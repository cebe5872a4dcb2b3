//! The search index: derived from the log, replaceable at any time.
//!
//! `indexer` keeps it up to date on a thread of its own, `query` reads what people type, `snippet`
//! shows the place of a match. The index holds words, not texts: titles and snippets come from the
//! store. Files in `.tidemill/index/`; what cannot be opened there is removed and built anew.

mod indexer;
mod query;
mod schema;
mod snippet;

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tantivy::collector::TopDocs;
use tantivy::directory::MmapDirectory;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, TermQuery};
use tantivy::schema::{IndexRecordOption, Value};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{IndexReader, ReloadPolicy, TantivyDocument, Term};
use tokio::sync::watch;

use crate::error::{Error, Kind};
use crate::model::limits::{SEARCH_CHARS_MAX, SEARCH_HITS_MAX, invalid};
use crate::model::{ActorId, HitKind, MemoryKey, SearchHit, SearchQuery, TaskId};
use crate::store::{self, Readers, Signal, Store};

use indexer::{Indexer, Payload};
use query::{Marks, Parsed};
use schema::Fields;

/// The index of an open workspace.
pub(crate) struct Index {
    reader: IndexReader,
    fields: Fields,
    words: TextAnalyzer,
    readers: Arc<Readers>,
    position: watch::Receiver<u64>,
    signal: Arc<Signal>,
    is_idle: bool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Index {
    /// Opens the index of a store; with `is_idle`, as it is, and nothing brings it up to date.
    /// Blocks.
    pub(crate) fn open(store: &Store, is_idle: bool) -> Result<Self, Error> {
        let folder = store.state_folder().join("index");
        let (schema, fields) = schema::schema();
        let index = match open_or_make(&folder, &schema) {
            Ok(index) => index,
            Err(error) => {
                tracing::warn!(%error, "the search index is built anew");
                let failed = |source| Kind::File { action: "remove", path: folder.clone(), source };
                fs::remove_dir_all(&folder).map_err(failed)?;
                open_or_make(&folder, &schema)?
            }
        };
        index.tokenizers().register(schema::WORDS, schema::words());
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(DOCUMENT_BLOCKS_CACHED)
            .try_into()?;
        let known = position_of(&index, store.actor, *store.position.borrow())?;
        let (position_sender, position) = watch::channel(known.unwrap_or(0));
        let mut opened = Self {
            reader,
            fields,
            words: schema::words(),
            readers: Arc::clone(&store.readers),
            position,
            signal: Arc::clone(&store.signal),
            is_idle,
            thread: Mutex::new(None),
        };
        if !is_idle {
            let indexer = Indexer {
                index,
                reader: opened.reader.clone(),
                fields,
                readers: Arc::clone(&store.readers),
                actor: store.actor,
                position: position_sender,
                is_whole: known.is_some(),
            };
            let signal = Arc::clone(&store.signal);
            let thread = std::thread::Builder::new().name("workstream-index".to_owned());
            let thread = thread.spawn(move || indexer.run(&signal)).map_err(Kind::Thread)?;
            opened.thread = Mutex::new(Some(thread));
        }
        Ok(opened)
    }

    /// Brings the index up to date and ends its thread. Blocks.
    pub(crate) fn close(&self) {
        self.signal.end();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the indexer panicked; the next start catches up");
        }
    }

    /// Returns the position of the log that searches see.
    pub(crate) fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Waits until searches see a position of the log.
    pub(crate) async fn wait_for(&self, position: u64) -> Result<(), Error> {
        if self.is_idle {
            return if self.position() >= position { Ok(()) } else { Err(Kind::Idle.into()) };
        }
        let mut seen = self.position.clone();
        seen.wait_for(|seen| *seen >= position).await.map_err(|_| Kind::Closed)?;
        Ok(())
    }

    /// Searches.
    pub(crate) async fn search(&self, query: SearchQuery) -> Result<Vec<SearchHit>, Error> {
        let search = self.prepare(&query)?;
        let Some(mut search) = search else { return Ok(Vec::new()) };
        self.readers.ask(move |connection| search.hits(connection)).await
    }

    /// Returns the tasks that a search finds, best first.
    pub(crate) async fn matching_tasks(&self, query: SearchQuery) -> Result<Vec<TaskId>, Error> {
        let search = self.prepare(&query)?;
        let Some(search) = search else { return Ok(Vec::new()) };
        let found = self.readers.ask(move |_| search.found()).await?;
        let tasks = found.into_iter().filter_map(|(_, found)| match found {
            Found::Task(id) => Some(id),
            Found::Memory(_) => None,
        });
        Ok(tasks.collect())
    }

    fn prepare(&self, asked: &SearchQuery) -> Result<Option<Search>, Error> {
        let (chars, chars_max) = (asked.text.chars().count(), SEARCH_CHARS_MAX);
        if chars > chars_max {
            return Err(Kind::TooLong { field: "q", chars, chars_max }.into());
        }
        if !(1..=SEARCH_HITS_MAX).contains(&asked.limit) {
            return invalid("limit", "has to be 1 to 1,000");
        }
        let mut words = self.words.clone();
        let Parsed { query, marks } =
            query::parse(&asked.text, asked.is_last_word_open, &self.fields, &mut words);
        let Some(mut query) = query else { return Ok(None) };
        if let Some(kind) = asked.kind {
            let word = match kind {
                HitKind::Task => "task",
                HitKind::Memory => "memory",
            };
            let term = Term::from_field_text(self.fields.kind, word);
            let kind = TermQuery::new(term, IndexRecordOption::Basic);
            let kind: Box<dyn Query> = Box::new(ConstScoreQuery::new(Box::new(kind), 0.0));
            query = Box::new(BooleanQuery::new(vec![(Occur::Must, query), (Occur::Must, kind)]));
        }
        let (reader, fields, limit) = (self.reader.clone(), self.fields, asked.limit);
        Ok(Some(Search { reader, fields, query, marks, words, limit }))
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.signal.end();
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("position", &self.position()).finish_non_exhaustive()
    }
}

/// A search, ready to run on a thread that may block.
struct Search {
    reader: IndexReader,
    fields: Fields,
    query: Box<dyn Query>,
    marks: Marks,
    words: TextAnalyzer,
    limit: usize,
}

enum Found {
    Task(TaskId),
    Memory(MemoryKey),
}

impl Search {
    fn found(&self) -> Result<Vec<(f32, Found)>, Error> {
        let searcher = self.reader.searcher();
        let best = TopDocs::with_limit(self.limit).order_by_score();
        let mut found = Vec::new();
        for (score, address) in searcher.search(&*self.query, &best)? {
            let document: TantivyDocument = searcher.doc(address)?;
            let subject = document.get_first(self.fields.subject).and_then(|value| value.as_str());
            if let Some(subject) = subject.and_then(read_subject) {
                found.push((score, subject));
            }
        }
        Ok(found)
    }

    /// Adds titles and snippets. What was deleted since the last commit of the index is left out.
    fn hits(&mut self, connection: &Connection) -> Result<Vec<SearchHit>, Error> {
        let mut hits = Vec::new();
        for (score, found) in self.found()? {
            let hit = match found {
                Found::Task(id) => self.task_hit(connection, id)?,
                Found::Memory(key) => self.memory_hit(connection, &key)?,
            };
            hits.extend(hit.map(|hit| SearchHit { score, ..hit }));
        }
        Ok(hits)
    }

    fn task_hit(
        &mut self,
        connection: &Connection,
        id: TaskId,
    ) -> Result<Option<SearchHit>, Error> {
        let Some(task) = store::task(connection, id)? else { return Ok(None) };
        let mut snippet = snippet::snippet(&task.body, &self.marks, &mut self.words);
        if snippet.is_empty() && task.comments > 0 {
            let comments = store::comment_texts(connection, id)?;
            let comments = comments.iter().rev().take(COMMENTS_SHOWN_MAX);
            snippet = comments
                .map(|comment| snippet::snippet(comment, &self.marks, &mut self.words))
                .find(|snippet| !snippet.is_empty())
                .unwrap_or_default();
        }
        Ok(Some(SearchHit {
            kind: HitKind::Task,
            task: Some(id),
            memory: None,
            title: task.title,
            snippet_html: snippet,
            score: 0.0,
        }))
    }

    fn memory_hit(
        &mut self,
        connection: &Connection,
        key: &MemoryKey,
    ) -> Result<Option<SearchHit>, Error> {
        let Some(entry) = store::memory(connection, key)? else { return Ok(None) };
        Ok(Some(SearchHit {
            kind: HitKind::Memory,
            task: None,
            memory: Some(key.clone()),
            title: key.to_string(),
            snippet_html: snippet::snippet(&entry.value, &self.marks, &mut self.words),
            score: 0.0,
        }))
    }
}

fn read_subject(text: &str) -> Option<Found> {
    if let Some(key) = text.strip_prefix('m') {
        let (scope, key) = key.split_once('/')?;
        return Some(Found::Memory(MemoryKey::new(scope, key)));
    }
    text.strip_prefix('t')?.parse().ok().map(Found::Task)
}

fn open_or_make(folder: &Path, schema: &tantivy::schema::Schema) -> Result<tantivy::Index, Error> {
    fs::create_dir_all(folder).map_err(|source| {
        Error::from(Kind::File { action: "create", path: folder.to_owned(), source })
    })?;
    let directory = MmapDirectory::open(folder).map_err(tantivy::TantivyError::from)?;
    Ok(tantivy::Index::open_or_create(directory, schema.clone())?)
}

/// Returns the position of the log that an index was made up to; `None` if it is of another log.
fn position_of(
    index: &tantivy::Index,
    actor: ActorId,
    last_position: u64,
) -> Result<Option<u64>, Error> {
    let payload = index.load_metas()?.payload;
    let payload: Option<Payload> = payload.and_then(|payload| serde_json::from_str(&payload).ok());
    let is_of_log = |payload: &Payload| {
        payload.version == schema::VERSION
            && payload.actor == actor
            && payload.position <= last_position
    };
    Ok(payload.filter(is_of_log).map(|payload| payload.position))
}

/// Blocks of stored documents kept unpacked; a document is one short text.
const DOCUMENT_BLOCKS_CACHED: usize = 16;
/// The newest comments that are looked at for a snippet.
const COMMENTS_SHOWN_MAX: usize = 20;

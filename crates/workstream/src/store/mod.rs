//! The store: one SQLite database in `.workspace/.tidemill/`, one writer, a few readers.
//!
//! | what | choice |
//! |---|---|
//! | journal | write-ahead log, checkpoint at 1,000 pages |
//! | `synchronous` | `FULL`, a batch is on the disk before it is answered; `NORMAL` if asked for |
//! | lock | one process per workspace, by the kernel's lock on `lock` |
//! | unclean stop | `integrity_check` before anything else |
//! | damage | nothing is repaired in silence: an error names the newest backup |
//! | disk full | the batch fails as a whole; what was answered before stays |
//!
//! Files: `tidemill.db` (and `-wal`, `-shm`), `lock`, `backup/`, `index/`. Whose operations a store
//! writes stands in it together with the file's number on the disk: a copied file gets a new actor,
//! so that two stores never write the same log.

mod backup;
mod batch;
mod claim;
mod compact;
mod history;
mod ledger;
mod list;
mod lock;
mod readers;
mod rows;
mod schema;
mod signal;
mod tables;
mod writer;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::error::{Error, Kind};
use crate::model::{ActorId, Change, Stats, TaskId};
use crate::workstream::Durability;

pub(crate) use batch::{Batch, last_position};
pub(crate) use claim::{Edge, is_waiting, next as next_ready, would_circle};
pub(crate) use compact::{acknowledge, candidates, cut, forget};
pub(crate) use history::{changes, clock, comments, conflicts, history, not_found, operations};
pub(crate) use ledger::{
    FileRow, count_files, drop_file, file_at, file_of, file_paths, put_file, settle_file,
    unwritten, version_of,
};
pub(crate) use list::{memory as memory_page, tasks as task_page};
pub(crate) use readers::Readers;
pub(crate) use signal::{Seen, Signal};
pub(crate) use tables::{
    comment_texts, each_memory, each_task, memory, subjects_after, task, was_task,
};
pub(crate) use writer::Writer;

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) writer: Mutex<Option<Arc<Writer>>>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) position: watch::Receiver<u64>,
    pub(crate) signal: Arc<Signal>,
    pub(crate) actor: ActorId,
    /// Lets the writer close the database, once nobody reads any more.
    may_finish: Mutex<Option<SyncSender<()>>>,
    drained: Mutex<Option<Receiver<()>>>,
    /// Held while a copy is made.
    is_closed: Mutex<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    database: PathBuf,
    state: PathBuf,
}

impl Store {
    /// Opens or makes the store of a workspace. Blocks.
    pub(crate) fn open(
        workspace: &Path,
        clock: &Clock,
        durability: Durability,
    ) -> Result<Self, Error> {
        let state = workspace.join(STATE_FOLDER);
        fs::create_dir_all(&state).map_err(|source| {
            Error::from(Kind::File { action: "create", path: state.clone(), source })
        })?;
        let lock = lock::Lock::take(workspace, &state)?;
        let database = state.join("tidemill.db");
        let was_clean = lock.was_clean();
        let opened = prepare(&database, &state, was_clean, clock, durability).and_then(
            |(connection, actor)| {
                let marks = batch::Marks::read(&connection, actor)?;
                let last = last_position(&connection)?;
                Ok((connection, actor, marks, last))
            },
        );
        let (connection, actor, marks, last) =
            opened.map_err(|error| name_damage(error, &database, &state))?;
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let (position_sender, position) = watch::channel(last);
        let readers = Arc::new(Readers::new(&database));
        let signal = Arc::new(Signal::default());
        let announcements = writer::Announcements {
            changes: changes.clone(),
            position: position_sender,
            signal: Arc::clone(&signal),
        };
        let (drained_sender, drained) = sync_channel(1);
        let (may_finish, may_finish_receiver) = sync_channel(1);
        let finish = move |connection: Connection| {
            // Of a store that was dropped instead of closed, both other ends are gone already.
            // Nothing is ever sent back: the other end goes when it is time.
            if drained_sender.send(()).is_ok() {
                while may_finish_receiver.recv().is_ok() {}
            }
            finish(connection, lock);
        };
        let (writer, thread) =
            Writer::start(connection, marks, clock.clone(), announcements, finish)
                .map_err(Kind::Thread)?;
        Ok(Self {
            writer: Mutex::new(Some(Arc::new(writer))),
            readers,
            changes,
            position,
            signal,
            actor,
            may_finish: Mutex::new(Some(may_finish)),
            drained: Mutex::new(Some(drained)),
            is_closed: Mutex::new(false),
            thread: Mutex::new(Some(thread)),
            database,
            state,
        })
    }

    /// Returns the folder of everything that is no file of the user's.
    pub(crate) fn state_folder(&self) -> &Path {
        &self.state
    }

    /// Asks the writer.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Batch<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.open_writer().ok_or(Kind::Closed)?.ask(request).await
    }

    /// Asks a reader.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.readers.ask(question).await
    }

    /// Copies the database if the last copy is older than a day. Blocks; closing waits for it.
    pub(crate) fn back_up_if_due(&self, clock: &Clock) -> Result<(), Error> {
        let is_closed = self.is_closed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now();
        if *is_closed || *self.position.borrow() == 0 || !backup::is_due(&self.state, now) {
            return Ok(());
        }
        let connection = Connection::open(&self.database)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        backup::make(&connection, &self.state, now).map(drop)
    }

    /// Writes a copy of the database that names no actor. Blocks.
    pub(crate) fn snapshot(&self, target: &Path) -> Result<(), Error> {
        let connection = Connection::open(&self.database)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        backup::copy(&connection, target)
    }

    /// Returns counts; what the index knows is filled in by the caller.
    pub(crate) async fn stats(&self) -> Result<Stats, Error> {
        let (batches, queued) =
            self.open_writer().map_or((0, 0), |writer| (writer.batches(), writer.queued()));
        let database = self.database.clone();
        self.read(move |connection| {
            let mut stats = count(connection)?;
            stats.batches = batches;
            stats.writes_queued = queued;
            stats.store_bytes = ["", "-wal"]
                .iter()
                .map(|ending| {
                    let mut path = database.clone().into_os_string();
                    path.push(ending);
                    // The log of a database that was just checkpointed may not be there.
                    fs::metadata(path).map_or(0, |metadata| metadata.len())
                })
                .sum();
            Ok(stats)
        })
        .await
    }

    /// Lets no request in any more and waits until those that are queued were answered. Blocks.
    pub(crate) fn drain(&self) {
        drop(self.writer.lock().unwrap_or_else(PoisonError::into_inner).take());
        let drained = self.drained.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(drained) = drained
            && drained.recv().is_err()
        {
            tracing::error!("the writer panicked; the next start checks the database");
        }
    }

    /// Closes the database, after [`drain`](Self::drain) and once nobody reads. Blocks.
    pub(crate) fn close(&self) {
        *self.is_closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.readers.close();
        drop(self.may_finish.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the writer was told by `drain`.
            drop(thread.join());
        }
    }

    fn open_writer(&self) -> Option<Arc<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns the tasks whose identity begins with a prefix: one, or an error that says why not.
pub(crate) fn find(connection: &Connection, prefix: &str) -> Result<TaskId, Error> {
    let absent = || Error::from(Kind::NotFound(format!("task {prefix}")));
    let (low, high) = TaskId::range_of_prefix(prefix).map_err(|_| absent())?;
    let mut statement = connection.prepare_cached(
        "SELECT id FROM tasks WHERE is_there AND id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 4",
    )?;
    let found = statement
        .query_map([rows::IdColumn(low), rows::IdColumn(high)], |row| {
            row.get::<_, rows::IdColumn>(0)
        })?
        .collect::<Result<Vec<_>, _>>()?;
    match found.as_slice() {
        [] => Err(absent()),
        [one] => Ok(one.0),
        more => {
            let candidates: Vec<_> = more.iter().map(|id| id.0.to_string()).collect();
            let prefix = prefix.to_owned();
            Err(Kind::Ambiguous { prefix, candidates: candidates.join(", ") }.into())
        }
    }
}

/// Opens the database for writing: checked, migrated, with an actor.
fn prepare(
    database: &Path,
    state: &Path,
    was_clean: bool,
    clock: &Clock,
    durability: Durability,
) -> Result<(Connection, ActorId), Error> {
    // SQLite would take an empty file for a new database. Without a copy it may be one, of a start
    // that was cut short.
    let is_empty = fs::metadata(database).is_ok_and(|metadata| metadata.len() == 0);
    if is_empty && backup::newest(state).is_some() {
        return Err(damaged(database, state, "it is empty".to_owned()));
    }
    let mut connection = Connection::open(database)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let version = schema::version(&connection)?;
    let known = schema::version_known();
    if version > known {
        let database = database.to_owned();
        return Err(Kind::TooNew { database, found: version, known }.into());
    }
    if !was_clean && version > 0 {
        check_integrity(&connection, database, state)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let synchronous = match durability {
        Durability::Power => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    if version < known {
        if version > 0 {
            let copy = backup::make(&connection, state, clock.now())?;
            tracing::info!(copy = %copy.display(), "copied the database before its migration");
        }
        schema::migrate(&mut connection, version)?;
    }
    let actor = own_actor(&connection, database)?;
    Ok((connection, actor))
}

fn check_integrity(connection: &Connection, database: &Path, state: &Path) -> Result<(), Error> {
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    Err(damaged(database, state, found))
}

/// Turns SQLite's word for a file that is no database any more into ours.
fn name_damage(error: Error, database: &Path, state: &Path) -> Error {
    match error.database_code() {
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            damaged(database, state, error.to_string())
        }
        _ => error,
    }
}

fn damaged(database: &Path, state: &Path, detail: String) -> Error {
    let backup = backup::newest(state);
    Kind::Damaged { database: database.to_owned(), detail, backup }.into()
}

/// Returns the actor of this very file, a new one if there is none or the file is a copy.
fn own_actor(connection: &Connection, database: &Path) -> Result<ActorId, Error> {
    let file = fs::metadata(database).map_err(|source| {
        Error::from(Kind::File { action: "examine", path: database.to_owned(), source })
    })?;
    let file = rows::signed(file.ino());
    let read = |key: &str| {
        let mut statement = connection.prepare("SELECT value FROM meta WHERE key = ?1")?;
        statement.query_row([key], |row| row.get::<_, rusqlite::types::Value>(0)).optional()
    };
    let stored = (read("actor")?, read("file")?);
    if let (Some(rusqlite::types::Value::Blob(actor)), Some(file_then)) = &stored
        && let Ok(actor) = <[u8; 16]>::try_from(actor.as_slice())
        && *file_then == rusqlite::types::Value::Integer(file)
    {
        return Ok(ActorId::from_bytes(actor));
    }
    ledger::clear_files(connection)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(Kind::Random)?;
    connection.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('actor', ?1), ('file', ?2)",
        rusqlite::params![random, file],
    )?;
    Ok(ActorId::from_bytes(random))
}

/// The writer's last deeds: the log goes into the database, and the lock says that all is well.
fn finish(connection: Connection, lock: lock::Lock) {
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    if let Err(error) = checkpoint {
        tracing::warn!(%error, "cannot write the log into the database; the next start does");
    }
    if let Err((_, error)) = connection.close() {
        tracing::error!(%error, "cannot close the database; the next start checks it");
        return;
    }
    if let Err(error) = lock.release_clean() {
        tracing::error!(%error, "the next start checks the database");
    }
}

fn count(connection: &Connection) -> Result<Stats, Error> {
    let actor = history::actor(connection)?;
    let clock = clock(connection)?;
    let mut tasks = [0; 5];
    let mut statement = connection
        .prepare_cached("SELECT status, count(*) FROM tasks WHERE is_there GROUP BY status")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let status = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(usize::MAX);
        if let Some(place) = tasks.get_mut(status) {
            *place = row.get(1)?;
        }
    }
    let number = |sql| -> Result<u64, Error> {
        Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    };
    Ok(Stats {
        actor,
        tasks,
        conflicted: number(
            "SELECT count(*) FROM tasks WHERE is_there AND (conflicts > 0 OR is_revived)",
        )?,
        memory_entries: number("SELECT count(*) FROM memory WHERE is_there")?,
        operations_local: clock.get(actor),
        operations_remote: clock.total() - clock.get(actor),
        position: last_position(connection)?,
        index_lag: 0,
        store_bytes: 0,
        writes_queued: 0,
        batches: 0,
    })
}

/// The folder of the store within a workspace; not for git.
pub(crate) const STATE_FOLDER: &str = ".tidemill";

/// Changes that a slow subscriber may lag behind.
const CHANGES_MAX: usize = 1_024;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CACHE_KIB: i64 = 8_192;
const LOG_BYTES_KEPT: i64 = 16 << 20;
const STATEMENTS_MAX: usize = 64;

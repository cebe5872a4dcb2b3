//! The file: its shape, how it is opened, and what is said when that fails.
//!
//! | table | holds |
//! | --- | --- |
//! | `job` | what changes: one narrow row per job, in the order of ids, which is by age |
//! | `work` | what does not: the command or payload, read once per attempt |
//!
//! `phase` says which of the partial indices a row is in: 0 waits for its time, 1 may begin, 2 has
//! a lease, 3 has ended. A job is in exactly one.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SqliteOptions;
use crate::durable::error::Error;

/// Opens the file for writing.
pub(super) fn open(options: &SqliteOptions) -> Result<Connection, Error> {
    let path = options.path.as_path();
    let failed = |error: rusqlite::Error| failure(path, "open", &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    let id: i64 = pragma(&connection, "application_id").map_err(failed)?;
    let version: i64 = pragma(&connection, "user_version").map_err(failed)?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(failed)?;
    match (id, version) {
        (0, 0) if tables == 0 => {}
        (APPLICATION_ID, VERSION) => check(&connection, path)?,
        (APPLICATION_ID, newer) => {
            return Err(Error::Damaged(format!(
                "{} is a job store of version {newer}, and this program knows version {VERSION}; \
                 run the newer program",
                path.display()
            )));
        }
        _ => {
            return Err(Error::Damaged(format!(
                "{} is a database of another program; choose another folder",
                path.display()
            )));
        }
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX).map_err(failed)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    if let Some(bytes_max) = options.bytes_max {
        let page_bytes: u64 = pragma::<i64>(&connection, "page_size").map_err(failed)? as u64;
        let pages_max = (bytes_max / page_bytes.max(1)).clamp(1, PAGES_MAX) as i64;
        connection.pragma_update(None, "max_page_count", pages_max).map_err(failed)?;
    }
    if id == 0 {
        create(&mut connection).map_err(failed)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Opens a file that is there for reading.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let failed = |error: rusqlite::Error| failure(path, "open", &error);
    // Not the read-only flag: a reader of a WAL has to write its index.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_MAX).map_err(failed)?;
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    Ok(connection)
}

/// Says what an error of SQLite means for whoever keeps the file.
pub(super) fn failure(path: &Path, verb: &str, error: &rusqlite::Error) -> Error {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(&path, error),
        Some(ErrorCode::DiskFull) => Error::Unavailable(format!(
            "cannot {verb} {path}: no space is left; make room, jobs that wait are kept"
        )),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Unavailable(format!(
            "cannot {verb} {path}: another process has been writing for {} s; try again",
            BUSY_MAX.as_secs()
        )),
        _ => Error::Unavailable(format!(
            "cannot {verb} {path}: {error}; see that the folder is there, writable and has space"
        )),
    }
}

fn damaged(path: &impl std::fmt::Display, what: &impl std::fmt::Display) -> Error {
    Error::Damaged(format!(
        "{path} is damaged: {what}; move it away with its -wal and -shm, and a new one is made \
         (what `sqlite3 {path} .recover` still finds can be submitted again)"
    ))
}

/// Reads every page once; the file is bounded by what is kept.
fn check(connection: &Connection, path: &Path) -> Result<(), Error> {
    let verdict: rusqlite::Result<String> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(damaged(&path.display(), &verdict)),
        Err(error) => Err(failure(path, "read", &error)),
    }
}

fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    // Two processes may find the file missing at once; the second one finds the tables.
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(SCHEMA)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS job (
    id BLOB PRIMARY KEY, priority INTEGER NOT NULL, phase INTEGER NOT NULL,
    state INTEGER NOT NULL, timeout_ms INTEGER, retries INTEGER NOT NULL, key TEXT,
    reason TEXT, attempts INTEGER NOT NULL, failures INTEGER NOT NULL,
    interruptions INTEGER NOT NULL, node TEXT, submitted_at_ms INTEGER NOT NULL,
    ready_at_ms INTEGER NOT NULL, started_at_ms INTEGER, ended_at_ms INTEGER,
    lease_until_ms INTEGER NOT NULL, is_cancelling INTEGER NOT NULL, version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS work (id BLOB PRIMARY KEY, work BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS job_key ON job (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_delayed ON job (ready_at_ms) WHERE phase = 0;
CREATE INDEX IF NOT EXISTS job_ready ON job (priority) WHERE phase = 1;
CREATE INDEX IF NOT EXISTS job_leased ON job (lease_until_ms) WHERE phase = 2;
CREATE INDEX IF NOT EXISTS job_ended ON job (ended_at_ms) WHERE phase = 3;
";

/// "TMjb".
const APPLICATION_ID: i64 = 0x544d_6a62;

const VERSION: i64 = 1;

const WAL_BYTES_MAX: i64 = 64 << 20;

/// SQLite's own bound on `max_page_count`.
const PAGES_MAX: u64 = 4_294_967_294;

const STATEMENTS_MAX: usize = 64;

/// How long another process may hold the file.
const BUSY_MAX: Duration = Duration::from_secs(5);

//! The ledger of files: which file stands for what, and what it held when both were the same.
//!
//! What is about to be written is noted before it is, with what was there `before`; so a file that
//! holds either is nobody's edit, whenever the process ends.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{IdColumn, ReadSubject, SubjectColumn};
use super::tables;
use crate::error::Error;
use crate::model::{MemoryKey, Subject};

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileRow {
    /// Relative to the workspace.
    pub(crate) path: String,
    /// What it stands for.
    pub(crate) subject: Subject,
    /// The version of it that the content shows.
    pub(crate) version: u64,
    /// What the file holds, or is about to.
    pub(crate) content: Vec<u8>,
    /// What it held before, until the write is known to have been done.
    pub(crate) before: Option<Vec<u8>>,
}

/// Reads the row of a path.
pub(crate) fn file_at(connection: &Connection, path: &str) -> Result<Option<FileRow>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT path, subject, version, content, before FROM files WHERE path = ?1",
    )?;
    Ok(statement.query_row([path], file_of_row).optional()?)
}

/// Reads the row of a task or memory entry.
pub(crate) fn file_of(
    connection: &Connection,
    subject: &Subject,
) -> Result<Option<FileRow>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT path, subject, version, content, before FROM files WHERE subject = ?1",
    )?;
    Ok(statement.query_row([SubjectColumn(subject)], file_of_row).optional()?)
}

/// Writes a row over those of the same path and the same subject.
pub(crate) fn put_file(connection: &Connection, row: &FileRow) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM files WHERE subject = ?1 AND path <> ?2")?
        .execute(params![SubjectColumn(&row.subject), row.path])?;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO files (path, subject, version, content, before)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let subject = SubjectColumn(&row.subject);
    statement.execute(params![row.path, subject, row.version, row.content, row.before])?;
    Ok(())
}

/// Forgets a path.
pub(crate) fn drop_file(connection: &Connection, path: &str) -> Result<(), Error> {
    connection.prepare_cached("DELETE FROM files WHERE path = ?1")?.execute([path])?;
    Ok(())
}

/// Notes that the write of a path was done.
pub(crate) fn settle_file(connection: &Connection, path: &str) -> Result<(), Error> {
    let mut statement =
        connection.prepare_cached("UPDATE files SET before = NULL WHERE path = ?1")?;
    statement.execute([path])?;
    Ok(())
}

/// Forgets every file; of a copied store, whose files are elsewhere.
pub(super) fn clear_files(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.execute("DELETE FROM files", []).map(drop)
}

/// Counts the rows.
pub(crate) fn count_files(connection: &Connection) -> Result<usize, Error> {
    Ok(connection.query_row("SELECT count(*) FROM files", [], |row| row.get(0))?)
}

/// Lists the known paths in order.
pub(crate) fn file_paths(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached("SELECT path FROM files ORDER BY path")?;
    let found = statement.query_map([], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Lists what has no file, or one that shows another version, or a file and is gone.
pub(crate) fn unwritten(connection: &Connection) -> Result<Vec<Subject>, Error> {
    let mut subjects = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT tasks.id FROM tasks LEFT JOIN files ON files.subject = tasks.id
         WHERE (is_there AND (path IS NULL OR files.version <> tasks.version))
            OR (NOT is_there AND path IS NOT NULL)
         ORDER BY tasks.id",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        subjects.push(Subject::Task(row.get::<_, IdColumn>(0)?.0));
    }
    let mut statement = connection.prepare_cached(
        "SELECT memory.scope, memory.key FROM memory
         LEFT JOIN files ON files.subject = memory.scope || '/' || memory.key
         WHERE (is_there AND (path IS NULL OR files.version <> memory.version))
            OR (NOT is_there AND path IS NOT NULL)
         ORDER BY memory.scope, memory.key",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let (scope, key): (String, String) = (row.get(0)?, row.get(1)?);
        subjects.push(Subject::Memory(MemoryKey::new(scope, key)));
    }
    Ok(subjects)
}

/// Returns the version that stands; 0 for what is not there.
pub(crate) fn version_of(connection: &Connection, subject: &Subject) -> Result<u64, Error> {
    Ok(match subject {
        Subject::Task(id) => tables::task(connection, *id)?.map_or(0, |task| task.version),
        Subject::Memory(key) => tables::memory(connection, key)?.map_or(0, |entry| entry.version),
        _ => 0,
    })
}

fn file_of_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    Ok(FileRow {
        path: row.get(0)?,
        subject: row.get::<_, ReadSubject>(1)?.0,
        version: row.get(2)?,
        content: row.get(3)?,
        before: row.get(4)?,
    })
}

/// The table's migration.
pub(super) const FILES: &str = "
CREATE TABLE files (
    path TEXT PRIMARY KEY,
    subject NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    content BLOB NOT NULL,
    before BLOB
);
";

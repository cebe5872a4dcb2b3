//! Copies of the database: before each migration, and once a day after a start.
//!
//! A copy is made by SQLite from a consistent state, under a temporary name, and is a whole
//! database. It names no actor: whoever puts it in place continues under a new identity, because
//! operations that were written after the copy may have reached others already.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::error::{Error, Kind};
use crate::model::Timestamp;

/// Copies the database of `connection` into the backup folder of `state`, and removes old copies.
pub(super) fn make(
    connection: &Connection,
    state: &Path,
    now: Timestamp,
) -> Result<PathBuf, Error> {
    let folder = state.join(FOLDER);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::from(Kind::File { action, path, source })
    };
    fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
    let target = folder.join(format!("tidemill-{:015}.db", now.unix_ms()));
    let temporary = folder.join("unfinished.db");
    copy(connection, &temporary)?;
    fs::rename(&temporary, &target).map_err(failed("rename", &temporary))?;
    for old in list(state).into_iter().rev().skip(KEPT) {
        fs::remove_file(&old).map_err(failed("remove", &old))?;
    }
    Ok(target)
}

/// Writes a whole copy that names no actor; what stands at `target` is replaced.
pub(super) fn copy(connection: &Connection, target: &Path) -> Result<(), Error> {
    match fs::remove_file(target) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(Kind::File { action: "remove", path: target.to_owned(), source }.into());
        }
        _ => {}
    }
    connection.execute("VACUUM INTO ?1", [target.to_string_lossy().as_ref()])?;
    let copy = Connection::open_with_flags(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    copy.execute("DELETE FROM meta WHERE key = 'actor'", [])?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Returns the newest copy.
pub(super) fn newest(state: &Path) -> Option<PathBuf> {
    list(state).pop()
}

/// Returns true when the newest copy is older than a day, or there is none.
pub(super) fn is_due(state: &Path, now: Timestamp) -> bool {
    let made_at = newest(state).and_then(|path| {
        let name = path.file_stem()?.to_str()?.strip_prefix("tidemill-")?.to_owned();
        name.parse::<u64>().ok()
    });
    made_at.is_none_or(|made_at| made_at + INTERVAL_MS <= now.unix_ms())
}

/// Returns the copies, oldest first. A folder that cannot be read has none.
fn list(state: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state.join(FOLDER)).into_iter().flatten().flatten();
    let mut copies: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("tidemill-") && name.ends_with(".db")
        })
        .collect();
    copies.sort();
    copies
}

const FOLDER: &str = "backup";
const INTERVAL_MS: u64 = 24 * 3_600_000;
const KEPT: usize = 2;

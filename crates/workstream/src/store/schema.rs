//! The tables, and how an older database becomes a newer one.
//!
//! `operations` is the truth. Every other table but `meta` can be made again from it:
//!
//! | table | holds |
//! |---|---|
//! | `meta` | which actor this store is, versions |
//! | `actors` | per actor: its last operation, its last time, everything it had seen by then |
//! | `operations` | the log, in the order of application (`position`) |
//! | `tasks` | each task's state and the columns that lists need |
//! | `task_labels`, `task_dependencies` | the sets, for look-ups from the other side |
//! | `comments` | comments by task, in their order |
//! | `memory` | each memory entry's state and value |
//! | `files` | what each file held when it and the store were the same; not from the log |
//! | `members` | what other actors say they have stored |
//!
//! A migration runs in one transaction, after a backup was taken; the version is SQLite's
//! `user_version`, which is part of that transaction.

use rusqlite::Connection;

/// Each migration, from version `index` to `index + 1`.
pub(super) const MIGRATIONS: &[&str] = &[VERSION_1, super::compact::MEMBERS, super::ledger::FILES];

/// The version that this code works with.
pub(super) fn version_known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful of migrations")
}

/// Returns the version of a database; 0 for an empty one.
pub(super) fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the tables to the known version.
pub(super) fn migrate(connection: &mut Connection, from: i64) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    let done = usize::try_from(from).unwrap_or(0);
    for migration in &MIGRATIONS[done..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", version_known())?;
    transaction.commit()
}

const VERSION_1: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE actors (
    actor BLOB PRIMARY KEY,
    sequence INTEGER NOT NULL,
    time INTEGER NOT NULL,
    known BLOB NOT NULL
) WITHOUT ROWID;

-- subject: a task's 16 bytes, `scope/key` as text, or NULL for what is not understood.
-- height: operations that its author had applied, this one included.
CREATE TABLE operations (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    actor BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    height INTEGER NOT NULL,
    subject,
    what INTEGER NOT NULL,
    bytes BLOB NOT NULL
);
CREATE UNIQUE INDEX operations_by_actor ON operations (actor, sequence);
CREATE INDEX operations_by_subject ON operations (subject, position);

CREATE TABLE tasks (
    id BLOB PRIMARY KEY,
    is_there INTEGER NOT NULL,
    title TEXT NOT NULL,
    status INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    role TEXT,
    assignee TEXT,
    parent BLOB,
    lease_holder TEXT,
    lease_until INTEGER,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    comments INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    is_revived INTEGER NOT NULL,
    labels TEXT NOT NULL,
    depends_on BLOB NOT NULL,
    state BLOB NOT NULL,
    body TEXT NOT NULL
);
-- Lists walk one of these per status and merge, so that a page costs its own length.
CREATE INDEX tasks_by_creation ON tasks (status, id) WHERE is_there;
CREATE INDEX tasks_by_priority ON tasks (status, priority, id) WHERE is_there;
CREATE INDEX tasks_by_update ON tasks (status, updated_at, id) WHERE is_there;
CREATE INDEX tasks_by_title ON tasks (status, title, id) WHERE is_there;
-- The most urgent first, the oldest of equals: the order of claims.
CREATE INDEX tasks_by_claim ON tasks (status, priority DESC, id) WHERE is_there;
CREATE INDEX tasks_by_role ON tasks (role, id) WHERE is_there AND role IS NOT NULL;
CREATE INDEX tasks_by_assignee ON tasks (assignee, id) WHERE is_there AND assignee IS NOT NULL;
CREATE INDEX tasks_by_parent ON tasks (parent, id) WHERE is_there AND parent IS NOT NULL;
CREATE INDEX tasks_by_lease ON tasks (lease_until) WHERE is_there AND lease_until IS NOT NULL;
CREATE INDEX tasks_by_conflict ON tasks (id)
    WHERE is_there AND (conflicts > 0 OR is_revived);

CREATE TABLE task_labels (
    label TEXT NOT NULL, task BLOB NOT NULL, PRIMARY KEY (label, task)
) WITHOUT ROWID;
CREATE TABLE task_dependencies (
    task BLOB NOT NULL, depends_on BLOB NOT NULL, PRIMARY KEY (task, depends_on)
) WITHOUT ROWID;

CREATE TABLE comments (
    task BLOB NOT NULL,
    time INTEGER NOT NULL,
    actor BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    part INTEGER NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (task, time, actor, sequence, part)
) WITHOUT ROWID;

CREATE TABLE memory (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    is_there INTEGER NOT NULL,
    format TEXT NOT NULL,
    author TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    state BLOB NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (scope, key)
);
";

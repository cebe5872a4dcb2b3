//! Compaction: forgetting operations that nobody needs any more.
//!
//! The tables of states are the snapshot; operations are needed beside them for others who have not
//! got them, as bases of merges, and for history. Those of a task or memory entry go when
//!
//! 1. every actor that ever wrote has acknowledged all of them, so whatever anybody writes from now
//!    on has seen them;
//! 2. its state is settled: one value per field, nothing to merge or decide;
//! 3. nobody has touched it for as long as history is kept, and the index has taken it up.
//!
//! The operation that wrote the text stays, as the base of the next merge. What went is covered by
//! the floor; who does not cover the floor cannot be sent operations and starts from a copy of the
//! store ([`snapshot`](crate::Workstream::snapshot)). Clocks do not change.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{ReadSubject, SubjectColumn};
use super::{history, tables};
use crate::core::VectorClock;
use crate::error::Error;
use crate::model::{ActorId, OperationId, Subject, Timestamp};

/// Notes what another actor says it has stored.
pub(crate) fn acknowledge(
    connection: &Connection,
    actor: ActorId,
    known: &VectorClock,
) -> Result<(), Error> {
    let mut all = acknowledged(connection, actor)?.unwrap_or_default();
    all.join(known);
    let mut statement = connection
        .prepare_cached("INSERT OR REPLACE INTO members (actor, known) VALUES (?1, ?2)")?;
    statement.execute(params![actor.to_bytes(), all.encode()])?;
    Ok(())
}

/// Lists subjects that may have operations to forget, up to `limit`, after the one at `after`.
pub(crate) fn candidates(
    connection: &Connection,
    position_max: u64,
    after: u64,
    limit: usize,
) -> Result<Vec<(u64, Subject)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT min(position), subject FROM operations WHERE subject IS NOT NULL
         GROUP BY subject
         HAVING count(*) > 1 AND max(position) <= ?1 AND min(position) > ?2
         ORDER BY min(position) LIMIT ?3",
    )?;
    let found = statement.query_map(params![position_max, after, limit], |row| {
        Ok((row.get(0)?, row.get::<_, ReadSubject>(1)?.0))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Forgets operations of one subject, if the rules allow it, and returns how many.
pub(crate) fn forget(
    connection: &Connection,
    subject: &Subject,
    before: Timestamp,
    cut: &VectorClock,
) -> Result<usize, Error> {
    let Some((is_settled, text, updated_at)) = state_of(connection, subject)? else {
        return Ok(0);
    };
    if !is_settled || updated_at >= before {
        return Ok(0);
    }
    let mut statement =
        connection.prepare_cached("SELECT actor, sequence FROM operations WHERE subject = ?1")?;
    let found = statement.query_map([SubjectColumn(subject)], |row| {
        let actor = ActorId::from_bytes(row.get(0)?);
        Ok(OperationId { actor, sequence: row.get(1)? })
    })?;
    let operations = found.collect::<Result<Vec<_>, _>>()?;
    if !operations.iter().all(|id| cut.covers(*id)) {
        return Ok(0);
    }
    let mut floor = floor(connection)?;
    let mut delete =
        connection.prepare_cached("DELETE FROM operations WHERE actor = ?1 AND sequence = ?2")?;
    let mut forgotten = 0;
    for id in operations.into_iter().filter(|id| Some(*id) != text) {
        forgotten += delete.execute(params![id.actor.to_bytes(), id.sequence])?;
        floor.advance(id.actor, id.sequence);
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('floor', ?1)")?
        .execute([floor.encode()])?;
    Ok(forgotten)
}

/// Returns what every actor has acknowledged; nothing as long as one of them has said nothing.
pub(crate) fn cut(connection: &Connection) -> Result<VectorClock, Error> {
    let own = history::actor(connection)?;
    let known = history::clock(connection)?;
    let mut cut = known.clone();
    for (actor, sequence) in known.iter().filter(|(actor, _)| *actor != own) {
        let Some(acknowledged) = acknowledged(connection, actor)? else {
            return Ok(VectorClock::default());
        };
        // Of its own operations, what it wrote by then has to be here already.
        if acknowledged.get(actor) > sequence {
            return Ok(VectorClock::default());
        }
        cut = cut.meet(&acknowledged);
    }
    Ok(cut)
}

/// Returns what has to be known for operations to be of use.
pub(crate) fn floor(connection: &Connection) -> Result<VectorClock, Error> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = 'floor'")?;
    let bytes: Option<Vec<u8>> = statement.query_row([], |row| row.get(0)).optional()?;
    bytes.map_or_else(|| Ok(VectorClock::default()), |bytes| Ok(VectorClock::decode(&bytes)?))
}

fn acknowledged(connection: &Connection, actor: ActorId) -> Result<Option<VectorClock>, Error> {
    let mut statement = connection.prepare_cached("SELECT known FROM members WHERE actor = ?1")?;
    let bytes: Option<Vec<u8>> =
        statement.query_row([actor.to_bytes()], |row| row.get(0)).optional()?;
    bytes.map(|bytes| Ok(VectorClock::decode(&bytes)?)).transpose()
}

/// Returns whether a state is settled, which operation wrote its text, and when it was changed
/// last.
fn state_of(
    connection: &Connection,
    subject: &Subject,
) -> Result<Option<(bool, Option<OperationId>, Timestamp)>, Error> {
    Ok(match subject {
        Subject::Task(id) => tables::task_state(connection, *id)?
            .map(|state| (state.is_settled(), state.text(), state.updated_at())),
        Subject::Memory(key) => tables::memory_state(connection, key)?
            .map(|(state, _)| (state.is_settled(), state.winner(), state.updated_at())),
        Subject::Unknown => None,
    })
}

/// Added by the second version of the tables.
pub(super) const MEMBERS: &str = "
CREATE TABLE members (actor BLOB PRIMARY KEY, known BLOB NOT NULL) WITHOUT ROWID;
";

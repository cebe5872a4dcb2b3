//! Which task is next. Runs in the writer's transaction, so one store gives a task to one holder.
//!
//! A task is ready for a holder when
//! - it is `todo` and assigned to nobody or to the holder, or it is `doing` under a lease that is
//!   over (whoever had it is gone),
//! - it is of the role that was asked for, or of none,
//! - everything it depends on is done, cancelled or deleted; what is not known here holds it back.

use rusqlite::{Connection, OptionalExtension, named_params};

use super::rows::IdColumn;
use crate::error::Error;
use crate::model::{Task, TaskId, Timestamp};

/// Returns the most urgent ready task, the oldest of equals.
pub(crate) fn next(
    connection: &Connection,
    holder: &str,
    role: Option<&str>,
    now: Timestamp,
) -> Result<Option<TaskId>, Error> {
    let fresh = format!(
        "SELECT id, priority FROM tasks WHERE is_there AND status = {TODO} AND {FREE} AND {SATISFIED}
         ORDER BY priority DESC, id LIMIT 1"
    );
    // The `+` keeps SQLite from walking everything that is being done instead of what is over.
    let abandoned = format!(
        "SELECT id, priority FROM tasks
         WHERE is_there AND lease_until <= :now AND +status = {DOING} AND {FREE} AND {SATISFIED}
         ORDER BY priority DESC, id LIMIT 1"
    );
    let mut best: Option<(i64, TaskId)> = None;
    for sql in [fresh, abandoned] {
        let bound = named_params! { ":now": now.unix_ms(), ":holder": holder, ":role": role };
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement
            .query_row(bound, |row| Ok((row.get::<_, i64>(1)?, row.get::<_, IdColumn>(0)?.0)))
            .optional()?;
        let is_better = |(priority, id): (i64, TaskId)| {
            best.is_none_or(|(best_priority, best_id)| {
                priority > best_priority || (priority == best_priority && id < best_id)
            })
        };
        if let Some(candidate) = found
            && is_better(candidate)
        {
            best = Some(candidate);
        }
    }
    Ok(best.map(|(_, id)| id))
}

/// Returns true when something that the task depends on is still open.
pub(crate) fn is_waiting(connection: &Connection, task: &Task) -> Result<bool, Error> {
    let sql = format!("SELECT 1 FROM tasks WHERE id = ?1 AND NOT {SATISFIED}");
    Ok(connection.prepare_cached(&sql)?.exists([IdColumn(task.id)])?)
}

/// Returns true when `from` comes to depend on `task` by way of others, or is a part of it.
pub(crate) fn would_circle(
    connection: &Connection,
    task: TaskId,
    from: &[TaskId],
    edge: Edge,
) -> Result<bool, Error> {
    let step = match edge {
        Edge::Dependency => {
            "SELECT edge.depends_on FROM task_dependencies edge JOIN way ON edge.task = way.id"
        }
        Edge::Parent => {
            "SELECT edge.parent FROM tasks edge JOIN way ON edge.id = way.id
             WHERE edge.parent IS NOT NULL"
        }
    };
    let sql = format!(
        "WITH RECURSIVE way (id) AS (VALUES (?1) UNION {step} LIMIT {WAY_MAX})
         SELECT 1 FROM way WHERE id = ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    for from in from {
        if statement.exists([IdColumn(*from), IdColumn(task)])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What leads from one task to another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edge {
    Dependency,
    Parent,
}

/// Statuses as numbers; a test holds them.
const TODO: i64 = 0;
const DOING: i64 = 1;

const FREE: &str = "
    (lease_until IS NULL OR lease_until <= :now OR lease_holder = :holder)
    AND (assignee IS NULL OR assignee = :holder OR lease_until <= :now)
    AND (:role IS NULL OR role IS NULL OR role = :role)";

const SATISFIED: &str = "
    NOT EXISTS (
        SELECT 1 FROM task_dependencies
        LEFT JOIN tasks other ON other.id = task_dependencies.depends_on
        WHERE task_dependencies.task = tasks.id
            AND (other.id IS NULL OR (other.is_there AND other.status NOT IN (3, 4))))";

/// Tasks that a search for a circle looks at.
const WAY_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use crate::store::rows;

    #[test]
    fn statuses_are_the_numbers_of_the_statements() {
        let numbers = Status::ALL.map(rows::status_number);
        assert_eq!(numbers, [TODO, DOING, 2, 3, 4]);
        assert!(rows::status(3).is_closed() && rows::status(4).is_closed());
    }
}

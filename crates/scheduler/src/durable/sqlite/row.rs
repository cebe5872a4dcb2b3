//! Jobs as rows: reading and writing them, one function per statement.

use std::time::Duration;

use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::core::{Priority, State};
use crate::durable::job::{Job, JobId, JobSpec, Work};
use crate::durable::progress::Progress;
use crate::durable::store::Count;

/// A job without its work.
#[derive(Clone, Debug)]
pub(super) struct Short {
    pub(super) id: JobId,
    pub(super) priority: Priority,
    pub(super) timeout: Option<Duration>,
    pub(super) retries: u32,
    pub(super) key: Option<String>,
    pub(super) progress: Progress,
}

impl Short {
    /// Joins it with its work.
    pub(super) fn with(self, work: Work) -> Job {
        let Self { id, priority, timeout, retries, key, progress } = self;
        Job { id, spec: JobSpec { work, priority, timeout, retries, key }, progress }
    }
}

pub(super) fn insert(connection: &Connection, job: &Job) -> rusqlite::Result<()> {
    let work = serde_json::to_vec(&job.spec.work).expect("work has string keys");
    let Job { spec, progress, .. } = job;
    let timeout_ms = spec.timeout.map(|timeout| timeout.as_millis() as i64);
    let mut statement = connection.prepare_cached(
        "INSERT INTO job VALUES (?1,?2,1,?3,?4,?5,?6,NULL,0,0,0,NULL,?7,?8,NULL,NULL,0,0,?9)",
    )?;
    statement.execute(params![
        blob(job.id),
        spec.priority as u8,
        progress.state as u8,
        timeout_ms,
        spec.retries,
        spec.key,
        progress.submitted_at_ms as i64,
        progress.ready_at_ms as i64,
        progress.version as i64,
    ])?;
    let mut statement = connection.prepare_cached("INSERT INTO work VALUES (?1,?2)")?;
    statement.execute(params![blob(job.id), work]).map(|_| ())
}

/// Writes a job's progress as it is at `now_ms`.
pub(super) fn update(
    connection: &Connection,
    id: JobId,
    progress: &Progress,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let phase = match progress.state {
        State::Pending if progress.ready_at_ms > now_ms => 0,
        State::Pending => 1,
        State::Running => 2,
        _ => 3,
    };
    let mut statement = connection.prepare_cached(
        "UPDATE job SET phase=?2, state=?3, reason=?4, attempts=?5, failures=?6, interruptions=?7,
         node=?8, ready_at_ms=?9, started_at_ms=?10, ended_at_ms=?11, lease_until_ms=?12,
         is_cancelling=?13, version=?14 WHERE id=?1",
    )?;
    statement
        .execute(params![
            blob(id),
            phase,
            progress.state as u8,
            progress.reason,
            progress.attempts,
            progress.failures,
            progress.interruptions,
            progress.node,
            progress.ready_at_ms as i64,
            progress.started_at_ms.map(|at| at as i64),
            progress.ended_at_ms.map(|at| at as i64),
            progress.lease_until_ms as i64,
            progress.is_cancelling,
            progress.version as i64,
        ])
        .map(|_| ())
}

/// Lets begin what has waited for its time.
pub(super) fn promote(connection: &Connection, now_ms: u64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("UPDATE job SET phase=1 WHERE phase=0 AND ready_at_ms<=?1")?
        .execute([now_ms as i64])
}

/// Returns jobs whose lease ended before `until_ms`.
pub(super) fn leased(
    connection: &Connection,
    until_ms: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Short>> {
    let sql = "SELECT * FROM job WHERE phase=2 AND lease_until_ms<=?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let until = i64::try_from(until_ms).unwrap_or(i64::MAX);
    statement.query_map(params![until, limit as i64], short)?.collect()
}

/// Returns the oldest jobs of a priority that may begin.
pub(super) fn ready(
    connection: &Connection,
    priority: Priority,
    limit: usize,
) -> rusqlite::Result<Vec<Short>> {
    let sql = "SELECT * FROM job WHERE phase=1 AND priority=?1 ORDER BY id LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(params![priority as u8, limit as i64], short)?.collect()
}

pub(super) fn progress(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Short>> {
    let mut statement = connection.prepare_cached("SELECT * FROM job WHERE id=?1")?;
    statement.query_row([blob(id)], short).optional()
}

pub(super) fn with_key(connection: &Connection, key: &str) -> rusqlite::Result<Option<JobId>> {
    let mut statement = connection.prepare_cached("SELECT id FROM job WHERE key=?1")?;
    statement.query_row([key], |row| id(row, 0)).optional()
}

pub(super) fn work(connection: &Connection, id: JobId) -> rusqlite::Result<Work> {
    let mut statement = connection.prepare_cached("SELECT work FROM work WHERE id=?1")?;
    statement.query_row([blob(id)], |row| {
        let bytes: Vec<u8> = row.get(0)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error))
        })
    })
}

pub(super) fn find(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Job>> {
    progress(connection, id)?.map(|short| Ok(short.with(work(connection, id)?))).transpose()
}

/// Returns jobs, the newest first, older than `after`.
pub(super) fn list(
    connection: &Connection,
    state: Option<State>,
    priority: Option<Priority>,
    after: Option<JobId>,
    limit: usize,
) -> rusqlite::Result<Vec<Job>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM job WHERE id<?1 AND (?2 IS NULL OR state=?2)
         AND (?3 IS NULL OR priority=?3) ORDER BY id DESC LIMIT ?4",
    )?;
    // Longer than any id, so above all of them.
    let before = after.map_or(vec![u8::MAX; 17], |after| blob(after).to_vec());
    let state = state.map(|state| state as u8);
    let priority = priority.map(|priority| priority as u8);
    let rows = statement.query_map(params![before, state, priority, limit as i64], short)?;
    rows.map(|short| short.and_then(|short| Ok((work(connection, short.id)?, short))))
        .map(|pair| pair.map(|(work, short)| short.with(work)))
        .collect()
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<Count>> {
    let sql = "SELECT state, priority, count(*) FROM job GROUP BY state, priority";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        let jobs: i64 = row.get(2)?;
        Ok(Count { state: state(row, 0)?, priority: priority(row, 1)?, jobs: jobs as u64 })
    })?;
    rows.collect()
}

/// Counts the jobs that wait.
pub(super) fn waiting(connection: &Connection) -> rusqlite::Result<u64> {
    let count = |sql| -> rusqlite::Result<i64> {
        connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
    };
    let delayed = count("SELECT count(*) FROM job WHERE phase=0")?;
    Ok((delayed + count("SELECT count(*) FROM job WHERE phase=1")?) as u64)
}

/// Returns the longest ended jobs, as far as they ended before `before_ms` or there are more than
/// `keep_count`.
pub(super) fn stale(
    connection: &Connection,
    before_ms: u64,
    keep_count: u64,
    limit: usize,
) -> rusqlite::Result<Vec<JobId>> {
    let sql = "SELECT count(*) FROM job WHERE phase=3";
    let ended: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let excess = (ended as u64).saturating_sub(keep_count).min(limit as u64) as usize;
    let sql = "SELECT id, ended_at_ms FROM job WHERE phase=3 ORDER BY ended_at_ms LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([limit as i64], |row| {
        let ended: i64 = row.get(1)?;
        Ok((id(row, 0)?, ended as u64))
    })?;
    let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    let is_stale = |(at, (_, ended)): &(usize, (JobId, u64))| *at < excess || *ended < before_ms;
    Ok(rows.into_iter().enumerate().filter(is_stale).map(|(_, (id, _))| id).collect())
}

pub(super) fn delete(connection: &Connection, id: JobId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM job WHERE id=?1")?.execute([blob(id)])?;
    connection.prepare_cached("DELETE FROM work WHERE id=?1")?.execute([blob(id)]).map(|_| ())
}

fn short(row: &Row<'_>) -> rusqlite::Result<Short> {
    let ms = |index| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(index)?.max(0) as u64) };
    let maybe_ms = |index| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(index)?.map(|ms| ms.max(0) as u64))
    };
    Ok(Short {
        id: id(row, 0)?,
        priority: priority(row, 1)?,
        timeout: maybe_ms(4)?.map(Duration::from_millis),
        retries: row.get(5)?,
        key: row.get(6)?,
        progress: Progress {
            state: state(row, 3)?,
            reason: row.get(7)?,
            attempts: row.get(8)?,
            failures: row.get(9)?,
            interruptions: row.get(10)?,
            node: row.get(11)?,
            submitted_at_ms: ms(12)?,
            ready_at_ms: ms(13)?,
            started_at_ms: maybe_ms(14)?,
            ended_at_ms: maybe_ms(15)?,
            lease_until_ms: ms(16)?,
            is_cancelling: row.get(17)?,
            version: ms(18)?,
        },
    })
}

fn blob(id: JobId) -> [u8; 16] {
    id.as_u128().to_be_bytes()
}

fn id(row: &Row<'_>, index: usize) -> rusqlite::Result<JobId> {
    let bytes: [u8; 16] = row.get(index)?;
    Ok(JobId::from_u128(u128::from_be_bytes(bytes)))
}

fn state(row: &Row<'_>, index: usize) -> rusqlite::Result<State> {
    let number = usize::from(row.get::<_, u8>(index)?);
    State::ALL.get(number).copied().ok_or_else(|| out_of_range(index, number))
}

fn priority(row: &Row<'_>, index: usize) -> rusqlite::Result<Priority> {
    let number = usize::from(row.get::<_, u8>(index)?);
    Priority::ALL.get(number).copied().ok_or_else(|| out_of_range(index, number))
}

fn out_of_range(index: usize, number: usize) -> rusqlite::Error {
    let error = FromSqlError::OutOfRange(number as i64);
    rusqlite::Error::FromSqlConversionFailure(index, Type::Integer, Box::new(error))
}

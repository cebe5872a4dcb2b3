//! What each request does inside the transaction of the writer.
//!
//! Rows are read, changed by the rules in `progress` and written back. How many jobs wait is kept
//! in memory and counted again after anything was undone or another process wrote.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::row::{self, Short};
use super::{SqliteOptions, schema};
use crate::core::{AGING_SHARE, Priority, State};
use crate::durable::clock;
use crate::durable::error::Error;
use crate::durable::job::{Ids, Job, JobId, JobSpec};
use crate::durable::progress::{Cancelled, Claiming, End, Ended, Progress};
use crate::durable::store::{AGING, CLAIM_MAX, Claim, Claims, Lease, Renewed, Submitted};

/// The connection that writes, and what is known beside it.
pub(super) struct Ledger {
    connection: Connection,
    options: SqliteOptions,
    ids: Ids,
    /// Jobs that wait, when they have been counted.
    waiting: Option<u64>,
    /// Changes when another connection commits.
    data_version: i64,
    /// Counts claimed jobs, to know whose turn it is.
    turns: u64,
    /// Something may be claimed that could not before.
    has_news: bool,
}

impl Ledger {
    pub(super) fn new(connection: Connection, options: SqliteOptions) -> Self {
        let ids = Ids::default();
        let (waiting, data_version, turns, has_news) = (None, 0, 0, false);
        Self { connection, options, ids, waiting, data_version, turns, has_news }
    }

    pub(super) fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    pub(super) fn path(&self) -> &Path {
        &self.options.path
    }

    /// Takes note that something was undone.
    pub(super) fn rolled_back(&mut self) {
        self.waiting = None;
    }

    /// Returns once whether there may be something new to claim.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    pub(super) fn submit(&mut self, specs: &[JobSpec]) -> Result<Vec<Submitted>, Error> {
        let now_ms = clock::now_ms();
        let mut submitted = Vec::with_capacity(specs.len());
        for spec in specs {
            submitted.push(match self.known(spec)? {
                Some(id) => Submitted::new(id, false),
                None => self.insert(spec, now_ms)?,
            });
        }
        self.has_news = true;
        Ok(submitted)
    }

    pub(super) fn claim(&mut self, claims: &Claims) -> Result<Vec<Claim>, Error> {
        let now_ms = clock::now_ms();
        self.sql(row::promote(&self.connection, now_ms))?;
        self.expire(now_ms)?;
        let count = claims.count.min(CLAIM_MAX);
        let mut begun = Vec::new();
        while begun.len() < count {
            let is_turn_of_the_oldest = self.turns.is_multiple_of(u64::from(AGING_SHARE));
            let overdue = match is_turn_of_the_oldest {
                true => self.overdue(claims.least, now_ms)?,
                false => None,
            };
            let until_turn = AGING_SHARE as usize - (self.turns % u64::from(AGING_SHARE)) as usize;
            let some = match overdue {
                Some(short) => vec![short],
                None => self.most_urgent(claims.least, until_turn.min(count - begun.len()))?,
            };
            if some.is_empty() {
                break;
            }
            self.turns += some.len() as u64;
            for short in some {
                begun.extend(self.begin(short, claims, now_ms)?);
            }
        }
        Ok(begun)
    }

    pub(super) fn renew(&mut self, lease: &Lease) -> Result<Renewed, Error> {
        let now_ms = clock::now_ms();
        let Some(mut short) = self.sql(row::progress(&self.connection, lease.job))? else {
            return Ok(Renewed::Lost);
        };
        match short.progress.renew(lease.number, now_ms, lease.length) {
            Err(_) => Ok(Renewed::Lost),
            Ok(is_cancelling) => {
                self.save(short.id, State::Running, &short.progress, now_ms)?;
                Ok(if is_cancelling { Renewed::Cancelling } else { Renewed::Held })
            }
        }
    }

    pub(super) fn finish(&mut self, lease: &Lease, end: &End) -> Result<Ended, Error> {
        let now_ms = clock::now_ms();
        let mut short = self.known_job(lease.job)?;
        let before = short.progress.state;
        let Short { retries, ref mut progress, .. } = short;
        let ended = progress
            .end(lease.number, end, retries, now_ms, fastrand::u64(..))
            .map_err(|_| Error::Fenced { job: lease.job, number: lease.number })?;
        if !before.is_final() {
            self.save(short.id, before, &short.progress, now_ms)?;
        }
        Ok(ended)
    }

    pub(super) fn cancel(&mut self, id: JobId, version: Option<u64>) -> Result<Cancelled, Error> {
        let now_ms = clock::now_ms();
        let mut short = self.known_job(id)?;
        let known = short.progress.version;
        if version.is_some_and(|version| version != known) {
            return Err(Error::Changed { version: known });
        }
        let before = short.progress.state;
        let cancelled = short.progress.cancel(now_ms);
        self.save(id, before, &short.progress, now_ms)?;
        Ok(cancelled)
    }

    pub(super) fn take_over(&mut self) -> Result<Vec<JobId>, Error> {
        let now_ms = clock::now_ms();
        let leased = self.sql(row::leased(&self.connection, u64::MAX, usize::MAX >> 1))?;
        leased.into_iter().map(|short| self.interrupt(short, now_ms)).collect()
    }

    pub(super) fn forget(&mut self) -> Result<Vec<JobId>, Error> {
        let keep_ms = u64::try_from(self.options.keep_age.as_millis()).unwrap_or(u64::MAX);
        let before_ms = clock::now_ms().saturating_sub(keep_ms);
        let keep_count = self.options.keep_count;
        let stale = row::stale(&self.connection, before_ms, keep_count, FORGET_MAX);
        let stale = self.sql(stale)?;
        for id in &stale {
            self.sql(row::delete(&self.connection, *id))?;
        }
        Ok(stale)
    }

    /// Returns the job that this spec's key names.
    fn known(&self, spec: &JobSpec) -> Result<Option<JobId>, Error> {
        let Some(key) = &spec.key else { return Ok(None) };
        let Some(id) = self.sql(row::with_key(&self.connection, key))? else { return Ok(None) };
        if self.sql(row::work(&self.connection, id))? != spec.work {
            return Err(Error::KeyTaken { job: id });
        }
        Ok(Some(id))
    }

    fn insert(&mut self, spec: &JobSpec, now_ms: u64) -> Result<Submitted, Error> {
        let max = self.options.waiting_max;
        if self.waiting()? >= max {
            return Err(Error::Full { max });
        }
        let id = self.ids.next(now_ms);
        let job = Job { id, spec: spec.clone(), progress: Progress::submitted(now_ms) };
        self.sql(row::insert(&self.connection, &job))?;
        self.waiting = self.waiting.map(|waiting| waiting + 1);
        Ok(Submitted::new(id, true))
    }

    /// Ends leases whose time is over.
    fn expire(&mut self, now_ms: u64) -> Result<(), Error> {
        let expired = self.sql(row::leased(&self.connection, now_ms, CLAIM_MAX))?;
        expired.into_iter().try_for_each(|short| self.interrupt(short, now_ms).map(|_| ()))
    }

    fn interrupt(&mut self, mut short: Short, now_ms: u64) -> Result<JobId, Error> {
        short.progress.interrupt(now_ms);
        self.save(short.id, State::Running, &short.progress, now_ms)?;
        Ok(short.id)
    }

    /// Returns the job that could have begun for longest, when that is too long.
    fn overdue(&self, least: Priority, now_ms: u64) -> Result<Option<Short>, Error> {
        let mut oldest: Option<Short> = None;
        for priority in Priority::ALL.into_iter().filter(|priority| *priority >= least) {
            let first = self.sql(row::ready(&self.connection, priority, 1))?.pop();
            let ready_at = |short: &Option<Short>| short.as_ref().map(|s| s.progress.ready_at_ms);
            if first.is_some() && (oldest.is_none() || ready_at(&first) < ready_at(&oldest)) {
                oldest = first;
            }
        }
        let waited = |short: &Short| now_ms.saturating_sub(short.progress.ready_at_ms);
        Ok(oldest.filter(|short| Duration::from_millis(waited(short)) >= AGING))
    }

    fn most_urgent(&self, least: Priority, count: usize) -> Result<Vec<Short>, Error> {
        let mut found = Vec::new();
        for priority in Priority::ALL.into_iter().rev().filter(|priority| *priority >= least) {
            if found.len() < count {
                let more = row::ready(&self.connection, priority, count - found.len());
                found.extend(self.sql(more)?);
            }
        }
        Ok(found)
    }

    fn begin(
        &mut self,
        mut short: Short,
        claims: &Claims,
        now_ms: u64,
    ) -> Result<Option<Claim>, Error> {
        let before = short.progress.state;
        // What is ready by its index is so by its time, unless the clock went back.
        let Claiming::Begun(number) = short.progress.claim(&claims.node, now_ms, claims.lease)
        else {
            self.save(short.id, before, &short.progress, now_ms)?;
            return Ok(None);
        };
        self.save(short.id, before, &short.progress, now_ms)?;
        let work = self.sql(row::work(&self.connection, short.id))?;
        let lease = Lease { job: short.id, number, length: claims.lease };
        Ok(Some(Claim { job: short.with(work), lease }))
    }

    fn save(
        &mut self,
        id: JobId,
        before: State,
        progress: &Progress,
        now_ms: u64,
    ) -> Result<(), Error> {
        self.sql(row::update(&self.connection, id, progress, now_ms))?;
        let count = |state| u64::from(state == State::Pending);
        self.waiting = self
            .waiting
            .map(|waiting| (waiting + count(progress.state)).saturating_sub(count(before)));
        self.has_news |= progress.state == State::Pending;
        Ok(())
    }

    fn waiting(&mut self) -> Result<u64, Error> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        let version: i64 = self.sql(version)?;
        let waiting = match self.waiting {
            Some(waiting) if version == self.data_version => waiting,
            _ => self.sql(row::waiting(&self.connection))?,
        };
        (self.waiting, self.data_version) = (Some(waiting), version);
        Ok(waiting)
    }

    fn known_job(&self, id: JobId) -> Result<Short, Error> {
        self.sql(row::progress(&self.connection, id))?.ok_or(Error::Unknown(id))
    }

    fn sql<T>(&self, result: rusqlite::Result<T>) -> Result<T, Error> {
        result.map_err(|error| schema::failure(&self.options.path, "write", &error))
    }
}

/// Records that one call forgets.
const FORGET_MAX: usize = 1_000;

//! Jobs of one machine, in one SQLite file.
//!
//! ```text
//! many callers --requests, bounded--> one writer thread: BEGIN, up to 256 requests, COMMIT
//!                                                        then every answer
//! readers -----------------------------------> one read-only connection, blocking threads
//! ```
//!
//! The file is in WAL mode with `synchronous = FULL`: a commit is on the disk before anybody is
//! answered, so what was acknowledged survives a crash of the process, the system and the power.
//! Requests that come while a commit is under way share the next one. Each request is a savepoint
//! of its own: one that fails undoes itself and none of its neighbours.
//!
//! Leases are times in the file. A process that knows that it is the file's only runner (the node
//! holds a lock on its folder) ends the leases of its predecessor with [`SqliteStore::take_over`].
//! Submitting needs no runner: any process may open the file and add jobs.

mod ledger;
mod row;
mod schema;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Notify;

use super::error::Error;
use super::job::{Job, JobId, JobSpec};
use super::progress::{Cancelled, End, Ended};
use super::store::{
    Answer, Claim, Claims, Count, Filter, JobStore, LIST_MAX, Lease, Page, Renewed, SUBMIT_MAX,
    Submitted,
};
use writer::Writer;

/// Where the file is and how much it holds.
///
/// # Defaults
///
/// [`SqliteOptions::new`]: 100,000 waiting jobs; 10,000 ended ones for a week; a file of any size.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file; made where it is missing, in a folder that exists.
    pub path: PathBuf,
    /// Jobs that wait at most.
    pub waiting_max: u64,
    /// Ended jobs that are remembered.
    pub keep_count: u64,
    /// How long they are.
    pub keep_age: Duration,
    /// The file grows no larger.
    pub bytes_max: Option<u64>,
}

impl SqliteOptions {
    /// Returns the defaults for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            waiting_max: 100_000,
            keep_count: 10_000,
            keep_age: Duration::from_secs(7 * 86_400),
            bytes_max: None,
        }
    }
}

/// The open file. Clones of the handle share it; the writer ends with the last one.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    writer: Writer,
    reader: Mutex<Connection>,
    changed: Arc<Notify>,
}

impl SqliteStore {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it is not a store of this version, or not whole;
    /// [`Error::Unavailable`] when the system does not let it be opened.
    pub fn open(options: SqliteOptions) -> Result<Self, Error> {
        let path = options.path.clone();
        let connection = schema::open(&options)?;
        let reader = schema::open_reader(&path)?;
        let changed = Arc::new(Notify::new());
        let writer = Writer::start(connection, options, Arc::clone(&changed))?;
        Ok(Self { shared: Arc::new(Shared { path, writer, reader: Mutex::new(reader), changed }) })
    }

    /// Ends every lease, because their holders are known to be gone; returns their jobs.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the file cannot be written.
    pub async fn take_over(&self) -> Result<Vec<JobId>, Error> {
        self.shared.writer.ask(|ledger| ledger.take_over()).await
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Runs a query off the async threads.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            let connection = shared.reader.lock().unwrap_or_else(PoisonError::into_inner);
            query(&connection).map_err(|error| schema::failure(&shared.path, "read", &error))
        };
        Box::pin(async {
            let result = tokio::task::spawn_blocking(read).await;
            result
                .unwrap_or_else(|error| Err(Error::Unavailable(format!("a query broke: {error}"))))
        })
    }
}

impl JobStore for SqliteStore {
    fn submit(&self, jobs: Vec<JobSpec>) -> Answer<'_, Vec<Submitted>> {
        Box::pin(async move {
            jobs.iter().try_for_each(JobSpec::check)?;
            if jobs.len() > SUBMIT_MAX {
                return Err(Error::Invalid(format!("submit at most {SUBMIT_MAX} jobs at once")));
            }
            self.shared.writer.ask(move |ledger| ledger.submit(&jobs)).await
        })
    }

    fn claim(&self, claims: Claims) -> Answer<'_, Vec<Claim>> {
        self.shared.writer.ask(move |ledger| ledger.claim(&claims))
    }

    fn renew(&self, lease: &Lease) -> Answer<'_, Renewed> {
        let lease = lease.clone();
        self.shared.writer.ask(move |ledger| ledger.renew(&lease))
    }

    fn finish(&self, lease: &Lease, end: End) -> Answer<'_, Ended> {
        let lease = lease.clone();
        self.shared.writer.ask(move |ledger| ledger.finish(&lease, &end))
    }

    fn cancel(&self, id: JobId, version: Option<u64>) -> Answer<'_, Cancelled> {
        self.shared.writer.ask(move |ledger| ledger.cancel(id, version))
    }

    fn find(&self, id: JobId) -> Answer<'_, Option<Job>> {
        self.read(move |connection| row::find(connection, id))
    }

    fn list(&self, filter: Filter) -> Answer<'_, Page> {
        let Ok(after) = filter.after.as_deref().map(str::parse::<JobId>).transpose() else {
            let wrong = "`after` is no cursor of a page before".to_owned();
            return Box::pin(std::future::ready(Err(Error::Invalid(wrong))));
        };
        let limit = filter.limit.clamp(1, LIST_MAX);
        self.read(move |connection| {
            let mut jobs = row::list(connection, filter.state, filter.priority, after, limit + 1)?;
            let has_more = jobs.len() > limit;
            jobs.truncate(limit);
            let next = jobs.last().filter(|_| has_more).map(|job| job.id.to_string());
            Ok(Page { jobs, next })
        })
    }

    fn counts(&self) -> Answer<'_, Vec<Count>> {
        self.read(row::counts)
    }

    fn forget(&self) -> Answer<'_, Vec<JobId>> {
        self.shared.writer.ask(|ledger| ledger.forget())
    }

    fn wait(&self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            // Either way the caller looks.
            let _ = tokio::time::timeout(at_most, self.shared.changed.notified()).await;
        })
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

//! The one writer: a thread that takes requests from a bounded queue and commits them in batches.
//!
//! ```text
//! wait for a request ─▶ BEGIN ─▶ run it and what else waits, up to 128 ─▶ COMMIT ─▶ answer all
//! ```
//!
//! Nothing is answered before its batch was committed, and after a failed commit everything of the
//! batch is answered with the failure. Each request runs in a savepoint of its own: one that is
//! refused leaves no trace and does not touch its neighbours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::batch::{Batch, Marks};
use super::signal::Signal;
use crate::clock::Clock;
use crate::core::Inbox;
use crate::error::{Error, Kind};
use crate::model::Change;

/// Requests on their way to the writer.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Job>,
    batches: Arc<AtomicU64>,
}

/// What the writer tells after a commit.
#[derive(Debug, Clone)]
pub(crate) struct Announcements {
    /// Each change.
    pub(crate) changes: broadcast::Sender<Change>,
    /// The position of the last one.
    pub(crate) position: watch::Sender<u64>,
    /// That there are any.
    pub(crate) signal: Arc<Signal>,
}

/// A request: runs in the batch, or is told that the batch failed before its turn; in both cases it
/// is told in the end how the batch went.
struct Job(Box<RunInBatch>);

type RunInBatch = dyn FnOnce(Result<&mut Batch<'_>, Failure>) -> Ran + Send;

/// What a request left: whether its writes are to be kept, and how to answer it.
struct Ran {
    verdict: Verdict,
    answer: Box<dyn FnOnce(Option<Failure>) + Send>,
}

enum Verdict {
    Keep,
    Refuse,
    /// The database failed; nothing of the batch can be trusted to be complete.
    Abandon(Failure),
}

/// Why a batch was not committed; goes to everybody in it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    is_full: bool,
    detail: String,
}

impl Writer {
    /// Starts the thread. `finish` runs on it after the last request.
    pub(super) fn start(
        connection: Connection,
        marks: Marks,
        clock: Clock,
        announcements: Announcements,
        finish: impl FnOnce(Connection) + Send + 'static,
    ) -> Result<(Self, JoinHandle<()>), std::io::Error> {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let batches = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&batches);
        let thread = std::thread::Builder::new().name("workstream-write".to_owned());
        let thread = thread.spawn(move || {
            let inbox = Inbox::new(INBOX_BYTES_MAX);
            let mut run = Run { connection, marks, inbox, clock, announcements, batches: counted };
            run.until_closed(requests);
            finish(run.connection);
        })?;
        Ok((Self { queue, batches }, thread))
    }

    /// Asks the writer; waits while its queue is full.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&mut Batch<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = oneshot::channel();
        let job = Job(Box::new(move |batch| {
            let result = match batch {
                Ok(batch) => request(batch),
                Err(failure) => Err(failure.into()),
            };
            let verdict = match &result {
                Ok(_) => Verdict::Keep,
                Err(error) => match Failure::of(error) {
                    Some(failure) => Verdict::Abandon(failure),
                    None => Verdict::Refuse,
                },
            };
            let answer = move |failure: Option<Failure>| {
                let result = match failure {
                    Some(failure) if result.is_ok() => Err(failure.into()),
                    _ => result,
                };
                // Whoever asked may have stopped waiting.
                drop(sender.send(result));
            };
            Ran { verdict, answer: Box::new(answer) }
        }));
        self.queue.send(job).await.map_err(|_| Kind::Closed)?;
        receiver.await.map_err(|_| Kind::Closed)?
    }

    /// Returns how many requests wait.
    pub(crate) fn queued(&self) -> u64 {
        (self.queue.max_capacity() - self.queue.capacity()) as u64
    }

    /// Returns how many batches were committed.
    pub(crate) fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }
}

/// The thread's own.
struct Run {
    connection: Connection,
    marks: Marks,
    /// Operations that came too early. What a failed batch took from it has to be sent again.
    inbox: Inbox,
    clock: Clock,
    announcements: Announcements,
    batches: Arc<AtomicU64>,
}

impl Run {
    fn until_closed(&mut self, mut requests: mpsc::Receiver<Job>) {
        while let Some(first) = requests.blocking_recv() {
            let mut jobs = vec![first];
            while jobs.len() < BATCH_MAX {
                let Ok(job) = requests.try_recv() else { break };
                jobs.push(job);
            }
            self.batch(jobs);
        }
    }

    fn batch(&mut self, jobs: Vec<Job>) {
        let before = self.marks.clone();
        let mut answers = Vec::with_capacity(jobs.len());
        let done = self.run(jobs, &mut answers);
        let failure = match done {
            Ok(changes) => {
                self.batches.fetch_add(1, Ordering::Relaxed);
                self.announce(changes);
                None
            }
            Err(failure) => {
                // A failed commit may have ended the transaction by itself.
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "cannot roll back");
                }
                self.marks = before;
                Some(failure)
            }
        };
        for answer in answers {
            answer(failure.clone());
        }
    }

    /// Runs requests and commits; every request leaves its answer.
    fn run(
        &mut self,
        jobs: Vec<Job>,
        answers: &mut Vec<Box<dyn FnOnce(Option<Failure>) + Send>>,
    ) -> Result<Vec<Change>, Failure> {
        let begun = self.connection.execute_batch("BEGIN IMMEDIATE");
        let mut failure = begun.err().map(Failure::from);
        let mut changes = Vec::new();
        for job in jobs {
            let ran = match &failure {
                Some(failure) => (job.0)(Err(failure.clone())),
                None => match self.run_one(job, &mut changes) {
                    Ok(ran) => ran,
                    Err((ran, error)) => {
                        failure = Some(error);
                        ran
                    }
                },
            };
            answers.push(ran.answer);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.connection.execute_batch("COMMIT").map_err(Failure::from)?;
        Ok(changes)
    }

    /// Runs one request in a savepoint of its own.
    fn run_one(&mut self, job: Job, changes: &mut Vec<Change>) -> Result<Ran, (Ran, Failure)> {
        if let Err(error) = self.connection.execute_batch("SAVEPOINT request") {
            let failure = Failure::from(error);
            return Err(((job.0)(Err(failure.clone())), failure));
        }
        let before = self.marks.clone();
        let now = self.clock.now();
        let mut batch = Batch::new(&self.connection, &mut self.marks, &mut self.inbox, now);
        let ran = (job.0)(Ok(&mut batch));
        let new_changes = batch.into_changes();
        let end = match &ran.verdict {
            Verdict::Keep => {
                changes.extend(new_changes);
                "RELEASE request"
            }
            Verdict::Refuse => {
                self.marks = before;
                "ROLLBACK TO request; RELEASE request"
            }
            Verdict::Abandon(failure) => {
                let failure = failure.clone();
                return Err((ran, failure));
            }
        };
        match self.connection.execute_batch(end) {
            Ok(()) => Ok(ran),
            Err(error) => Err((ran, error.into())),
        }
    }

    fn announce(&self, changes: Vec<Change>) {
        let Some(last) = changes.last() else { return };
        let position = last.position;
        for change in changes {
            // Nobody has to listen.
            drop(self.announcements.changes.send(change));
        }
        self.announcements.position.send_replace(position);
        self.announcements.signal.stored();
    }
}

impl Failure {
    fn of(error: &Error) -> Option<Self> {
        let (is_full, detail) = error.storage_failure()?;
        Some(Self { is_full, detail })
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::of(&Error::from(error)).expect("an error of the database is a failure of storage")
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let Failure { is_full, detail } = failure;
        if is_full { Kind::Full(detail).into() } else { Kind::Batch(detail).into() }
    }
}

/// Requests that wait for the writer.
pub(crate) const QUEUE_MAX: usize = 1_024;
/// Bytes of operations that wait for their predecessors.
const INBOX_BYTES_MAX: usize = 16 << 20;
/// Requests of one transaction.
const BATCH_MAX: usize = 128;

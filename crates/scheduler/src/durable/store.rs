//! What a store of durable jobs has to do.
//!
//! A store is asked concurrently and answers when what it says is durable. Calls may be repeated
//! after an error that [is retryable](super::Error::is_retryable): a submission with a key is the
//! same job again, an end that is recorded is recorded once.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use super::error::Error;
use super::job::{Job, JobId, JobSpec};
use super::progress::{Cancelled, End, Ended, NodeName};
use crate::core::{Priority, State};

/// An answer that a store is still at work on.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Where jobs are kept. Everything is durable when the answer comes.
pub trait JobStore: Send + Sync + fmt::Debug {
    /// Takes jobs in, all or none of those that are new; answers in their order.
    fn submit(&self, jobs: Vec<JobSpec>) -> Answer<'_, Vec<Submitted>>;

    /// Begins up to [`Claims::count`] jobs, the most urgent first. What is overdue for
    /// [`AGING`] comes first in one of [`AGING_SHARE`](crate::core::AGING_SHARE) claims.
    fn claim(&self, claims: Claims) -> Answer<'_, Vec<Claim>>;

    /// Holds on to a lease for its whole length from now.
    fn renew(&self, lease: &Lease) -> Answer<'_, Renewed>;

    /// Records how an attempt ended. [`Error::Fenced`] when the lease is over.
    fn finish(&self, lease: &Lease, end: End) -> Answer<'_, Ended>;

    /// Asks for a job's end; with a version, only if it is still at that one.
    fn cancel(&self, id: JobId, version: Option<u64>) -> Answer<'_, Cancelled>;

    /// Returns a job, or nothing when it is not known.
    fn find(&self, id: JobId) -> Answer<'_, Option<Job>>;

    /// Returns jobs page by page.
    fn list(&self, filter: Filter) -> Answer<'_, Page>;

    /// Counts jobs by state and priority.
    fn counts(&self) -> Answer<'_, Vec<Count>>;

    /// Forgets ended jobs beyond its bounds, a bounded number at a time; returns which.
    fn forget(&self) -> Answer<'_, Vec<JobId>>;

    /// Returns when there may be something new to claim, after `at_most` in any case.
    fn wait(&self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// What became of one submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Submitted {
    /// The job.
    pub id: JobId,
    /// False when the key had been submitted before.
    pub is_new: bool,
}

impl Submitted {
    /// Returns the answer for a job.
    pub const fn new(id: JobId, is_new: bool) -> Self {
        Self { id, is_new }
    }
}

/// How many jobs a runner would begin.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Who asks.
    pub node: NodeName,
    /// At most so many.
    pub count: usize,
    /// Only jobs of this priority and above.
    pub least: Priority,
    /// How long a lease holds without renewal.
    pub lease: Duration,
}

/// A job that was begun, and the right to end it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job as it was begun.
    pub job: Job,
    /// The right to end it.
    pub lease: Lease,
}

/// The right to end a job, until somebody has a newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Counts the job's leases; a higher one fences the lower ones.
    pub number: u32,
    /// How long it holds without renewal.
    pub length: Duration,
}

/// What a renewal tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Renewed {
    /// It is held.
    Held,
    /// It is held, and somebody asked for the job's end.
    Cancelling,
    /// Somebody else has a newer one.
    Lost,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only of this priority.
    pub priority: Option<Priority>,
    /// At most so many, 1 to [`LIST_MAX`].
    pub limit: usize,
    /// The cursor of the page before.
    pub after: Option<String>,
}

/// Some jobs, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The cursor of the next page, when there may be one.
    pub next: Option<String>,
}

/// How many jobs are in one state and of one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The state.
    pub state: State,
    /// The priority.
    pub priority: Priority,
    /// How many.
    pub jobs: u64,
}

/// Jobs of one submission at most.
pub(crate) const SUBMIT_MAX: usize = 10_000;

/// Jobs of one claim at most.
pub(crate) const CLAIM_MAX: usize = 256;

/// Jobs of one page at most.
pub(crate) const LIST_MAX: usize = 1_000;

/// A job that could have begun for this long is overdue.
pub(crate) const AGING: Duration = Duration::from_secs(60);

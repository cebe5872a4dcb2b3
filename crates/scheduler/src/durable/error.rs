//! Why a store or a runner could not do what it was asked.

use super::job::JobId;

/// A failure, with whose fault it is and whether a second attempt is worth making.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asks for what can never be.
    #[error("{0}")]
    Invalid(String),
    /// The work is larger than a store takes.
    #[error(
        "the job's work has {bytes} bytes; at most {max} are taken: pass a file's name instead"
    )]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// As many jobs wait as may.
    #[error("the queue is full: {max} jobs wait; submit again when some have ended")]
    Full {
        /// How many may wait.
        max: u64,
    },
    /// The key belongs to a job with other work.
    #[error("the key belongs to job {job}, whose work is another; choose a new key")]
    KeyTaken {
        /// The job that has it.
        job: JobId,
    },
    /// Nobody knows the job; it may have ended so long ago that its record is gone.
    #[error("no job has the id {0}")]
    Unknown(JobId),
    /// The job changed since it was read.
    #[error("the job is at version {version} by now; read it again")]
    Changed {
        /// Its version now.
        version: u64,
    },
    /// The lease ended and the job went on to somebody else, whose end counts.
    #[error("lease {number} of job {job} is no longer held; what it did does not count")]
    Fenced {
        /// The job.
        job: JobId,
        /// The lease that is over.
        number: u32,
    },
    /// The store's file is not one, or not whole.
    #[error("{0}")]
    Damaged(String),
    /// The engine of the store does not do its part now; nothing acknowledged is lost.
    #[error("{0}")]
    Unavailable(String),
}

impl Error {
    /// Returns true when the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Unavailable(_))
    }

    /// Returns true when the fault is in what was asked.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::TooLarge { .. } | Self::KeyTaken { .. })
    }
}

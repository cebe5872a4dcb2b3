//! Leases of claimed jobs: held on to, ended, taken away.

use std::time::Duration;

use async_nats::jetstream::AckKind;

use super::queue::tell;
use super::state::Put;
use super::{Held, Shared};
use crate::durable::clock;
use crate::durable::error::Error;
use crate::durable::job::{Job, JobId};
use crate::durable::progress::{Cancelled, End, Ended, NotHeld, Progress};
use crate::durable::store::{Lease, Renewed};

impl Shared {
    pub(super) async fn renew(&self, lease: &Lease) -> Result<Renewed, Error> {
        let Some(mut held) = self.held_under(lease) else { return Ok(Renewed::Lost) };
        let change = |progress: &mut Progress, _: u32| {
            progress.renew(lease.number, clock::now_ms(), lease.length)
        };
        match self.change(&mut held, change).await? {
            Ok(is_cancelling) => {
                tell(&held.message, AckKind::Progress).await;
                self.held().insert(lease.job, held);
                Ok(if is_cancelling { Renewed::Cancelling } else { Renewed::Held })
            }
            Err(NotHeld) => {
                self.held().remove(&lease.job);
                Ok(Renewed::Lost)
            }
        }
    }

    pub(super) async fn finish(&self, lease: &Lease, end: &End) -> Result<Ended, Error> {
        let fenced = || Error::Fenced { job: lease.job, number: lease.number };
        let mut held = self.held_under(lease).ok_or_else(fenced)?;
        let random = fastrand::u64(..);
        let change = |progress: &mut Progress, retries: u32| {
            progress.end(lease.number, end, retries, clock::now_ms(), random)
        };
        let ended = self.change(&mut held, change).await?;
        self.held().remove(&lease.job);
        match ended {
            // Only now, and only by who knows that the end is in the bucket.
            Ok(Ended::Final(_)) => tell(&held.message, AckKind::Ack).await,
            Ok(Ended::Again(pause)) => tell(&held.message, AckKind::Nak(Some(pause))).await,
            Err(NotHeld) => {}
        }
        ended.map_err(|NotHeld| fenced())
    }

    pub(super) async fn cancel(&self, id: JobId, version: Option<u64>) -> Result<Cancelled, Error> {
        for _ in 0..LOOKS_MAX {
            let (mut job, revision, message) = match self.read(id).await? {
                Some((job, revision)) => (job, revision, None),
                None => match self.waiting(id).await? {
                    Some((job, number)) => (job, 0, Some(number)),
                    None => return Err(Error::Unknown(id)),
                },
            };
            let known = job.progress.version;
            if version.is_some_and(|version| version != known) {
                return Err(Error::Changed { version: known });
            }
            let cancelled = job.progress.cancel(clock::now_ms());
            if job.progress.version == known {
                return Ok(cancelled);
            }
            if let Put::Done(_) = self.put(&job, revision).await? {
                if let Some(number) = message {
                    // Where it stays, whoever gets it sees in the bucket that it has ended.
                    let _ = self.queue.delete_message(number).await;
                }
                return Ok(cancelled);
            }
        }
        Err(Error::Unavailable("NATS: the job changes faster than it can be cancelled".to_owned()))
    }

    fn held_under(&self, lease: &Lease) -> Option<Held> {
        let held = self.held().get(&lease.job).cloned();
        held.filter(|held| held.job.progress.attempts == lease.number)
    }

    /// Applies a rule to a held job and writes it, over whatever others wrote meanwhile.
    async fn change<T>(
        &self,
        held: &mut Held,
        rule: impl Fn(&mut Progress, u32) -> Result<T, NotHeld>,
    ) -> Result<Result<T, NotHeld>, Error> {
        for _ in 0..LOOKS_MAX {
            let mut job: Job = held.job.clone();
            let before = job.progress.version;
            let result = match rule(&mut job.progress, job.spec.retries) {
                Ok(result) => result,
                Err(not_held) => return Ok(Err(not_held)),
            };
            if job.progress.version == before {
                return Ok(Ok(result));
            }
            match self.put(&job, held.revision).await? {
                Put::Done(revision) => {
                    (held.job, held.revision) = (job, revision);
                    return Ok(Ok(result));
                }
                // Cancelled, taken over, or ended by us when the answer was lost.
                Put::Conflict => match self.read(held.job.id).await? {
                    Some((job, revision)) => (held.job, held.revision) = (job, revision),
                    None => return Ok(Err(NotHeld)),
                },
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(Error::Unavailable("NATS: a job changes faster than it can be written".to_owned()))
    }
}

const LOOKS_MAX: u32 = 5;

const PAUSE: Duration = Duration::from_millis(20);

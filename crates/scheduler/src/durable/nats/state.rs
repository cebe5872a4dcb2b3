//! The bucket: reading a job, and writing it over what was read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind};
use tokio::time::sleep;

use super::{Shared, setup, unavailable};
use crate::durable::clock;
use crate::durable::error::Error;
use crate::durable::job::{Job, JobId};

/// What became of a write.
pub(super) enum Put {
    /// It is there, at this revision.
    Done(u64),
    /// Somebody else wrote before.
    Conflict,
}

impl Shared {
    /// Returns a job that has begun, and its revision.
    pub(super) async fn read(&self, id: JobId) -> Result<Option<(Job, u64)>, Error> {
        let subject = setup::state_subject(&self.options, &id.to_string());
        let mut tries = 0;
        loop {
            let error = match self.state.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => {
                    return Ok(Some((parse(&message.payload)?, message.sequence)));
                }
                Err(error) => error,
            };
            tries += 1;
            match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                _ if tries == TRIES => return Err(unavailable("read a job", &error)),
                _ => sleep(PAUSE).await,
            }
        }
    }

    /// Writes a job over the revision that was read, 0 where there was none. An answer that is
    /// lost is made up for by looking what is there.
    pub(super) async fn put(&self, job: &Job, revision: u64) -> Result<Put, Error> {
        let subject = setup::state_subject(&self.options, &job.id.to_string());
        let payload = serde_json::to_vec(job).expect("a job has string keys");
        let mut tries = 0;
        loop {
            let message = PublishMessage::build()
                .payload(payload.clone().into())
                .expected_last_subject_sequence(revision);
            let sent = self.context.send_publish(subject.clone(), message).await;
            let error = match sent {
                Ok(answer) => match answer.await {
                    Ok(ack) => return Ok(Put::Done(ack.sequence)),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tries += 1;
            let is_conflict = error.kind() == PublishErrorKind::WrongLastSequence;
            if is_conflict && tries == 1 {
                return Ok(Put::Conflict);
            }
            if tries == TRIES {
                return Err(unavailable("write a job", &error));
            }
            sleep(PAUSE).await;
            match self.read(job.id).await? {
                Some((stored, at)) if stored == *job => return Ok(Put::Done(at)),
                Some((_, at)) if at != revision => return Ok(Put::Conflict),
                None if revision != 0 => return Ok(Put::Conflict),
                _ => {}
            }
        }
    }

    /// Returns up to `limit` jobs of the bucket from a revision on, and where to go on.
    pub(super) async fn begun_from(
        &self,
        mut revision: u64,
        limit: usize,
    ) -> Result<(Vec<Job>, Option<u64>), Error> {
        let subject = setup::state_subject(&self.options, "*");
        let mut jobs = Vec::new();
        while jobs.len() < limit {
            let found = self.state.get_first_raw_message_by_subject(&subject, revision).await;
            match found {
                Ok(message) => {
                    revision = message.sequence + 1;
                    jobs.push(parse(&message.payload)?);
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                    return Ok((jobs, None));
                }
                Err(error) => return Err(unavailable("list jobs", &error)),
            }
        }
        Ok((jobs, Some(revision)))
    }

    /// Forgets what ended long enough ago; returns which. The bucket is in the order of the last
    /// writes, and an end is a job's last one: what was passed over comes again when it has ended.
    pub(super) async fn forget(&self) -> Result<Vec<JobId>, Error> {
        let subject = setup::state_subject(&self.options, "*");
        let age_ms = u64::try_from(self.options.remembered().as_millis()).unwrap_or(u64::MAX);
        let before_ms = clock::now_ms().saturating_sub(age_ms);
        let mut forgotten = Vec::new();
        for _ in 0..FORGET_MAX {
            let from = self.forget_from.load(Ordering::Relaxed);
            let message = match self.state.get_first_raw_message_by_subject(&subject, from).await {
                Ok(message) => message,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(unavailable("look for ended jobs", &error)),
            };
            let next = message.sequence + 1;
            if let Ok(job) = parse(&message.payload)
                && let Some(ended_at_ms) = job.progress.ended_at_ms
            {
                if ended_at_ms > before_ms {
                    break;
                }
                // As long as the queue has it, its record keeps it from beginning again.
                if let Some((_, number)) = self.waiting(job.id).await? {
                    let deleted = self.queue.delete_message(number).await;
                    deleted.map_err(|error| unavailable("delete an ended job", &error))?;
                    break;
                }
                let purge = self.state.purge().filter(message.subject.to_string());
                let purged = purge.sequence(next).await;
                purged.map_err(|error| unavailable("forget a job", &error))?;
                forgotten.push(job.id);
            }
            self.forget_from.store(next, Ordering::Relaxed);
        }
        Ok(forgotten)
    }
}

/// Reads a job as it is stored.
pub(super) fn parse(payload: &[u8]) -> Result<Job, Error> {
    serde_json::from_slice(payload).map_err(|error| {
        Error::Damaged(format!("NATS holds what is no job of this version: {error}"))
    })
}

/// A request is repeated so often; each may take as long as the client's timeout.
const TRIES: u32 = 5;

/// Records that one call looks at.
const FORGET_MAX: usize = 200;

const PAUSE: Duration = Duration::from_millis(100);

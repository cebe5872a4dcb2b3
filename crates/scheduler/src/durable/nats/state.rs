//! The bucket: reading a job, and writing it over what was read.

use std::time::Duration;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind};
use tokio::time::sleep;

use super::{Shared, setup, unavailable};
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
}

/// Reads a job as it is stored.
pub(super) fn parse(payload: &[u8]) -> Result<Job, Error> {
    serde_json::from_slice(payload).map_err(|error| {
        Error::Damaged(format!("NATS holds what is no job of this version: {error}"))
    })
}

/// A request is repeated so often; each may take as long as the client's timeout.
const TRIES: u32 = 5;

const PAUSE: Duration = Duration::from_millis(100);

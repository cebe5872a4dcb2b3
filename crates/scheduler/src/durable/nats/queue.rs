//! The work queue: jobs go in, and come out most urgent first.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::Message;
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RawMessageErrorKind};
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::state::{self, Put};
use super::{Held, Shared, setup, unavailable};
use crate::core::{AGING_SHARE, Priority, State};
use crate::durable::clock;
use crate::durable::error::Error;
use crate::durable::job::{Job, JobId, JobSpec};
use crate::durable::progress::{Claiming, Progress};
use crate::durable::store::{
    CLAIM_MAX, Claim, Claims, Count, Filter, LIST_MAX, Lease, Page, Submitted,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What became of one publication.
enum Published {
    New,
    /// It is there already.
    Known,
    /// The queue takes no more.
    Full,
    Failed(Error),
}

impl Shared {
    pub(super) async fn submit(&self, specs: Vec<JobSpec>) -> Result<Vec<Submitted>, Error> {
        let now_ms = clock::now_ms();
        let mut submitted = Vec::with_capacity(specs.len());
        let mut jobs = Vec::with_capacity(specs.len());
        let with_id = |spec: JobSpec| {
            let key = spec.key.as_deref();
            (key.map_or_else(|| self.next_id(now_ms), JobId::of_key), spec)
        };
        let mut specs: Vec<_> = specs.into_iter().map(with_id).collect();
        let mut known = Vec::with_capacity(specs.len());
        for some in specs.chunks(LOOK_UP_MAX) {
            known.extend(join_all(some.iter().map(|(id, spec)| self.known(*id, spec))).await);
        }
        for ((id, spec), known) in specs.drain(..).zip(known) {
            match known? {
                Some(job) if job.spec.key != spec.key || job.spec.work != spec.work => {
                    return Err(Error::KeyTaken { job: id });
                }
                Some(_) => submitted.push(Submitted::new(id, false)),
                None => {
                    submitted.push(Submitted::new(id, true));
                    jobs.push(Job { id, spec, progress: Progress::submitted(now_ms) });
                }
            }
        }
        for some in jobs.chunks(PUBLISH_MAX) {
            self.publish_all(some, &mut submitted).await?;
        }
        // Nobody depends on it: runners look by themselves, too.
        let _ = self.context.client().publish(setup::news(&self.options), "".into()).await;
        Ok(submitted)
    }

    /// Publishes jobs together; what fails is tried again, which the servers recognise by its id.
    async fn publish_all(&self, jobs: &[Job], submitted: &mut [Submitted]) -> Result<(), Error> {
        let mut open: Vec<&Job> = jobs.iter().collect();
        for attempt in 1..=PUBLISH_TRIES {
            let mut sent = Vec::with_capacity(open.len());
            for job in &open {
                sent.push(self.publish(job).await);
            }
            let published = join_all(sent.into_iter().map(answer)).await;
            let mut failure = None;
            let mut failed = Vec::new();
            for (job, published) in open.into_iter().zip(published) {
                match published {
                    Published::New => {}
                    Published::Known => {
                        let known = submitted.iter_mut().find(|one| one.id == job.id);
                        if let (1, Some(known)) = (attempt, known) {
                            known.is_new = false;
                        }
                    }
                    Published::Full => return Err(Error::Full { max: self.options.waiting_max }),
                    Published::Failed(error) => {
                        failure = Some(error);
                        failed.push(job);
                    }
                }
            }
            open = failed;
            match failure {
                None => return Ok(()),
                Some(error) if attempt == PUBLISH_TRIES => return Err(error),
                Some(_) => sleep(PAUSE * attempt).await,
            }
        }
        Ok(())
    }

    async fn publish(&self, job: &Job) -> Result<PublishAckFuture, PublishError> {
        let subject = setup::waiting_subject(&self.options, job.spec.priority, job.id);
        let payload = serde_json::to_vec(job).expect("a job has string keys");
        let message =
            PublishMessage::build().payload(payload.into()).message_id(job.id.to_string());
        self.context.send_publish(subject, message).await
    }

    /// Returns the job that was submitted under this spec's key before.
    async fn known(&self, id: JobId, spec: &JobSpec) -> Result<Option<Job>, Error> {
        if spec.key.is_none() {
            return Ok(None);
        }
        match self.read(id).await? {
            Some((job, _)) => Ok(Some(job)),
            None => Ok(self.waiting(id).await?.map(|(job, _)| job)),
        }
    }

    /// Returns a job of the queue, and its message's number.
    pub(super) async fn waiting(&self, id: JobId) -> Result<Option<(Job, u64)>, Error> {
        for priority in Priority::ALL {
            let subject = setup::waiting_subject(&self.options, priority, id);
            match self.queue.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => {
                    return Ok(Some((state::parse(&message.payload)?, message.sequence)));
                }
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {}
                Err(error) => return Err(unavailable("look into the queue", &error)),
            }
        }
        Ok(None)
    }

    pub(super) async fn claim(&self, claims: &Claims) -> Result<Vec<Claim>, Error> {
        let mut order: Vec<_> =
            Priority::ALL.into_iter().rev().filter(|priority| *priority >= claims.least).collect();
        let turn = self.turn();
        if turn.is_multiple_of(u64::from(AGING_SHARE)) {
            // The queue does not tell how long its first message waits: each takes its turn.
            let chosen = (turn / u64::from(AGING_SHARE)) as usize % order.len();
            order[..=chosen].rotate_right(1);
        }
        let until_turn = AGING_SHARE as usize - (turn % u64::from(AGING_SHARE)) as usize;
        let count = claims.count.min(CLAIM_MAX);
        let mut messages = Vec::new();
        for (place, priority) in order.into_iter().enumerate() {
            // Out of its turn a low priority gets one, and no more.
            let is_chosen = turn.is_multiple_of(u64::from(AGING_SHARE)) && place == 0;
            let room = if is_chosen { 1 } else { count - messages.len() };
            let room = room.min(count - messages.len());
            if room == 0 {
                break;
            }
            match self.fetch(priority, room).await {
                Ok(some) => messages.extend(some),
                Err(error) if messages.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        let fetched = (messages.len() as u64).min(until_turn.max(1) as u64);
        self.turns.fetch_add(fetched, Ordering::Relaxed);
        let begun = join_all(messages.into_iter().map(|message| self.begin(message, claims))).await;
        Ok(begun.into_iter().flatten().collect())
    }

    async fn fetch(&self, priority: Priority, count: usize) -> Result<Vec<Message>, Error> {
        let consumer = &self.consumers[priority.index()];
        let fetched = async {
            let mut batch = consumer.fetch().max_messages(count).messages().await?;
            let mut messages = Vec::new();
            while let Some(message) = batch.next().await {
                // What was fetched before an error is ours all the same.
                let Ok(message) = message else { break };
                messages.push(message);
            }
            Ok::<_, async_nats::Error>(messages)
        };
        match timeout(FETCH_MAX, fetched).await {
            Ok(Ok(messages)) => Ok(messages),
            Ok(Err(error)) => Err(unavailable("fetch jobs", error.as_ref())),
            Err(_) => Err(Error::Unavailable("NATS: no answer to a fetch of jobs".to_owned())),
        }
    }

    /// Takes a delivered job over; nothing when it has ended or may not begin.
    async fn begin(&self, message: Message, claims: &Claims) -> Option<Claim> {
        match self.try_begin(&message, claims).await {
            Ok(Some((job, revision, number))) => {
                let message = Arc::new(message);
                self.held().insert(job.id, Held { job: job.clone(), revision, message });
                let lease = Lease { job: job.id, number, length: claims.lease };
                Some(Claim { job, lease })
            }
            Ok(None) => None,
            Err(Error::Damaged(what)) => {
                tracing::error!("a message that is no job is put aside: {what}");
                tell(&message, AckKind::Term).await;
                None
            }
            Err(error) => {
                tracing::debug!("a job cannot be begun now: {error}");
                tell(&message, AckKind::Nak(Some(AGAIN))).await;
                None
            }
        }
    }

    async fn try_begin(
        &self,
        message: &Message,
        claims: &Claims,
    ) -> Result<Option<(Job, u64, u32)>, Error> {
        let waiting = state::parse(&message.payload)?;
        let is_first = message.info().is_ok_and(|info| info.delivered == 1);
        for look in 0..LOOKS_MAX {
            // What is delivered for the first time has hardly begun elsewhere.
            let read = if is_first && look == 0 { None } else { self.read(waiting.id).await? };
            let (mut job, revision) = read.unwrap_or_else(|| (waiting.clone(), 0));
            let before = job.progress.version;
            let claiming = job.progress.claim(&claims.node, clock::now_ms(), claims.lease);
            if let Claiming::Early(pause) = claiming {
                tell(message, AckKind::Nak(Some(pause))).await;
                return Ok(None);
            }
            let revision = if job.progress.version == before {
                revision
            } else {
                match self.put(&job, revision).await? {
                    Put::Done(revision) => revision,
                    Put::Conflict => continue,
                }
            };
            if let Claiming::Begun(number) = claiming {
                return Ok(Some((job, revision, number)));
            }
            tell(message, AckKind::Ack).await;
            return Ok(None);
        }
        Err(Error::Unavailable("NATS: a job changes faster than it can be begun".to_owned()))
    }

    pub(super) async fn list(&self, filter: &Filter) -> Result<Page, Error> {
        let wrong = || Error::Invalid("`after` is no cursor of a page before".to_owned());
        let limit = filter.limit.clamp(1, LIST_MAX);
        let after = filter.after.as_deref().unwrap_or("w1");
        let (stage, from) = after.split_at_checked(1).ok_or_else(wrong)?;
        let from: u64 = from.parse().map_err(|_| wrong())?;
        let is_wanted = |job: &Job| {
            filter.state.is_none_or(|state| state == job.progress.state)
                && filter.priority.is_none_or(|priority| priority == job.spec.priority)
        };
        let (jobs, next) = match stage {
            "w" => {
                let (jobs, next) = self.waiting_from(from, limit).await?;
                (jobs, Some(next.map_or("s1".to_owned(), |next| format!("w{next}"))))
            }
            "s" => {
                let (jobs, next) = self.begun_from(from, limit).await?;
                (jobs, next.map(|next| format!("s{next}")))
            }
            _ => return Err(wrong()),
        };
        Ok(Page { jobs: jobs.into_iter().filter(is_wanted).collect(), next })
    }

    /// Returns up to `limit` jobs that have not begun, and where to go on.
    async fn waiting_from(
        &self,
        mut from: u64,
        limit: usize,
    ) -> Result<(Vec<Job>, Option<u64>), Error> {
        let subject = setup::all_waiting(&self.options);
        let mut jobs = Vec::new();
        for _ in 0..limit {
            match self.queue.get_first_raw_message_by_subject(&subject, from).await {
                Ok(message) => {
                    from = message.sequence + 1;
                    let job = state::parse(&message.payload)?;
                    // What has begun is in the bucket, and comes with it.
                    if self.read(job.id).await?.is_none() {
                        jobs.push(job);
                    }
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
                    return Ok((jobs, None));
                }
                Err(error) => return Err(unavailable("list jobs", &error)),
            }
        }
        Ok((jobs, Some(from)))
    }

    /// Counts what waits and what is held; the servers do not count what has ended.
    pub(super) async fn counts(&self) -> Result<Vec<Count>, Error> {
        let mut counts = Vec::new();
        for priority in Priority::ALL {
            let info = self.queue.consumer_info(setup::consumer_name(priority)).await;
            let info = info.map_err(|error| unavailable("count jobs", &error))?;
            let held = info.num_ack_pending as u64;
            counts.push(Count { state: State::Pending, priority, jobs: info.num_pending });
            counts.push(Count { state: State::Running, priority, jobs: held });
        }
        Ok(counts)
    }
}

async fn answer(sent: Result<PublishAckFuture, PublishError>) -> Published {
    let answered = match sent {
        Ok(answer) => answer.await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(ack) if ack.duplicate => Published::Known,
        Ok(_) => Published::New,
        Err(error) => {
            let failure = unavailable("submit", &error);
            let text = failure.to_string();
            if text.contains("maximum messages per subject") {
                Published::Known
            } else if text.contains("maximum messages") {
                Published::Full
            } else {
                Published::Failed(failure)
            }
        }
    }
}

/// Answers a delivery. When this is lost, the message is delivered again, and answered again.
pub(super) async fn tell(message: &Message, what: AckKind) {
    if let Err(error) = message.ack_with(what).await {
        tracing::debug!("an answer to NATS was not sent: {error}");
    }
}

/// Look-ups of keys under way at once.
const LOOK_UP_MAX: usize = 64;

/// Publications under way at once.
const PUBLISH_MAX: usize = 1_000;

const PUBLISH_TRIES: u32 = 8;

const PAUSE: Duration = Duration::from_millis(150);

const FETCH_MAX: Duration = Duration::from_secs(4);

/// After an error a job is delivered again then.
const AGAIN: Duration = Duration::from_secs(1);

const LOOKS_MAX: u32 = 5;

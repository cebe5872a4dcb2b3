//! Jobs of many machines, in NATS JetStream, whose streams are replicated by Raft.
//!
//! ```text
//! submit --> stream <name>_jobs (work queue)          KV bucket <name>_state, written with
//!   <name>.jobs.<priority>.<id>, once for each id      compare-and-set on the key's revision
//!        |  one consumer per priority, ack-wait = lease        ^        |
//!        +--> claim: fetch, most urgent first ---- begin ------+        |
//!             renew: in-progress ack ------------- the new lease's end -+
//!             finish: ------------------------------ the end, and only then the ack
//! ```
//!
//! The queue holds what has not ended, the bucket what has begun. A job that was acknowledged is a
//! replicated message until its end is in the bucket. A message whose consumer shows no life for
//! an ack-wait is delivered again, to anybody: whoever gets it takes the lease over in the bucket,
//! and the number of that lease fences whoever had it before. A message is acknowledged only
//! by who has read or written the job's end in the bucket, because an ack counts whoever sends it.
//!
//! Reads go to the bucket's leader; a stale one costs a failed compare-and-set and a second look.
//! An answer that is lost is found out by reading what is there. Ended jobs go with the bucket's
//! maximum age. Works with servers from 2.9 on.

mod lease;
mod queue;
mod setup;
mod state;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt;

use super::error::Error;
use super::job::{Ids, Job, JobId, JobSpec};
use super::progress::{Cancelled, End, Ended};
use super::store::{
    Answer, Claim, Claims, Count, Filter, JobStore, Lease, Page, Renewed, SUBMIT_MAX, Submitted,
};

/// Which servers, and how jobs are kept there.
///
/// # Defaults
///
/// [`NatsOptions::new`]: the name `tidemill`, three replicas, leases of 30 s, 100,000 waiting
/// jobs, ended ones kept for a week.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Their addresses, such as `nats://10.0.0.1:4222`; the others are found through any of them.
    pub servers: Vec<String>,
    /// What the streams' names begin with; nodes with the same one share jobs.
    pub name: String,
    /// On how many servers each job is, 1 to 5; for a new stream.
    pub replicas: usize,
    /// How long a job is held without a sign of life; the runner's has to be the same.
    pub lease: Duration,
    /// Jobs that have not ended, at most; for a new stream.
    pub waiting_max: u64,
    /// How long ended jobs are remembered; for a new bucket.
    pub keep_age: Duration,
    /// Use only the servers named, not those that they tell of.
    pub only_named_servers: bool,
}

impl NatsOptions {
    /// Returns the defaults for some servers.
    pub fn new(servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            servers: servers.into_iter().map(Into::into).collect(),
            name: "tidemill".to_owned(),
            replicas: 3,
            lease: Duration::from_secs(30),
            waiting_max: 100_000,
            keep_age: Duration::from_secs(7 * 86_400),
            only_named_servers: false,
        }
    }
}

/// A connection to the servers. Clones share it.
#[derive(Clone)]
pub struct NatsStore {
    shared: Arc<Shared>,
}

struct Shared {
    options: NatsOptions,
    context: Context,
    queue: Stream,
    /// One for each priority, in their order.
    consumers: Vec<PullConsumer>,
    state: Stream,
    ids: Mutex<Ids>,
    /// What this store claimed and has not finished; as many as its runner has slots.
    held: Mutex<BTreeMap<JobId, Held>>,
    /// Counts claimed jobs, to know whose turn it is.
    turns: AtomicU64,
    news: tokio::sync::Mutex<async_nats::Subscriber>,
}

/// A job that was claimed here.
#[derive(Clone)]
struct Held {
    job: Job,
    /// The bucket's revision of it.
    revision: u64,
    message: Arc<Message>,
}

impl NatsStore {
    /// Connects, and makes streams and consumers where they are missing.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no server answers, or none lets the streams be made.
    pub async fn connect(options: NatsOptions) -> Result<Self, Error> {
        let context = setup::connect(&options).await?;
        let (queue, state) = setup::streams(&context, &options).await?;
        let consumers = setup::consumers(&queue, &options).await?;
        let news = context.client().subscribe(setup::news(&options)).await;
        let news = news.map_err(|error| unavailable("subscribe", &error))?;
        let shared = Shared {
            options,
            context,
            queue,
            consumers,
            state,
            ids: Mutex::default(),
            held: Mutex::default(),
            turns: AtomicU64::new(0),
            news: tokio::sync::Mutex::new(news),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl JobStore for NatsStore {
    fn submit(&self, jobs: Vec<JobSpec>) -> Answer<'_, Vec<Submitted>> {
        Box::pin(async move {
            jobs.iter().try_for_each(JobSpec::check)?;
            if jobs.len() > SUBMIT_MAX {
                return Err(Error::Invalid(format!("submit at most {SUBMIT_MAX} jobs at once")));
            }
            self.shared.submit(jobs).await
        })
    }

    fn claim(&self, claims: Claims) -> Answer<'_, Vec<Claim>> {
        Box::pin(async move { self.shared.claim(&claims).await })
    }

    fn renew(&self, lease: &Lease) -> Answer<'_, Renewed> {
        let lease = lease.clone();
        Box::pin(async move { self.shared.renew(&lease).await })
    }

    fn finish(&self, lease: &Lease, end: End) -> Answer<'_, Ended> {
        let lease = lease.clone();
        Box::pin(async move { self.shared.finish(&lease, &end).await })
    }

    fn cancel(&self, id: JobId, version: Option<u64>) -> Answer<'_, Cancelled> {
        Box::pin(self.shared.cancel(id, version))
    }

    fn find(&self, id: JobId) -> Answer<'_, Option<Job>> {
        Box::pin(async move {
            match self.shared.read(id).await? {
                Some((job, _)) => Ok(Some(job)),
                None => Ok(self.shared.waiting(id).await?.map(|(job, _)| job)),
            }
        })
    }

    fn list(&self, filter: Filter) -> Answer<'_, Page> {
        Box::pin(async move { self.shared.list(&filter).await })
    }

    fn counts(&self) -> Answer<'_, Vec<Count>> {
        Box::pin(self.shared.counts())
    }

    /// The bucket forgets by itself.
    fn forget(&self) -> Answer<'_, Vec<JobId>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn wait(&self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            // Either way the caller looks.
            let _ = tokio::time::timeout(at_most, async {
                let mut news = self.shared.news.lock().await;
                if news.next().await.is_none() {
                    std::future::pending::<()>().await;
                }
            })
            .await;
        })
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, BTreeMap<JobId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_id(&self, now_ms: u64) -> JobId {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).next(now_ms)
    }

    fn turn(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NatsOptions { servers, name, .. } = &self.shared.options;
        f.debug_struct("NatsStore").field("servers", servers).field("name", name).finish()
    }
}

fn unavailable(verb: &str, error: &dyn std::error::Error) -> Error {
    let mut text = format!("NATS: cannot {verb}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Error::Unavailable(text)
}

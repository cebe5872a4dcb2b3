//! Claims jobs and runs them, as many at once as there are slots.
//!
//! Beside the slots for every priority there is one that only an Emergency takes, so that it never
//! waits for a batch to end. A store that fails is asked again after a pause that grows to
//! [`PAUSE_MAX`]; jobs under way go on meanwhile.
//!
//! Stop: nothing more is claimed; what runs has until the deadline; the rest is ended (TERM, then
//! KILL after the grace) and handed back, to run again as if it had not begun.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidemill_metrics::Registry;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::attend::{attend, whole_ms};
use super::clock;
use super::command::{Environment, ResourceLimits, Surroundings};
use super::error::Error;
use super::handler::Handlers;
use super::instruments::Instruments;
use super::log::Logs;
use super::orphan;
use super::progress::NodeName;
use super::store::{Claim, Claims, JobStore};
use crate::core::{Backoff, Priority};

/// How a runner runs jobs.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// Its name in records.
    pub node: NodeName,
    /// Jobs at once, Emergencies not counted.
    pub concurrency: usize,
    /// How long a job is held without a sign of life.
    pub lease: Duration,
    /// How long what is asked to end has before it is killed.
    pub grace: Duration,
    /// What commands get of the environment.
    pub environment: Environment,
    /// What commands may take.
    pub limits: ResourceLimits,
    /// Where their output goes.
    pub logs: Logs,
    /// Logs that nothing was added to for so long go, whatever the store remembers.
    pub logs_age: Option<Duration>,
    /// Where commands without a folder run; it names the runner's processes, so no two runners of
    /// a machine share it.
    pub folder: PathBuf,
    /// What jobs may call.
    pub handlers: Handlers,
}

/// A running runner. Dropping it ends every job under way and tells the store nothing.
#[derive(Debug)]
pub struct Runner {
    shared: Arc<Shared>,
    claiming: watch::Sender<bool>,
    attending: watch::Sender<HandBack>,
    task: JoinHandle<()>,
}

/// Set when jobs are wanted back: how long they have to end.
pub(super) type HandBack = Option<Duration>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Arc<dyn JobStore>,
    pub(super) options: RunnerOptions,
    pub(super) surroundings: Surroundings,
    pub(super) instruments: Instruments,
}

impl Runner {
    /// Begins to run the store's jobs on the current tokio runtime, after it has ended the
    /// processes that an earlier runner with the same folder left.
    ///
    /// # Errors
    ///
    /// When its metrics cannot be registered.
    pub fn start(
        store: Arc<dyn JobStore>,
        options: RunnerOptions,
        registry: &Registry,
    ) -> Result<Self, tidemill_metrics::Error> {
        let surroundings = Surroundings {
            environment: options.environment.clone(),
            limits: options.limits,
            logs: options.logs.clone(),
            folder: options.folder.clone(),
        };
        let instruments = Instruments::new(registry)?;
        let left = orphan::kill_all(&options.folder);
        if left > 0 {
            tracing::warn!("ended {left} processes of jobs that outlived their runner");
        }
        let shared = Arc::new(Shared { store, options, surroundings, instruments });
        let (claiming, claims_end) = watch::channel(false);
        let (attending, attends_end) = watch::channel(None);
        let task = tokio::spawn(serve(Arc::clone(&shared), claims_end, attends_end));
        Ok(Self { shared, claiming, attending, task })
    }

    /// Stops: waits for what runs, and ends and hands back what still does shortly before the
    /// deadline: by the grace, at most by half of it. A store that does not answer may take a few
    /// seconds more.
    pub async fn stop(mut self, deadline: Duration) {
        self.claiming.send_replace(true);
        let grace = self.shared.options.grace.min(deadline / 2);
        if timeout(deadline - grace, &mut self.task).await.is_err() {
            self.attending.send_replace(Some(grace));
            if timeout(grace + HAND_BACK_MAX, &mut self.task).await.is_err() {
                tracing::warn!("not every job could be handed back; their leases will end");
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // With the task go its jobs' tasks, and with them their processes.
        self.task.abort();
    }
}

impl Shared {
    /// Takes note that the store did not serve.
    pub(super) fn store_failed(&self, doing: &str, error: &Error) {
        self.instruments.store_errors.inc();
        tracing::debug!("cannot {doing}: {error}");
    }

    fn slots(&self, running: usize) -> (usize, Priority) {
        match self.options.concurrency.saturating_sub(running) {
            0 => {
                let slots = self.options.concurrency + EMERGENCY_SLOTS;
                (slots.saturating_sub(running), Priority::Emergency)
            }
            free => (free, Priority::Low),
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    mut claims_end: watch::Receiver<bool>,
    attends_end: watch::Receiver<HandBack>,
) {
    let mut jobs = JoinSet::new();
    let mut chores = Chores::new();
    let mut failures = 0_u32;
    while !*claims_end.borrow() {
        chores.do_when_due(&shared).await;
        while jobs.try_join_next().is_some() {}
        let (free, least) = shared.slots(jobs.len());
        let claimed = match free {
            0 => Ok(Vec::new()),
            _ => shared.store.claim(claims(&shared, free, least)).await,
        };
        let pause = match claimed {
            Ok(some) => {
                if failures > 0 {
                    tracing::info!("the store of the jobs serves again");
                }
                failures = 0;
                for claim in &some {
                    let waited = clock::now_ms().saturating_sub(claim.job.progress.ready_at_ms);
                    let priority = claim.job.spec.priority;
                    shared.instruments.begun(priority, Duration::from_millis(waited));
                }
                let is_some = !some.is_empty();
                some.into_iter().for_each(|claim| begin(&mut jobs, &shared, claim, &attends_end));
                if is_some { Duration::ZERO } else { IDLE }
            }
            Err(error) => {
                shared.store_failed("claim", &error);
                if failures == 0 {
                    tracing::error!("no jobs are begun: {error}");
                }
                failures = failures.saturating_add(1);
                whole_ms(CLAIM_BACKOFF.delay(failures, fastrand::u64(..)))
            }
        };
        shared.instruments.running.set(i64::try_from(jobs.len()).unwrap_or(i64::MAX));
        if pause.is_zero() && jobs.len() < shared.options.concurrency {
            tokio::task::yield_now().await;
            continue;
        }
        let may_claim = shared.slots(jobs.len()).0 > 0 && failures == 0;
        tokio::select! {
            biased;
            _ = claims_end.changed() => {}
            Some(_) = jobs.join_next() => {}
            () = shared.store.wait(IDLE), if may_claim => {}
            () = sleep(pause.max(IDLE)), if !may_claim => {}
        }
    }
    while jobs.join_next().await.is_some() {}
    shared.instruments.running.set(0);
}

fn begin(
    jobs: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    claim: Claim,
    attends_end: &watch::Receiver<HandBack>,
) {
    jobs.spawn(attend(Arc::clone(shared), claim, attends_end.clone()));
}

fn claims(shared: &Shared, count: usize, least: Priority) -> Claims {
    let RunnerOptions { node, lease, .. } = &shared.options;
    Claims { node: Arc::clone(node), count, least, lease: *lease }
}

/// What has to be done now and then.
struct Chores {
    due: Instant,
    logs_due: Instant,
}

impl Chores {
    fn new() -> Self {
        let now = Instant::now();
        Self { due: now, logs_due: now }
    }

    /// Counts what waits, and forgets what is over.
    async fn do_when_due(&mut self, shared: &Shared) {
        if Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + CHORES_EVERY;
        match shared.store.counts().await {
            Ok(counts) => shared.instruments.waiting(&counts),
            Err(error) => shared.store_failed("count jobs", &error),
        }
        match shared.store.forget().await {
            Ok(forgotten) => forgotten.into_iter().for_each(|id| shared.options.logs.remove(id)),
            Err(error) => shared.store_failed("forget ended jobs", &error),
        }
        if let Some(age) = shared.options.logs_age.filter(|_| self.logs_due <= self.due) {
            self.logs_due = self.due + LOGS_EVERY;
            let logs = shared.options.logs.clone();
            let now_ms = clock::now_ms();
            // It is only tidying up: what it missed, the next time finds.
            let _ = tokio::task::spawn_blocking(move || logs.remove_older(age, now_ms)).await;
        }
    }
}

/// Slots that only an Emergency takes.
const EMERGENCY_SLOTS: usize = 1;

/// An idle runner looks so often, if the store has nothing to say before.
const IDLE: Duration = Duration::from_millis(250);

/// How often logs are looked through for what no store remembers.
const LOGS_EVERY: Duration = Duration::from_secs(600);

const CHORES_EVERY: Duration = Duration::from_secs(5);

/// How long handing back may take after the grace.
const HAND_BACK_MAX: Duration = Duration::from_secs(3);

const PAUSE_MAX: Duration = Duration::from_secs(5);

const CLAIM_BACKOFF: Backoff =
    Backoff { initial: Duration::from_millis(100), factor: 2.0, max: PAUSE_MAX, jitter: 0.5 };

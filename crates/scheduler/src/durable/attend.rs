//! Sees one begun job to its end: runs it, holds its lease, hears what shall become of it.
//!
//! ```text
//! run work ---- ends by itself ------------------------------> finish, again until it is recorded
//!    |  every third of the lease: renew                              ^
//!    +-- timed out, cancelled, the runner stops: end it, then -------+
//!    +-- the lease is lost, or could not be renewed for its whole length: end it, say nothing
//! ```
//!
//! The last line keeps a node that is cut off from running a job that others have begun meanwhile:
//! it stops by its own clock when its lease must be over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};

use super::command::{self, Running};
use super::error::Error;
use super::handler::Context;
use super::job::{Job, Work};
use super::progress::{End, Ended};
use super::runner::{HandBack, Shared};
use super::store::{Claim, Lease, Renewed};
use crate::core::Backoff;

/// What runs: a process, or a handler's task.
enum Attempt {
    Command(Box<Running>),
    Handler {
        task: JoinHandle<Result<(), String>>,
        ending: watch::Sender<bool>,
    },
    /// It could not begin.
    Over(End),
}

/// Why a job's run ended.
enum Outcome {
    Ended(End),
    /// Somebody else has the job, or must have by now.
    LeaseOver,
}

/// Runs a begun job and records its end.
pub(super) async fn attend(shared: Arc<Shared>, claim: Claim, stop: watch::Receiver<HandBack>) {
    let Claim { job, lease } = claim;
    let begin = Instant::now();
    let outcome = run(&shared, &job, &lease, stop.clone()).await;
    shared.instruments.ran(job.spec.priority, begin.elapsed());
    match outcome {
        Outcome::Ended(end) => record(&shared, &job, &lease, end, stop).await,
        Outcome::LeaseOver => {
            shared.instruments.fenced.inc();
            tracing::warn!("job {}: its lease is over, and so is its run here", job.id);
        }
    }
}

async fn run(
    shared: &Shared,
    job: &Job,
    lease: &Lease,
    mut stop: watch::Receiver<HandBack>,
) -> Outcome {
    let mut attempt = Attempt::begin(shared, job);
    let begin = Instant::now();
    let times_out = job.spec.timeout.map(|timeout| begin + timeout);
    let period = (lease.length / 3).max(Duration::from_millis(1));
    let mut renewal = interval_at(begin + period, period);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held_until = begin + lease.length;
    let mut grace = shared.options.grace;
    let end = loop {
        tokio::select! {
            biased;
            end = attempt.wait() => return Outcome::Ended(end),
            () = sleep_until(times_out.unwrap_or(begin)), if times_out.is_some() => {
                break End::TimedOut;
            }
            asked = asked(&mut stop) => {
                grace = asked;
                break End::GivenBack;
            }
            () = sleep_until(held_until) => {
                attempt.end(Duration::ZERO).await;
                return Outcome::LeaseOver;
            }
            _ = renewal.tick() => {
                let asked = Instant::now();
                // An answer that takes as long as the lease is none.
                match timeout(lease.length, shared.store.renew(lease)).await {
                    Ok(Ok(Renewed::Held)) => held_until = asked + lease.length,
                    Ok(Ok(Renewed::Cancelling)) => break End::Cancelled,
                    Ok(Ok(Renewed::Lost)) => {
                        attempt.end(Duration::ZERO).await;
                        return Outcome::LeaseOver;
                    }
                    Ok(Err(error)) => shared.store_failed("hold a lease", &error),
                    Err(_) => shared.instruments.store_errors.inc(),
                }
            }
        }
    };
    attempt.end(grace).await;
    Outcome::Ended(end)
}

/// Records an end until the store has it, somebody else has the job, or it is hopeless.
async fn record(
    shared: &Shared,
    job: &Job,
    lease: &Lease,
    end: End,
    mut stop: watch::Receiver<HandBack>,
) {
    let priority = job.spec.priority;
    let begin = Instant::now();
    let mut attempt = 0;
    loop {
        let error = match shared.store.finish(lease, end.clone()).await {
            Ok(Ended::Final(state)) => return shared.instruments.ended(state, priority),
            Ok(Ended::Again(_)) => return shared.instruments.retries.inc(),
            Err(error) => error,
        };
        match error {
            Error::Fenced { .. } | Error::Unknown(_) => {
                shared.instruments.fenced.inc();
                tracing::warn!("job {}: {error}", job.id);
                return;
            }
            ref error if begin.elapsed() > RECORD_MAX => {
                tracing::error!(
                    "job {}: its end is not recorded, it will run again: {error}",
                    job.id
                );
                return;
            }
            ref error => shared.store_failed("record an end", error),
        }
        attempt += 1;
        let pause = whole_ms(FINISH_BACKOFF.delay(attempt, fastrand::u64(..)));
        let is_stopping = stop.borrow().is_some();
        tokio::select! {
            () = sleep(pause) => {}
            _ = asked(&mut stop), if !is_stopping => {}
        }
    }
}

/// Cuts a pause to what timers tell apart, so that a simulated history depends on its seed alone.
pub(super) fn whole_ms(pause: Duration) -> Duration {
    Duration::from_millis(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))
}

/// Waits until the runner wants its jobs back; returns the grace that they have then.
async fn asked(stop: &mut watch::Receiver<HandBack>) -> Duration {
    // A runner that is gone wants nothing else.
    let asked = stop.wait_for(Option::is_some).await;
    asked.ok().and_then(|grace| *grace).unwrap_or_default()
}

impl Attempt {
    fn begin(shared: &Shared, job: &Job) -> Self {
        match &job.spec.work {
            Work::Command(command) => match Running::start(command, job, &shared.surroundings) {
                Ok(running) => Self::Command(Box::new(running)),
                Err(end) => Self::Over(end),
            },
            Work::Handler { name, payload } => {
                let (ending, ended) = watch::channel(false);
                let context = Context {
                    job: job.id,
                    attempt: job.progress.attempts,
                    key: command::key_of(job),
                    payload: payload.clone(),
                    ending: ended,
                };
                match shared.options.handlers.call(name, context) {
                    Some(called) => Self::Handler { task: tokio::spawn(called), ending },
                    None => Self::Over(End::Failed {
                        reason: format!("no handler is called {name} here"),
                        may_retry: true,
                    }),
                }
            }
        }
    }

    /// Waits for its end. May be called again after it was dropped.
    async fn wait(&mut self) -> End {
        match self {
            Self::Command(running) => running.wait().await,
            Self::Over(end) => end.clone(),
            Self::Handler { task, .. } => match task.await {
                Ok(Ok(())) => End::Completed,
                Ok(Err(reason)) => End::Failed { reason, may_retry: true },
                Err(error) if error.is_panic() => {
                    End::Failed { reason: "the handler panicked".to_owned(), may_retry: true }
                }
                Err(_) => {
                    End::Failed { reason: "the handler was aborted".to_owned(), may_retry: true }
                }
            },
        }
    }

    /// Ends it, by force after `grace`.
    async fn end(&mut self, grace: Duration) {
        match self {
            Self::Command(running) => running.end(grace).await,
            Self::Over(_) => {}
            Self::Handler { task, ending } => {
                ending.send_replace(true);
                if timeout(grace, &mut *task).await.is_err() {
                    task.abort();
                    // One that never awaits goes on; nobody waits for it.
                }
            }
        }
    }
}

impl Drop for Attempt {
    /// A handler goes with whoever waits for it, as a command does.
    fn drop(&mut self) {
        if let Self::Handler { task, .. } = self {
            task.abort();
        }
    }
}

/// An end that could not be recorded for so long never will.
const RECORD_MAX: Duration = Duration::from_secs(600);

const FINISH_BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(50),
    factor: 2.0,
    max: Duration::from_secs(5),
    jitter: 0.5,
};

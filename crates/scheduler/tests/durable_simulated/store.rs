//! A store in memory that applies the rules of [`Progress`], and a wire to it that loses, delays
//! and doubles.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tidemill_scheduler::core::State;
use tidemill_scheduler::durable::{
    Answer, Cancelled, Claim, Claiming, Claims, Count, End, Ended, Error, Filter, Job, JobId,
    JobSpec, JobStore, Lease, Page, Progress, Renewed, Submitted,
};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Jobs, and everything that happened to them.
#[derive(Debug)]
pub(crate) struct Memory {
    begin: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: BTreeMap<JobId, Job>,
    history: Vec<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { begin: Instant::now(), inner: Mutex::default() }
    }
}

impl Memory {
    pub(crate) fn ended(&self) -> usize {
        self.inner().jobs.values().filter(|job| job.progress.state.is_final()).count()
    }

    pub(crate) fn jobs(&self) -> Vec<Job> {
        self.inner().jobs.values().cloned().collect()
    }

    pub(crate) fn history(&self) -> Vec<String> {
        self.inner().history.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no check fails while it is held")
    }

    fn now_ms(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }

    /// Applies a rule to a job and notes what it did. An end that changes fails the test.
    fn change<T: std::fmt::Debug>(
        &self,
        id: JobId,
        what: &str,
        rule: impl FnOnce(&mut Progress, &JobSpec, u64) -> T,
    ) -> Result<T, Error> {
        let now_ms = self.now_ms();
        let mut inner = self.inner();
        let job = inner.jobs.get_mut(&id).ok_or(Error::Unknown(id))?;
        let before = job.progress.clone();
        let result = rule(&mut job.progress, &job.spec, now_ms);
        let is_same = job.progress == before;
        let line = format!("{now_ms} {} {what} {result:?}", job.spec.key.as_deref().unwrap_or(""));
        inner.history.push(line);
        drop(inner);
        assert!(is_same || !before.state.is_final(), "{id} had ended and was changed by {what}");
        Ok(result)
    }

    fn submit(&self, specs: &[JobSpec]) -> Vec<Submitted> {
        let now_ms = self.now_ms();
        let mut inner = self.inner();
        let mut submitted = Vec::new();
        for spec in specs {
            let known = inner.jobs.values().find(|job| job.spec.key == spec.key);
            submitted.push(match known {
                Some(job) => Submitted::new(job.id, false),
                None => {
                    let id = JobId::from_u128(inner.jobs.len() as u128 + 1);
                    let progress = Progress::submitted(now_ms);
                    inner.jobs.insert(id, Job { id, spec: spec.clone(), progress });
                    Submitted::new(id, true)
                }
            });
        }
        submitted
    }

    fn claim(&self, claims: &Claims) -> Result<Vec<Claim>, Error> {
        let now_ms = self.now_ms();
        let is_over = |job: &&Job| {
            job.progress.state == State::Running && job.progress.lease_until_ms <= now_ms
        };
        let over: Vec<_> = self.inner().jobs.values().filter(is_over).map(|job| job.id).collect();
        for id in over {
            self.change(id, "interrupted", |progress, _, now_ms| progress.interrupt(now_ms))?;
        }
        let may_begin = |job: &&Job| {
            job.progress.state == State::Pending
                && job.progress.ready_at_ms <= now_ms
                && job.spec.priority >= claims.least
        };
        let mut ready: Vec<_> = self
            .inner()
            .jobs
            .values()
            .filter(may_begin)
            .map(|job| (job.spec.priority, job.id))
            .collect();
        ready.sort_by_key(|(priority, id)| (std::cmp::Reverse(*priority), *id));
        let mut begun = Vec::new();
        for (_, id) in ready.into_iter().take(claims.count) {
            let what = format!("claimed by {}", claims.node);
            let rule = |progress: &mut Progress, _: &JobSpec, now_ms| {
                progress.claim(&claims.node, now_ms, claims.lease)
            };
            if let Claiming::Begun(number) = self.change(id, &what, rule)? {
                let job = self.inner().jobs[&id].clone();
                begun.push(Claim { job, lease: Lease { job: id, number, length: claims.lease } });
            }
        }
        Ok(begun)
    }

    fn renew(&self, lease: &Lease) -> Result<Renewed, Error> {
        let rule = |progress: &mut Progress, _: &JobSpec, now_ms| {
            progress.renew(lease.number, now_ms, lease.length)
        };
        Ok(match self.change(lease.job, "renewed", rule)? {
            Ok(true) => Renewed::Cancelling,
            Ok(false) => Renewed::Held,
            Err(_) => Renewed::Lost,
        })
    }

    fn finish(&self, lease: &Lease, end: &End) -> Result<Ended, Error> {
        let what = format!("ended under {} as {end:?}", lease.number);
        let random = fastrand::u64(..);
        let rule = |progress: &mut Progress, spec: &JobSpec, now_ms| {
            progress.end(lease.number, end, spec.retries, now_ms, random)
        };
        self.change(lease.job, &what, rule)?
            .map_err(|_| Error::Fenced { job: lease.job, number: lease.number })
    }
}

/// A node's way to the store; while it is cut, requests and answers wait.
///
/// Not a `tokio::sync::watch`, which wakes those who wait in an order of its own choice.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    is_cut: AtomicBool,
    mended: Notify,
}

impl Wire {
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
        self.mended.notify_waiters();
    }

    async fn cross(&self) {
        sleep(Duration::from_millis(fastrand::u64(0..200))).await;
        loop {
            let mended = self.mended.notified();
            if !self.is_cut.load(Ordering::Relaxed) {
                return;
            }
            mended.await;
        }
    }
}

/// The store behind a wire that loses requests and answers, and delivers some twice.
#[derive(Debug)]
pub(crate) struct Faults {
    store: Arc<Memory>,
    wire: Arc<Wire>,
}

impl Faults {
    pub(crate) fn new(store: Arc<Memory>, wire: Arc<Wire>) -> Self {
        Self { store, wire }
    }

    async fn ask<T>(&self, act: impl Fn(&Memory) -> Result<T, Error>) -> Result<T, Error> {
        let lost = |what: &str| Err(Error::Unavailable(format!("the {what} was lost")));
        self.wire.cross().await;
        if fastrand::u32(..20) == 0 {
            return lost("request");
        }
        let mut answer = act(&self.store);
        if fastrand::u32(..20) == 0 {
            self.wire.cross().await;
            answer = act(&self.store);
        }
        self.wire.cross().await;
        if fastrand::u32(..20) == 0 {
            return lost("answer");
        }
        answer
    }
}

impl JobStore for Faults {
    fn submit(&self, jobs: Vec<JobSpec>) -> Answer<'_, Vec<Submitted>> {
        Box::pin(async move { self.ask(|store| Ok(store.submit(&jobs))).await })
    }

    fn claim(&self, claims: Claims) -> Answer<'_, Vec<Claim>> {
        Box::pin(async move { self.ask(|store| store.claim(&claims)).await })
    }

    fn renew(&self, lease: &Lease) -> Answer<'_, Renewed> {
        let lease = lease.clone();
        Box::pin(async move { self.ask(|store| store.renew(&lease)).await })
    }

    fn finish(&self, lease: &Lease, end: End) -> Answer<'_, Ended> {
        let lease = lease.clone();
        Box::pin(async move { self.ask(|store| store.finish(&lease, &end)).await })
    }

    fn cancel(&self, id: JobId, _: Option<u64>) -> Answer<'_, Cancelled> {
        Box::pin(async move {
            self.ask(|store| store.change(id, "cancelled", |p, _, now_ms| p.cancel(now_ms))).await
        })
    }

    fn find(&self, id: JobId) -> Answer<'_, Option<Job>> {
        Box::pin(async move { self.ask(|store| Ok(store.inner().jobs.get(&id).cloned())).await })
    }

    fn list(&self, _: Filter) -> Answer<'_, Page> {
        Box::pin(async move { self.ask(|store| Ok(Page { jobs: store.jobs(), next: None })).await })
    }

    fn counts(&self) -> Answer<'_, Vec<Count>> {
        Box::pin(async move { self.ask(|_| Ok(Vec::new())).await })
    }

    fn forget(&self) -> Answer<'_, Vec<JobId>> {
        Box::pin(async move { self.ask(|_| Ok(Vec::new())).await })
    }

    fn wait(&self, at_most: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(sleep(at_most))
    }
}

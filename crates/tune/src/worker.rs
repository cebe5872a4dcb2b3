//! A session on a thread of its own, for callers that must not wait: each request is a job that
//! can be looked at and cancelled.
//!
//! ```text
//! submit ──▶ queue (at most 32) ──▶ the worker's thread: Session ──▶ job: done, failed, cancelled
//! ```
//!
//! Jobs run one after another, because two at once would disturb each other's measurements. The
//! last 100 jobs are kept. A job that is cancelled or fails on the machine ends the session; the
//! next job opens a new one. Dropping the worker cancels what runs and waits for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::gate;
use crate::progress::{Observer, Progress, Stop};
use crate::session::{Options, Session};

/// What a worker can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// What there is to work with.
    Discover,
    /// What the project costs as it is.
    Measure,
    /// Where the time goes.
    Hotspots,
    /// What may mend it.
    Candidates,
    /// All that is known of a function.
    Explain {
        /// Its name, or the end of it behind `::`.
        function: String,
    },
    /// The fix of a finding, through the judge.
    TryFinding {
        /// The finding.
        id: String,
    },
    /// A patch that somebody else wrote, through the same judge.
    TryPatch {
        /// A name for it.
        name: String,
        /// The patch, as `git diff` writes it.
        patch: String,
    },
    /// Write a change that was kept into the project.
    Accept {
        /// The finding or patch.
        id: String,
    },
    /// Forget a change that was kept.
    Reject {
        /// The finding or patch.
        id: String,
    },
    /// The budget of `tune.toml`.
    CheckBudget {
        /// The commit for clauses beside a baseline.
        baseline: Option<String>,
    },
    /// Everything so far.
    Report,
}

/// A job, as its caller sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Where it is.
    pub state: JobState,
    /// What it is doing, while it runs.
    pub doing: Option<String>,
    /// Steps done and all steps of that, while it runs.
    pub steps: Option<(u64, u64)>,
    /// Its answer, once it is done.
    pub result: Option<Value>,
    /// Why there is none, once it failed.
    pub error: Option<String>,
}

/// Where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum JobState {
    /// It waits for others.
    Pending,
    /// It runs.
    Running,
    /// It has an answer.
    Done,
    /// It has none.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A thread that works on one project.
#[derive(Debug)]
pub struct Worker {
    queue: Option<SyncSender<(u64, Request)>>,
    jobs: Arc<Mutex<Jobs>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Jobs {
    last: u64,
    jobs: BTreeMap<u64, (Job, Stop)>,
}

impl Worker {
    /// Starts a worker on the project in `folder`; nothing is read before the first request.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub fn start(folder: &Path, options: Options) -> Result<Self, Error> {
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(Jobs::default()));
        let (folder, known) = (folder.to_owned(), jobs.clone());
        let thread = std::thread::Builder::new()
            .name("tune".to_owned())
            // Syntax trees stay on the thread that read them, so the session begins there.
            .spawn(move || {
                Desk { folder, options, jobs: known, session: None }.serve(&requests);
            })
            .map_err(|error| Error::machine("cannot start a thread").because(error))?;
        Ok(Self { queue: Some(queue), jobs, thread: Some(thread) })
    }

    /// Queues a request and returns the number of its job.
    ///
    /// # Errors
    ///
    /// 32 requests wait already, or the worker is gone.
    pub fn submit(&self, request: Request) -> Result<u64, Error> {
        let id = lock(&self.jobs).add();
        let sent = match &self.queue {
            Some(queue) => queue.try_send((id, request)),
            None => Err(TrySendError::Disconnected((id, request))),
        };
        sent.map(|()| id).map_err(|error| {
            lock(&self.jobs).jobs.remove(&id);
            match error {
                TrySendError::Full(_) => Error::request(format!(
                    "{QUEUE_MAX} jobs wait already; wait for one or cancel one"
                )),
                TrySendError::Disconnected(_) => Error::machine("the worker is gone"),
            }
        })
    }

    /// Returns a job, as long as it is one of the last hundred.
    #[must_use]
    pub fn job(&self, id: u64) -> Option<Job> {
        lock(&self.jobs).jobs.get(&id).map(|(job, _)| job.clone())
    }

    /// Cancels a job that waits or runs; false for one that has ended or is not known.
    pub fn cancel(&self, id: u64) -> bool {
        let jobs = lock(&self.jobs);
        let Some((job, stop)) = jobs.jobs.get(&id) else { return false };
        stop.request();
        matches!(job.state, JobState::Pending | JobState::Running)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for (_, stop) in lock(&self.jobs).jobs.values() {
            stop.request();
        }
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the worker was told to the job that it ended.
            let _ = thread.join();
        }
    }
}

impl Jobs {
    fn add(&mut self) -> u64 {
        self.last += 1;
        let job = Job {
            id: self.last,
            state: JobState::Pending,
            doing: None,
            steps: None,
            result: None,
            error: None,
        };
        self.jobs.insert(self.last, (job, Stop::default()));
        let ended = |job: &Job| !matches!(job.state, JobState::Pending | JobState::Running);
        while self.jobs.len() > JOBS_MAX {
            let oldest = self.jobs.iter().find(|(_, (job, _))| ended(job)).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            self.jobs.remove(&oldest);
        }
        self.last
    }

    fn change(&mut self, id: u64, change: impl FnOnce(&mut Job)) {
        if let Some((job, _)) = self.jobs.get_mut(&id) {
            change(job);
        }
    }
}

/// The worker's side.
struct Desk {
    folder: PathBuf,
    options: Options,
    jobs: Arc<Mutex<Jobs>>,
    session: Option<Session>,
}

impl Desk {
    fn serve(mut self, requests: &Receiver<(u64, Request)>) {
        while let Ok((id, request)) = requests.recv() {
            let Some(stop) = lock(&self.jobs).jobs.get(&id).map(|(_, stop)| stop.clone()) else {
                continue;
            };
            lock(&self.jobs).change(id, |job| job.state = JobState::Running);
            let jobs = self.jobs.clone();
            let tell = move |progress: &Progress| {
                lock(&jobs).change(id, |job| {
                    job.doing = Some(progress.what.clone());
                    job.steps = Some((progress.done, progress.total));
                });
            };
            let answer = self.answer(&request, Observer::new(&tell, &stop));
            lock(&self.jobs).change(id, |job| {
                (job.doing, job.steps) = (None, None);
                match answer {
                    Ok(result) => {
                        (job.state, job.result) = (JobState::Done, Some(result));
                    }
                    Err(error) if error.kind() == ErrorKind::Cancelled => {
                        job.state = JobState::Cancelled;
                    }
                    Err(error) => {
                        (job.state, job.error) = (JobState::Failed, Some(whole(&error)));
                    }
                }
            });
        }
    }

    fn answer(&mut self, request: &Request, observer: Observer<'_>) -> Result<Value, Error> {
        observer.stop().check()?;
        if let Request::CheckBudget { baseline } = request {
            // The gate takes the project's lock for itself.
            self.session = None;
            let (checked, _) = gate::gate(&self.folder, baseline.as_deref(), observer)?;
            return Ok(json!({ "clauses": checked }));
        }
        let answer = self.session(observer).and_then(|session| ask(session, request, observer));
        if answer.as_ref().is_err_and(|error| {
            matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Machine | ErrorKind::Project)
        }) {
            self.session = None;
        }
        answer
    }

    fn session(&mut self, observer: Observer<'_>) -> Result<&mut Session, Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&self.folder, self.options.clone(), observer)?,
        };
        Ok(self.session.insert(session))
    }
}

/// Takes the step of a session that answers a request.
fn ask(session: &mut Session, request: &Request, observer: Observer<'_>) -> Result<Value, Error> {
    let report = |session: &mut Session| session.report(observer);
    Ok(match request {
        Request::Discover => json!({ "context": session.context(), "notes": session.notes() }),
        Request::Measure => json!({ "baseline": session.measure(observer)? }),
        Request::Hotspots => json!({ "hotspots": report(session)?.hotspots }),
        Request::Candidates => json!({ "findings": report(session)?.findings }),
        Request::Explain { function } => session.explain(function, observer)?,
        Request::TryFinding { id } => json!({ "trial": session.try_finding(id, observer)? }),
        Request::TryPatch { name, patch } => {
            json!({ "trial": session.try_patch(name, patch, observer)? })
        }
        Request::Accept { id } => {
            let accepted = session.accept(std::slice::from_ref(id), false)?;
            json!({ "applied": accepted.applied, "left": accepted.left })
        }
        Request::Reject { id } => {
            session.reject(id)?;
            json!({ "rejected": id })
        }
        Request::Report => json!({ "report": report(session)? }),
        Request::CheckBudget { .. } => {
            return Err(Error::request("a budget is checked without a session"));
        }
    })
}

/// Returns an error with its causes, in a line.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Takes the jobs; a panic while they were held left them whole, for each change is one step.
fn lock(jobs: &Mutex<Jobs>) -> MutexGuard<'_, Jobs> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

const QUEUE_MAX: usize = 32;
const JOBS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits for a job to end.
    fn wait(worker: &Worker, id: u64) -> Job {
        loop {
            let job = worker.job(id).unwrap();
            if !matches!(job.state, JobState::Pending | JobState::Running) {
                return job;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_request_that_cannot_be_met_fails_and_the_worker_goes_on() {
        let empty = tempfile::tempdir().unwrap();
        let worker = Worker::start(empty.path(), Options::default()).unwrap();
        for _ in 0..2 {
            let id = worker.submit(Request::Discover).unwrap();
            let job = wait(&worker, id);
            assert_eq!(job.state, JobState::Failed);
            assert!(job.error.unwrap().contains("has no Cargo.toml"));
            assert!(!worker.cancel(id), "it has ended");
        }
        assert!(worker.job(99).is_none());
    }

    #[test]
    fn ended_jobs_are_forgotten_after_a_hundred() {
        let empty = tempfile::tempdir().unwrap();
        let worker = Worker::start(empty.path(), Options::default()).unwrap();
        let mut last = 0;
        for _ in 0..=JOBS_MAX {
            last = worker.submit(Request::Measure).unwrap();
            wait(&worker, last);
        }
        assert!(worker.job(1).is_none());
        assert!(worker.job(last).is_some());
    }
}

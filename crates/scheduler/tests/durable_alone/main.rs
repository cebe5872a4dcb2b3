//! Durable jobs of one machine: the store in a file, the runner, commands and their limits.

mod bad_input;
mod commands;
mod crash;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidemill_metrics::Registry;
use tidemill_scheduler::core::State;
use tidemill_scheduler::durable::sqlite::{SqliteOptions, SqliteStore};
use tidemill_scheduler::durable::{
    Environment, Handlers, Job, JobId, JobSpec, JobStore, Logs, ResourceLimits, Runner,
    RunnerOptions,
};

/// Long enough for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A folder with a store, and what a runner of it needs.
struct Place {
    folder: TempDir,
    store: SqliteStore,
}

impl Place {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut SqliteOptions)) -> Self {
        let folder = TempDir::with_prefix("tidemill-jobs-").expect("a temporary folder");
        for name in ["logs", "work"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let mut options = SqliteOptions::new(folder.path().join("jobs.sqlite"));
        change(&mut options);
        let store = SqliteStore::open(options).expect("a new store opens");
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn logs(&self) -> Logs {
        Logs::new(self.path("logs"), 64 << 10)
    }

    fn options(&self) -> RunnerOptions {
        let path = ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into());
        RunnerOptions {
            node: "here".into(),
            concurrency: 4,
            lease: Duration::from_secs(30),
            grace: Duration::from_millis(500),
            environment: Environment { variables: vec![path] },
            limits: ResourceLimits::default(),
            logs: self.logs(),
            logs_age: None,
            folder: self.path("work"),
            handlers: Handlers::default(),
        }
    }

    fn start(&self, options: RunnerOptions) -> Runner {
        Runner::start(Arc::new(self.store.clone()), options, &Registry::default())
            .expect("the metrics are new")
    }

    async fn submit(&self, spec: JobSpec) -> JobId {
        self.store.submit(vec![spec]).await.expect("the store takes it")[0].id
    }

    async fn find(&self, id: JobId) -> Job {
        self.store.find(id).await.expect("the store answers").expect("the job is known")
    }

    /// Waits until a job has ended.
    async fn end(&self, id: JobId) -> Job {
        self.wait(id, |job| job.progress.state.is_final()).await
    }

    async fn wait(&self, id: JobId, is_good: impl Fn(&Job) -> bool) -> Job {
        let looks = SOON.as_millis() / 10;
        for _ in 0..looks {
            let job = self.find(id).await;
            if is_good(&job) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain for {:?}", self.find(id).await);
    }

    fn log(&self, id: JobId) -> String {
        let part = self.logs().read(id, 0, 1 << 20).expect("the log can be read");
        String::from_utf8_lossy(&part.bytes).into_owned()
    }
}

/// Returns a shell's command.
fn shell(script: &str) -> JobSpec {
    JobSpec::command(["sh", "-c", script])
}

#[track_caller]
fn ended(job: &Job, state: State, because: &str) {
    assert_eq!(job.progress.state, state, "{job:?}");
    let reason = job.progress.reason.as_deref().unwrap_or_default();
    assert!(reason.contains(because), "no {because:?} in {reason:?}");
}

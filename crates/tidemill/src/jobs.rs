//! The node's part in durable jobs: where they are kept, who runs them, what they may see.
//!
//! ```text
//! [cluster] absent --> data_dir/jobs/jobs.sqlite        [cluster] nats --> the servers' streams
//!                      opened at the start                                 tried until they answer
//! ```
//!
//! Trouble with jobs never keeps a proxy from serving: a store that cannot be opened is logged, and
//! the API says why with 503. Commands run as the user that runs the node. Of the node's own
//! environment they get [`KEPT`] and nothing else.

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidemill_metrics::Registry;
use tidemill_scheduler::durable::nats::{NatsOptions, NatsStore};
use tidemill_scheduler::durable::sqlite::{SqliteOptions, SqliteStore};
use tidemill_scheduler::durable::{
    Environment, Error, Handlers, JobStore, Logs, ResourceLimits, Runner, RunnerOptions,
};
use tokio::task::JoinHandle;

use crate::command::Failure;
use crate::config::Config;
use crate::node::environment;

/// The folders of jobs below a node's `data_dir`.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
}

/// The jobs of a running node.
#[derive(Debug)]
pub(crate) struct Jobs {
    state: Arc<Mutex<State>>,
    logs: Option<Logs>,
    /// Tries to open the store.
    opening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum State {
    /// There are none, and this is why.
    Off(String),
    On {
        store: Arc<dyn JobStore>,
        runner: Option<Runner>,
    },
}

impl Folders {
    /// Makes the folders where they are missing, for this user only.
    pub(crate) fn create(data_dir: &Path) -> Result<Self, Failure> {
        let folders = Self { root: data_dir.join("jobs") };
        for folder in [folders.root.clone(), folders.log_folder(), folders.work()] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| {
                Failure::outside(format!("cannot make {}: {error}", folder.display()))
            })?;
        }
        Ok(folders)
    }

    pub(crate) fn logs(&self, config: &Config) -> Logs {
        Logs::new(self.log_folder(), config.jobs.log)
    }

    fn log_folder(&self) -> PathBuf {
        self.root.join("logs")
    }

    fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    fn file(&self) -> PathBuf {
        self.root.join("jobs.sqlite")
    }
}

/// Opens the store that a configuration names, to submit to it and to look into it.
pub(crate) async fn open(config: &Config, folders: &Folders) -> Result<Arc<dyn JobStore>, Error> {
    Ok(match in_cluster(config) {
        Some(options) => Arc::new(NatsStore::connect(options).await?),
        None => Arc::new(SqliteStore::open(alone(config, folders))?),
    })
}

impl Jobs {
    /// Returns the jobs of a node that has none.
    pub(crate) fn none(why: &str) -> Self {
        Self { state: Arc::new(Mutex::new(State::Off(why.to_owned()))), logs: None, opening: None }
    }

    /// Opens the store and begins to run what is in it; where servers do not answer, they are
    /// tried until they do.
    ///
    /// # Errors
    ///
    /// When folders cannot be made or metrics cannot be registered.
    pub(crate) async fn start(
        config: &Config,
        data_dir: &Path,
        registry: &Registry,
    ) -> Result<Self, Failure> {
        let folders = Folders::create(data_dir)?;
        let options = runner_options(config, &folders);
        let logs = Some(options.logs.clone());
        let Some(servers) = in_cluster(config) else {
            let state = match open_alone(config, &folders).await {
                Ok(store) => on(Arc::new(store), options, registry)?,
                Err(error) => {
                    tracing::error!("there are no jobs: {error}");
                    State::Off(error.to_string())
                }
            };
            return Ok(Self { state: Arc::new(Mutex::new(state)), logs, opening: None });
        };
        let trying = "the node is connecting to NATS; try again".to_owned();
        let state = Arc::new(Mutex::new(State::Off(trying)));
        let opening = tokio::spawn(connect(servers, options, registry.clone(), Arc::clone(&state)));
        Ok(Self { state, logs, opening: Some(opening) })
    }

    /// Returns the store.
    ///
    /// # Errors
    ///
    /// With the reason why there is none.
    pub(crate) fn store(&self) -> Result<Arc<dyn JobStore>, String> {
        match &*lock(&self.state) {
            State::Off(why) => Err(why.clone()),
            State::On { store, .. } => Ok(Arc::clone(store)),
        }
    }

    /// Returns what jobs printed here.
    pub(crate) fn logs(&self) -> Option<&Logs> {
        self.logs.as_ref()
    }

    /// Stops running jobs; what has not ended by the deadline is handed back.
    pub(crate) async fn stop(&self, deadline: Duration) {
        if let Some(opening) = &self.opening {
            opening.abort();
        }
        let runner = match &mut *lock(&self.state) {
            State::Off(_) => None,
            State::On { runner, .. } => runner.take(),
        };
        if let Some(runner) = runner {
            runner.stop(deadline).await;
        }
    }
}

/// Tries to connect until that succeeds.
async fn connect(
    servers: NatsOptions,
    options: RunnerOptions,
    registry: Registry,
    state: Arc<Mutex<State>>,
) {
    let mut is_told = false;
    loop {
        let error = match NatsStore::connect(servers.clone()).await {
            Ok(store) => match on(Arc::new(store), options, &registry) {
                Ok(on) => {
                    *lock(&state) = on;
                    tracing::info!("jobs are shared through NATS");
                    return;
                }
                Err(failure) => return tracing::error!("{}", failure.message()),
            },
            Err(error) => error,
        };
        if !is_told {
            tracing::error!("there are no jobs yet: {error}; trying again every few seconds");
            is_told = true;
        }
        *lock(&state) = State::Off(error.to_string());
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

async fn open_alone(config: &Config, folders: &Folders) -> Result<SqliteStore, Error> {
    let store = SqliteStore::open(alone(config, folders))?;
    // The lock on data_dir says that whoever held these leases is gone.
    let interrupted = store.take_over().await?;
    if !interrupted.is_empty() {
        tracing::info!("{} jobs were interrupted and run again", interrupted.len());
    }
    Ok(store)
}

fn on(
    store: Arc<dyn JobStore>,
    options: RunnerOptions,
    registry: &Registry,
) -> Result<State, Failure> {
    let runner = Runner::start(Arc::clone(&store), options, registry)
        .map_err(|error| Failure::outside(format!("cannot register metrics: {error}")))?;
    Ok(State::On { store, runner: Some(runner) })
}

fn alone(config: &Config, folders: &Folders) -> SqliteOptions {
    SqliteOptions {
        path: folders.file(),
        waiting_max: config.jobs.waiting.into(),
        keep_count: config.jobs.keep_count.into(),
        keep_age: config.jobs.keep,
        bytes_max: None,
    }
}

fn in_cluster(config: &Config) -> Option<NatsOptions> {
    let cluster = &config.cluster;
    (!cluster.nats.is_empty()).then(|| NatsOptions {
        name: cluster.name.clone(),
        replicas: cluster.replicas as usize,
        lease: config.jobs.lease,
        waiting_max: config.jobs.waiting.into(),
        keep_age: config.jobs.keep,
        ..NatsOptions::new(cluster.nats.iter().cloned())
    })
}

fn runner_options(config: &Config, folders: &Folders) -> RunnerOptions {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let pid = std::process::id();
    RunnerOptions {
        node: format!("{}-{pid}", host_name()).into(),
        concurrency: config.jobs.concurrency.unwrap_or(cores).get(),
        lease: config.jobs.lease,
        grace: GRACE,
        environment: kept_environment(),
        limits: ResourceLimits {
            memory_bytes: config.jobs.memory,
            files: config.jobs.files.into(),
        },
        logs: folders.logs(config),
        logs_age: Some(config.jobs.keep),
        folder: folders.work(),
        handlers: Handlers::default(),
    }
}

fn kept_environment() -> Environment {
    let kept = |name: &&str| -> Option<(OsString, OsString)> {
        environment(name).map(|value| ((*name).into(), value.into()))
    };
    Environment { variables: KEPT.iter().filter_map(kept).collect() }
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "node".to_owned() } else { name.to_owned() }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What commands get of the node's environment, where it is set.
const KEPT: [&str; 10] =
    ["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"];

/// How long a command that is asked to end has before it is killed.
const GRACE: Duration = Duration::from_secs(5);

const CONNECT_PAUSE: Duration = Duration::from_secs(3);

//! A running node: the engine, what it keeps on disk, its HTTP server, and what moves it.
//!
//! ```text
//! lock data_dir -> bind the API -> open the workspace -> listen on every proxy
//!      -> write addresses -> log -> ready
//!      |  an error on the way undoes what was done: nothing stays half started
//!      v
//! loop: file changed, SIGHUP -> reload      SIGTERM, Ctrl-C -> drain -> exit (a second: at once)
//! ```
//!
//! Everything here runs on two control-plane threads; connections are carried by the engine's own.

mod background;
mod data_dir;
mod demo;
mod log;
mod measure;
mod reload;
mod signals;
mod watch;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidemill_metrics::Registry;
use tidemill_proxy::{Engine, EngineOptions};
use tidemill_workstream::files::FileOptions;
use tidemill_workstream::{Options, Workstream};
use tokio::net::TcpListener;

pub(crate) use data_dir::{DataDir, random_hex, resolve_folder};
pub(crate) use log::LogSettings;
pub(crate) use measure::Remembered;

use crate::command::Failure;
use crate::config::{Config, Source};
use crate::http::{Api, Events, Served, Server, Sessions, Token};
use crate::jobs::Jobs;
use background::NodeWork;
use data_dir::{Addresses, Lock};
use demo::Demo;
use measure::{Measured, Measuring};
use reload::Reloader;
use signals::{Request, Signals, Stop};

/// What a node is started with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    /// The text that `config` was read from.
    pub(crate) text: Option<String>,
    /// Where the configuration is read again; `None` for a node without a file, which also keeps
    /// nothing on disk.
    pub(crate) source: Option<Source>,
    /// Where page and API are served by a node without a file.
    pub(crate) admin: Option<SocketAddr>,
    /// Where the demonstration's proxy listens, if there is one.
    pub(crate) demo: Option<SocketAddr>,
}

/// Runs a node until it is told to stop.
///
/// # Errors
///
/// When something cannot be started; then nothing stays behind.
pub(crate) fn run(plan: Plan, log: LogSettings) -> Result<(), Failure> {
    log.start();
    raise_file_limit();
    let kept = match &plan.source {
        Some(source) => Some(Kept::open(&plan.config, source)?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Failure::outside(format!("cannot start the control plane: {error}")))?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new()
            .map_err(|error| Failure::outside(format!("cannot listen for signals: {error}")))?;
        let mut node = tokio::select! {
            node = Node::start(plan, kept) => node?,
            stop = signals.stop() => return interrupted(stop),
        };
        let stop = node.serve(&mut signals).await;
        tracing::info!("{stop}: no new connections, waiting for the open ones");
        tokio::select! {
            () = node.stop() => Ok(()),
            stop = signals.stop() => interrupted(stop),
        }
    });
    // Look-ups and idle connections must not hold up an exit.
    runtime.shutdown_background();
    result
}

/// Returns a variable of the environment; `None` when it is empty or not UTF-8.
pub(crate) fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let value = std::env::var(name);
    value.ok().filter(|value| !value.is_empty())
}

/// Returns who this process works for: an agent by the name it was given, else the user.
pub(crate) fn person() -> Option<String> {
    ["TIDEMILL_AGENT", "USER", "LOGNAME"].iter().find_map(|name| environment(name))
}

/// The variable with the API's token for a node that keeps nothing on disk.
pub(crate) const TOKEN_VARIABLE: &str = "TIDEMILL_TOKEN";

/// What a node keeps on disk while it runs.
#[derive(Debug)]
struct Kept {
    data_dir: DataDir,
    token: String,
    session: String,
    workspace: PathBuf,
    _lock: Lock,
}

impl Kept {
    fn open(config: &Config, source: &Source) -> Result<Self, Failure> {
        let data_dir = DataDir::locate(&config.node.data_dir, source.folder())?;
        let lock = data_dir.create_and_lock()?;
        let token = data_dir.keep_token()?;
        let session = data_dir.keep_session()?;
        let written = &config.workstream.path;
        let workspace = resolve_folder("workstream.path", written, source.folder())?;
        Ok(Self { data_dir, token, session, workspace, _lock: lock })
    }
}

struct Node {
    engine: Engine,
    work: NodeWork,
    jobs: Arc<Jobs>,
    server: Option<Server>,
    demo: Option<Demo>,
    reloader: Option<Reloader>,
    kept: Option<Kept>,
    measured: Option<Measured>,
    workstream: Option<Workstream>,
    config: Config,
}

impl Node {
    async fn start(plan: Plan, kept: Option<Kept>) -> Result<Self, Failure> {
        let Plan { config, text, source, admin, demo } = plan;
        let page_at = if source.is_some() { Some(config.node.listen) } else { admin };
        let listener = match page_at {
            Some(address) => Some(bind_page(address, source.is_some()).await?),
            None => None,
        };
        let workstream = match &kept {
            Some(kept) => Some(open_workspace(&kept.workspace).await?),
            None => None,
        };
        let registry = start_registry(&config)?;
        let history_path = kept.as_ref().map(|kept| kept.data_dir.path().join(HISTORY));
        let measuring = Measuring::open(history_path, &config.node, &registry);
        let work = NodeWork::start(&registry)?;
        let engine = start_engine(&config, &registry, &work)?;
        let mut demo = match demo {
            Some(address) => Some(Demo::start(address).await?),
            None => None,
        };
        let proxies = demo::with_demo(&config.proxies, demo.as_ref().map(Demo::settings));
        engine.apply(proxies).await.map_err(|error| start_failure(&error, demo.as_ref()))?;
        if let Some(demo) = &mut demo {
            demo.start_traffic(&engine.addresses());
        }

        let reloader = match source {
            Some(source) => {
                let demo = demo.as_ref().map(|demo| demo.settings().clone());
                Some(Reloader::new(source, text, engine.clone(), demo, &registry)?)
            }
            None => None,
        };
        let jobs = Arc::new(match &kept {
            Some(kept) => Jobs::start(&config, kept.data_dir.path(), &registry).await?,
            None => Jobs::none("this node keeps nothing on disk, so it has no jobs"),
        });
        let server = match listener {
            Some(listener) => {
                let served = serve(kept.as_ref(), workstream.as_ref(), listener.1.port());
                let (engine, jobs, registry) =
                    (engine.clone(), Arc::clone(&jobs), registry.clone());
                let remembered = measuring.remembered();
                let api = Api::new(engine, jobs, registry, remembered, served, listener.1)?;
                Some(Server::start(listener.0, Arc::new(api)))
            }
            None => None,
        };
        let measured = registry.is_on().then(|| measuring.start(&registry));
        let node =
            Self { engine, work, jobs, server, demo, reloader, kept, measured, workstream, config };
        node.write_addresses()?;
        node.announce();
        Ok(node)
    }

    /// Logs every address, in the order that the documentation promises, and opens `/readyz`.
    fn announce(&self) {
        for (name, address) in self.engine.addresses() {
            tracing::info!("proxy {name} listens on {address}");
        }
        if let Some(server) = &self.server {
            tracing::info!("page and API on http://{}/", server.address());
        }
        if let Some(workstream) = &self.workstream {
            tracing::info!("workspace {}", workstream.path().display());
        }
        if let Some(server) = &self.server {
            server.set_ready(true);
        }
        tracing::info!("ready");
        if let Some(reloader) = &self.reloader
            && self.config.proxies.is_empty()
            && self.demo.is_none()
        {
            let path = reloader.source().path().display();
            tracing::info!(
                "there are no proxies; write a file with `tidemill check --sample > {path}`, or \
                 see it live with `tidemill up --demo`"
            );
        }
        if let Some(demo) = &self.demo {
            demo.announce(self.server.as_ref().map(Server::address));
        }
    }

    /// Applies changes of the configuration until a signal asks for the end.
    async fn serve(&mut self, signals: &mut Signals) -> Stop {
        loop {
            let trigger = match &mut self.reloader {
                Some(reloader) => tokio::select! {
                    request = signals.next() => Some(request),
                    () = reloader.changed() => None,
                },
                None => Some(signals.next().await),
            };
            let must_differ = match trigger {
                Some(Request::Stop(stop)) => return stop,
                Some(Request::Reload) => false,
                None => true,
            };
            let Some(reloader) = &mut self.reloader else {
                tracing::warn!("SIGHUP: this node has no file to read again");
                continue;
            };
            // Names may take long to resolve; a stop does not wait for them.
            let read = tokio::select! {
                stop = signals.stop() => return stop,
                read = reloader.read(must_differ) => read,
            };
            if let Some(config) = read
                && let Some(applied) = reloader.apply(&config).await
            {
                self.config = reload::keep_until_restart(&self.config, config);
                if let Err(failure) = self.write_addresses() {
                    tracing::error!("{}", failure.message());
                }
                if let Some(reloader) = &self.reloader {
                    reloader.tell(&applied);
                }
            }
        }
    }

    /// Stops accepting, waits for open connections, and closes what is left at the deadline.
    async fn stop(mut self) {
        if let Some(server) = &self.server {
            server.set_ready(false);
        }
        if let Some(demo) = &mut self.demo {
            demo.stop_traffic();
        }
        let deadline = self.config.node.stop_deadline;
        tokio::join!(self.engine.shutdown(deadline), self.jobs.stop(deadline));
        self.work.stop().await;
        if let Some(measured) = self.measured.take() {
            measured.stop().await;
        }
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        if let Some(workstream) = self.workstream.take()
            && let Err(error) = workstream.close().await
        {
            tracing::error!("the workspace was not closed well: {error}");
        }
        if let Some(kept) = &self.kept {
            kept.data_dir.remove_addresses();
        }
        tracing::info!("stopped");
    }

    fn write_addresses(&self) -> Result<(), Failure> {
        let (Some(kept), Some(server)) = (&self.kept, &self.server) else { return Ok(()) };
        kept.data_dir.write_addresses(&Addresses {
            pid: std::process::id(),
            node: server.address(),
            proxies: self.engine.addresses().into_iter().collect(),
            workspace: self.workstream.as_ref().map(|open| open.path().to_owned()),
        })
    }
}

fn interrupted(stop: Stop) -> Result<(), Failure> {
    Err(Failure::interrupt(format!(
        "{stop} a second time or before the start was done: gone at once"
    )))
}

/// Returns how the workspace's files are kept: followed by a node, caught up with by a command.
pub(crate) fn file_options(is_watched: bool) -> FileOptions {
    FileOptions { author: person().unwrap_or_else(|| "files".to_owned()), is_watched }
}

async fn open_workspace(path: &Path) -> Result<Workstream, Failure> {
    let failure = |error: &dyn std::fmt::Display| {
        let path = path.display();
        Failure::outside(format!("cannot serve the workspace {path}: {error}"))
    };
    std::fs::create_dir_all(path).map_err(|error| failure(&error))?;
    // Commands compare paths; links must not make one workspace two.
    let path = std::fs::canonicalize(path).map_err(|error| failure(&error))?;
    let options = Options { files: Some(file_options(true)), ..Options::default() };
    Workstream::open(&path, options).await.map_err(|error| failure(&error))
}

/// Returns what the API lets in and serves, and passes on what happens in the workspace.
fn serve(kept: Option<&Kept>, workstream: Option<&Workstream>, port: u16) -> Served {
    let token = match kept {
        Some(kept) => Some(kept.token.clone()),
        None => environment(TOKEN_VARIABLE),
    };
    let events = Arc::new(Events::new());
    if let Some(workstream) = workstream {
        let (events, changes) = (Arc::clone(&events), workstream.subscribe());
        tokio::spawn(async move { events.follow(changes).await });
    }
    Served {
        token: token.map(Token::new),
        sessions: kept.map(|kept| Sessions::new(kept.session.clone(), port)),
        workstream: workstream.cloned(),
        events,
        person: person().unwrap_or_else(|| "page".to_owned()),
    }
}

/// Makes the registry, with cells of its own for each data-plane and control-plane thread.
fn start_registry(config: &Config) -> Result<Registry, Failure> {
    let threads = data_plane_threads(config).get() + CONTROL_THREADS + BLOCKING_THREADS;
    let options = tidemill_metrics::Options {
        slots: threads,
        is_on: config.node.metrics,
        ..Default::default()
    };
    let registry = Registry::new(options);
    registry
        .show_own()
        .map_err(|error| Failure::outside(format!("cannot register metrics: {error}")))?;
    Ok(registry)
}

fn data_plane_threads(config: &Config) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    config.node.workers.unwrap_or(cores)
}

fn start_engine(config: &Config, registry: &Registry, work: &NodeWork) -> Result<Engine, Failure> {
    let options = EngineOptions { workers: data_plane_threads(config) };
    Engine::start_with(options, registry, Arc::new(work.clone()))
        .map_err(|error| Failure::outside(error.to_string()))
}

async fn bind_page(
    address: SocketAddr,
    has_file: bool,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let setting = if has_file { "node.listen" } else { "--admin" };
    let failure = |error: std::io::Error| {
        let right = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another process listens there: stop it, or choose another {setting}")
            }
            std::io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no such address: correct {setting}")
            }
            _ => format!("correct {setting}"),
        };
        Failure::outside(format!("cannot serve page and API on {address}: {error}; {right}"))
    };
    let listener = TcpListener::bind(address).await.map_err(failure)?;
    let bound = listener.local_addr().map_err(failure)?;
    Ok((listener, bound))
}

/// Says whose fault it is that the proxies could not be started.
fn start_failure(error: &tidemill_proxy::Error, demo: Option<&Demo>) -> Failure {
    let mut message = error.to_string();
    if let (true, Some(demo)) = (error.is_address_in_use(), demo) {
        let port = demo.settings().listen.port();
        if message.contains(&format!(":{port} ")) {
            message.push_str(" with --demo=127.0.0.1:PORT");
        }
    }
    if error.is_invalid() { Failure::input(message) } else { Failure::outside(message) }
}

/// Raises the soft limit on open files to the hard one: a connection takes two.
fn raise_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let wanted = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => tracing::debug!("open files: {current:?} raised to {maximum:?}"),
        Err(error) => tracing::warn!("cannot raise the limit on open files: {error}"),
    }
}

const CONTROL_THREADS: usize = 2;

/// Threads for files and look-ups that record at the same time as a rule.
const BLOCKING_THREADS: usize = 2;

/// In node.data_dir.
const HISTORY: &str = "metrics.history";

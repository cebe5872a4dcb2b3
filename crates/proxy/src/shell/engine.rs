//! The control side: applies settings as a whole, watches health, answers questions.
//!
//! The state is a map of running proxies behind a lock that is never held across an await. Applying
//! is three steps, so that a failure changes nothing: listen on every new address, register every
//! new series, then commit and tell the workers. Two applications never overlap.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tidemill_metrics::Registry;

use super::backend::Backend;
use super::background::{Background, BackgroundWork, OnTokio};
use super::descriptors::{Descriptors, PER_CONNECTION};
use super::instruments::{BackendInstruments, ProxyInstruments};
use super::listen::{Listening, listen};
use super::orders::Orders;
use super::running::{NewInstruments, Prober, Running, register_backends};
use super::signals::Signal;
use super::worker::{Whose, WorkerHandle};
use super::{clock, explain, probe};
use crate::core::diff::{Changes, diff};
use crate::core::health::Transition;
use crate::core::settings::{HealthSettings, Limits, OnDown, ProxySettings};
use crate::core::validate::{overlap, validate};
use crate::error::{Error, Kind};
use crate::status::{Explanation, ProxyStatus};

/// A running load balancer with any number of proxies. Clones are handles to the same engine.
///
/// When the last handle goes without [`shutdown`](Self::shutdown), the workers end at once.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// How an engine is set up for its whole life.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Threads that carry connections.
    pub workers: NonZeroUsize,
}

/// What an operator can ask of a backend at run time. It holds over reloads, until the backend is
/// removed or, for the weight, until its weight in the settings changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum BackendCommand {
    /// Takes new connections again.
    Enable,
    /// Takes no new connections; open ones stay until they end.
    Drain,
    /// Takes no new connections; open ones are reset at once.
    Disable,
    /// Takes this share of new connections relative to the others.
    Weight(u16),
}

/// What an application of settings did, by names of proxies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Proxies that began to listen.
    pub added: Vec<String>,
    /// Proxies that stopped listening; their connections drain.
    pub removed: Vec<String>,
    /// Proxies that go on with other settings.
    pub changed: Vec<String>,
}

#[derive(Debug)]
struct Inner {
    workers: Vec<WorkerHandle>,
    registry: Registry,
    background: Arc<dyn Background>,
    descriptors: Arc<Descriptors>,
    proxies: Mutex<BTreeMap<String, Running>>,
    applying: tokio::sync::Mutex<()>,
    next_listener: AtomicU64,
}

/// What a proxy needs before it can be added or changed.
#[derive(Debug)]
struct Prepared {
    settings: ProxySettings,
    listening: Option<Listening>,
    /// For a new proxy.
    instruments: Option<ProxyInstruments>,
    backend_instruments: NewInstruments,
    restart_probers: bool,
}

impl Engine {
    /// Starts the workers; nothing listens until settings are [applied](Self::apply). Must be
    /// called within a tokio runtime with I/O and time, on which probers will run.
    ///
    /// # Errors
    ///
    /// Fails when the system has no thread or descriptor for a worker.
    pub fn start(options: EngineOptions, registry: &Registry) -> Result<Self, Error> {
        Self::start_with(options, registry, Arc::new(OnTokio))
    }

    /// As [`start`](Self::start), with probes and clean-up done by `background`.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_with(
        options: EngineOptions,
        registry: &Registry,
        background: Arc<dyn Background>,
    ) -> Result<Self, Error> {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let descriptors = Descriptors::new(files);
        let spawn = |index| WorkerHandle::spawn(index, Arc::clone(&descriptors));
        let workers = (0..options.workers.get())
            .map(spawn)
            .collect::<Result<_, _>>()
            .map_err(Kind::Worker)?;
        let inner = Inner {
            workers,
            registry: registry.clone(),
            background,
            descriptors,
            proxies: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            next_listener: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes `wanted` the whole set of proxies. Only what differs is touched: connections of an
    /// unchanged listener or backend stay, counters go on, what is removed drains.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, when the settings are contradictory, ask for more open files
    /// than the process may have, or an address cannot be listened on.
    pub async fn apply(&self, wanted: Vec<ProxySettings>) -> Result<Applied, Error> {
        let _turn = self.inner.applying.lock().await;
        let problems = validate(&wanted);
        if !problems.is_empty() {
            return Err(Kind::Invalid(problems).into());
        }
        self.inner.check_files(&wanted)?;
        let (running, in_use) = self.inner.running();
        let changes = diff(&running, &wanted);
        let prepared = self.inner.prepare(&changes, &in_use)?;
        let removed: Vec<_> = changes.removed.iter().map(|proxy| proxy.name.clone()).collect();
        let applied = Applied {
            added: changes.added.iter().map(|proxy| proxy.name.clone()).collect(),
            changed: changes.changed.iter().map(|change| change.new.name.clone()).collect(),
            removed: removed.clone(),
        };
        self.commit(prepared, &removed).send(&self.inner.workers).await?;
        self.inner.set_aside();
        Ok(applied)
    }

    /// Returns each proxy's name with the address in use.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let proxies = self.inner.proxies();
        proxies.iter().map(|(name, running)| (name.clone(), running.address)).collect()
    }

    /// Tells how every proxy is now, in the order of their names.
    pub fn status(&self) -> Vec<ProxyStatus> {
        let now = clock::now();
        let descriptors = &self.inner.descriptors;
        let files = (descriptors.files(), descriptors.connections_max());
        self.inner.proxies().values().map(|running| running.status(now, files)).collect()
    }

    /// Carries out `command` on the backends of this name or address, in one proxy or in all, and
    /// returns how many there were.
    ///
    /// # Errors
    ///
    /// Fails when there is no such proxy or no such backend.
    pub async fn control(
        &self,
        proxy: Option<&str>,
        backend: &str,
        command: BackendCommand,
    ) -> Result<usize, Error> {
        let mut orders = Orders::new(self.inner.workers.len());
        let count = self.inner.control(proxy, backend, command, &mut orders)?;
        orders.send(&self.inner.workers).await?;
        Ok(count)
    }

    /// Says where a connection of `proxy` from `from` would go now, and why.
    ///
    /// # Errors
    ///
    /// Fails when there is no such proxy.
    pub fn explain(&self, proxy: &str, from: SocketAddr) -> Result<Explanation, Error> {
        let proxies = self.inner.proxies();
        let running = proxies.get(proxy).ok_or_else(|| Kind::UnknownProxy(proxy.to_owned()))?;
        Ok(explain::explain(&running.proxy.snapshot.load(), from, clock::now()))
    }

    /// Stops listening, waits for open connections up to `deadline`, closes those that are left
    /// and ends the workers.
    pub async fn shutdown(&self, deadline: Duration) {
        let _turn = self.inner.applying.lock().await;
        let mut orders = Orders::new(self.inner.workers.len());
        for running in std::mem::take(&mut *self.inner.proxies()).into_values() {
            orders.unlisten(running.listener);
        }
        if orders.send(&self.inner.workers).await.is_err() {
            tracing::error!("a worker had ended before the engine stopped");
        }
        let descriptors = &self.inner.descriptors;
        if tokio::time::timeout(deadline, descriptors.all_closed()).await.is_err() {
            let mut orders = Orders::new(self.inner.workers.len());
            orders.close(Whose::All, Signal::Stopped, None);
            let closed = async {
                let _ = orders.send(&self.inner.workers).await;
                descriptors.all_closed().await;
            };
            // What does not end even now ends with its worker.
            let _ = tokio::time::timeout(LAST_MOMENT, closed).await;
        }
        for worker in &self.inner.workers {
            worker.stop().await;
        }
    }

    /// Makes prepared changes real and returns what the workers have to be told.
    fn commit(&self, prepared: Vec<Prepared>, removed: &[String]) -> Orders {
        let now = clock::now();
        let mut orders = Orders::new(self.inner.workers.len());
        let mut proxies = self.inner.proxies();
        for name in removed {
            if let Some(running) = proxies.remove(name) {
                let drain = Some(running.settings.drain);
                orders.unlisten(running.listener);
                orders.close(Whose::Proxy(running.proxy.key), Signal::Drained, drain);
                self.retire(&running, running.backends.clone(), true);
            }
        }
        for change in prepared {
            let name = change.settings.name.clone();
            if let Some(instruments) = change.instruments {
                let Some(listening) = change.listening else { continue };
                let listener = self.inner.next_listener.fetch_add(1, Ordering::Relaxed);
                let (address, new) = (listening.address, change.backend_instruments);
                let mut running =
                    Running::new(change.settings, address, listener, instruments, new, now);
                orders.listen(listener, &running.proxy, listening.sockets);
                self.start_probers(&mut running);
                proxies.insert(name, running);
            } else if let Some(running) = proxies.get_mut(&name) {
                let drain = running.settings.drain;
                let gone = running.reconfigure(change.settings, change.backend_instruments, now);
                for backend in &gone {
                    running.probers.remove(&backend.key);
                    orders.close(Whose::Backend(backend.key), Signal::Drained, Some(drain));
                }
                if !gone.is_empty() {
                    self.retire(running, gone, false);
                }
                if let Some(listening) = change.listening {
                    let old = running.listener;
                    running.listener = self.inner.next_listener.fetch_add(1, Ordering::Relaxed);
                    running.address = listening.address;
                    orders.listen(running.listener, &running.proxy, listening.sockets);
                    orders.unlisten(old);
                }
                if change.restart_probers {
                    running.probers.clear();
                }
                self.start_probers(running);
            }
        }
        orders
    }

    /// Starts a prober for every backend that has none and should have one.
    fn start_probers(&self, running: &mut Running) {
        let Some(health) = &running.settings.health else { return };
        for backend in &running.backends {
            running.probers.entry(backend.key).or_insert_with(|| {
                let begin = HealthSettings { start_up: backend.is_healthy(), ..health.clone() };
                let (engine, proxy) = (Arc::downgrade(&self.inner), running.settings.name.clone());
                let probed = Arc::clone(backend);
                let changed = async move |transition, outcome: &str| {
                    if let Some(engine) = engine.upgrade() {
                        engine.health_changed(&proxy, &probed, transition, outcome).await;
                    }
                };
                let background = Arc::clone(&self.inner.background);
                let watch = probe::watch(Arc::clone(backend), begin, background, changed);
                let task = tokio::spawn(watch);
                Prober(task.abort_handle())
            });
        }
    }

    /// Forgets backends that are gone, and their series, once their connections have ended.
    fn retire(&self, running: &Running, backends: Vec<Arc<Backend>>, with_proxy: bool) {
        let engine = Arc::downgrade(&self.inner);
        let name = running.settings.name.clone();
        let deadline = running.settings.drain.deadline + LAST_MOMENT;
        let clean_up = async move {
            let ended = async {
                while backends.iter().any(|backend| backend.connections() > 0) {
                    tokio::time::sleep(RETIRE_CHECK).await;
                }
            };
            // After the deadline the workers have closed them all.
            let _ = tokio::time::timeout(deadline, ended).await;
            if let Some(engine) = engine.upgrade() {
                engine.forget(&name, &backends, with_proxy);
            }
        };
        self.inner.background.run(BackgroundWork::CleanUp, Box::pin(clean_up));
    }
}

impl Inner {
    /// Listens and registers for every change; on failure all of it is given up again.
    fn prepare(
        &self,
        changes: &Changes<'_>,
        in_use: &[SocketAddr],
    ) -> Result<Vec<Prepared>, Error> {
        let workers = self.workers.len();
        let open = |new: &ProxySettings| {
            listen(new, workers, in_use.iter().any(|ours| overlap(*ours, new.listen)))
        };
        let mut prepared = Vec::with_capacity(changes.added.len() + changes.changed.len());
        for new in &changes.added {
            let listening = open(new)?;
            prepared.push(Prepared {
                settings: (*new).clone(),
                listening: Some(listening),
                instruments: Some(ProxyInstruments::register(&self.registry, &new.name)?),
                backend_instruments: register_backends(&self.registry, &new.name, &new.backends)?,
                restart_probers: false,
            });
        }
        for change in &changes.changed {
            let added = change.backends_added.iter().copied();
            prepared.push(Prepared {
                settings: change.new.clone(),
                listening: if change.listener { Some(open(change.new)?) } else { None },
                instruments: None,
                backend_instruments: register_backends(&self.registry, &change.new.name, added)?,
                restart_probers: change.health,
            });
        }
        Ok(prepared)
    }

    fn control(
        &self,
        proxy: Option<&str>,
        name: &str,
        command: BackendCommand,
        orders: &mut Orders,
    ) -> Result<usize, Error> {
        let now = clock::now();
        let proxies = self.proxies();
        if let Some(proxy) = proxy.filter(|proxy| !proxies.contains_key(*proxy)) {
            return Err(Kind::UnknownProxy(proxy.to_owned()).into());
        }
        let asked = proxies.iter().filter(|(name, _)| proxy.is_none_or(|proxy| proxy == *name));
        let mut count = 0;
        for (_, running) in asked {
            let backends = running.backends_called(name);
            for backend in &backends {
                match command {
                    BackendCommand::Enable => backend.enable(true, now),
                    BackendCommand::Drain => backend.enable(false, now),
                    BackendCommand::Disable => {
                        backend.enable(false, now);
                        orders.close(Whose::Backend(backend.key), Signal::Disabled, None);
                    }
                    BackendCommand::Weight(weight) => backend.reweigh(weight),
                }
            }
            // A Maglev table is made of the weights.
            if matches!(command, BackendCommand::Weight(_)) && !backends.is_empty() {
                running.publish();
            }
            count += backends.len();
        }
        if count == 0 {
            return Err(Kind::UnknownBackend(name.to_owned()).into());
        }
        Ok(count)
    }

    async fn health_changed(
        &self,
        proxy: &str,
        backend: &Backend,
        transition: Transition,
        outcome: &str,
    ) {
        let mut orders = Orders::new(self.workers.len());
        {
            let proxies = self.proxies();
            let Some(running) = proxies.get(proxy) else { return };
            match transition {
                Transition::Up => {
                    tracing::info!("proxy {proxy}: backend {} is up: {outcome}", backend.name());
                }
                Transition::Down => {
                    tracing::warn!("proxy {proxy}: backend {} is down: {outcome}", backend.name());
                    if running.settings.on_down == OnDown::Close {
                        orders.close(Whose::Backend(backend.key), Signal::BackendDown, None);
                    }
                }
            }
        }
        if orders.send(&self.workers).await.is_err() {
            tracing::error!("proxy {proxy}: a worker has ended");
        }
    }

    fn forget(&self, proxy: &str, backends: &[Arc<Backend>], with_proxy: bool) {
        let mut proxies = self.proxies();
        let mut running = proxies.get_mut(proxy);
        for backend in backends {
            if let Some(running) = &mut running {
                running.leaving.retain(|leaving| leaving.key != backend.key);
            }
            let back = running.as_ref().is_some_and(|running| {
                running.backends.iter().any(|other| other.address == backend.address)
            });
            if !back {
                BackendInstruments::remove(&self.registry, proxy, &backend.address.to_string());
            }
        }
        if with_proxy && running.is_none() {
            ProxyInstruments::remove(&self.registry, proxy);
        }
    }

    /// Refuses a connection limit that was asked for and that open files do not suffice for. The
    /// default is an upper bound that nobody asked for; the descriptor budget keeps it honest.
    fn check_files(&self, wanted: &[ProxySettings]) -> Result<(), Error> {
        let files = self.descriptors.files();
        let others = self.others(wanted.iter().map(|proxy| proxy.backends.len()));
        for proxy in wanted {
            let connections = proxy.limits.connections;
            let needed = u64::from(connections) * PER_CONNECTION + others;
            if connections != Limits::default().connections && needed > files {
                let proxy = proxy.name.clone();
                return Err(Kind::Files { proxy, connections, needed, files }.into());
            }
        }
        Ok(())
    }

    fn set_aside(&self) {
        let proxies = self.proxies();
        let others = self.others(proxies.values().map(|running| running.backends.len()));
        self.descriptors.set_aside(others);
    }

    /// Returns how many descriptors everything but connections takes: the process itself, the
    /// workers, and for each proxy a socket per worker and a probe per backend.
    fn others(&self, backends: impl Iterator<Item = usize>) -> u64 {
        let workers = self.workers.len();
        let proxies: usize = backends.map(|count| count + workers).sum();
        PROCESS_FILES + (workers * WORKER_FILES + proxies) as u64
    }

    /// Returns the settings that run, and the addresses listened on.
    fn running(&self) -> (Vec<ProxySettings>, Vec<SocketAddr>) {
        let proxies = self.proxies();
        let settings = proxies.values().map(|running| ProxySettings::clone(&running.settings));
        (settings.collect(), proxies.values().map(|running| running.address).collect())
    }

    fn proxies(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Applied {
    /// Writes `added a; changed b; removed c`, or `nothing changed`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let mut separator = "";
        for (what, names) in parts.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{separator}{what} {}", names.join(", "))?;
            separator = "; ";
        }
        if separator.is_empty() { f.write_str("nothing changed") } else { Ok(()) }
    }
}

/// What is left of a connection after its deadline gets this long to close.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// How often a backend that leaves is looked at.
const RETIRE_CHECK: Duration = Duration::from_millis(100);

/// Descriptors of the process besides its proxies: standard streams, control plane, files.
const PROCESS_FILES: u64 = 64;

/// Descriptors of one worker: epoll, wake-up and timer, with some to spare.
const WORKER_FILES: usize = 8;

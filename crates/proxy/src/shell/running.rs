//! One proxy as the control plane keeps it: what it was told, its backends, their probers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidemill_metrics::Registry;
use tokio::task::AbortHandle;

use super::backend::{Backend, Proxy, Snapshot};
use super::instruments::{BackendInstruments, ProxyInstruments, Reject};
use crate::core::settings::{BackendSettings, ProxySettings};
use crate::error::Error;
use crate::status::{BackendStatus, LimitsStatus, ProxyStatus};

/// One proxy as the control plane keeps it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) settings: Arc<ProxySettings>,
    /// The address in use.
    pub(crate) address: SocketAddr,
    /// Names its sockets to the workers.
    pub(crate) listener: u64,
    pub(crate) proxy: Arc<Proxy>,
    /// In the order of the settings.
    pub(crate) backends: Vec<Arc<Backend>>,
    /// Removed, and waiting for their last connections.
    pub(crate) leaving: Vec<Arc<Backend>>,
    /// By the backend's key; a prober that is taken out ends.
    pub(crate) probers: HashMap<u64, Prober>,
}

/// A running prober task; ends on drop.
#[derive(Debug)]
pub(crate) struct Prober(pub(crate) AbortHandle);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The instruments of backends that are about to be added, by address.
pub(crate) type NewInstruments = HashMap<SocketAddr, BackendInstruments>;

/// Registers the series of backends that are about to be added to a proxy.
pub(crate) fn register_backends<'a>(
    registry: &Registry,
    proxy: &str,
    backends: impl IntoIterator<Item = &'a BackendSettings>,
) -> Result<NewInstruments, Error> {
    let register = |backend: &BackendSettings| {
        let label = backend.address.to_string();
        Ok((backend.address, BackendInstruments::register(registry, proxy, &label)?))
    };
    backends.into_iter().map(register).collect()
}

impl Running {
    /// Puts a new proxy together. Backends that exist from the start are warm: nothing was served
    /// before them that slow start could protect them from.
    pub(crate) fn new(
        settings: ProxySettings,
        address: SocketAddr,
        listener: u64,
        instruments: ProxyInstruments,
        mut backend_instruments: NewInstruments,
        now: Instant,
    ) -> Self {
        let settings = Arc::new(settings);
        let healthy = settings.health.as_ref().is_none_or(|health| health.start_up);
        let create = |backend: &BackendSettings| {
            let instruments = backend_instruments.remove(&backend.address)?;
            Some(Backend::new(backend, healthy, true, instruments, now))
        };
        let backends: Vec<_> = settings.backends.iter().filter_map(create).collect();
        let snapshot = Snapshot::new(Arc::clone(&settings), backends.clone());
        let proxy = Proxy::new(instruments, snapshot);
        let (leaving, probers) = (Vec::new(), HashMap::new());
        Self { settings, address, listener, proxy, backends, leaving, probers }
    }

    /// Takes over new settings. Backends that stay keep everything but a weight that differs in
    /// the settings; those that are gone are returned, disabled.
    pub(crate) fn reconfigure(
        &mut self,
        settings: ProxySettings,
        mut instruments: NewInstruments,
        now: Instant,
    ) -> Vec<Arc<Backend>> {
        let old = std::mem::replace(&mut self.settings, Arc::new(settings));
        let settings = Arc::clone(&self.settings);
        let mut before: HashMap<SocketAddr, Arc<Backend>> =
            self.backends.drain(..).map(|backend| (backend.address, backend)).collect();
        let healthy = settings.health.as_ref().is_none_or(|health| health.start_up);
        for wanted in &settings.backends {
            let backend = before.remove(&wanted.address).or_else(|| {
                let instruments = instruments.remove(&wanted.address)?;
                Some(Backend::new(wanted, healthy, false, instruments, now))
            });
            let Some(backend) = backend else { continue };
            let was = old.backends.iter().find(|old| old.address == wanted.address);
            if was.is_some_and(|was| was.weight != wanted.weight) {
                backend.reweigh(wanted.weight);
            }
            backend.rename(&wanted.name);
            if settings.health.is_none() && !backend.is_healthy() {
                backend.found(true, now);
            }
            self.backends.push(backend);
        }
        self.proxy.gate.resize(settings.limits.connections, settings.limits.queue);
        self.publish();
        let gone: Vec<_> = before.into_values().collect();
        for backend in &gone {
            backend.enable(false, now);
        }
        self.leaving.extend(gone.iter().cloned());
        gone
    }

    /// Gives the workers a snapshot of what is now.
    pub(crate) fn publish(&self) {
        let snapshot = Snapshot::new(Arc::clone(&self.settings), self.backends.clone());
        self.proxy.snapshot.store(Arc::new(snapshot));
    }

    /// Returns the backends of this name or address.
    pub(crate) fn backends_called(&self, name: &str) -> Vec<Arc<Backend>> {
        let called =
            |backend: &&Arc<Backend>| backend.name() == name || backend.address.to_string() == name;
        self.backends.iter().filter(called).cloned().collect()
    }

    /// Tells how the proxy is now.
    pub(crate) fn status(&self, now: Instant, files: (u64, u64)) -> ProxyStatus {
        let instruments = &self.proxy.instruments;
        let rejected = Reject::ALL
            .map(|(reject, name)| (name.to_owned(), instruments.rejected(reject).value()));
        let backends = self.backends.iter().map(|backend| backend_status(backend, false, now));
        let leaving = self.leaving.iter().map(|backend| backend_status(backend, true, now));
        ProxyStatus {
            name: self.settings.name.clone(),
            listen: self.address,
            balance: self.settings.balance.name().to_owned(),
            connections: self.proxy.gate.active(),
            waiting: self.proxy.gate.waiting(),
            connections_total: instruments.connections_total.value(),
            bytes_upstream_total: instruments.upstream_bytes.value(),
            bytes_downstream_total: instruments.downstream_bytes.value(),
            rejected_total: rejected.into_iter().collect(),
            limits: limits_status(&self.settings, files),
            backends: backends.chain(leaving).collect(),
        }
    }
}

fn limits_status(settings: &ProxySettings, (files, by_files): (u64, u64)) -> LimitsStatus {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    LimitsStatus {
        connections: u64::from(settings.limits.connections),
        queue: u64::from(settings.limits.queue),
        backlog: u64::from(settings.limits.backlog),
        files,
        connections_by_files: by_files,
        connect_timeout_ms: millis(settings.timeouts.connect),
        idle_timeout_ms: millis(settings.timeouts.idle),
        queue_timeout_ms: millis(settings.timeouts.queue),
        retries: u64::from(settings.retries),
    }
}

fn backend_status(backend: &Backend, removed: bool, now: Instant) -> BackendStatus {
    let (since, last_probe) = backend.health();
    BackendStatus {
        name: backend.name(),
        address: backend.address,
        weight: backend.weight(),
        healthy: backend.is_healthy(),
        enabled: backend.is_enabled(),
        removed,
        connections: u64::from(backend.connections()),
        connections_total: backend.instruments.connections_total.value(),
        connect_failures_total: backend.instruments.connect_failures.value(),
        connect_ewma_us: u64::from(backend.ewma_us(now)),
        last_probe,
        since_seconds: now.saturating_duration_since(since).as_secs(),
    }
}

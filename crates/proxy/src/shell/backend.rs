//! What the workers know of a backend and of a proxy while they serve.
//!
//! A [`Snapshot`] is immutable and replaced as a whole by the control plane. A [`Backend`] outlives
//! snapshots and carries what changes from moment to moment in atomics: the two bits `healthy`
//! (found by probes) and `enabled` (asked for by the operator), the weight in force, the open
//! connections over all workers. Each atomic stands for itself, so relaxed orderings suffice: a
//! worker that sees a change a moment late picks as it would have picked a moment earlier.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::gate::Gate;
use super::instruments::{BackendInstruments, ProxyInstruments};
use super::shortage::Shortage;
use crate::core::balance::{Fleet, Load, Maglev, WEIGHT_ONE, backend_id};
use crate::core::ewma::Ewma;
use crate::core::settings::{AllDown, BackendSettings, Policy, ProxySettings};
use crate::core::slow_start;

/// One proxy as the workers see it.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Tells this proxy from an earlier one of the same name.
    pub(crate) key: u64,
    pub(crate) name: String,
    pub(crate) gate: Arc<Gate>,
    pub(crate) instruments: ProxyInstruments,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Whether there are descriptors to accept with.
    pub(crate) accepting: Shortage,
    /// Whether there are descriptors and ports to connect to backends with.
    pub(crate) connecting: Shortage,
}

impl Proxy {
    /// Creates a proxy that serves `snapshot`.
    pub(crate) fn new(instruments: ProxyInstruments, snapshot: Snapshot) -> Arc<Self> {
        let settings = &snapshot.settings;
        Arc::new(Self {
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            name: settings.name.clone(),
            gate: Gate::new(settings.limits.connections, settings.limits.queue),
            instruments,
            snapshot: ArcSwap::from_pointee(snapshot),
            accepting: Shortage::default(),
            connecting: Shortage::default(),
        })
    }
}

/// The settings of a proxy and its backends at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) settings: Arc<ProxySettings>,
    pub(crate) backends: Vec<Arc<Backend>>,
    maglev: Option<Maglev>,
}

impl Snapshot {
    /// Puts a snapshot together; with Maglev this fills the table, some milliseconds.
    pub(crate) fn new(settings: Arc<ProxySettings>, backends: Vec<Arc<Backend>>) -> Self {
        let mut snapshot = Self { settings, backends, maglev: None };
        if snapshot.settings.balance == Policy::Maglev {
            snapshot.maglev = Some(snapshot.fill_table());
        }
        snapshot
    }

    /// Returns the look-up table where the policy uses one.
    pub(crate) fn maglev(&self) -> Option<&Maglev> {
        self.maglev.as_ref()
    }

    /// Returns the backends as a balancer sees them at `now`; those at the indices `tried` are
    /// out.
    pub(crate) fn fleet<'a>(&'a self, now: Instant, tried: &'a [usize]) -> View<'a> {
        let none_up = !self.backends.iter().any(|backend| backend.serves());
        let fail_open = none_up && self.settings.all_down == AllDown::FailOpen;
        View { snapshot: self, now, tried, fail_open }
    }

    /// Fills the table from weights alone: the clients of a backend that is down are spread over
    /// the others, nobody else moves, and nodes that see health differently agree on the table.
    fn fill_table(&self) -> Maglev {
        let weight = |backend: &Backend| u32::from(backend.weight()) * WEIGHT_ONE;
        let weights: Vec<_> =
            self.backends.iter().map(|backend| (backend.id, weight(backend))).collect();
        Maglev::new(&weights)
    }
}

/// The backends of a snapshot as a balancer sees them.
#[derive(Debug)]
pub(crate) struct View<'a> {
    snapshot: &'a Snapshot,
    now: Instant,
    tried: &'a [usize],
    pub(crate) fail_open: bool,
}

impl Fleet for View<'_> {
    fn len(&self) -> usize {
        self.snapshot.backends.len()
    }

    fn id(&self, index: usize) -> u64 {
        self.snapshot.backends[index].id
    }

    fn load(&self, index: usize) -> Load {
        let backend = &self.snapshot.backends[index];
        let ewma_us = match self.snapshot.settings.balance {
            Policy::P2cEwma => backend.ewma_us(self.now),
            _ => 0,
        };
        Load { weight: self.weight(index), connections: backend.connections(), ewma_us }
    }

    fn weight(&self, index: usize) -> u32 {
        let backend = &self.snapshot.backends[index];
        if self.tried.contains(&index) || !backend.is_eligible(self.fail_open) {
            return 0;
        }
        backend.effective_weight(self.snapshot.settings.slow_start, self.now)
    }
}

/// One backend of one proxy, shared by every worker.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Tells this backend from an earlier one of the same address.
    pub(crate) key: u64,
    /// Names the address in hashes; equal on every node.
    pub(crate) id: u64,
    pub(crate) address: SocketAddr,
    pub(crate) instruments: BackendInstruments,
    weight: AtomicU16,
    healthy: AtomicBool,
    enabled: AtomicBool,
    connections: AtomicU32,
    /// Nanoseconds from `born` to the start of the slow start; `WARM` is in the distant past.
    ramp_start: AtomicU64,
    born: Instant,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    name: String,
    connect_time: Ewma,
    health_since: Instant,
    last_probe: Option<String>,
}

impl Backend {
    /// Creates a backend that is enabled. A `warm` one takes its whole weight at once.
    pub(crate) fn new(
        settings: &BackendSettings,
        healthy: bool,
        warm: bool,
        instruments: BackendInstruments,
        now: Instant,
    ) -> Arc<Self> {
        instruments.up.set(i64::from(healthy));
        Arc::new(Self {
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            id: backend_id(settings.address),
            address: settings.address,
            instruments,
            weight: AtomicU16::new(settings.weight),
            healthy: AtomicBool::new(healthy),
            enabled: AtomicBool::new(true),
            connections: AtomicU32::new(0),
            ramp_start: AtomicU64::new(if warm { WARM } else { 0 }),
            born: now,
            changing: Mutex::new(Changing {
                name: settings.name.clone(),
                connect_time: Ewma::default(),
                health_since: now,
                last_probe: None,
            }),
        })
    }

    /// Returns what the operator calls it.
    pub(crate) fn name(&self) -> String {
        self.changing().name.clone()
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    pub(crate) fn weight(&self) -> u16 {
        self.weight.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the peak EWMA of the connect time, in microseconds.
    pub(crate) fn ewma_us(&self, now: Instant) -> u32 {
        self.changing().connect_time.value(self.age_us(now))
    }

    /// Returns when `healthy` last changed, and what the last probe said.
    pub(crate) fn health(&self) -> (Instant, Option<String>) {
        let changing = self.changing();
        (changing.health_since, changing.last_probe.clone())
    }

    /// Reserves a connection from the moment the backend is chosen, so that choices made at the
    /// same time see each other; given back on drop.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.instruments.connections.add(1);
        Lease(Arc::clone(self))
    }

    /// Takes note of a connection that was made.
    pub(crate) fn connected(&self, now: Instant, took: Duration) {
        self.instruments.connect_seconds.record_duration(took);
        self.instruments.connections_total.inc();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.changing().connect_time.observe(self.age_us(now), took_us);
    }

    /// Takes note of what the operator calls it now.
    pub(crate) fn rename(&self, name: &str) {
        name.clone_into(&mut self.changing().name);
    }

    /// Changes the weight in force.
    pub(crate) fn reweigh(&self, weight: u16) {
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Takes note of what the operator asked for.
    pub(crate) fn enable(&self, enabled: bool, now: Instant) {
        if !self.enabled.swap(enabled, Ordering::Relaxed) && enabled {
            self.start_ramp(now);
        }
    }

    /// Takes note of what the probes found.
    pub(crate) fn found(&self, healthy: bool, now: Instant) {
        if healthy {
            self.start_ramp(now);
        }
        self.healthy.store(healthy, Ordering::Relaxed);
        self.instruments.up.set(i64::from(healthy));
        self.changing().health_since = now;
    }

    /// Takes note of what the last probe said.
    pub(crate) fn probed(&self, outcome: String) {
        self.changing().last_probe = Some(outcome);
    }

    /// Whether new connections may go here; failing open, probes do not count.
    fn is_eligible(&self, fail_open: bool) -> bool {
        self.is_enabled() && self.weight() > 0 && (fail_open || self.is_healthy())
    }

    fn serves(&self) -> bool {
        self.is_eligible(false)
    }

    fn effective_weight(&self, ramp: Duration, now: Instant) -> u32 {
        let start = self.ramp_start.load(Ordering::Relaxed);
        let since_up = if start == WARM {
            Duration::MAX
        } else {
            now.saturating_duration_since(self.born + Duration::from_nanos(start))
        };
        slow_start::effective_weight(self.weight(), since_up, ramp)
    }

    fn start_ramp(&self, now: Instant) {
        let nanos = now.saturating_duration_since(self.born).as_nanos();
        self.ramp_start.store(u64::try_from(nanos).unwrap_or(WARM), Ordering::Relaxed);
    }

    fn age_us(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_micros()).unwrap_or(u64::MAX)
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection of a backend, from the choice to the close.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Backend>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.instruments.connections.sub(1);
    }
}

const WARM: u64 = u64::MAX;

static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

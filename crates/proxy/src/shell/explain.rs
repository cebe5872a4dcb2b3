//! Says where a connection would go and why, without making one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tidemill_metrics::{Options, Registry};

use super::backend::{Backend, Snapshot};
use super::clock;
use super::running::register_backends;
use crate::core::balance::{Prediction, predict, shares};
use crate::core::settings::{AllDown, BackendSettings, Policy, ProxySettings};
use crate::error::Error;
use crate::status::{Candidate, Explanation};

/// Says where a connection from `from` would go if a node ran with `settings` and every backend
/// were healthy and idle.
///
/// # Errors
///
/// Fails when the settings have more backends than series can be registered for.
pub fn explain_settings(settings: &ProxySettings, from: SocketAddr) -> Result<Explanation, Error> {
    let now = clock::now();
    let registry = Registry::new(Options::default());
    let mut instruments = register_backends(&registry, &settings.name, &settings.backends)?;
    let create = |backend: &BackendSettings| {
        let instruments = instruments.remove(&backend.address)?;
        Some(Backend::new(backend, true, true, instruments, now))
    };
    let backends = settings.backends.iter().filter_map(create).collect();
    Ok(explain(&Snapshot::new(Arc::new(settings.clone()), backends), from, now))
}

/// Says where a connection from `from` would go as things stand.
pub(crate) fn explain(snapshot: &Snapshot, from: SocketAddr, now: Instant) -> Explanation {
    let settings = &snapshot.settings;
    let fleet = snapshot.fleet(now, &[]);
    let policy = settings.balance;
    let shares = shares(policy, &fleet, snapshot.maglev());
    let prediction = predict(policy, &fleet, snapshot.maglev(), from.ip());
    let chosen = match &prediction {
        Prediction::Certain(index) => Some(*index),
        Prediction::OneOf(_) | Prediction::Nowhere => None,
    };
    let name = |index: usize| snapshot.backends[index].address.to_string();
    let why = match (&prediction, fleet.fail_open) {
        (Prediction::Nowhere, _) => nowhere(settings),
        (_, true) => format!("{}; no backend is healthy and all_down is fail-open", reason(policy)),
        (Prediction::Certain(index), false) => format!("{}: {}", reason(policy), name(*index)),
        (Prediction::OneOf(indices), false) => {
            let names: Vec<_> = indices.iter().map(|index| name(*index)).collect();
            format!("{}: one of {}", reason(policy), names.join(", "))
        }
    };
    let candidates = snapshot.backends.iter().zip(&shares).map(|(backend, share)| {
        let (eligible, why) = standing(backend, fleet.fail_open, now);
        Candidate { name: backend.name(), address: backend.address, eligible, share: *share, why }
    });
    Explanation {
        proxy: settings.name.clone(),
        from,
        balance: policy.name().to_owned(),
        chosen: chosen.map(|index| snapshot.backends[index].address),
        why,
        backends: candidates.collect(),
    }
}

fn reason(policy: Policy) -> &'static str {
    match policy {
        Policy::RoundRobin => "next in turn by weight, each worker with its own sequence",
        Policy::Random => "drawn at random by weight",
        Policy::LeastConnections => "fewest open connections for its weight",
        Policy::P2cEwma => "the better of two drawn at random, by connect time and connections",
        Policy::Maglev => "the client's address in the Maglev table",
        Policy::SourceHash => "the highest rendezvous hash with the client's address",
    }
}

fn nowhere(settings: &ProxySettings) -> String {
    match settings.all_down {
        AllDown::Reject => "rejected: no backend is enabled and healthy".to_owned(),
        AllDown::FailOpen => "rejected: no backend is enabled".to_owned(),
    }
}

/// Says whether a backend may be chosen, and why.
fn standing(backend: &Backend, fail_open: bool, now: Instant) -> (bool, String) {
    let (since, last_probe) = backend.health();
    let seconds = now.saturating_duration_since(since).as_secs();
    let weight = backend.weight();
    if !backend.is_enabled() {
        return (false, "taken out by the operator (drain or disable)".to_owned());
    }
    if weight == 0 {
        return (false, "its weight is 0".to_owned());
    }
    if backend.is_healthy() {
        return (true, format!("healthy, weight {weight}, {} connections", backend.connections()));
    }
    let found = last_probe.unwrap_or_else(|| "not probed yet".to_owned());
    if fail_open {
        return (true, format!("down for {seconds} s ({found}), used because all are down"));
    }
    (false, format!("down for {seconds} s: {found}"))
}

//! What a reload has to touch: the difference between two configurations.
//!
//! Proxies are the same if their names are, backends of a proxy if their addresses are; the order
//! of either is not a difference. Whatever is equal on both sides is not mentioned, so that a
//! shell which acts on the difference alone leaves it untouched. Both sides are taken to be
//! [validated](super::validate): each name once, each address once within its proxy.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::settings::{BackendSettings, Limits, ProxySettings};

/// What differs between two lists of proxies, each list in the order of its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes<'a> {
    /// Proxies that are new.
    pub added: Vec<&'a ProxySettings>,
    /// Proxies that are gone.
    pub removed: Vec<&'a ProxySettings>,
    /// Proxies of the same name in which something differs.
    pub changed: Vec<ProxyChange<'a>>,
}

/// What differs within one proxy; at least one thing does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyChange<'a> {
    /// How it was.
    pub old: &'a ProxySettings,
    /// How it shall be.
    pub new: &'a ProxySettings,
    /// The listening socket has to be made anew: `listen` or `limits.backlog` differs.
    pub listener: bool,
    /// Probing differs in any way, off and on included: every prober begins anew.
    pub health: bool,
    /// Backends that are new.
    pub backends_added: Vec<&'a BackendSettings>,
    /// Backends that are gone.
    pub backends_removed: Vec<&'a BackendSettings>,
    /// Backends of the same address with another weight or name.
    pub backends_changed: Vec<BackendChange<'a>>,
    /// Keys of the other settings that differ: `balance`, `slow_start`, `on_down`, `all_down`,
    /// `timeouts`, `limits` (other than the backlog), `retries`, `drain`.
    pub settings: Vec<&'static str>,
}

/// One backend whose weight, name or both differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendChange<'a> {
    /// How it was.
    pub old: &'a BackendSettings,
    /// How it shall be.
    pub new: &'a BackendSettings,
}

/// Compares what runs with what shall run.
pub fn diff<'a>(old: &'a [ProxySettings], new: &'a [ProxySettings]) -> Changes<'a> {
    let matched = Matched::new(old, new, |proxy| proxy.name.as_str());
    Changes {
        added: matched.added,
        removed: matched.removed,
        changed: matched.both.into_iter().filter_map(|(old, new)| compare(old, new)).collect(),
    }
}

impl Changes<'_> {
    /// Returns true when there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl BackendChange<'_> {
    /// Returns true when the weight differs.
    pub fn is_reweighted(&self) -> bool {
        self.old.weight != self.new.weight
    }

    /// Returns true when the name differs; the default `Host` header of HTTP probes is the name.
    pub fn is_renamed(&self) -> bool {
        self.old.name != self.new.name
    }
}

fn compare<'a>(old: &'a ProxySettings, new: &'a ProxySettings) -> Option<ProxyChange<'a>> {
    let matched = Matched::new(&old.backends, &new.backends, |backend| backend.address);
    let backends_changed = matched
        .both
        .into_iter()
        .filter(|(old, new)| old != new)
        .map(|(old, new)| BackendChange { old, new })
        .collect();
    let change = ProxyChange {
        old,
        new,
        listener: old.listen != new.listen || old.limits.backlog != new.limits.backlog,
        health: old.health != new.health,
        backends_added: matched.added,
        backends_removed: matched.removed,
        backends_changed,
        settings: settings_changed(old, new),
    };
    change.is_any().then_some(change)
}

impl ProxyChange<'_> {
    fn is_any(&self) -> bool {
        self.listener
            || self.health
            || !self.backends_added.is_empty()
            || !self.backends_removed.is_empty()
            || !self.backends_changed.is_empty()
            || !self.settings.is_empty()
    }
}

/// Names the settings that differ and have no field of their own in [`ProxyChange`].
fn settings_changed(old: &ProxySettings, new: &ProxySettings) -> Vec<&'static str> {
    // Without `..`: a new setting does not compile until it is compared somewhere.
    let ProxySettings {
        name: _,
        listen: _,
        balance,
        backends: _,
        health: _,
        slow_start,
        on_down,
        all_down,
        timeouts,
        limits,
        retries,
        drain,
    } = old;
    let limits_new = Limits { backlog: limits.backlog, ..new.limits };
    [
        ("balance", *balance != new.balance),
        ("slow_start", *slow_start != new.slow_start),
        ("on_down", *on_down != new.on_down),
        ("all_down", *all_down != new.all_down),
        ("timeouts", *timeouts != new.timeouts),
        ("limits", *limits != limits_new),
        ("retries", *retries != new.retries),
        ("drain", *drain != new.drain),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// Two lists matched by a key.
struct Matched<'a, T> {
    added: Vec<&'a T>,
    removed: Vec<&'a T>,
    both: Vec<(&'a T, &'a T)>,
}

impl<'a, T> Matched<'a, T> {
    fn new<K: Eq + Hash>(old: &'a [T], new: &'a [T], key: impl Fn(&'a T) -> K) -> Self {
        let olds: HashMap<K, &T> = old.iter().map(|item| (key(item), item)).collect();
        let news: HashSet<K> = new.iter().map(&key).collect();
        let (kept, added): (Vec<&T>, Vec<&T>) =
            new.iter().partition(|item| olds.contains_key(&key(item)));
        Self {
            added,
            removed: old.iter().filter(|item| !news.contains(&key(item))).collect(),
            both: kept.into_iter().map(|item| (olds[&key(item)], item)).collect(),
        }
    }
}

//! The differ mentions what differs, all of it and nothing else.

use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use tidemill_proxy::core::diff::{Changes, ProxyChange, diff};
use tidemill_proxy::core::settings::{
    AllDown, BackendSettings, HealthSettings, Limits, OnDown, Policy, Probe, ProxySettings,
};

fn backend(port: u16) -> BackendSettings {
    BackendSettings::new(([127, 0, 0, 1], port).into())
}

/// A proxy over backends of the ports 1 and 2.
fn proxy(name: &str) -> ProxySettings {
    ProxySettings::new(name, ([127, 0, 0, 1], 8080).into(), vec![backend(1), backend(2)])
}

/// Writes changes down in short, for example `+a -b c: listener +3 -1 ~2 timeouts`.
fn short(changes: &Changes<'_>) -> String {
    let ports = |mark: char, backends: &[&BackendSettings]| -> Vec<String> {
        backends.iter().map(|backend| format!("{mark}{}", backend.address.port())).collect()
    };
    let mut words: Vec<String> =
        changes.added.iter().map(|proxy| format!("+{}", proxy.name)).collect();
    words.extend(changes.removed.iter().map(|proxy| format!("-{}", proxy.name)));
    for change in &changes.changed {
        words.push(format!("{}:", change.new.name));
        words.extend(change.listener.then(|| "listener".to_owned()));
        words.extend(change.health.then(|| "health".to_owned()));
        words.extend(ports('+', &change.backends_added));
        words.extend(ports('-', &change.backends_removed));
        for backend in &change.backends_changed {
            let port = backend.new.address.port();
            words.extend(backend.is_reweighted().then(|| format!("~{port}")));
            words.extend(backend.is_renamed().then(|| format!("={port}")));
        }
        words.extend(change.settings.iter().map(|key| (*key).to_owned()));
    }
    words.join(" ")
}

#[track_caller]
fn check(old: &[ProxySettings], new: &[ProxySettings], want: &str) {
    let changes = diff(old, new);
    assert_eq!(short(&changes), want);
    assert_eq!(changes.is_empty(), want.is_empty());
}

/// Compares proxy `a` with itself after an edit.
#[track_caller]
fn check_edit(want: &str, edit: impl FnOnce(&mut ProxySettings)) {
    let old = [proxy("a"), proxy("b")];
    let mut new = old.clone();
    edit(&mut new[0]);
    check(&old, &new, want);
}

#[test]
fn proxies_come_and_go_by_name() {
    check(&[], &[], "");
    check(&[proxy("a"), proxy("b")], &[proxy("b"), proxy("c")], "+c -a");
    check(&[proxy("a"), proxy("b")], &[proxy("b"), proxy("a")], "");
}

#[test]
fn the_listener_moves_for_address_and_backlog_only() {
    check_edit("a: listener", |proxy| proxy.listen.set_port(9));
    check_edit("a: listener", |proxy| proxy.limits.backlog += 1);
    check_edit("a: limits", |proxy| proxy.limits.connections += 1);
    check_edit("a: limits", |proxy| proxy.limits.queue += 1);
    check_edit("a: listener limits", |proxy| {
        proxy.limits = Limits { connections: 1, queue: 1, backlog: 1 };
    });
}

#[test]
fn backends_are_compared_by_address() {
    check_edit("a: +3", |proxy| proxy.backends.push(backend(3)));
    check_edit("a: -1", |proxy| drop(proxy.backends.remove(0)));
    check_edit("", |proxy| proxy.backends.reverse());
    check_edit("a: ~2", |proxy| proxy.backends[1].weight = 7);
    check_edit("a: =2", |proxy| proxy.backends[1].name = "cache".to_owned());
    check_edit("a: +3 -1 ~2", |proxy| {
        proxy.backends[0].address.set_port(3);
        proxy.backends[0].name = "127.0.0.1:3".to_owned();
        proxy.backends[1].weight = 7;
    });
}

/// Every setting that is a mere value, with an edit: if a new one is forgotten in the differ, it
/// does not compile; if it is compared wrongly, it fails here.
#[test]
fn each_setting_has_its_word() {
    check_edit("a: health", |proxy| proxy.health = None);
    check_edit("a: health", |proxy| {
        let health = proxy.health.as_mut().expect("health is on by default");
        health.probe = Probe::SendExpect { send: b"PING\r\n".to_vec(), expect: b"+PONG".to_vec() };
    });
    check_edit("a: balance", |proxy| proxy.balance = Policy::Maglev);
    check_edit("a: slow_start", |proxy| proxy.slow_start = Duration::from_secs(5));
    check_edit("a: on_down", |proxy| proxy.on_down = OnDown::Close);
    check_edit("a: all_down", |proxy| proxy.all_down = AllDown::FailOpen);
    check_edit("a: timeouts", |proxy| proxy.timeouts.idle = Duration::from_secs(1));
    check_edit("a: retries", |proxy| proxy.retries = 0);
    check_edit("a: drain", |proxy| proxy.drain.jitter = Duration::ZERO);
    check_edit("a: timeouts retries drain", |proxy| {
        proxy.timeouts.connect = Duration::from_secs(1);
        proxy.retries = 9;
        proxy.drain.deadline = Duration::from_secs(1);
    });
}

/// Does to `old` what the changes say and no more: the naive shell.
fn apply(old: &[ProxySettings], changes: &Changes<'_>) -> Vec<ProxySettings> {
    let gone = |proxy: &ProxySettings| changes.removed.iter().any(|gone| gone.name == proxy.name);
    let mut proxies: Vec<ProxySettings> =
        old.iter().filter(|proxy| !gone(proxy)).cloned().collect();
    for change in &changes.changed {
        let proxy = proxies
            .iter_mut()
            .find(|proxy| proxy.name == change.old.name)
            .expect("a changed proxy was there before");
        apply_to_proxy(proxy, change);
    }
    proxies.extend(changes.added.iter().map(|proxy| (*proxy).clone()));
    proxies
}

fn apply_to_proxy(proxy: &mut ProxySettings, change: &ProxyChange<'_>) {
    let new = change.new;
    if change.listener {
        proxy.listen = new.listen;
        proxy.limits.backlog = new.limits.backlog;
    }
    if change.health {
        proxy.health.clone_from(&new.health);
    }
    proxy.backends.retain(|backend| {
        !change.backends_removed.iter().any(|gone| gone.address == backend.address)
    });
    for edit in &change.backends_changed {
        let backend = proxy
            .backends
            .iter_mut()
            .find(|backend| backend.address == edit.old.address)
            .expect("a changed backend was there before");
        backend.clone_from(edit.new);
    }
    proxy.backends.extend(change.backends_added.iter().map(|backend| (*backend).clone()));
    for key in &change.settings {
        match *key {
            "balance" => proxy.balance = new.balance,
            "slow_start" => proxy.slow_start = new.slow_start,
            "on_down" => proxy.on_down = new.on_down,
            "all_down" => proxy.all_down = new.all_down,
            "timeouts" => proxy.timeouts = new.timeouts,
            "limits" => proxy.limits = Limits { backlog: proxy.limits.backlog, ..new.limits },
            "retries" => proxy.retries = new.retries,
            "drain" => proxy.drain = new.drain,
            other => panic!("unknown key {other}"),
        }
    }
}

/// Puts proxies and their backends in an order of their own, as order is no difference.
fn sorted(mut proxies: Vec<ProxySettings>) -> Vec<ProxySettings> {
    proxies.sort_by(|a, b| a.name.cmp(&b.name));
    for proxy in &mut proxies {
        proxy.backends.sort_by_key(|backend| backend.address);
    }
    proxies
}

/// Few names, addresses and values, so that two configurations have much in common.
fn proxies() -> impl Strategy<Value = Vec<ProxySettings>> {
    let backends = btree_map(1..6_u16, (1..3_u16, select(vec!["x", "y"])), 0..5);
    let health = proptest::option::of(
        (1..3_u32).prop_map(|rise| HealthSettings { rise, ..HealthSettings::default() }),
    );
    let values = (1..3_u16, 1..3_u32, 1..3_u32, 1..3_u32, 1..3_u64, 1..3_u64, 1..3_u64);
    let proxy = (backends, health, values, select(Policy::ALL.to_vec()), any::<[bool; 2]>());
    btree_map(select(vec!["a", "b", "c", "d"]), proxy, 0..4)
        .prop_map(|proxies| {
            proxies
                .into_iter()
                .map(|(name, (backends, health, values, (_, balance), [close, open]))| {
                    let (port, retries, backlog, connections, slow, idle, deadline) = values;
                    let backends = backends
                        .into_iter()
                        .map(|(port, (weight, name))| BackendSettings {
                            name: name.to_owned(),
                            weight,
                            ..backend(port)
                        })
                        .collect();
                    let mut proxy =
                        ProxySettings::new(name, ([127, 0, 0, 1], port).into(), backends);
                    proxy.health = health;
                    proxy.balance = balance;
                    proxy.retries = retries;
                    proxy.limits = Limits { backlog, connections, queue: 1 };
                    proxy.slow_start = Duration::from_secs(slow);
                    proxy.timeouts.idle = Duration::from_secs(idle);
                    proxy.drain.deadline = Duration::from_secs(deadline);
                    proxy.on_down = if close { OnDown::Close } else { OnDown::Keep };
                    proxy.all_down = if open { AllDown::FailOpen } else { AllDown::Reject };
                    proxy
                })
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn the_old_one_changed_is_the_new_one(old in proxies(), new in proxies()) {
        prop_assert_eq!(sorted(apply(&old, &diff(&old, &new))), sorted(new));
    }

    #[test]
    fn nothing_differs_from_itself_in_another_order(old in proxies(), turn in 0..4_usize) {
        let mut new = old.clone();
        if !new.is_empty() {
            let middle = turn % new.len();
            new.rotate_left(middle);
        }
        new.iter_mut().for_each(|proxy| proxy.backends.reverse());
        prop_assert!(diff(&old, &new).is_empty());
    }

    #[test]
    fn what_is_equal_is_not_mentioned(old in proxies(), new in proxies()) {
        let changes = diff(&old, &new);
        for proxy in new.iter().filter(|proxy| old.contains(proxy)) {
            prop_assert!(!changes.added.iter().any(|added| added.name == proxy.name));
            prop_assert!(!changes.removed.iter().any(|removed| removed.name == proxy.name));
            prop_assert!(!changes.changed.iter().any(|change| change.new.name == proxy.name));
        }
        for change in &changes.changed {
            let mentioned: Vec<&BackendSettings> = change
                .backends_added
                .iter()
                .chain(&change.backends_removed)
                .copied()
                .chain(change.backends_changed.iter().map(|backend| backend.new))
                .collect();
            let old = &change.old.backends;
            let same = change.new.backends.iter().filter(|backend| old.contains(backend));
            for backend in same {
                prop_assert!(!mentioned.contains(&backend));
            }
        }
    }

    #[test]
    fn going_back_is_the_mirror_image(pairs in vec(proxies(), 2)) {
        let there = diff(&pairs[0], &pairs[1]);
        let back = diff(&pairs[1], &pairs[0]);
        prop_assert_eq!(there.added, back.removed);
        prop_assert_eq!(there.removed, back.added);
        prop_assert_eq!(there.changed.len(), back.changed.len());
    }
}

//! Each mistake is found, at its place, with what would be right.

use std::time::Duration;

use tidemill_proxy::core::settings::{BackendSettings, HealthSettings, Probe, ProxySettings};
use tidemill_proxy::core::validate::validate;

fn backend(port: u16) -> BackendSettings {
    BackendSettings::new(([127, 0, 0, 1], port).into())
}

fn proxy(name: &str, port: u16) -> ProxySettings {
    ProxySettings::new(name, ([127, 0, 0, 1], port).into(), vec![backend(6379), backend(6380)])
}

/// Makes mistakes in a sound proxy and compares the problems, one a line, with `want`.
#[track_caller]
fn check(edit: impl FnOnce(&mut ProxySettings), want: &[&str]) {
    let mut proxy = proxy("redis", 8080);
    edit(&mut proxy);
    let got: Vec<String> = proxy.validate().iter().map(ToString::to_string).collect();
    assert_eq!(got, want);
    let whole: Vec<String> = validate(&[proxy]).iter().map(ToString::to_string).collect();
    let placed: Vec<String> = want.iter().map(|problem| format!("proxy[0].{problem}")).collect();
    assert_eq!(whole, placed);
}

#[track_caller]
fn check_health(edit: impl FnOnce(&mut HealthSettings), want: &[&str]) {
    check(|proxy| edit(proxy.health.as_mut().expect("health is on by default")), want);
}

#[track_caller]
fn check_all(proxies: &[ProxySettings], want: &[&str]) {
    let got: Vec<String> = validate(proxies).iter().map(ToString::to_string).collect();
    assert_eq!(got, want);
}

#[test]
fn defaults_are_sound() {
    check(|_| {}, &[]);
    check(|proxy| proxy.health = None, &[]);
}

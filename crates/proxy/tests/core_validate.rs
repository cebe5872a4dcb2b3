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

#[test]
fn a_name_can_be_written_on_one_line() {
    let want = ["name: a name has 1 to 128 bytes and no control characters"];
    check(|proxy| proxy.name.clear(), &want);
    check(|proxy| proxy.name = "a\nb".to_owned(), &want);
    check(|proxy| proxy.name = "a".repeat(129), &want);
    check(|proxy| proxy.name = "a".repeat(128), &[]);
}

#[test]
fn somebody_has_to_take_connections() {
    let none = ["backends: there is none: name at least one, as `\"host:port\"`"];
    check(|proxy| proxy.backends.clear(), &none);
    let zero = ["backends: every weight is 0: give at least one backend a weight of 1"];
    check(|proxy| proxy.backends.iter_mut().for_each(|backend| backend.weight = 0), &zero);
    check(|proxy| proxy.backends[0].weight = 0, &[]);
}

#[test]
fn backends_can_be_told_apart_and_connected_to() {
    check(
        |proxy| proxy.backends.push(backend(6379)),
        &["backends[2].address: 127.0.0.1:6379 is backend 1 already: name it once, with a weight"],
    );
    check(
        |proxy| proxy.backends[1].address = "[::ffff:127.0.0.1]:6379".parse().unwrap(),
        &["backends[1].address: 127.0.0.1:6379 is backend 1 already: name it once, with a weight"],
    );
    check(
        |proxy| proxy.backends[1].address.set_port(0),
        &["backends[1].address: 127.0.0.1:0 has port 0: name the port"],
    );
    check(
        |proxy| proxy.backends[1].address.set_port(8080),
        &["backends[1].address: 127.0.0.1:8080 is where this proxy itself listens: name another"],
    );
    check(
        |proxy| {
            proxy.listen = ([0, 0, 0, 0], 6380).into();
        },
        &["backends[1].address: 127.0.0.1:6380 is where this proxy itself listens: name another"],
    );
}

#[test]
fn durations_are_neither_nothing_nor_endless() {
    check(
        |proxy| {
            proxy.timeouts.connect = Duration::ZERO;
            proxy.timeouts.idle = Duration::ZERO;
            proxy.timeouts.queue = Duration::ZERO;
        },
        &[
            "timeouts.connect: zero is too short: for example `\"1s\"`",
            "timeouts.idle: zero is too short: for example `\"1s\"`",
            "timeouts.queue: zero is too short: for example `\"1s\"`",
        ],
    );
    check(
        |proxy| {
            proxy.slow_start = Duration::MAX;
            proxy.timeouts.idle = Duration::MAX;
            proxy.drain.deadline = Duration::MAX;
            proxy.drain.jitter = Duration::MAX;
        },
        &[
            "slow_start: that is too long: at most 365 days",
            "timeouts.idle: that is too long: at most 365 days",
            "drain.deadline: that is too long: at most 365 days",
            "drain.jitter: that is too long: at most 365 days",
        ],
    );
    check_health(
        |health| {
            health.interval = Duration::ZERO;
            health.timeout = Duration::MAX;
        },
        &[
            "health.interval: zero is too short: for example `\"1s\"`",
            "health.timeout: that is too long: at most 365 days",
        ],
    );
}

#[test]
fn limits_let_somebody_in() {
    check(
        |proxy| {
            proxy.limits.connections = 0;
            proxy.limits.backlog = 0;
        },
        &[
            "limits.connections: 0 is too little: at least 1",
            "limits.backlog: 0 is too little: at least 1",
        ],
    );
    // No queue, and so no time in it, is a choice.
    check(
        |proxy| {
            proxy.limits.queue = 0;
            proxy.timeouts.queue = Duration::ZERO;
        },
        &[],
    );
}

#[test]
fn probes_can_come_to_a_result() {
    check_health(
        |health| {
            health.rise = 0;
            health.fall = 0;
            health.jitter_percent = 101;
        },
        &[
            "health.rise: 0 is too little: at least 1",
            "health.fall: 0 is too little: at least 1",
            "health.jitter_percent: 101 is too much: 0 to 100",
        ],
    );
}

#[track_caller]
fn check_http(path: &str, host: Option<&str>, status: (u16, u16), want: &[&str]) {
    let (path, host) = (path.to_owned(), host.map(ToOwned::to_owned));
    check_health(|health| health.probe = Probe::Http { path, host, status }, want);
}

#[test]
fn http_probes_are_requests() {
    let path = |given: &str| {
        format!(
            "health.path: `{given}` is no path: it begins with `/` and has no spaces or control \
             characters (`%20` is a space)"
        )
    };
    check_http("/health?full=1", Some("example.com:8080"), (200, 399), &[]);
    check_http("/", None, (204, 204), &[]);
    check_http("health", None, (200, 399), &[&path("health")]);
    check_http("", None, (200, 399), &[&path("")]);
    check_http("/a b", None, (200, 399), &[&path("/a b")]);
    // Nothing can be smuggled into the request's head.
    check_http("/ HTTP/1.1\r\nX: y", None, (200, 399), &[&path("/ HTTP/1.1\\r\\nX: y")]);
    check_http(
        "/",
        Some("a\r\nX: y"),
        (200, 399),
        &["health.host: `a\\r\\nX: y` is no host name: for example `example.com` or \
         `example.com:8080`"],
    );
    for (low, high) in [(399, 200), (0, 200), (200, 600)] {
        let want = format!(
            "health.status: {low} to {high} is no range of statuses: lowest first, 100 to 599"
        );
        check_http("/", None, (low, high), &[&want]);
    }
}

#[test]
fn exchanges_are_bounded() {
    let exchange =
        |send, expect| Probe::SendExpect { send: vec![b'a'; send], expect: vec![b'b'; expect] };
    check_health(|health| health.probe = exchange(0, 1), &[]);
    check_health(|health| health.probe = exchange(1_024, 1_024), &[]);
    check_health(
        |health| health.probe = exchange(1_025, 1_025),
        &[
            "health.send: 1025 bytes are too many: 0 to 1024",
            "health.expect: 1025 bytes cannot be expected: 1 to 1024",
        ],
    );
    check_health(
        |health| health.probe = exchange(0, 0),
        &["health.expect: 0 bytes cannot be expected: 1 to 1024"],
    );
}

#[test]
fn proxies_do_not_share_a_name_or_an_address() {
    check_all(&[proxy("a", 1), proxy("b", 2)], &[]);
    check_all(
        &[proxy("a", 1), proxy("b", 2), proxy("a", 3), proxy("c", 2)],
        &[
            "proxy[2].name: the name `a` is taken by proxy 1: give each its own",
            "proxy[3].listen: proxy `b` already listens on 127.0.0.1:2: choose another address or port",
        ],
    );
    let listening = |name, listen: &str| {
        let mut proxy = proxy(name, 1);
        proxy.listen = listen.parse().unwrap();
        proxy
    };
    // An address that stands for all of its family takes the port from every one of them.
    check_all(
        &[proxy("a", 1), listening("b", "0.0.0.0:1")],
        &[
            "proxy[1].listen: proxy `a` already listens on 127.0.0.1:1: choose another address or port",
        ],
    );
    check_all(&[proxy("a", 1), listening("b", "[::]:1")], &[]);
    check_all(
        &[listening("a", "[::ffff:127.0.0.1]:1")],
        &["proxy[0].listen: [::ffff:127.0.0.1]:1 is IPv4 inside IPv6: write 127.0.0.1:1"],
    );
    // Port 0 is another one each time.
    check_all(&[proxy("a", 0), proxy("b", 0)], &[]);
}

#[test]
fn every_problem_of_every_proxy_is_reported() {
    let mut second = proxy("b", 2);
    second.backends.push(backend(6379));
    second.limits.backlog = 0;
    let mut third = proxy("c", 3);
    third.backends.clear();
    check_all(
        &[proxy("a", 1), second, third],
        &[
            "proxy[1].backends[2].address: 127.0.0.1:6379 is backend 1 already: name it once, with a \
         weight",
            "proxy[1].limits.backlog: 0 is too little: at least 1",
            "proxy[2].backends: there is none: name at least one, as `\"host:port\"`",
        ],
    );
}

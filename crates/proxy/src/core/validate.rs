//! What is wrong with a configuration, each problem with its place and what would be right.
//!
//! Types rule out most mistakes; this finds the rest. A place is a path of keys as they stand in
//! the configuration file, so that its reader can turn it into line and column.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Duration;

use super::settings::{
    BackendSettings, DURATION_MAX, Drain, HealthSettings, Limits, Probe, ProxySettings, Timeouts,
};

/// One thing that has to be changed before a configuration can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, outermost first: for example `backends`, 2, `weight`.
    pub place: Vec<Segment>,
    /// What is wrong and what would be right, as one sentence without a full stop.
    pub what: String,
}

/// One step from the top of a configuration to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "complete by definition")]
pub enum Segment {
    /// Into the value of a key.
    Key(&'static str),
    /// Into the element of a list, counted from 0.
    Index(usize),
}

/// Finds every problem of a list of proxies, those within one and those between them; places
/// begin with `proxy` and the proxy's index.
///
/// Proxies are in conflict when they share a name or a listening address (port 0 is shared by
/// nobody).
pub fn validate(proxies: &[ProxySettings]) -> Vec<Problem> {
    let mut problems = Problems::default();
    problems.inside(Segment::Key("proxy"), |problems| {
        for (index, proxy) in proxies.iter().enumerate() {
            problems.inside(Segment::Index(index), |problems| check_proxy(proxy, problems));
        }
        let names = proxies.iter().map(|proxy| Some(proxy.name.as_str()));
        problems.duplicates(names, "name", |name, first| {
            format!("the name `{name}` is taken by proxy {}: give each its own", first + 1)
        });
        for (index, proxy) in proxies.iter().enumerate() {
            let mut earlier = proxies[..index].iter();
            let Some(first) = earlier.find(|earlier| overlap(earlier.listen, proxy.listen)) else {
                continue;
            };
            let what = format!(
                "proxy `{}` already listens on {}: choose another address or port",
                first.name, first.listen
            );
            problems.inside(Segment::Index(index), |problems| problems.add("listen", what));
        }
    });
    problems.found
}

impl ProxySettings {
    /// Finds every problem within this proxy; places begin with its own keys.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        check_proxy(self, &mut problems);
        problems.found
    }
}

impl fmt::Display for Problem {
    /// Writes `backends[2].weight: what is wrong`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.place.iter().enumerate() {
            match segment {
                Segment::Key(key) if depth == 0 => write!(f, "{key}")?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        write!(f, ": {}", self.what)
    }
}

fn check_proxy(proxy: &ProxySettings, problems: &mut Problems) {
    let name = &proxy.name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        problems.add(
            "name",
            format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters"),
        );
    }
    if canonical(proxy.listen) != proxy.listen {
        let plain = canonical(proxy.listen);
        problems.add("listen", format!("{} is IPv4 inside IPv6: write {plain}", proxy.listen));
    }
    check_backends(proxy, problems);
    if let Some(health) = &proxy.health {
        problems.inside(Segment::Key("health"), |problems| check_health(health, problems));
    }
    problems.duration_max("slow_start", proxy.slow_start);
    problems.inside(Segment::Key("timeouts"), |problems| {
        check_timeouts(proxy.timeouts, proxy.limits, problems);
    });
    problems.inside(Segment::Key("limits"), |problems| {
        let Limits { connections, queue: _, backlog } = proxy.limits;
        problems.positive("connections", connections);
        problems.positive("backlog", backlog);
    });
    problems.inside(Segment::Key("drain"), |problems| {
        let Drain { deadline, jitter } = proxy.drain;
        problems.duration_max("deadline", deadline);
        problems.duration_max("jitter", jitter);
    });
}

fn check_backends(proxy: &ProxySettings, problems: &mut Problems) {
    let backends = &proxy.backends;
    if backends.is_empty() {
        problems.add("backends", "there is none: name at least one, as `\"host:port\"`");
    } else if backends.iter().all(|backend| backend.weight == 0) {
        problems.add("backends", "every weight is 0: give at least one backend a weight of 1");
    }
    problems.inside(Segment::Key("backends"), |problems| {
        for (index, BackendSettings { address, .. }) in backends.iter().enumerate() {
            if address.port() == 0 {
                problems.inside(Segment::Index(index), |problems| {
                    problems.add("address", format!("{address} has port 0: name the port"));
                });
            } else if reaches(*address, proxy.listen) {
                problems.inside(Segment::Index(index), |problems| {
                    problems.add(
                        "address",
                        format!("{address} is where this proxy itself listens: name another"),
                    );
                });
            }
        }
        let addresses = backends.iter().map(|backend| Some(canonical(backend.address)));
        problems.duplicates(addresses, "address", |address, first| {
            format!("{address} is backend {} already: name it once, with a weight", first + 1)
        });
    });
}

fn check_health(health: &HealthSettings, problems: &mut Problems) {
    problems.duration("interval", health.interval);
    problems.duration("timeout", health.timeout);
    problems.positive("rise", health.rise);
    problems.positive("fall", health.fall);
    if health.jitter_percent > 100 {
        let given = health.jitter_percent;
        problems.add("jitter_percent", format!("{given} is too much: 0 to 100"));
    }
    match &health.probe {
        Probe::Tcp => {}
        Probe::Http { path, host, status } => check_http(path, host.as_deref(), *status, problems),
        Probe::SendExpect { send, expect } => {
            let max = EXCHANGE_BYTES_MAX;
            if send.len() > max {
                problems.add("send", format!("{} bytes are too many: 0 to {max}", send.len()));
            }
            if expect.is_empty() || expect.len() > max {
                problems.add(
                    "expect",
                    format!("{} bytes cannot be expected: 1 to {max}", expect.len()),
                );
            }
        }
    }
}

fn check_http(path: &str, host: Option<&str>, status: (u16, u16), problems: &mut Problems) {
    // What ends up in the request's head must not be able to end a line of it.
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !path.starts_with('/') || !is_plain(path) {
        problems.add(
            "path",
            format!(
                "`{}` is no path: it begins with `/` and has no spaces or control characters \
                 (`%20` is a space)",
                path.escape_debug()
            ),
        );
    }
    if let Some(host) = host
        && (host.is_empty() || !is_plain(host))
    {
        problems.add(
            "host",
            format!(
                "`{}` is no host name: for example `example.com` or `example.com:8080`",
                host.escape_debug()
            ),
        );
    }
    let (low, high) = status;
    if low > high || low < 100 || high > 599 {
        problems.add(
            "status",
            format!("{low} to {high} is no range of statuses: lowest first, 100 to 599"),
        );
    }
}

fn check_timeouts(timeouts: Timeouts, limits: Limits, problems: &mut Problems) {
    problems.duration("connect", timeouts.connect);
    problems.duration("idle", timeouts.idle);
    // Without a queue nobody waits in it.
    if limits.queue > 0 {
        problems.duration("queue", timeouts.queue);
    }
}

/// Returns true when a connection to `address` surely arrives at `listen`; other addresses of
/// this machine are not known here.
fn reaches(address: SocketAddr, listen: SocketAddr) -> bool {
    let (address, listen) = (canonical(address), canonical(listen));
    address == listen
        || (address.port() == listen.port()
            && listen.ip().is_unspecified()
            && (address.ip().is_loopback() || address.ip().is_unspecified()))
}

/// Returns true when two listeners cannot be told apart by every client: the same port, which was
/// not left to the system, on the same address, or on one that stands for all of its family.
pub fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (one, other) = (canonical(one), canonical(other));
    let wide = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || (wide && one.is_ipv4() == other.is_ipv4()))
}

/// Returns the address with IPv4 inside IPv6 taken out, as the kernel treats it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

/// The problems found so far and the place being looked at.
#[derive(Debug, Default)]
struct Problems {
    place: Vec<Segment>,
    found: Vec<Problem>,
}

impl Problems {
    fn inside(&mut self, segment: Segment, check: impl FnOnce(&mut Self)) {
        self.place.push(segment);
        check(self);
        self.place.pop();
    }

    fn add(&mut self, key: &'static str, what: impl Into<String>) {
        let mut place = self.place.clone();
        place.push(Segment::Key(key));
        self.found.push(Problem { place, what: what.into() });
    }

    /// Reports a number that must not be 0 and is.
    fn positive(&mut self, key: &'static str, number: u32) {
        if number == 0 {
            self.add(key, "0 is too little: at least 1");
        }
    }

    /// Reports a duration that is zero or longer than any may be.
    fn duration(&mut self, key: &'static str, duration: Duration) {
        if duration.is_zero() {
            self.add(key, "zero is too short: for example `\"1s\"`");
        }
        self.duration_max(key, duration);
    }

    fn duration_max(&mut self, key: &'static str, duration: Duration) {
        if duration > DURATION_MAX {
            let days = DURATION_MAX.as_secs() / (24 * 3600);
            self.add(key, format!("that is too long: at most {days} days"));
        }
    }

    /// Reports each element of the list at hand whose value, if it has one, stood there before;
    /// `what` is given the value and the index of the first.
    fn duplicates<T: Eq + Hash + Copy>(
        &mut self,
        values: impl Iterator<Item = Option<T>>,
        key: &'static str,
        what: impl Fn(T, usize) -> String,
    ) {
        let mut first = HashMap::new();
        for (index, value) in values.enumerate() {
            let Some(value) = value else { continue };
            if let Some(first) = first.get(&value) {
                self.inside(Segment::Index(index), |problems| {
                    problems.add(key, what(value, *first));
                });
            } else {
                first.insert(value, index);
            }
        }
    }
}

const NAME_BYTES_MAX: usize = 128;
const EXCHANGE_BYTES_MAX: usize = 1_024;

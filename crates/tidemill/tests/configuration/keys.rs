//! Every key of the file is proven to change what is read from it.

use std::collections::BTreeSet;
use std::time::Duration;

use tidemill::config::{Config, rows};
use tidemill_proxy::core::settings::{
    AllDown, BackendSettings, HealthSettings, OnDown, Policy, Probe, ProxySettings,
};

use crate::good;

/// One key: a file with it, and what it has to change in the configuration.
struct Case {
    key: &'static str,
    node: &'static str,
    proxy: &'static str,
    reads: fn(&Config) -> String,
    want: &'static str,
}

fn node(
    key: &'static str,
    toml: &'static str,
    reads: fn(&Config) -> String,
    want: &'static str,
) -> Case {
    Case { key, node: toml, proxy: "", reads, want }
}

fn proxy(
    key: &'static str,
    toml: &'static str,
    reads: fn(&Config) -> String,
    want: &'static str,
) -> Case {
    Case { key, node: "", proxy: toml, reads, want }
}

fn first(config: &Config) -> &ProxySettings {
    &config.proxies[0]
}

fn health(config: &Config) -> &HealthSettings {
    first(config).health.as_ref().expect("the probe is not none")
}

fn show(value: impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

fn workstream_cases() -> Vec<Case> {
    vec![Case {
        key: "workstream.path",
        node: "[workstream]\npath = \"/w\"",
        proxy: "",
        reads: |c| c.workstream.path.clone(),
        want: "/w",
    }]
}

fn node_cases() -> Vec<Case> {
    vec![
        node("node.listen", "listen = \"[::1]:1\"", |c| c.node.listen.to_string(), "[::1]:1"),
        node("node.data_dir", "data_dir = \"/d\"", |c| c.node.data_dir.clone(), "/d"),
        node("node.workers", "workers = 3", |c| show(c.node.workers), "Some(3)"),
        node("node.stop_deadline", "stop_deadline = \"7s\"", |c| show(c.node.stop_deadline), "7s"),
        node("node.metrics", "metrics = \"off\"", |c| show(c.node.metrics), "false"),
        node("node.metrics_flush", "metrics_flush = \"3s\"", |c| show(c.node.metrics_flush), "3s"),
        node(
            "node.metrics_history_mib",
            "metrics_history_mib = 0",
            |c| c.node.metrics_history_mib.to_string(),
            "0",
        ),
        node(
            "node.counters",
            "counters = \"continue\"",
            |c| show(c.node.counters_continue),
            "true",
        ),
    ]
}

fn job_cases() -> Vec<Case> {
    let jobs = |key, toml, reads: fn(&Config) -> String, want| Case {
        key,
        node: toml,
        proxy: "",
        reads,
        want,
    };
    vec![
        jobs(
            "jobs.concurrency",
            "[jobs]\nconcurrency = 3",
            |c| show(c.jobs.concurrency),
            "Some(3)",
        ),
        jobs("jobs.waiting", "[jobs]\nwaiting = 9", |c| show(c.jobs.waiting), "9"),
        jobs("jobs.lease", "[jobs]\nlease = \"9s\"", |c| show(c.jobs.lease), "9s"),
        jobs("jobs.keep", "[jobs]\nkeep = \"9s\"", |c| show(c.jobs.keep), "9s"),
        jobs("jobs.keep_count", "[jobs]\nkeep_count = 9", |c| show(c.jobs.keep_count), "9"),
        jobs("jobs.log", "[jobs]\nlog = \"9KiB\"", |c| show(c.jobs.log), "9216"),
        jobs("jobs.memory", "[jobs]\nmemory = \"9MiB\"", |c| show(c.jobs.memory), "Some(9437184)"),
        jobs("jobs.files", "[jobs]\nfiles = 9", |c| show(c.jobs.files), "9"),
        jobs(
            "cluster.nats",
            "[cluster]\nnats = [\"nats://a\", \"b\"]",
            |c| show(&c.cluster.nats),
            "[\"nats://a\", \"b\"]",
        ),
        jobs("cluster.name", "[cluster]\nname = \"a.b\"", |c| c.cluster.name.clone(), "a_b"),
        jobs("cluster.replicas", "[cluster]\nreplicas = 1", |c| show(c.cluster.replicas), "1"),
    ]
}

fn proxy_cases() -> Vec<Case> {
    vec![
        proxy("proxy.name", "name = \"a\"", |c| first(c).name.clone(), "a"),
        proxy(
            "proxy.listen",
            "listen = \"127.0.0.1:9\"",
            |c| first(c).listen.to_string(),
            "127.0.0.1:9",
        ),
        proxy("proxy.balance", "balance = \"maglev\"", |c| show(first(c).balance), "Maglev"),
        proxy(
            "proxy.backends",
            "backends = [\"10.0.0.7:7\", \"10.0.0.8:8\"]",
            |c| first(c).backends.len().to_string(),
            "2",
        ),
        proxy(
            "proxy.backends[].address",
            "backends = [{ address = \"10.0.0.7:7\" }]",
            |c| first(c).backends[0].address.to_string(),
            "10.0.0.7:7",
        ),
        proxy(
            "proxy.backends[].weight",
            "backends = [{ address = \"10.0.0.7:7\", weight = 65535 }]",
            |c| first(c).backends[0].weight.to_string(),
            "65535",
        ),
        proxy("proxy.slow_start", "slow_start = \"9s\"", |c| show(first(c).slow_start), "9s"),
        proxy("proxy.on_down", "on_down = \"close\"", |c| show(first(c).on_down), "Close"),
        proxy(
            "proxy.all_down",
            "all_down = \"fail-open\"",
            |c| show(first(c).all_down),
            "FailOpen",
        ),
        proxy("proxy.retries", "retries = 0", |c| first(c).retries.to_string(), "0"),
        proxy("proxy.health", "health.rise = 9", |c| health(c).rise.to_string(), "9"),
        proxy("proxy.timeouts", "timeouts.idle = \"9s\"", |c| show(first(c).timeouts.idle), "9s"),
        proxy("proxy.limits", "limits.queue = 9", |c| first(c).limits.queue.to_string(), "9"),
        proxy("proxy.drain", "drain.jitter = \"9s\"", |c| show(first(c).drain.jitter), "9s"),
    ]
}

fn health_cases() -> Vec<Case> {
    vec![
        proxy(
            "proxy.health.probe",
            "health.probe = \"none\"",
            |c| show(first(c).health.is_some()),
            "false",
        ),
        proxy(
            "proxy.health.interval",
            "health.interval = \"9s\"",
            |c| show(health(c).interval),
            "9s",
        ),
        proxy(
            "proxy.health.jitter",
            "health.jitter = \"25%\"",
            |c| health(c).jitter_percent.to_string(),
            "25",
        ),
        proxy("proxy.health.timeout", "health.timeout = \"9s\"", |c| show(health(c).timeout), "9s"),
        proxy("proxy.health.rise", "health.rise = 9", |c| health(c).rise.to_string(), "9"),
        proxy("proxy.health.fall", "health.fall = 9", |c| health(c).fall.to_string(), "9"),
        proxy(
            "proxy.health.start",
            "health.start = \"down\"",
            |c| show(health(c).start_up),
            "false",
        ),
        proxy(
            "proxy.health.path",
            "health = { probe = \"http\", path = \"/up\" }",
            |c| show(&health(c).probe),
            "Http { path: \"/up\", host: None, status: (200, 399) }",
        ),
        proxy(
            "proxy.health.host",
            "health = { probe = \"http\", host = \"shop.test\" }",
            |c| show(&health(c).probe),
            "Http { path: \"/\", host: Some(\"shop.test\"), status: (200, 399) }",
        ),
        proxy(
            "proxy.health.status",
            "health = { probe = \"http\", status = \"204\" }",
            |c| show(&health(c).probe),
            "Http { path: \"/\", host: None, status: (204, 204) }",
        ),
        proxy(
            "proxy.health.send",
            "health = { probe = \"send-expect\", send = \"P\\r\\n\", expect = \"+\" }",
            |c| show(&health(c).probe),
            "SendExpect { send: [80, 13, 10], expect: [43] }",
        ),
        proxy(
            "proxy.health.expect",
            "health = { probe = \"send-expect\", expect = \"220\" }",
            |c| show(&health(c).probe),
            "SendExpect { send: [], expect: [50, 50, 48] }",
        ),
    ]
}

fn limit_cases() -> Vec<Case> {
    vec![
        proxy(
            "proxy.timeouts.connect",
            "timeouts.connect = \"9s\"",
            |c| show(first(c).timeouts.connect),
            "9s",
        ),
        proxy(
            "proxy.timeouts.idle",
            "timeouts.idle = \"9m\"",
            |c| show(first(c).timeouts.idle),
            "540s",
        ),
        proxy(
            "proxy.timeouts.queue",
            "timeouts.queue = \"9ms\"",
            |c| show(first(c).timeouts.queue),
            "9ms",
        ),
        proxy(
            "proxy.limits.connections",
            "limits.connections = 9",
            |c| first(c).limits.connections.to_string(),
            "9",
        ),
        proxy("proxy.limits.queue", "limits.queue = 9", |c| show(first(c).limits.queue), "9"),
        proxy("proxy.limits.backlog", "limits.backlog = 9", |c| show(first(c).limits.backlog), "9"),
        proxy(
            "proxy.drain.deadline",
            "drain.deadline = \"9s\"",
            |c| show(first(c).drain.deadline),
            "9s",
        ),
        proxy("proxy.drain.jitter", "drain.jitter = \"9s\"", |c| show(first(c).drain.jitter), "9s"),
    ]
}

fn cases() -> Vec<Case> {
    [node_cases(), job_cases(), proxy_cases(), health_cases(), limit_cases(), workstream_cases()]
        .into_iter()
        .flatten()
        .collect()
}

/// Returns a file in which `lines` of a proxy replace the required ones of the same key.
fn file(node: &str, lines: &str) -> String {
    let mut file = format!("[node]\n{node}\n[[proxy]]\n");
    for (key, line) in [
        ("name", "name = \"redis\""),
        ("listen", "listen = \"127.0.0.1:8080\""),
        ("backends", "backends = [\"10.0.0.1:1\"]"),
    ] {
        if !lines.starts_with(key) {
            file.push_str(line);
            file.push('\n');
        }
    }
    format!("{file}{lines}\n")
}

#[test]
fn every_key_changes_what_is_read() {
    let base = good(&file("", ""));
    for case in cases() {
        let changed = good(&file(case.node, case.proxy));
        assert_eq!((case.reads)(&changed), case.want, "{}", case.key);
        // A probe's own keys need their probe, which the base has not; it differs all the more.
        assert_ne!((case.reads)(&base), case.want, "{} is the default already", case.key);
    }
}

#[test]
fn no_key_is_without_such_a_proof() {
    let proven: BTreeSet<_> = cases().iter().map(|case| case.key.to_owned()).collect();
    let known: BTreeSet<_> = rows().into_iter().map(|row| row.path).collect();
    let forgotten: Vec<_> = known.symmetric_difference(&proven).collect();
    assert!(forgotten.is_empty(), "keys and cases differ in {forgotten:?}");
}

#[test]
fn every_choice_can_be_made() {
    for (name, policy) in Policy::ALL {
        let config = good(&file("", &format!("balance = \"{name}\"")));
        assert_eq!(first(&config).balance, policy);
    }
    let config = good(&file("", "on_down = \"keep\"\nall_down = \"reject\""));
    assert_eq!((first(&config).on_down, first(&config).all_down), (OnDown::Keep, AllDown::Reject));
    let config = good(&file("", "health = { probe = \"tcp\", start = \"up\" }"));
    assert_eq!((&health(&config).probe, health(&config).start_up), (&Probe::Tcp, true));
}

/// What the documentation gives as default is what holds without the key.
#[test]
fn every_documented_default_is_the_default() {
    let base = good(&file("", ""));
    let http = "health.probe = \"http\"";
    let http_base = good(&file("", http));
    for row in rows() {
        let Some(toml) = row.default.strip_prefix('`').and_then(|text| text.strip_suffix('`'))
        else {
            continue;
        };
        let (section, key) = row.path.split_once('.').expect("a path has a section");
        let line = format!("{key} = {toml}");
        let (text, base) = match (section, key) {
            ("node", _) => (file(&line, ""), &base),
            ("jobs" | "cluster" | "workstream", _) => {
                (file(&format!("[{section}]\n{line}"), ""), &base)
            }
            (_, "backends[].weight") => {
                let backend = format!("{{ address = \"10.0.0.1:1\", weight = {toml} }}");
                (file("", &format!("backends = [{backend}]")), &base)
            }
            (_, "health.path" | "health.status") => {
                (file("", &format!("{http}\n{line}")), &http_base)
            }
            _ => (file("", &line), &base),
        };
        assert_eq!(&good(&text), base, "{}", row.path);
    }
}

#[test]
fn without_a_file_there_are_the_engines_defaults() {
    let config = good(&file("", ""));
    let address = "10.0.0.1:1".parse().expect("an address");
    let listen = "127.0.0.1:8080".parse().expect("an address");
    let want = ProxySettings::new("redis", listen, vec![BackendSettings::new(address)]);
    assert_eq!(config.proxies, [want]);
    assert_eq!(config.node, tidemill::config::NodeSettings::default());
    assert_eq!(good(""), Config::default());
}

#[test]
fn a_name_stands_for_every_address_it_resolves_to() {
    let config = good(&file("", "backends = [{ address = \"two.test:80\", weight = 3 }]"));
    let backend = |address: &str| BackendSettings {
        name: "two.test:80".to_owned(),
        weight: 3,
        ..BackendSettings::new(address.parse().expect("an address"))
    };
    assert_eq!(first(&config).backends, [backend("10.0.0.1:80"), backend("10.0.0.2:80")]);
}

#[test]
fn sub_tables_may_be_written_in_any_of_tomls_ways() {
    let inline = good(&file("", "timeouts = { idle = \"9s\" }"));
    let dotted = good(&file("", "timeouts.idle = \"9s\""));
    let headed = good(&file("", "[proxy.timeouts]\nidle = \"9s\""));
    assert_eq!(first(&inline).timeouts.idle, Duration::from_secs(9));
    assert_eq!(inline, dotted);
    assert_eq!(inline, headed);
}

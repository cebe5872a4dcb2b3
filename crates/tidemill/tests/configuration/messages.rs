//! Every mistake is told with its line, its column and what would be right.

use crate::{bad, good};

/// A good proxy, from line 1 to 4.
const PROXY: &str = "\
[[proxy]]
name = \"redis\"
listen = \"127.0.0.1:8080\"
backends = [\"10.0.0.1:1\"]
";

/// Reads a proxy with `lines` from line 5 on.
#[track_caller]
fn after(lines: &str, want: &str) {
    assert_eq!(bad(&format!("{PROXY}{lines}\n")), want);
}

#[test]
fn an_unknown_key_a_wrong_type_and_a_bad_address_are_told_at_once() {
    let file = "\
[node]
listen = \"127.0.0.1\"

[[proxy]]
name = \"redis\"
listen = \"127.0.0.1:8080\"
balence = \"random\"
backends = [\"127.0.0.1:6379\"]
retries = \"two\"
";
    let want = "\
test.toml:2:10: `listen` is the string \"127.0.0.1\": it has no port; write `listen = \"127.0.0.1:8080\"`
test.toml:7:1: unknown key `balence` in [[proxy]]; did you mean `balance`?
test.toml:9:11: `retries` is the string \"two\"; expected an integer from 0 to 100, such as `retries = 2`";
    assert_eq!(bad(file), want);
}

#[test]
fn unknown_keys_and_sections_have_the_nearest_or_all_known_names() {
    after(
        "slow-start = \"1s\"",
        "test.toml:5:1: unknown key `slow-start` in [[proxy]]; did you mean `slow_start`?",
    );
    after(
        "drain = { x = 1 }",
        "test.toml:5:11: unknown key `x` in `drain`; the keys here are `deadline`, `jitter`",
    );
    after(
        "[shield]\nbans = 1",
        "test.toml:5:2: unknown section `shield`; the sections are `[node]`, `[jobs]`, `[cluster]`, \
         `[[proxy]]`, `[workstream]`",
    );
    after("[[proxies]]", "test.toml:5:3: unknown section `proxies`; did you mean `proxy`?");
}

#[test]
fn a_mistyped_required_key_is_not_missing_too() {
    assert_eq!(
        bad("[[proxy]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nbackend = [\"10.0.0.1:1\"]\n"),
        "test.toml:4:1: unknown key `backend` in [[proxy]]; did you mean `backends`?"
    );
}

#[test]
fn what_is_required_is_asked_for() {
    assert_eq!(
        bad("[[proxy]]\nname = \"a\"\n"),
        "test.toml:1:1: [[proxy]] has no `backends`; add `backends = [\"127.0.0.1:6379\", { address = \"127.0.0.1:6380\", weight = 2 }]`\n\
         test.toml:1:1: [[proxy]] has no `listen`; add `listen = \"127.0.0.1:8080\"`"
    );
    assert_eq!(
        bad("[[proxy]]\nname = \"a\"\nlisten = \"127.0.0.1:1\"\nbackends = []\n"),
        "test.toml:4:12: there is none; name at least one, as `\"host:port\"`"
    );
}

#[test]
fn columns_count_characters() {
    after(
        "health = { probe = \"http\", host = \"ä\", risse = 2 }",
        "test.toml:5:35: `ä` is no host name; for example `example.com` or `example.com:8080`\n\
         test.toml:5:40: unknown key `risse` in `health`; did you mean `rise`?",
    );
}

#[test]
fn values_out_of_range_are_told_the_range() {
    after(
        "retries = 101",
        "test.toml:5:11: `retries` is the integer 101: it is out of range; expected an integer from 0 to 100",
    );
    after(
        "retries = -1",
        "test.toml:5:11: `retries` is the integer -1: it is out of range; expected an integer from 0 to 100",
    );
    after(
        "retries = 99999999999999999999",
        "test.toml:5:11: `retries` is the integer 99999999999999999999: it is out of range; expected an integer from 0 to 100",
    );
    after(
        "timeouts = { idle = \"1ms\" }",
        "test.toml:5:21: `idle` is the string \"1ms\": it is out of range; expected a duration from \"100ms\" to \"365d\" (units: ms, s, m, h, d)",
    );
}

#[test]
fn units_that_were_forgotten_are_written_out() {
    after(
        "timeouts = { idle = 30 }",
        "test.toml:5:21: `idle` is the integer 30: it has no unit; write `idle = \"30s\"`",
    );
    after(
        "health.jitter = 5",
        "test.toml:5:17: `jitter` is the integer 5: the % sign is missing; write `jitter = \"5%\"`",
    );
    after(
        "balance = \"leastconnections\"",
        "test.toml:5:11: `balance` is the string \"leastconnections\": it is not known; write `balance = \"least-connections\"`",
    );
}

#[test]
fn bad_backends_are_told_one_by_one() {
    let file = "\
[[proxy]]
name = \"a\"
listen = \"127.0.0.1:1\"
backends = [
  \"10.0.0.1\",
  \"10.0.0.256:1\",
  { address = \"10.0.0.1:70000\" },
  { address = \"10.0.0.2:1\", weight = 65536 },
  { wieght = 1 },
  7,
]
";
    let want = "\
test.toml:5:3: the backend \"10.0.0.1\": it has no port; write `\"10.0.0.1:8081\"`
test.toml:6:3: the backend \"10.0.0.256:1\": \"10.0.0.256\" is neither an IP address nor a host name; expected an IP address or a host name, with a port
test.toml:7:15: `address` is the string \"10.0.0.1:70000\": port 70000 is above 65535; expected an IP address or a host name, with a port
test.toml:8:38: `weight` is the integer 65536: it is out of range; expected an integer from 0 to 65535
test.toml:9:3: the backend has no `address`; add `address = \"127.0.0.1:6379\"`
test.toml:9:5: unknown key `wieght` in the backend; did you mean `weight`?
test.toml:10:3: a backend is the integer 7; write `\"127.0.0.1:6379\"` or `{ address = \"127.0.0.1:6379\", weight = 2 }`";
    assert_eq!(bad(file), want);
}

#[test]
fn a_name_that_does_not_resolve_has_its_place() {
    let file =
        PROXY.replace("\"10.0.0.1:1\"", "\"one.test:1\", \"nobody.test:1\", \"none.test:1\"");
    assert_eq!(
        bad(&file),
        "test.toml:4:27: `nobody.test` does not resolve: no such name; correct the name, or write an IP address\n\
         test.toml:4:44: `none.test` does not resolve: it has no address; correct the name, or write an IP address"
    );
}

#[test]
fn a_backend_is_named_once_whatever_it_is_called() {
    let file = PROXY.replace("\"10.0.0.1:1\"", "\"10.0.0.1:1\", \"two.test:1\"");
    assert_eq!(
        bad(&file),
        "test.toml:4:27: 10.0.0.1:1 is backend 1 already; name it once, with a weight"
    );
}

#[test]
fn two_proxies_cannot_share_a_name_or_an_address() {
    after(
        PROXY.trim_end(),
        "test.toml:6:8: the name `redis` is taken by proxy 1; give each its own\n\
         test.toml:7:10: proxy `redis` already listens on 127.0.0.1:8080; choose another address or port",
    );
    let any_port = PROXY.replace(":8080", ":0");
    good(&format!("{any_port}{}", any_port.replace("redis", "other")));
}

#[test]
fn a_proxy_cannot_listen_where_the_node_does() {
    after(
        "[node]\nlisten = \"127.0.0.1:8080\"",
        "test.toml:3:10: the node itself listens on 127.0.0.1:8080; choose another port here or in `node.listen`",
    );
}

#[test]
fn probe_keys_need_their_probe() {
    after(
        "health = { path = \"/\" }",
        "test.toml:5:19: `path` means nothing to the probe \"tcp\"; set `probe = \"http\"`, or leave it out",
    );
    after(
        "health = { probe = \"send-expect\", send = \"PING\" }",
        "test.toml:5:20: the probe \"send-expect\" has no `expect`; add the answer's beginning: `expect = \"+PONG\"`",
    );
}

#[test]
fn a_limit_that_is_asked_for_has_to_fit_the_open_files() {
    after(
        "limits = { connections = 500000 }",
        "test.toml:5:26: 500000 connections take 1000128 file descriptors and this process may open 1000000; \
         lower it to 499936, or raise the hard limit (`ulimit -Hn 1000128` as root, `LimitNOFILE=1000128` in a systemd unit)",
    );
    good(&format!("{PROXY}limits = {{ connections = 499936 }}\n"));
}

#[test]
fn broken_syntax_is_told_more_than_once_and_without_noise() {
    assert_eq!(
        bad("[node]\nworkers = 1\nworkers = 2\n[[proxy]]\nname = redis\nlisten = \"127.0.0.1:1\n"),
        "test.toml:3:1: duplicate key; leave one of the two out\n\
         test.toml:5:8: string values must be quoted, expected literal string; write it as TOML: `key = value`, with strings in quotes\n\
         test.toml:6:22: invalid basic string, expected `\"`; write it as TOML: `key = value`, with strings in quotes"
    );
}

#[test]
fn a_section_of_the_wrong_shape_is_shown_the_right_one() {
    assert_eq!(
        bad("[proxy]\nname = \"a\"\n"),
        "test.toml:1:2: `proxy` is a table; write `[[proxy]]`"
    );
    assert_eq!(bad("node = 1\n"), "test.toml:1:1: `node` is the integer 1; write `[node]`");
    assert_eq!(
        bad("proxy = [1]\n"),
        "test.toml:1:10: `proxy` holds the integer 1; write each as a table of its own: `[[proxy]]`"
    );
    after(
        "timeouts = 5",
        "test.toml:5:12: `timeouts` is the integer 5; expected a table, such as `timeouts = { connect = \"5s\", idle = \"1h\" }`",
    );
}

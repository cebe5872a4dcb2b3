//! What a start leaves behind when it succeeds, and that it leaves nothing when it does not.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testkit::client::try_connect;
use testkit::{Launch, TcpPeer, free_address, http};

use crate::{SOON, config, echo_node, fails, proxy, tidemill};

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    metadata.permissions().mode() & 0o777
}

#[test]
fn logs_every_address_in_order_and_then_ready() {
    let peer = TcpPeer::echo();
    let proxies = proxy("b", &peer, "") + &proxy("a", &peer, "");
    let node = tidemill().config(&config(&proxies)).start();
    let log = node.log();
    let said: Vec<_> = log.iter().map(|line| line.split("INFO ").nth(1).unwrap_or(line)).collect();
    let want = [
        format!("proxy a listens on {}", node.proxy("a")),
        format!("proxy b listens on {}", node.proxy("b")),
        format!("page and API on http://{}/", node.address()),
        format!("workspace {}", node.folder().join(".workspace").display()),
        "ready".to_owned(),
    ];
    assert_eq!(said, want);
    assert_eq!(http::get(node.address(), "/readyz").status, 200);
    assert_eq!(http::get(node.address(), "/healthz").body, "ok\n");
}

#[test]
fn keeps_its_files_private() {
    let (node, _peer) = echo_node("");
    let folder = node.data_dir();
    assert_eq!(mode(&folder), 0o700);
    for file in ["token", "session", "addresses.json", "lock"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    let token = fs::read_to_string(folder.join("token")).expect("a token");
    assert_eq!(token.trim().len(), 64);
    let pid = fs::read_to_string(folder.join("lock")).expect("a lock");
    assert_eq!(pid.trim(), node.process().id().to_string());

    assert!(node.terminate(SOON).success());
    assert!(!folder.join("addresses.json").exists(), "no node, no addresses");
}

#[test]
fn a_token_that_others_could_read_is_made_private_and_kept() {
    let tidemill = tidemill().config(&config(""));
    let folder = tidemill.folder().join(".local/state/tidemill");
    fs::create_dir_all(&folder).expect("a folder");
    let token = "0123456789abcdef".repeat(4);
    fs::write(folder.join("lock"), "").expect("a lock of an earlier node");
    fs::write(folder.join("token"), format!("{token}\n")).expect("a token");
    fs::set_permissions(folder.join("token"), fs::Permissions::from_mode(0o644)).expect("a mode");
    let node = tidemill.start();
    assert_eq!((mode(&folder), mode(&folder.join("token"))), (0o700, 0o600));
    assert_eq!(node.get("/api/v1/proxies").status, 200);
    assert_eq!(fs::read_to_string(folder.join("token")).expect("a token").trim(), token);
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let tidemill = tidemill().config(&config("").replace("0\"\n", "0\"\ndata_dir = \"mine\"\n"));
    let folder = tidemill.folder().join("mine");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("photo"), "").expect("a file");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("a mode");
    let finished = tidemill.run(SOON);
    fails(&finished, 3, "mine is open to others (mode 755) and holds what is not ours");
    assert_eq!(mode(&folder), 0o755);
}

#[test]
fn a_second_node_on_the_same_folder_is_told_of_the_first() {
    let (node, _peer) = echo_node("");
    let second = node.command(["up"], SOON);
    fails(&second, 3, &format!("(pid {})", node.process().id()));
    fails(&second, 3, "node.data_dir");
    assert_eq!(node.get("/api/v1/proxies").status, 200, "the first one goes on");
}

#[test]
fn a_node_that_was_killed_does_not_lock_the_next_one_out() {
    let (node, _peer) = echo_node("");
    node.process().kill();
    let next = node.command(["backend", "list"], SOON);
    fails(&next, 3, "no node answers");
    // A port that is taken ends it after the lock, so the lock was to be had.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    node.write_config(&format!("[node]\nlisten = \"{address}\"\n"));
    fails(&node.command(["up"], SOON), 3, "node.listen");
}

#[test]
fn a_taken_port_is_told_and_nothing_stays_half_started() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (peer, free) = (TcpPeer::echo(), free_address());
    let backend = peer.address();
    let of = |name: &str, listen| {
        format!("[[proxy]]\nname = \"{name}\"\nlisten = \"{listen}\"\nbackends = [\"{backend}\"]\n")
    };

    let page = tidemill().config(&format!("[node]\nlisten = \"{address}\"\n{}", of("a", free)));
    let finished = page.run(SOON);
    fails(&finished, 3, &format!("cannot serve page and API on {address}"));
    fails(&finished, 3, "choose another node.listen");

    let proxies = tidemill().config(&config(&(of("a", free) + &of("b", address))));
    let finished = proxies.run(SOON);
    fails(&finished, 3, &format!("proxy b: {address} is in use"));
    assert!(!finished.stderr.contains("ready"), "{}", finished.stderr);
    assert!(try_connect(free).is_err(), "proxy a listens though b could not");
    assert!(!proxies.folder().join(".local/state/tidemill/addresses.json").exists());
}

#[test]
fn a_wrong_file_is_told_with_its_place_before_anything_starts() {
    let nobody =
        "[[proxy]]\nname = \"a\"\nlisten = \"127.0.0.1:0\"\nbackends = [\"nobody.invalid:1\"]\n";
    let node = tidemill().config(&config(nobody));
    fails(&node.run(SOON), 2, "tidemill.toml:6:13: `nobody.invalid` does not resolve");
    assert!(!node.folder().join(".local").exists(), "nothing was written");

    let twice = "[[proxy]]\nname = \"a\"\nlisten = \"127.0.0.1:4\"\nbackends = [\"127.0.0.1:1\"]\n";
    let twice = twice.to_owned() + &twice.replace("\"a\"", "\"b\"");
    fails(
        &tidemill().config(&config(&twice)).run(SOON),
        2,
        "tidemill.toml:9:10: proxy `a` already listens on 127.0.0.1:4; choose another",
    );
}

#[test]
fn an_unreadable_file_is_told_with_the_systems_reason() {
    let missing = tidemill().args(["up", "--config", "nowhere.toml"]).run(SOON);
    fails(&missing, 2, "cannot read the configuration nowhere.toml: No such file or directory");
    let folder = tidemill().args(["check", "--config", "."]).run(SOON);
    fails(&folder, 2, "cannot read the configuration .: Is a directory");
    let binary = tidemill().config("");
    fs::write(binary.folder().join("tidemill.toml"), b"[node]\n\xff").expect("a file");
    fails(&binary.run(SOON), 2, "tidemill.toml:2:1: the file is not UTF-8 from here on");
    let large = tidemill().config(&"#\n".repeat(600_000));
    fails(&large.run(SOON), 2, "it is larger than 1 MiB");
}

#[test]
fn limits_above_the_open_files_are_told_with_the_remedy() {
    let peer = TcpPeer::echo();
    let proxies = proxy("a", &peer, "limits = { connections = 5000 }");
    let node = tidemill().config(&config(&proxies)).limit_files(1_000);
    let finished = node.run(SOON);
    fails(&finished, 2, "tidemill.toml:7:26: 5000 connections take");
    fails(&finished, 2, "this process may open 1000");
    fails(&finished, 2, "LimitNOFILE=");
}

#[test]
fn the_soft_limit_on_open_files_is_raised_to_the_hard_one() {
    let node = tidemill().config(&config(""));
    let home = node.folder();
    let script = "ulimit -Sn 300 && exec \"$0\" up";
    let process = Launch::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_tidemill")])
        .env("HOME", home)
        .folder(home)
        .start();
    process.wait_for_line(" ready", SOON);
    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("limits");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
    let values: Vec<_> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(values[0], values[1], "{files}");
    assert_ne!(values[0], "300");
}

#[test]
fn the_number_of_workers_is_the_configured_one() {
    let node =
        tidemill().config("[node]\nlisten = \"127.0.0.1:0\"\nworkers = 3\ndata_dir = \"state\"\n");
    let state = node.folder().join("state");
    let node = node.start();
    let tasks = fs::read_dir(format!("/proc/{}/task", node.process().id())).expect("tasks");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.starts_with("worker")).count(), 3);
    assert!(state.join("addresses.json").exists(), "data_dir begins at the file's folder");
}

#[test]
fn a_node_without_proxies_says_how_to_add_one() {
    let node = tidemill().config(&config("")).start();
    node.process().wait_for_line("there are no proxies; write a file with `tidemill check", SOON);
    assert_eq!(node.get("/api/v1/proxies").body, "{\"items\":[],\"next\":null}");
}

#[test]
fn the_log_is_as_loud_as_asked_and_coloured_only_on_request() {
    let quiet = tidemill().config("[node]\nlisten = 1\n").args(["-q", "up", "--color=always"]);
    let finished = quiet.run(SOON);
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);

    let loud = tidemill().config(&config("")).args(["-v", "up", "--color", "always"]).start();
    assert!(
        loud.log().iter().any(|line| line.contains("\x1b[32m INFO\x1b[0m")),
        "{:?}",
        loud.log()
    );
    let plain = tidemill().config(&config("")).start();
    assert!(!plain.log().iter().any(|line| line.contains('\x1b')), "{:?}", plain.log());
}

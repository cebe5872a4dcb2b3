//! The command line: help, usage errors, exit codes, completions, manual pages.

use std::fs;

use testkit::{Finished, Launch, TcpPeer, free_address, http};

use crate::{SOON, fails, tidemill};

#[track_caller]
fn run(args: &[&str]) -> Finished {
    tidemill().args(args).run(SOON)
}

/// Returns every command with its parents' names, the program's own last.
fn commands() -> Vec<Vec<String>> {
    fn walk(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
        found.push(path.to_vec());
        for subcommand in command.get_subcommands() {
            let path = [path, &[subcommand.get_name().to_owned()]].concat();
            walk(subcommand, &path, found);
        }
    }
    let mut found = Vec::new();
    walk(&tidemill::command::definition(), &[], &mut found);
    found
}

/// Renders the reference of commands: the help of each.
fn reference() -> String {
    let mut page = "\
# Commands

<!-- Generated from the definition of the commands; `UPDATE_SNAPSHOTS=1 cargo test -p tidemill` writes it anew. -->

What `--help` says, for every command.
"
    .to_owned();
    for command in commands() {
        let mut args = command.clone();
        args.push("--help".to_owned());
        let help = tidemill().args(&args).run(SOON);
        assert_eq!(help.status.code(), Some(0), "{help:?}");
        let name = ["tidemill".to_owned()].into_iter().chain(command).collect::<Vec<_>>().join(" ");
        let text: Vec<_> = help.stdout.lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## {name}\n\n```text\n{}\n```\n", text.join("\n")));
    }
    page
}

#[test]
fn the_reference_of_commands_is_the_one_in_the_documentation() {
    let page = reference();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/commands.md");
    #[expect(clippy::disallowed_methods, reason = "the one switch of the snapshots")]
    let is_update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    if is_update {
        fs::write(path, &page).expect("the page can be written");
    }
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(stored == page, "{path} is stale; run with UPDATE_SNAPSHOTS=1");
}

#[test]
fn every_command_has_an_explanation_and_fits_a_terminal() {
    for command in commands() {
        let args: Vec<_> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = run(&args).stdout;
        let wide: Vec<_> = help.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(wide.is_empty(), "{command:?}: {wide:?}");
        assert!(!help.starts_with("Usage"), "{command:?} does not say what it does");
    }
}

#[test]
fn bad_usage_ends_with_2_and_says_what_was_meant() {
    let nothing = Launch::new(env!("CARGO_BIN_EXE_tidemill")).run(SOON);
    fails(&nothing, 2, "Usage: tidemill");
    fails(&run(&["chekc"]), 2, "'check'");
    fails(&run(&["check", "--conf", "x"]), 2, "'--config'");
    fails(&run(&["proxy", "--listen", "127.0.0.1:0"]), 2, "--backend");
    fails(
        &run(&["proxy", "--listen", "localhost:80", "--backend", "127.0.0.1:1"]),
        2,
        "did you mean 127.0.0.1:80?",
    );
    let proxy = |backend: &str| run(&["proxy", "--listen", "127.0.0.1:0", "--backend", backend]);
    fails(&proxy("127.0.0.1"), 2, "did you mean 127.0.0.1:8081?");
    fails(&proxy("127.0.0.1:1,wait=2"), 2, "write weight=N");
    fails(&proxy("nobody.invalid:1"), 2, "`nobody.invalid` does not resolve");
    fails(
        &run(&[
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--backend",
            "127.0.0.1:1",
            "--balance",
            "fair",
        ]),
        2,
        "least-connections",
    );
    fails(&run(&["explain", "--listener", "a", "--from", "here"]), 2, "such as 192.0.2.7");
    let twice = ["127.0.0.1:1"; 2].map(|backend| ["--backend", backend]).concat();
    fails(
        &run(&[&["proxy", "--listen", "127.0.0.1:0"], &twice[..]].concat()),
        2,
        "is backend 1 already",
    );
}

#[test]
fn help_and_version_are_good_and_go_to_stdout() {
    for flag in ["--help", "-h", "--version"] {
        let finished = run(&[flag]);
        assert_eq!(finished.status.code(), Some(0), "{flag}");
        assert!(finished.stderr.is_empty(), "{flag}: {}", finished.stderr);
        assert!(finished.stdout.contains("idemill"), "{flag}: {}", finished.stdout);
    }
}

#[test]
fn check_tells_every_error_and_ends_with_2() {
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
    let checked = tidemill().config(file).args(["check"]).run(SOON);
    assert_eq!(checked.status.code(), Some(2));
    assert_eq!(
        checked.stderr,
        "\
tidemill.toml:2:10: `listen` is the string \"127.0.0.1\": it has no port; write `listen = \"127.0.0.1:8080\"`
tidemill.toml:7:1: unknown key `balence` in [[proxy]]; did you mean `balance`?
tidemill.toml:9:11: `retries` is the string \"two\"; expected an integer from 0 to 100, such as `retries = 2`
"
    );
    let json = tidemill().config(file).args(["check", "--json"]).run(SOON);
    assert_eq!(json.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_str(&json.stdout).expect("one document");
    assert_eq!(document["good"], false);
    let problems = document["problems"].as_array().expect("a list");
    let places = problems.iter().map(|p| (p["line"].as_u64(), p["column"].as_u64()));
    assert_eq!(
        places.collect::<Vec<_>>(),
        [(Some(2), Some(10)), (Some(7), Some(1)), (Some(9), Some(11))]
    );
}

#[test]
fn check_prints_a_good_file_and_its_schema() {
    let sample = run(&["check", "--sample"]);
    let checked = tidemill().config(&sample.stdout).args(["check"]).run(SOON);
    assert_eq!(checked.stdout, "tidemill.toml: good, 1 proxy\n", "{checked:?}");
    let schema: serde_json::Value =
        serde_json::from_str(&run(&["check", "--schema"]).stdout).expect("the schema is JSON");
    assert_eq!(schema["properties"]["node"]["properties"]["listen"]["default"], "127.0.0.1:7070");
    let without = run(&["check"]);
    assert_eq!(without.stdout, "no tidemill.toml here: the built-in defaults hold\n");
}

#[test]
fn completions_know_every_command_in_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]).stdout;
        for command in commands().iter().filter_map(|path| path.last()) {
            assert!(script.contains(command.as_str()), "{shell} does not know {command}");
        }
    }
    fails(&run(&["completions", "tcsh"]), 2, "possible values: bash");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let manual = tidemill().args(["man", "--out", "pages"]);
    assert!(manual.run(SOON).status.success());
    let whole = run(&["man"]).stdout;
    for command in commands() {
        let name = ["tidemill".to_owned()].into_iter().chain(command).collect::<Vec<_>>().join("-");
        let page = fs::read_to_string(manual.folder().join(format!("pages/{name}.1")))
            .unwrap_or_else(|error| panic!("{name}.1: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}.1");
        assert!(whole.contains(&page), "{name} is not in the manual on stdout");
    }
    fails(
        &tidemill().args(["man", "--out", "/proc/pages"]).run(SOON),
        3,
        "cannot write /proc/pages",
    );
}

#[test]
fn a_proxy_needs_no_file_and_leaves_none() {
    let peer = TcpPeer::banner(b"hello");
    let (listen, admin) = (free_address(), free_address());
    let tidemill = tidemill();
    let home = tidemill.folder().to_owned();
    let node = tidemill
        .args(["proxy", "--listen", &listen.to_string(), "--admin", &admin.to_string()])
        .args(["--backend", &format!("{},weight=3", peer.address()), "--workers", "1"])
        .args(["--balance", "least-connections"])
        .env("TIDEMILL_TOKEN", "secret")
        .start();
    let client = testkit::client::connect(listen);
    assert_eq!(testkit::client::read_exactly(&client, 5), b"hello");
    drop(client);
    assert_eq!(http::get(admin, "/readyz").status, 200);
    assert_eq!(http::get(admin, "/api/v1/proxies").status, 401);
    let status = node.command(["status", "--json", "--node", &admin.to_string()], SOON);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("a document");
    let proxy = &status["items"][0];
    assert_eq!((&proxy["name"], &proxy["balance"]), (&"proxy".into(), &"least-connections".into()));
    assert_eq!(proxy["backends"][0]["weight"], 3);
    node.hang_up();
    node.process().wait_for_line("SIGHUP: this node has no file to read again", SOON);
    assert_eq!(node.terminate(SOON).code(), Some(0));
    assert!(fs::read_dir(&home).expect("the folder").next().is_none(), "a file was left behind");
}

#[test]
fn a_proxy_without_a_token_has_no_api() {
    let peer = TcpPeer::echo();
    let admin = free_address();
    let _node = tidemill()
        .args(["proxy", "--listen", "127.0.0.1:0", "--backend", &peer.address().to_string()])
        .args(["--admin", &admin.to_string()])
        .start();
    assert_eq!(http::get(admin, "/metrics").status, 200);
    let refused = http::get(admin, "/api/v1/proxies");
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("TIDEMILL_TOKEN"), "{}", refused.body);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let pipe = "\"$0\" man | head -n 1";
    let binary = env!("CARGO_BIN_EXE_tidemill");
    let finished = Launch::new("sh").args(["-c", pipe, binary]).run(SOON);
    assert!(finished.stderr.is_empty(), "{}", finished.stderr);
}

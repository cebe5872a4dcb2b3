//! `tidemill mcp` driven by two clients that others wrote: the reference inspector and the official
//! Python client; without a node and with one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::{Finished, Launch, Tidemill, registry};

const WITHIN: Duration = Duration::from_secs(60);

/// Runs the inspector's command line against `tidemill mcp` in a folder.
#[track_caller]
fn inspect(modules: &Path, home: &Path, arguments: &[&str]) -> Value {
    let finished: Finished = Launch::new(modules.join("node_modules/.bin/mcp-inspector"))
        .folder(home)
        .env("HOME", home)
        .env("TIDEMILL_AGENT", "inspector")
        .args(["--cli", env!("CARGO_BIN_EXE_tidemill"), "mcp"])
        .args(arguments)
        .run(WITHIN);
    // An error of a tool ends the inspector with another status; the answer is there all the same.
    match serde_json::from_str(&finished.stdout) {
        Ok(answer) => answer,
        Err(error) => panic!("{error}: {finished:?}"),
    }
}

#[test]
fn the_reference_inspector_lists_and_calls() {
    let cache = env!("CARGO_TARGET_TMPDIR");
    let Some(modules) = registry::npm(cache, &["@modelcontextprotocol/inspector@2.12.0"]) else {
        return;
    };
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path();
    let listed = inspect(&modules, home, &["--method", "tools/list"]);
    let tools = listed["tools"].as_array().expect("there are tools");
    let names: Vec<_> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    let want = [
        "list_tasks",
        "get_task",
        "create_task",
        "update_task",
        "claim_task",
        "comment_task",
        "search_tasks",
        "store_memory",
        "get_memory",
        "search_memory",
        "read_metrics",
    ];
    assert_eq!(names, want);
    for tool in tools {
        let name = tool["name"].as_str().unwrap_or_default();
        let hints = &tool["annotations"];
        let reads = !["create", "update", "claim", "comment", "store"]
            .iter()
            .any(|verb| name.starts_with(verb));
        assert_eq!(hints["readOnlyHint"], reads, "{name}");
        assert_eq!(hints["destructiveHint"], ["update_task", "store_memory"].contains(&name));
    }
    let call = |tool: &str, arguments: &[&str]| {
        let mut all = vec!["--method", "tools/call", "--tool-name", tool];
        for argument in arguments {
            all.extend(["--tool-arg", argument]);
        }
        inspect(&modules, home, &all)
    };
    let made = call("create_task", &["title=From the inspector", "priority=high"]);
    assert_eq!(made["structuredContent"]["title"], "From the inspector", "{made}");
    let listed = call("list_tasks", &["priority=high"]);
    assert_eq!(listed["structuredContent"]["items"].as_array().map(Vec::len), Some(1), "{listed}");
    let id = made["structuredContent"]["id"].as_str().expect("a task has an id");
    let read = call("get_task", &[&format!("id={}", &id[..12])]);
    assert_eq!(read["structuredContent"]["title"], "From the inspector", "a prefix is enough");
    let refused = call("get_task", &["id=7ZZZ"]);
    assert_eq!(refused["isError"], true, "{refused}");
    let next = refused["structuredContent"]["next"].as_str().unwrap_or_default();
    assert!(!next.is_empty(), "{refused}");
}

#[test]
fn the_official_client_works_alone_and_with_a_node() {
    let Some(bin) = registry::python(env!("CARGO_TARGET_TMPDIR"), &["mcp==2.3.0"]) else { return };
    let tidemill =
        Tidemill::new(env!("CARGO_BIN_EXE_tidemill")).config("[node]\nlisten = \"127.0.0.1:0\"\n");
    let home = tidemill.folder().to_owned();
    let script = home.join("client.py");
    fs::write(&script, include_str!("client.py")).expect("the folder can be written");
    let run = |place: &str| {
        let finished = Launch::new(bin.join("python"))
            .folder(&home)
            .env("HOME", &home)
            .env("TIDEMILL_AGENT", "client")
            .args([&script])
            .args([env!("CARGO_BIN_EXE_tidemill"), place])
            .run(WITHIN);
        assert!(finished.status.success(), "{place}: {}{}", finished.stdout, finished.stderr);
    };
    run("alone");
    let node = tidemill.start();
    run("node");
    let page = node.ask("GET", "/api/v1/tasks", "");
    let page: Value = serde_json::from_str(&page.body).expect("JSON");
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2), "one of each run: {page}");
}

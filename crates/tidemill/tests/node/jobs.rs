//! `tidemill job` and `/api/v1/jobs`, with a node and without one.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::http::{Response, request};
use testkit::{Finished, Node, free_address, wait_for, wait_until};

use crate::{SOON, config, fails, tidemill};

fn jobs_node(more: &str) -> Node {
    tidemill().config(&config(more)).start()
}

fn ask(node: &Node, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let token = fs::read_to_string(node.data_dir().join("token")).expect("a token");
    let bearer = format!("Bearer {}", token.trim());
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let ours = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    request(node.address(), method, path, &[&ours, headers].concat(), &body)
}

fn post(node: &Node, body: &Value) -> Response {
    ask(node, "POST", "/api/v1/jobs", &[], body)
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Submits a shell's script and returns the job's id.
#[track_caller]
fn submit(node: &Node, flags: &[&str], script: &str) -> String {
    let args = [&["job", "submit"], flags, &["--", "sh", "-c", script]].concat();
    let submitted = node.command(args, SOON);
    assert_eq!(submitted.status.code(), Some(0), "{submitted:?}");
    submitted.stdout.trim().to_owned()
}

fn show(node: &Node, id: &str) -> Value {
    document(&node.command(["job", "show", id, "--json"], SOON).stdout)
}

#[track_caller]
fn wait_state(node: &Node, id: &str, state: &str) -> Value {
    wait_for(format!("job {id} to be {state}"), SOON, || {
        Some(show(node, id)).filter(|job| job["state"] == state)
    })
}

fn logs(node: &Node, id: &str) -> Finished {
    node.command(["job", "logs", "-f", id], SOON)
}

#[test]
fn a_command_is_submitted_watched_and_shown() {
    let node = jobs_node("");
    let flags = ["--priority", "high", "--timeout", "30s", "--retries", "3", "--env", "A=b c"];
    let script = "pwd; echo $A $HOME ${CARGO:-clean}; echo é; [ $TIDEMILL_JOB_ATTEMPT = 2 ]";
    let id = submit(&node, &flags, script);
    let job = wait_state(&node, &id, "completed");
    assert_eq!((&job["priority"], &job["timeout_ms"]), (&"high".into(), &30_000.into()));
    assert_eq!((&job["attempts"], &job["failures"]), (&2.into(), &1.into()));
    let printed = logs(&node, &id);
    let home = node.data_dir().ancestors().nth(3).map(|home| home.display().to_string());
    let home = home.expect("the home folder");
    let once = format!("{home}\nb c {home} clean\né\n");
    assert_eq!(printed.stdout, once.repeat(2), "{printed:?}");
    let shown = node.command(["job", "show", &id], SOON).stdout;
    assert!(shown.contains("completed") && shown.contains("2, 1 failed"), "{shown}");
    let list = node.command(["job", "list"], SOON).stdout;
    assert!(list.contains(&id) && list.contains("high"), "{list}");
    let none = node.command(["job", "list", "--state", "failed", "--json"], SOON).stdout;
    assert_eq!(document(&none), json!({ "items": [], "next": null }));
    let ends =
        node.metrics().remove("tidemill_job_ends_total{priority=\"high\",state=\"completed\"}");
    let other =
        node.metrics().remove("tidemill_job_ends_total{state=\"completed\",priority=\"high\"}");
    assert_eq!(ends.or(other), Some(1.0), "{:?}", node.metrics().keys());
}

#[test]
fn jobs_without_a_node_wait_for_one() {
    let alone = tidemill().config(&config(""));
    let folder = alone.folder().to_owned();
    let job = |args: &[&str]| {
        let tidemill = testkit::Launch::new(env!("CARGO_BIN_EXE_tidemill"));
        tidemill.folder(&folder).env("HOME", &folder).args(["job"]).args(args).run(SOON)
    };
    let submitted = job(&["submit", "--", "echo", "later"]);
    let id = submitted.stdout.trim().to_owned();
    assert!(submitted.stderr.contains("no node runs: the job is in its store"), "{submitted:?}");
    assert_eq!(document(&job(&["show", &id, "--json"]).stdout)["state"], "pending");
    let second = job(&["submit", "--key", "k", "--", "echo", "never"]).stdout.trim().to_owned();
    assert_eq!(job(&["submit", "--key", "k", "--", "echo", "never"]).stdout.trim(), second);
    fails(&job(&["submit", "--key", "k", "--", "other"]), 2, "the key belongs to job");
    assert_eq!(document(&job(&["cancel", &second, "--json"]).stdout)["state"], "cancelled");
    fails(&job(&["show", "00000000000000000000000000"]), 2, "no job has the id");
    fails(&job(&["show", "x"]), 2, "is no job's id");
    assert_eq!(
        document(&job(&["list", "--json"]).stdout)["items"].as_array().map(Vec::len),
        Some(2)
    );
    let node = alone.start();
    wait_state(&node, &id, "completed");
    assert_eq!(logs(&node, &id).stdout, "later\n");
    assert_eq!(show(&node, &second)["state"], "cancelled");
    assert_eq!(node.terminate(SOON).code(), Some(0));
    assert_eq!(job(&["logs", &id]).stdout, "later\n");
    fails(&job(&["cancel", &id]), 2, "had ended: completed");
}

#[test]
fn a_node_that_is_killed_or_stopped_leaves_nothing_undone() {
    let tidemill = tidemill().config(&config("stop_deadline = \"1s\"\n"));
    let folder = tidemill.folder().to_owned();
    let again = || {
        testkit::Launch::new(env!("CARGO_BIN_EXE_tidemill"))
            .folder(&folder)
            .env("HOME", &folder)
            .args(["up"])
            .start()
    };
    let node = tidemill.start();
    let script =
        "echo run $TIDEMILL_JOB_ATTEMPT; exec sleep $((TIDEMILL_JOB_ATTEMPT < 3 ? 7357 : 0))";
    let id = submit(&node, &[], script);
    wait_until("the first run", SOON, || {
        node.command(["job", "logs", &id], SOON).stdout == "run 1\n"
    });
    node.process().kill();
    let second = again();
    wait_until("the second run", SOON, || {
        node.command(["job", "logs", &id], SOON).stdout.ends_with("run 2\n")
    });
    // The first run's process outlived its node, and went before the second run began.
    let sleepers = || {
        let all = fs::read_dir("/proc")
            .expect("procfs")
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("cmdline")).ok());
        all.filter(|line| line.contains("\x007357\0")).count()
    };
    wait_until("one sleeper", SOON, || sleepers() == 1);
    assert!(second.terminate(SOON).success());
    assert_eq!(sleepers(), 0, "a stop ends what it hands back");
    let third = again();
    wait_state(&node, &id, "completed");
    let job = show(&node, &id);
    assert_eq!(
        (&job["attempts"], &job["failures"], &job["interruptions"]),
        (&3.into(), &0.into(), &1.into())
    );
    assert!(third.terminate(SOON).success());
}

#[test]
fn writes_take_the_version_that_was_read() {
    let node = jobs_node("[jobs]\nlease = \"1s\"\n");
    let body = json!({ "command": ["sleep", "60"], "priority": "low", "key": "k" });
    let submitted = post(&node, &body);
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let first_tag = submitted.header("etag").expect("a tag").to_owned();
    let path = submitted.header("location").expect("a path").to_owned();
    assert_eq!(post(&node, &body).status, 200, "the key is known");
    assert_eq!(post(&node, &json!({ "command": ["other"], "key": "k" })).status, 409);
    let id = path.rsplit('/').next().expect("an id").to_owned();
    wait_state(&node, &id, "running");
    let cancel = |tag: &str| {
        ask(&node, "PATCH", &path, &[("If-Match", tag)], &json!({ "state": "cancelled" }))
    };
    let lost = cancel(&first_tag);
    assert_eq!(lost.status, 412, "{}", lost.body);
    assert_eq!(cancel("\"x\"").status, 412);
    wait_until("a write that wins", SOON, || {
        let read = ask(&node, "GET", &path, &[], &Value::Null);
        cancel(read.header("etag").expect("a tag")).status == 200
    });
    let job = wait_state(&node, &id, "cancelled");
    assert!(job["reason"].as_str().is_some_and(|why| why.contains("while it ran")), "{job}");
}

#[test]
fn bad_jobs_are_refused_by_name() {
    let node = jobs_node("[jobs]\nwaiting = 2\nconcurrency = 1\n");
    let refused = |body: Value, status: u16, says: &str| {
        let response = post(&node, &body);
        assert_eq!(response.status, status, "{}", response.body);
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
        assert!(response.body.contains(says), "no {says} in {}", response.body);
    };
    refused(json!({ "command": [] }), 422, "name a program");
    refused(json!({ "command": ["a"], "folder": "here" }), 422, "absolute");
    refused(json!({ "command": ["a"], "priority": "urgent" }), 422, "emergency");
    refused(json!({ "command": ["a"], "timeout_ms": 0 }), 422, "timeout");
    refused(json!({ "command": ["a"], "retries": 1_001 }), 422, "1000");
    refused(json!({ "command": ["a"], "colour": 1 }), 422, "colour");
    let large = "x".repeat(100_000);
    let large = [large.as_str(); 3];
    refused(json!({ "command": large }), 413, "work");
    let too_much = ["job", "submit", "--", "echo"].into_iter().chain(large);
    fails(&node.command(too_much, SOON), 2, "work");
    let missing = submit_command(&node, &["no-such-program"]);
    let job = wait_state(&node, &missing, "failed");
    assert!(job["reason"].as_str().is_some_and(|why| why.contains("in PATH")), "{job}");
    let first = submit(&node, &[], "sleep 60");
    wait_state(&node, &first, "running");
    for _ in 0..2 {
        assert_eq!(post(&node, &json!({ "command": ["true"] })).status, 201);
    }
    refused(json!({ "command": ["true"] }), 503, "2 jobs wait");
    fails(&node.command(["job", "submit", "--", "true"], SOON), 3, "2 jobs wait");
    let emergency = json!({ "command": ["true"], "priority": "emergency" });
    refused(emergency, 503, "2 jobs wait");
}

#[track_caller]
fn submit_command(node: &Node, command: &[&str]) -> String {
    let submitted = post(node, &json!({ "command": command }));
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    document(&submitted.body)["id"].as_str().expect("an id").to_owned()
}

#[test]
fn limits_of_the_configuration_hold() {
    let node =
        jobs_node("[jobs]\nlog = \"1KiB\"\nmemory = \"256MiB\"\nfiles = 64\nkeep_count = 2\n");
    let script = "sleep 0.2; sh -c 'ulimit -n; ulimit -v'; head -c 5000 /dev/zero; echo the end";
    let id = submit(&node, &[], script);
    wait_state(&node, &id, "completed");
    let printed = node.command(["job", "logs", &id], SOON);
    assert!(printed.stderr.contains("bytes of it are gone"), "{}", printed.stderr);
    assert!(printed.stdout.len() <= 1_024 && printed.stdout.ends_with("the end\n"));
    let id = submit(&node, &[], "sleep 0.2; sh -c 'ulimit -n; ulimit -v'");
    wait_state(&node, &id, "completed");
    assert_eq!(logs(&node, &id).stdout, "64\n262144\n");
    for _ in 0..3 {
        submit(&node, &[], "true");
    }
    wait_until("only two to be remembered", SOON, || {
        let list = node.command(["job", "list", "--json"], SOON).stdout;
        document(&list)["items"].as_array().map(Vec::len) == Some(2)
    });
    let folders = || fs::read_dir(node.data_dir().join("jobs/logs")).expect("logs").count();
    wait_until("their output to go with them", SOON, || folders() <= 2);
}

#[test]
fn old_jobs_are_forgotten() {
    let node = jobs_node("[jobs]\nkeep = \"1s\"\n");
    let id = submit(&node, &[], "true");
    wait_until("it to be forgotten", SOON, || {
        node.command(["job", "show", &id], SOON).status.code() == Some(2)
    });
}

#[test]
fn trouble_with_the_store_keeps_nothing_else_from_serving() {
    let damaged = tidemill().config(&config(""));
    let folder = damaged.folder().join(".local/state/tidemill/jobs");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("jobs.sqlite"), [7; 10_000]).expect("a file");
    let data_dir = damaged.folder().join(".local/state/tidemill");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&data_dir, private).expect("a mode");
    let node = damaged.start();
    let refused = post(&node, &json!({ "command": ["true"] }));
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("is damaged"), "{}", refused.body);
    assert!(node.log().iter().any(|line| line.contains("there are no jobs")), "{:?}", node.log());
    let nobody = format!("[cluster]\nnats = [\"nats://{}\"]\n", free_address());
    let node = jobs_node(&nobody);
    wait_until("the reason to be told", Duration::from_secs(20), || {
        let refused = post(&node, &json!({ "command": ["true"] }));
        refused.status == 503 && refused.body.contains("no NATS server")
    });
    assert_eq!(testkit::http::get(node.address(), "/readyz").status, 200);
    assert_eq!(node.terminate(SOON).code(), Some(0));
}

#[test]
fn the_largest_work_is_taken_and_an_ended_job_is_not_cancelled() {
    let node = jobs_node("");
    let argument = "x".repeat(100 << 10);
    let submitted = post(&node, &json!({ "command": ["true", argument, argument] }));
    assert_eq!(submitted.status, 201, "{}", submitted.body);
    let path = submitted.header("location").expect("a path").to_owned();
    let id = path.rsplit('/').next().expect("an id").to_owned();
    let large = post(&node, &json!({ "command": ["true", "x".repeat(600 << 10)] }));
    assert_eq!(large.status, 413, "{}", large.body);
    assert!(large.body.contains("pass a file's name"), "{}", large.body);
    wait_state(&node, &id, "completed");
    let late = ask(&node, "PATCH", &path, &[], &json!({ "state": "cancelled" }));
    assert_eq!(late.status, 409, "{}", late.body);
    assert!(late.body.contains("had ended: completed"), "{}", late.body);
}

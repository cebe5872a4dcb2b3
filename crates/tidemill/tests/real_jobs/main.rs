//! Nodes that share jobs through a real nats-server: what the keys of `[cluster]` do.

use std::time::Duration;

use testkit::{Finished, Nats, Node, Tidemill, wait_for, wait_until};

const SOON: Duration = Duration::from_secs(40);

/// Starts a node of a cluster; its jobs are on one server.
fn node(nats: &Nats, name: &str, concurrency: u32) -> Node {
    let url = &nats.urls()[0];
    Tidemill::new(env!("CARGO_BIN_EXE_tidemill"))
        .config(&format!(
            "[node]\nlisten = \"127.0.0.1:0\"\nstop_deadline = \"1s\"\n\
             [jobs]\nconcurrency = {concurrency}\nlease = \"2s\"\n\
             [cluster]\nnats = [\"{url}\"]\nname = \"{name}\"\nreplicas = 1\n"
        ))
        .start()
}

fn job(node: &Node, args: &[&str]) -> Finished {
    node.command([&["job"], args].concat(), SOON)
}

/// Submits as soon as the node is connected.
#[track_caller]
fn submit(node: &Node, script: &str) -> String {
    wait_for("a job to be taken", SOON, || {
        let submitted = job(node, &["submit", "--", "sh", "-c", script]);
        submitted.status.success().then(|| submitted.stdout.trim().to_owned())
    })
}

fn state(node: &Node, id: &str) -> String {
    let shown = job(node, &["show", "--json", id]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap_or_default();
    shown["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn nodes_of_one_name_share_jobs_and_a_death_hands_them_on() {
    let Some(nats) = Nats::start(1) else { return };
    let (first, second) = (node(&nats, "shop", 1), node(&nats, "shop", 1));
    let stranger = node(&nats, "other", 1);
    let long = submit(&first, "sleep 3; echo done");
    wait_until("it to run somewhere", SOON, || state(&second, &long) == "running");
    assert!(!job(&stranger, &["show", &long]).status.success(), "another name, other jobs");
    let running = |node: &Node| node.metrics()["tidemill_job_running"] == 1.0;
    let on_first = wait_for("one of them to run it", SOON, || {
        if running(&first) { Some(true) } else { running(&second).then_some(false) }
    });
    let (dead, alive) = if on_first { (first, second) } else { (second, first) };
    dead.process().kill();
    wait_until("the other to end it", SOON, || state(&alive, &long) == "completed");
    assert_eq!(job(&alive, &["logs", &long]).stdout, "done\n");
    // A stop hands on at once, without waiting for the lease.
    let again = submit(&alive, "[ $TIDEMILL_JOB_ATTEMPT = 2 ] || sleep 60");
    wait_until("it to run", SOON, || state(&alive, &again) == "running");
    assert_eq!(alive.terminate(SOON).code(), Some(0));
    let third = node(&nats, "shop", 1);
    wait_until("the next node to end it", SOON, || state(&third, &again) == "completed");
}

#[test]
fn more_replicas_than_servers_are_refused_by_name() {
    let Some(nats) = Nats::start(1) else { return };
    let url = &nats.urls()[0];
    let config = format!("[node]\nlisten = \"127.0.0.1:0\"\n[cluster]\nnats = [\"{url}\"]\n");
    let node = Tidemill::new(env!("CARGO_BIN_EXE_tidemill")).config(&config).start();
    wait_until("the reason", SOON, || {
        job(&node, &["list"]).stderr.contains("cluster.replicas = 3")
    });
}

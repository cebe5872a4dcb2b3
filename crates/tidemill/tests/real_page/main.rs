//! The page in headless Chromium, moved as a person moves it: sign-in, board, drag, keys, search,
//! conflict, a node that goes away and comes back.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use testkit::{Launch, Tidemill, free_port, registry, require, wait_until};
use tidemill_workstream::core::VectorClock;
use tidemill_workstream::model::{NewTask, TaskPatch};
use tidemill_workstream::{Options, Workstream};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_person_works_on_the_page() {
    let Some(chromium) = require("chromium") else { return };
    let cache = env!("CARGO_TARGET_TMPDIR");
    let Some(modules) = registry::npm(cache, &["playwright-core@1.65.1"]) else { return };
    let script = modules.join("page.mjs");
    fs::write(&script, include_str!("page.mjs")).expect("the target can be written");
    let shots = PathBuf::from(cache).join("page-shots");
    fs::create_dir_all(&shots).expect("the target can be written");

    let port = free_port();
    let tidemill = Tidemill::new(env!("CARGO_BIN_EXE_tidemill"))
        .config(&format!("[node]\nlisten = \"127.0.0.1:{port}\"\n"));
    write_conflict(&tidemill.folder().join(".workspace"));
    let node = tidemill.start();
    let opened = node.command(["open", "--print"], SOON);
    assert!(opened.status.success(), "{opened:?}");

    let browser = Launch::new(require("node").expect("npm brought it"))
        .folder(&modules)
        .args([&script])
        .env("CHROMIUM", &chromium)
        .env("ADDRESS", opened.stdout.trim())
        .env("SHOTS", &shots)
        .start();
    browser.wait_for_line("restart the node", Duration::from_secs(180));
    let stopped = node.into_stopped();
    browser.wait_for_line("seen that it is gone", SOON);
    let node = stopped.start();
    browser.wait_for_line("live again", SOON);
    let made = node.ask("POST", "/api/v1/tasks", "{\"title\": \"made after the restart\"}");
    assert_eq!(made.status, 201, "{}", made.body);
    wait_until("the browser's end", SOON, || browser.has_ended());
    assert!(browser.wait(SOON).success(), "{browser}");
}

/// Writes a workspace in which two machines have given one task two titles.
fn write_conflict(path: &std::path::Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        let other = tempfile::tempdir().expect("a temporary folder");
        let here = Workstream::open(path, Options::default()).await.expect("it opens");
        let there = Workstream::open(other.path().join("w"), Options::default()).await;
        let there = there.expect("it opens");
        let new = NewTask { title: "named by nobody".to_owned(), ..NewTask::default() };
        let task = here.create("ada", new).await.expect("it is made");
        pass(&here, &there).await;
        let title =
            |title: &str| TaskPatch { title: Some(title.to_owned()), ..TaskPatch::default() };
        here.patch("ada", task.id, title("named by ada"), None).await.expect("it is changed");
        there.patch("ben", task.id, title("named by ben"), None).await.expect("it is changed");
        pass(&there, &here).await;
        let task = here.get(task.id).await.expect("it is there");
        assert_eq!(task.conflicts, 1, "{task:?}");
        here.close().await.expect("it closes");
        there.close().await.expect("it closes");
    });
}

/// Passes every operation on.
async fn pass(from: &Workstream, to: &Workstream) {
    let operations = from.operations_after(&VectorClock::default(), usize::MAX).await;
    to.apply(operations.expect("they are read")).await.expect("they are applied");
}

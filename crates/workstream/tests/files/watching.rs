//! With a watcher: what is saved is found, events may be lost, nothing echoes.

use std::fs;
use std::time::{Duration, Instant};

use tidemill_workstream::Workstream;
use tidemill_workstream::model::{SearchQuery, Status, TaskPatch};

use super::{files, open, read, replace, tasks, titled};

#[expect(clippy::disallowed_methods, reason = "a test waits for the time of the file system")]
fn now() -> Instant {
    Instant::now()
}

async fn until(what: &str, mut is_true: impl AsyncFnMut() -> bool) -> Duration {
    let begun = now();
    while !is_true().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    begun.elapsed()
}

async fn hits(workspace: &Workstream, word: &str) -> usize {
    workspace.search(SearchQuery::new(word)).await.expect("an answer").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_is_found_soon_however_the_editor_saves() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, true).await;
    workspace.create("anna", titled("one")).await.expect("good");
    until("the file is written", async || files(root).len() == 1).await;
    let path = files(root).remove(0);
    let mut times = Vec::new();
    for round in 0..24 {
        let word = format!("word{round}");
        let text = format!("{}\n{word}\n", read(&path));
        let begun = now();
        if round % 2 == 0 {
            let draft = root.join("tasks/.draft.swp");
            fs::write(&draft, text).expect("written");
            fs::rename(&draft, &path).expect("renamed");
        } else {
            fs::write(&path, text).expect("written");
        }
        until("the word is found", async || hits(&workspace, &word).await == 1).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    println!("save -> search: p50 {:?}, max {:?}", times[times.len() / 2], times[times.len() - 1]);
    let task = tasks(&workspace).await.remove("one").expect("there");
    assert_eq!((task.version, task.conflicts), (25, 0), "one change for each save, no echo");
    workspace.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_deleted_and_made_again_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, true).await;
    let task = workspace.create("anna", titled("one")).await.expect("good");
    until("the file is written", async || files(root).len() == 1).await;
    let path = files(root).remove(0);
    let text = read(&path);
    fs::remove_file(&path).expect("removed");
    tokio::time::sleep(Duration::from_millis(300)).await;
    fs::write(root.join("tasks/again.md"), text.replace("todo", "doing")).expect("written");
    let is_doing =
        async || workspace.get(task.id).await.is_ok_and(|task| task.status == Status::Doing);
    until("the change is there", is_doing).await;
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert_eq!(workspace.get(task.id).await.expect("not deleted").version, 2);

    let patch = TaskPatch { title: Some("two".to_owned()), ..TaskPatch::default() };
    workspace.patch("anna", task.id, patch, None).await.expect("good");
    let path = root.join("tasks/again.md");
    until("the change is written", async || read(&path).contains("two")).await;
    fs::remove_file(&path).expect("removed");
    until("it is deleted", async || workspace.get(task.id).await.is_err()).await;
    workspace.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_switch_is_a_bulk_change_and_folders_may_come_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, true).await;
    for number in 0..30 {
        workspace.create("anna", titled(&format!("task {number}"))).await.expect("good");
    }
    until("the files are written", async || files(root).len() == 30).await;
    let other = root.join("other");
    fs::create_dir(&other).expect("made");
    for path in files(root) {
        let text = read(&path).replace("todo", "doing");
        fs::write(other.join(path.file_name().expect("a name")), text).expect("written");
    }
    let away = folder.path().join("away");
    fs::rename(root.join("tasks"), &away).expect("moved away");
    until("the brake holds", async || workspace.files().expect("kept").held == 30).await;
    assert_eq!(tasks(&workspace).await.len(), 30);
    fs::rename(&other, root.join("tasks")).expect("another branch");
    let all_doing = async || {
        tasks(&workspace).await.values().filter(|task| task.status == Status::Doing).count() == 30
    };
    until("all are taken in", all_doing).await;
    let path = files(root).remove(0);
    replace(&path, "doing", "done");
    let is_done = async || {
        tasks(&workspace).await.values().filter(|task| task.status == Status::Done).count() == 1
    };
    until("the new folder is watched", is_done).await;
    assert_eq!(workspace.files().expect("kept").held, 0);
    workspace.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_events_than_fit_lead_to_a_look_at_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, true).await;
    for number in 0..3_000 {
        let path = root.join(format!("tasks/{number}.md"));
        fs::write(&path, format!("# Task {number}\n")).expect("written");
        fs::write(&path, format!("# Task {number}\n\nand more\n")).expect("written");
    }
    let count = async || workspace.stats().await.expect("counts").tasks.iter().sum::<u64>();
    until("all are there", async || count().await == 3_000).await;
    workspace.sync_files().await.expect("scans");
    assert_eq!(count().await, 3_000);
    assert!(workspace.files().expect("kept").problems.is_empty());
    workspace.close().await.expect("closes");
}

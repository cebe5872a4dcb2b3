//! Files that vanish: one is a deletion, many at once are held, and a full disk loses nothing.

use std::fs;

use tidemill_workstream::model::{Status, TaskPatch};

use super::{files, open, read, tasks, titled};

#[tokio::test]
async fn a_deleted_file_deletes_its_task_and_a_deleted_task_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    let one = workspace.create("anna", titled("one")).await.expect("good");
    let two = workspace.create("anna", titled("two")).await.expect("good");
    workspace.sync_files().await.expect("writes");
    let [first, second] = files(root).try_into().expect("two files");
    let text = read(&first);
    fs::remove_file(&first).expect("removed");
    workspace.delete("anna", two.id, None).await.expect("deleted");
    workspace.sync_files().await.expect("scans");
    assert!(workspace.get(one.id).await.expect_err("gone").is_not_found());
    assert!(!second.exists() && tasks(&workspace).await.is_empty());

    fs::write(&first, text).expect("written");
    workspace.sync_files().await.expect("scans");
    assert_eq!(workspace.get(one.id).await.expect("back").title, "one");

    let patch = TaskPatch { status: Some(Status::Done), ..TaskPatch::default() };
    workspace.patch("anna", one.id, patch, None).await.expect("good");
    fs::remove_file(&first).expect("removed");
    workspace.sync_files().await.expect("scans");
    assert_eq!(workspace.get(one.id).await.expect("kept").status, Status::Done);
    assert!(read(&files(root)[0]).contains("done"), "what was changed meanwhile is written again");
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn many_files_that_vanish_at_once_are_held_until_somebody_decides() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    for number in 0..20 {
        workspace.create("anna", titled(&format!("task {number}"))).await.expect("good");
    }
    workspace.close().await.expect("closes");
    let before: Vec<_> = files(root).iter().map(|path| read(path)).collect();
    let away = folder.path().join("away");

    fs::rename(root.join("tasks"), &away).expect("another branch");
    let workspace = open(root, false).await;
    assert_eq!(tasks(&workspace).await.len(), 20);
    assert_eq!(workspace.files().expect("kept").held, 20);
    fs::remove_dir(root.join("tasks")).expect("empty");
    fs::rename(&away, root.join("tasks")).expect("the branch is back");
    workspace.sync_files().await.expect("scans");
    assert_eq!(workspace.files().expect("kept").held, 0);

    fs::remove_dir_all(root.join("tasks")).expect("removed");
    workspace.sync_files().await.expect("scans");
    assert_eq!(workspace.restore_files().await.expect("written"), 20);
    let after: Vec<_> = files(root).iter().map(|path| read(path)).collect();
    assert_eq!(after, before);

    fs::remove_dir_all(root.join("tasks")).expect("removed");
    workspace.sync_files().await.expect("scans");
    assert_eq!(workspace.confirm_deletions().await.expect("deleted"), 20);
    assert!(tasks(&workspace).await.is_empty());
    assert_eq!(workspace.files().expect("kept").held, 0);
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn what_cannot_be_written_is_shown_and_written_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    // A folder where drafts go keeps root from writing too, which a mode would not.
    let draft = root.join(".tidemill/drafts/0.draft");
    fs::create_dir_all(draft.join("x")).expect("made");
    let task = workspace.create("anna", titled("one")).await.expect("acknowledged");
    workspace.sync_files().await.expect("goes on");
    assert!(files(root).is_empty());
    assert_eq!(workspace.files().expect("kept").problems.len(), 1);
    assert_eq!(workspace.get(task.id).await.expect("there").title, "one");
    fs::remove_dir_all(&draft).expect("room again");
    workspace.sync_files().await.expect("writes");
    assert_eq!(files(root).len(), 1);
    workspace.close().await.expect("closes");
}

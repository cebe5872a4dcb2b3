//! Locks, damage, copies, restarts.

use std::fs;

use tidemill_workstream::{Options, Workstream};

use super::{Hands, add, open, open_at};

#[tokio::test]
async fn a_second_process_is_told_who_has_the_workspace() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let error = Workstream::open(folder.path(), Options::default()).await.expect_err("locked");
    assert!(error.is_locked(), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    workspace.close().await.expect("closes");
    open(folder.path()).await.close().await.expect("closes");
}

#[tokio::test]
async fn a_damaged_database_is_not_opened_and_the_backup_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let hands = Hands::new();
    let workspace = open_at(folder.path(), &hands).await;
    let id = add(&workspace, "kept").await.id;
    workspace.close().await.expect("closes");
    hands.forward(2 * 24 * 3_600_000);
    let state = folder.path().join(".tidemill");
    // The copy is made after the start, beside everything else.
    let workspace = open_at(folder.path(), &hands).await;
    for _ in 0..200 {
        let is_made = fs::read_dir(state.join("backup")).is_ok_and(|files| {
            files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("tidemill-"))
        });
        if is_made {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    workspace.close().await.expect("closes");

    let database = state.join("tidemill.db");
    let mut bytes = fs::read(&database).expect("there");
    let from = bytes.len() / 3;
    bytes[from..].fill(0x5a);
    fs::write(&database, bytes).expect("written");
    // As a process leaves it that was killed.
    fs::write(state.join("lock"), "4711\n").expect("written");
    let error = Workstream::open(folder.path(), Options::default()).await.expect_err("damaged");
    assert!(error.is_damaged(), "{error}");
    let backup = fs::read_dir(state.join("backup")).expect("made").flatten().max_by_key(|entry| entry.path());
    let backup = backup.expect("one copy").path();
    assert!(error.to_string().contains(&backup.display().to_string()), "{error}");

    fs::copy(&backup, &database).expect("copied");
    let workspace = open(folder.path()).await;
    assert_eq!(workspace.get(id).await.expect("restored").title, "kept");
    let after = add(&workspace, "after").await;
    assert_eq!(workspace.clock().await.expect("a clock").iter().count(), 2, "a new actor");
    workspace.indexed().await.expect("the index is of another actor and built anew");
    assert_eq!(workspace.get(after.id).await.expect("there"), after);
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join(".tidemill")).expect("made");
    fs::write(folder.path().join(".tidemill/tidemill.db"), "x".repeat(5_000)).expect("written");
    let error = Workstream::open(folder.path(), Options::default()).await.expect_err("no database");
    assert!(error.is_damaged(), "{error}");
}

#[tokio::test]
async fn a_copied_workspace_writes_under_an_identity_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let left = folder.path().join("left");
    let workspace = open(&left).await;
    add(&workspace, "one").await;
    let actor = workspace.stats().await.expect("stats").actor;
    workspace.close().await.expect("closes");
    let right = folder.path().join("right/.tidemill");
    fs::create_dir_all(&right).expect("made");
    fs::copy(left.join(".tidemill/tidemill.db"), right.join("tidemill.db")).expect("copied");
    let copy = open(&folder.path().join("right")).await;
    assert_ne!(copy.stats().await.expect("stats").actor, actor);
    copy.close().await.expect("closes");
    let workspace = open(&left).await;
    assert_eq!(workspace.stats().await.expect("stats").actor, actor);
    workspace.close().await.expect("closes");
}

//! Locks, damage, copies, restarts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidemill_workstream::{Options, Workstream};

use tidemill_workstream::model::NewTask;

use super::{Hands, add, open, open_at, titled};

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
    let backup = fs::read_dir(state.join("backup"))
        .expect("made")
        .flatten()
        .max_by_key(|entry| entry.path());
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
    let refused = || async {
        let opened = Workstream::open(folder.path(), Options::default()).await;
        opened.expect_err("no database").is_damaged()
    };
    assert!(refused().await, "it is something else");
    // Empty it may be a start that was cut short, but not where there was a copy to be made.
    fs::write(folder.path().join(".tidemill/tidemill.db"), "").expect("written");
    fs::create_dir(folder.path().join(".tidemill/backup")).expect("made");
    fs::write(folder.path().join(".tidemill/backup/tidemill-1.db"), "").expect("written");
    assert!(refused().await, "there was more once");
    fs::remove_dir_all(folder.path().join(".tidemill/backup")).expect("removed");
    open(folder.path()).await.close().await.expect("closes");
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

#[tokio::test]
async fn an_older_database_is_copied_and_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let task = add(&workspace, "old").await;
    workspace.close().await.expect("closes");
    let state = folder.path().join(".tidemill");
    let old = rusqlite::Connection::open(state.join("tidemill.db")).expect("opens");
    old.execute_batch("DROP TABLE members; DROP TABLE files; PRAGMA user_version = 1")
        .expect("as it was once");
    old.close().expect("closes");
    fs::remove_dir_all(state.join("backup")).ok();

    let workspace = open(folder.path()).await;
    assert_eq!(workspace.get(task.id).await.expect("there"), task);
    assert_eq!(workspace.compact(std::time::Duration::ZERO).await.expect("has the table"), 0);
    assert_eq!(fs::read_dir(state.join("backup")).expect("made").count(), 1);
    workspace.close().await.expect("closes");

    let newer = rusqlite::Connection::open(state.join("tidemill.db")).expect("opens");
    newer.execute_batch("PRAGMA user_version = 99").expect("as it may be once");
    newer.close().expect("closes");
    let error = Workstream::open(folder.path(), Options::default()).await.expect_err("too new");
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test]
async fn a_full_disk_refuses_a_write_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mounted) = SmallDisk::mount(folder.path()) else {
        println!("skipped: mounting a small file system needs to be root");
        return;
    };
    let options = Options { is_index_idle: true, ..Options::default() };
    let workspace = Workstream::open(folder.path(), options.clone()).await.expect("opens");
    let mut stored = Vec::new();
    let refused = loop {
        let body = format!("{} {}", stored.len(), "x".repeat(40_000));
        let new = NewTask { body, ..titled("fills") };
        match workspace.create("anna", new).await {
            Ok(task) => stored.push(task),
            Err(error) => break error,
        }
        assert!(stored.len() < 1_000, "3 MiB hold no 40 MB");
    };
    assert!(refused.is_full(), "{refused}");
    for task in &stored {
        assert_eq!(workspace.get(task.id).await.as_ref().expect("stored"), task);
    }
    workspace.close().await.expect("closes");
    let workspace = Workstream::open(folder.path(), options).await.expect("opens again");
    assert_eq!(workspace.stats().await.expect("stats").tasks[0], stored.len() as u64);
    workspace.close().await.expect("closes");
    drop(mounted);
}

/// A file system of 3 MiB, mounted until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=3m", "none"]).arg(folder);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "what was mounted can be unmounted"
        );
    }
}

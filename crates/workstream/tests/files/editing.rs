//! Changes in both directions, without a watcher: taken in at the start, written at the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tidemill_workstream::model::{
    Field, MemoryKey, MemoryPut, NewTask, Status, Subject, TaskPatch,
};

use super::{files, open, read, replace, tasks, titled};

#[tokio::test]
async fn a_task_becomes_a_file_and_its_edit_a_change_of_fields() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    let new = NewTask { body: "By hand.".to_owned(), ..titled("Turn the mill!") };
    let task = workspace.create("anna", new).await.expect("good");
    workspace.close().await.expect("closes");
    let path = root.join(format!("tasks/turn-the-mill--{}.md", task.id));
    let text = format!(
        "+++\nid = \"{}\"\ntitle = \"Turn the mill!\"\nstatus = \"todo\"\n+++\n\nBy hand.\n",
        task.id
    );
    assert_eq!(read(&path), text);

    replace(&path, "todo", "doing");
    let workspace = open(root, false).await;
    let changed = workspace.get(task.id).await.expect("there");
    assert_eq!((changed.status, changed.version), (Status::Doing, 2));
    assert_eq!(changed.body, "By hand.", "the last line's end is the file's own");
    let history = workspace.history(&Subject::Task(task.id), Default::default()).await;
    assert_eq!(history.expect("a history").items[0].author, "editor");
    let again = workspace.sync_files().await.expect("scans");
    assert_eq!(again, 1);
    assert_eq!(workspace.get(task.id).await.expect("there").version, 2, "no echo");
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn what_file_and_store_change_at_once_is_merged_by_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    let new = NewTask { body: "a\nb\nc\n".to_owned(), ..titled("one") };
    let task = workspace.create("anna", new).await.expect("good");
    workspace.sync_files().await.expect("writes");
    let path = files(root).remove(0);
    replace(&path, "title = \"one\"", "title = \"file\" # mine");
    replace(&path, "a\nb", "A\nb");
    let patch = TaskPatch {
        title: Some("store".to_owned()),
        status: Some(Status::Done),
        body: Some("a\nb\nC\n".to_owned()),
        ..TaskPatch::default()
    };
    workspace.patch("ben", task.id, patch, None).await.expect("good");
    workspace.sync_files().await.expect("merges");
    let merged = workspace.get(task.id).await.expect("there");
    assert_eq!((merged.status, merged.body.as_str()), (Status::Done, "A\nb\nC\n"));
    assert_eq!(merged.title, "file");
    let conflicts = workspace.conflicts(&Subject::Task(task.id)).await.expect("conflicts");
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].field, Field::Title);
    assert!(conflicts[0].values.iter().any(|value| value.value == "store"));
    let text = read(&path);
    assert!(text.contains("title = \"file\" # mine\n") && text.contains("status = \"done\""));
    assert!(text.ends_with("\nA\nb\nC\n"), "{text}");
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn files_of_people_become_tasks_and_copies_new_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    fs::create_dir_all(root.join("tasks/later")).expect("made");
    fs::write(root.join("tasks/flour.md"), "# Buy flour\r\n\r\nTwo bags.\r\n").expect("written");
    fs::write(root.join("tasks/later/x.md"), "---\ntitle: Sleep\nlabels: [a]\n---\n")
        .expect("written");
    let workspace = open(root, false).await;
    let found = tasks(&workspace).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), ["Buy flour", "Sleep"]);
    let text = read(&root.join("tasks/flour.md"));
    assert!(text.starts_with("+++\r\nid = ") && text.ends_with("Two bags.\r\n"), "{text:?}");

    fs::copy(root.join("tasks/flour.md"), root.join("tasks/copy.md")).expect("copied");
    fs::rename(root.join("tasks/later/x.md"), root.join("tasks/moved.md")).expect("moved");
    replace(&root.join("tasks/moved.md"), "Sleep", "Sleep well");
    workspace.sync_files().await.expect("scans");
    let after = workspace.list(Default::default(), Default::default(), Default::default()).await;
    let after = after.expect("a list").items;
    assert_eq!(after.len(), 3);
    let sleep = after.iter().find(|task| task.title == "Sleep well").expect("renamed");
    assert_eq!(sleep.id, found["Sleep"].id, "a moved file is the same task");
    let flour: Vec<_> = after.iter().filter(|task| task.title == "Buy flour").collect();
    assert!(read(&root.join("tasks/flour.md")).contains(&found["Buy flour"].id.to_string()));
    let copy = flour.iter().find(|task| task.id != found["Buy flour"].id).expect("a copy");
    assert!(read(&root.join("tasks/copy.md")).contains(&copy.id.to_string()));
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn memory_goes_both_ways_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    let key = MemoryKey::new("project", "build");
    let put = MemoryPut { value: "20 minutes".to_owned(), format: None, base: None };
    workspace.memory_put("anna", &key, put, None).await.expect("stored");
    workspace.sync_files().await.expect("writes");
    let path = root.join("memory/project/build.md");
    assert_eq!(read(&path), "20 minutes\n");
    fs::write(&path, "\u{feff}10 minutes\r\n").expect("written");
    fs::write(root.join("memory/project/limits.json"), "{}").expect("written");
    workspace.sync_files().await.expect("reads");
    assert_eq!(workspace.memory_get(&key).await.expect("there").value, "10 minutes");
    let limits = workspace.memory_get(&MemoryKey::new("project", "limits")).await.expect("there");
    assert_eq!((limits.value.as_str(), limits.format.as_str()), ("{}", "json"));
    let put = MemoryPut { value: "5 minutes".to_owned(), format: None, base: None };
    workspace.memory_put("anna", &key, put, None).await.expect("stored");
    fs::remove_file(root.join("memory/project/limits.json")).expect("removed");
    workspace.sync_files().await.expect("both");
    assert_eq!(read(&path), "\u{feff}5 minutes\r\n");
    let gone = workspace.memory_get(&MemoryKey::new("project", "limits")).await;
    assert!(gone.expect_err("gone").is_not_found());
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_torn_file_changes_nothing_and_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    let task = workspace.create("anna", titled("one")).await.expect("good");
    workspace.sync_files().await.expect("writes");
    let path = files(root).remove(0);
    let whole = read(&path);
    for torn in ["", "+++\nid = \"", "+++\nid = \"x\"\n+++\n"] {
        fs::write(&path, torn).expect("written");
        workspace.sync_files().await.expect("scans");
        assert_eq!(workspace.get(task.id).await.expect("there").version, 1);
        assert_eq!(workspace.files().expect("kept").problems.len(), 1, "{torn}");
        assert_eq!(read(&path), torn, "a problem is nobody's to overwrite");
    }
    fs::write(&path, whole.replace("one", "two")).expect("written");
    workspace.sync_files().await.expect("scans");
    assert_eq!(workspace.get(task.id).await.expect("there").title, "two");
    assert!(workspace.files().expect("kept").problems.is_empty());
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_read_only_file_waits_and_a_link_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let workspace = open(root, false).await;
    let task = workspace.create("anna", titled("one")).await.expect("good");
    workspace.sync_files().await.expect("writes");
    let path = files(root).remove(0);
    let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
    mode(0o444);
    let patch = TaskPatch { status: Some(Status::Done), ..TaskPatch::default() };
    workspace.patch("anna", task.id, patch, None).await.expect("good");
    workspace.sync_files().await.expect("scans");
    assert!(read(&path).contains("todo"));
    assert_eq!(workspace.files().expect("kept").problems.len(), 1);
    mode(0o640);
    workspace.sync_files().await.expect("scans");
    assert!(read(&path).contains("done"));
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);

    let secret = folder.path().join("secret");
    fs::write(&secret, "# Secret").expect("written");
    std::os::unix::fs::symlink(&secret, root.join("tasks/link.md")).expect("linked");
    workspace.sync_files().await.expect("scans");
    assert_eq!(tasks(&workspace).await.len(), 1);
    assert_eq!(workspace.files().expect("kept").problems.len(), 1);
    workspace.close().await.expect("closes");
}

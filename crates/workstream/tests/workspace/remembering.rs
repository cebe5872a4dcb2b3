//! Shared memory.

use tidemill_workstream::model::{MemoryKey, MemoryPut, PageRequest, Subject};

use super::open;

fn put(value: &str) -> MemoryPut {
    MemoryPut { value: value.to_owned(), format: None, base: None }
}

#[tokio::test]
async fn values_are_kept_by_scope_and_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let key = MemoryKey::new("mill", "wheel.size");
    let made = workspace.memory_put("anna", &key, put("3 m"), Some(0)).await.expect("good");
    assert_eq!((made.version, made.format.as_str(), made.author.as_str()), (1, "md", "anna"));
    let error = workspace.memory_put("ben", &key, put("4 m"), Some(0)).await.expect_err("there");
    assert!(error.is_stale(), "{error}");
    let json = MemoryPut { format: Some("json".to_owned()), ..put("4") };
    let changed = workspace.memory_put("ben", &key, json, Some(1)).await.expect("good");
    assert_eq!((changed.value.as_str(), changed.format.as_str()), ("4", "json"));
    assert_eq!(workspace.memory_get(&key).await.expect("there"), changed);

    for (scope, name) in [("mill", "a"), ("tide", "b"), ("alpha", "c")] {
        let key = MemoryKey::new(scope, name);
        workspace.memory_put("anna", &key, put("x"), None).await.expect("good");
    }
    let page = PageRequest { limit: 3, after: None };
    let first = workspace.memory_list(None, page).await.expect("a page");
    let names: Vec<_> = first.items.iter().map(|entry| entry.name().to_string()).collect();
    assert_eq!(names, ["alpha/c", "mill/a", "mill/wheel.size"]);
    let page = PageRequest { limit: 3, after: first.next };
    assert_eq!(workspace.memory_list(None, page).await.expect("a page").items[0].scope, "tide");
    let of_mill = workspace.memory_list(Some("mill"), PageRequest::default()).await;
    assert_eq!(of_mill.expect("a page").items.len(), 2);

    workspace.memory_delete("anna", &key, Some(2)).await.expect("there");
    assert!(workspace.memory_get(&key).await.expect_err("gone").is_not_found());
    let history = workspace.history(&Subject::Memory(key), PageRequest::default()).await;
    assert_eq!(history.expect("known").items.len(), 3);
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn values_made_from_an_older_one_are_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let key = MemoryKey::new("mill", "notes");
    workspace.memory_put("anna", &key, put("a\nb\nc\n"), None).await.expect("good");
    workspace.memory_put("ben", &key, put("a\nb\nC\n"), None).await.expect("good");
    let from_first = |value: &str| MemoryPut { base: Some("a\nb\nc\n".to_owned()), ..put(value) };
    let merged = workspace.memory_put("zoe", &key, from_first("A\nb\nc\n"), None).await;
    let merged = merged.expect("good");
    assert_eq!((merged.value.as_str(), merged.conflicts), ("A\nb\nC\n", 0));
    let lossy = workspace.memory_put("zoe", &key, from_first("a\nb\n!\n"), None).await;
    let lossy = lossy.expect("good");
    assert_eq!((lossy.value.as_str(), lossy.conflicts), ("A\nb\n!\n", 1));
    let conflicts = workspace.conflicts(&Subject::Memory(key)).await.expect("there");
    assert_eq!(conflicts[0].values.len(), 2);
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_name_is_a_file_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    for (scope, name, field) in
        [("..", "a", "scope"), ("a/b", "c", "scope"), ("a", "", "key"), ("a", "é", "key")]
    {
        let key = MemoryKey::new(scope, name);
        let error = workspace.memory_put("anna", &key, put("x"), None).await.expect_err(name);
        assert_eq!(error.field(), Some(field));
    }
    workspace.close().await.expect("closes");
}

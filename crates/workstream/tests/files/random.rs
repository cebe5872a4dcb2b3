//! Random sequences of what people, tools and the store do to files come to the right state.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;
use tidemill_workstream::model::{Status, TaskId, TaskPatch};

use super::{open, tasks};

#[derive(Debug, Clone)]
enum Step {
    /// A new file, or a new text in place of the file's title.
    Write(usize, u8),
    Rename(usize, usize),
    Delete(usize),
    Copy(usize, usize),
    /// Half of the file, which is whole again later.
    Tear(usize),
    /// The task of the file gets a status in the store.
    Store(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let file = 0..5_usize;
    let step = prop_oneof![
        4 => (file.clone(), any::<u8>()).prop_map(|(file, text)| Step::Write(file, text)),
        2 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => file.clone().prop_map(Step::Delete),
        2 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Copy(from, to)),
        1 => file.clone().prop_map(Step::Tear),
        2 => file.prop_map(Step::Store),
    ];
    proptest::collection::vec(step, 1..25)
}

/// What a file has to stand for: its title and whether its task is done.
type Model = BTreeMap<usize, (String, bool)>;

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let path = |file: usize| root.join(format!("tasks/{file}.md"));
    let id_of = |file: usize| -> TaskId {
        let text = fs::read_to_string(path(file)).expect("there");
        let id = text.split("id = \"").nth(1).expect("an identity");
        id[..26].parse().expect("an identity")
    };
    let workspace = open(root, false).await;
    let mut model = Model::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Write(file, text) => {
                let title = format!("title {text}");
                let entry = model.entry(file).or_insert_with(|| (String::new(), false));
                if entry.0.is_empty() {
                    fs::write(path(file), format!("+++\ntitle = \"{title}\"\n+++\n")).expect("ok");
                } else {
                    let text = fs::read_to_string(path(file)).expect("there");
                    fs::write(path(file), text.replace(&entry.0, &title)).expect("written");
                }
                entry.0 = title;
            }
            // What a file is moved or copied onto is deleted by that; the model has no such steps.
            Step::Rename(from, to) | Step::Copy(from, to) if model.contains_key(&to) => {
                assert!(from < 5);
            }
            Step::Rename(from, to) => {
                if let Some(entry) = model.remove(&from) {
                    fs::rename(path(from), path(to)).expect("renamed");
                    model.insert(to, entry);
                }
            }
            Step::Copy(from, to) => {
                if let Some(entry) = model.get(&from).cloned() {
                    fs::copy(path(from), path(to)).expect("copied");
                    model.insert(to, entry);
                }
            }
            Step::Delete(file) => {
                if model.remove(&file).is_some() {
                    fs::remove_file(path(file)).expect("removed");
                }
            }
            Step::Tear(file) => {
                if model.contains_key(&file) {
                    let whole = fs::read(path(file)).expect("there");
                    fs::write(path(file), &whole[..whole.len() / 3]).expect("torn");
                    workspace.sync_files().await.expect("scans");
                    fs::write(path(file), &whole).expect("whole again");
                }
            }
            Step::Store(file) => {
                if let Some(entry) = model.get_mut(&file) {
                    let patch = TaskPatch { status: Some(Status::Done), ..TaskPatch::default() };
                    let done = workspace.patch("anna", id_of(file), patch, None).await;
                    done.unwrap_or_else(|error| panic!("step {number}: {error}"));
                    entry.1 = true;
                }
            }
        }
        workspace.sync_files().await.expect("scans");
        check(&model, &workspace, root).await;
    }
    workspace.close().await.expect("closes");
}

async fn check(model: &Model, workspace: &tidemill_workstream::Workstream, root: &std::path::Path) {
    let page = workspace.list(Default::default(), Default::default(), Default::default()).await;
    let stored = page.expect("a list").items;
    let mut stored: Vec<_> =
        stored.iter().map(|task| (task.title.clone(), task.status == Status::Done)).collect();
    let mut wanted: Vec<_> = model.values().cloned().collect();
    stored.sort();
    wanted.sort();
    assert_eq!(stored, wanted);
    for (file, (title, is_done)) in model {
        let text = fs::read_to_string(root.join(format!("tasks/{file}.md"))).expect("there");
        assert!(text.contains(title.as_str()) && text.contains("done") == *is_done, "{text}");
    }
    assert_eq!(fs::read_dir(root.join("tasks")).expect("a folder").count(), model.len());
    let by_title = tasks(workspace).await;
    assert!(by_title.values().all(|task| task.conflicts == 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn files_and_store_come_to_the_same(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(run(steps));
    }
}

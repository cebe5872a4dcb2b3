//! Tasks and memory as files, through the facade and a folder on the disk.

mod documents;
mod editing;
mod losing;
mod random;
mod watching;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tidemill_workstream::files::FileOptions;
use tidemill_workstream::model::{NewTask, PageRequest, Task, TaskFilter, TaskSort};
use tidemill_workstream::{Durability, Options, Workstream};

async fn open(root: &Path, is_watched: bool) -> Workstream {
    let options = Options {
        durability: Durability::Process,
        is_index_idle: !is_watched,
        files: Some(FileOptions { author: "editor".to_owned(), is_watched }),
        ..Options::default()
    };
    Workstream::open(root, options).await.expect("the workspace opens")
}

fn titled(title: &str) -> NewTask {
    NewTask { title: title.to_owned(), ..NewTask::default() }
}

/// Every task by title.
async fn tasks(workspace: &Workstream) -> BTreeMap<String, Task> {
    let page = PageRequest { limit: 500, after: None };
    let found = workspace.list(TaskFilter::default(), TaskSort::default(), page).await;
    let items = found.expect("a list").items;
    items.into_iter().map(|task| (task.title.clone(), task)).collect()
}

/// The files of tasks, in order.
fn files(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("tasks")).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is there")
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = read(path);
    assert!(text.contains(from), "no `{from}` in {text}");
    fs::write(path, text.replace(from, to)).expect("written");
}

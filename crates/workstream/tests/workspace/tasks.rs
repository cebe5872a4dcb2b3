//! Making, reading, listing, changing and deleting tasks.

use tidemill_workstream::Workstream;
use tidemill_workstream::model::{
    Field, HistoryAction, NewTask, PageRequest, Priority, SortKey, Status, Subject, Task,
    TaskFilter, TaskId, TaskPatch, TaskSort, What,
};

use super::{Hands, add, open, open_at, titled};

#[tokio::test]
async fn a_task_is_read_as_it_was_made_also_by_the_next_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let parent = add(&workspace, "parent").await;
    let new = NewTask {
        title: "Turn the mill".to_owned(),
        body: "By hand,\nif need be.\n".to_owned(),
        status: Status::Doing,
        priority: Priority::High,
        role: Some("miller".to_owned()),
        assignee: Some("ben".to_owned()),
        labels: vec!["tide".to_owned(), "mill".to_owned(), "tide".to_owned()],
        parent: Some(parent.id),
        depends_on: vec![parent.id],
        ..NewTask::default()
    };
    let made = workspace.create("anna", new).await.expect("good");
    assert_eq!((made.labels.join(" "), made.version), ("mill tide".to_owned(), 1));
    assert_eq!(workspace.get(made.id).await.expect("there"), made);
    workspace.close().await.expect("closes");
    assert!(workspace.get(made.id).await.expect_err("closed").is_closed());

    let workspace = open(folder.path()).await;
    assert_eq!(workspace.get(made.id).await.expect("there"), made);
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_needs_the_version_that_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let task = add(&workspace, "one").await;
    let mut changes = workspace.subscribe();
    let patch = TaskPatch {
        status: Some(Status::Done),
        labels_added: vec!["x".to_owned(), "y".to_owned()],
        ..TaskPatch::default()
    };
    let changed = workspace.patch("ben", task.id, patch, Some(1)).await.expect("good");
    assert_eq!((changed.status, changed.version, changed.title.as_str()), (Status::Done, 2, "one"));

    let change = changes.next().await.expect("not slow").expect("open");
    assert_eq!(change.subject, Subject::Task(task.id));
    assert_eq!((change.what, change.author.as_str()), (What::Changed, "ben"));
    assert_eq!(change.fields, [Field::Status, Field::Labels]);

    let again = TaskPatch { title: Some("two".to_owned()), ..TaskPatch::default() };
    let error = workspace.patch("ben", task.id, again, Some(1)).await.expect_err("lost");
    assert!(error.is_stale(), "{error}");
    let same = TaskPatch { status: Some(Status::Done), ..TaskPatch::default() };
    let same = workspace.patch("ben", task.id, same, None).await.expect("nothing to do");
    assert_eq!(same.version, 2, "what changes nothing is no operation");
    let fewer = TaskPatch { labels: Some(vec!["y".to_owned()]), ..TaskPatch::default() };
    let fewer = workspace.patch("ben", task.id, fewer, None).await.expect("good");
    assert_eq!(fewer.labels, ["y"]);
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_patch_against_a_base_merges_and_keeps_what_it_overwrites() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let new =
        NewTask { body: "a\nb\nc\n".to_owned(), labels: vec!["old".to_owned()], ..titled("base") };
    let base = workspace.create("anna", new).await.expect("good");
    let elsewhere = TaskPatch {
        title: Some("elsewhere".to_owned()),
        body: Some("a\nb\nC\n".to_owned()),
        labels_added: vec!["elsewhere".to_owned()],
        ..TaskPatch::default()
    };
    workspace.patch("ben", base.id, elsewhere, None).await.expect("good");
    let file = TaskPatch {
        title: Some("file".to_owned()),
        body: Some("A\nb\nc\n".to_owned()),
        labels: Some(vec!["file".to_owned()]),
        status: Some(base.status),
        base: Some(Box::new(base.clone())),
        ..TaskPatch::default()
    };
    let merged = workspace.patch("file", base.id, file, None).await.expect("good");
    assert_eq!(merged.body, "A\nb\nC\n");
    assert_eq!(merged.labels, ["elsewhere", "file"]);
    assert_eq!((merged.title.as_str(), merged.conflicts), ("file", 1));
    let conflicts = workspace.conflicts(&Subject::Task(base.id)).await.expect("there");
    let values: Vec<_> = conflicts[0].values.iter().map(|value| value.value.clone()).collect();
    assert_eq!(
        (conflicts[0].field, values),
        (Field::Title, vec!["file".into(), "elsewhere".into()])
    );
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn what_is_deleted_can_be_restored_and_its_history_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let task = add(&workspace, "gone").await;
    workspace.comment("ben", task.id, "why?").await.expect("good");
    workspace.delete("anna", task.id, Some(2)).await.expect("there");
    assert!(workspace.get(task.id).await.expect_err("deleted").is_not_found());
    assert!(workspace.find(&task.id.to_string()[..12]).await.expect_err("gone").is_not_found());
    let restored = workspace.restore("anna", task.id).await.expect("was there");
    assert_eq!((restored.title.as_str(), restored.comments), ("gone", 1));
    assert!(!restored.is_revived, "whoever restores has seen the deletion");
    let subject = Subject::Task(task.id);
    let history = workspace.history(&subject, PageRequest::default()).await.expect("known");
    let told: Vec<_> = history.items.iter().map(|entry| entry.action).collect();
    use HistoryAction::{Changed, Created, Deleted};
    assert_eq!(told, [Created, Deleted, Changed, Created]);
    let one = PageRequest { limit: 1, after: None };
    let comments = workspace.comments(task.id, one).await.expect("there");
    assert_eq!((comments.items[0].text.as_str(), comments.next), ("why?", None));
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn what_is_not_acceptable_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    for (new, field) in [
        (titled("  "), "title"),
        (titled("two\nlines"), "title"),
        (titled(&"x".repeat(513)), "title"),
        (NewTask { body: "\0".to_owned(), ..titled("x") }, "body"),
        (NewTask { labels: vec!["a b".to_owned()], ..titled("x") }, "labels"),
        (NewTask { role: Some(" ".to_owned()), ..titled("x") }, "role"),
    ] {
        let error = workspace.create("anna", new).await.expect_err(field);
        assert_eq!((error.is_invalid(), error.field()), (true, Some(field)));
    }
    let [a, b, c] =
        [add(&workspace, "a").await, add(&workspace, "b").await, add(&workspace, "c").await];
    let depend = |on: TaskId| TaskPatch { depends_on: Some(vec![on]), ..TaskPatch::default() };
    workspace.patch("anna", a.id, depend(b.id), None).await.expect("good");
    workspace.patch("anna", b.id, depend(c.id), None).await.expect("good");
    let error = workspace.patch("anna", c.id, depend(a.id), None).await.expect_err("a circle");
    assert_eq!(error.field(), Some("depends_on"));
    let part = TaskPatch { parent: Some(Some(a.id)), ..TaskPatch::default() };
    let error = workspace.patch("anna", a.id, part, None).await.expect_err("a circle");
    assert_eq!(error.field(), Some("parent"));
    let twice = NewTask { id: Some(a.id), ..titled("twice") };
    assert!(workspace.create("anna", twice).await.expect_err("there").is_existing());
    let mut many = vec![titled("good"); 3];
    many.push(titled(""));
    workspace.create_all("anna", many).await.expect_err("one is bad");
    assert_eq!(workspace.stats().await.expect("stats").tasks[0], 3, "all or none");
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn pages_of_every_order_hold_each_task_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let hands = Hands::new();
    let workspace = open_at(folder.path(), &hands).await;
    for number in 0..23_usize {
        let new = NewTask {
            status: Status::ALL[number % 5],
            priority: Priority::ALL[number % 3],
            labels: if number % 2 == 0 { vec!["even".to_owned()] } else { Vec::new() },
            ..titled(&format!("task {:02}", number * 7 % 23))
        };
        workspace.create("anna", new).await.expect("good");
        hands.forward(number as u64 % 2);
    }
    let all = walk(&workspace, TaskFilter::default(), TaskSort::default()).await;
    assert_eq!(all.len(), 23);
    for key in
        [SortKey::CreatedAt, SortKey::UpdatedAt, SortKey::Priority, SortKey::Status, SortKey::Title]
    {
        for is_descending in [false, true] {
            let sort = TaskSort { key, is_descending };
            let walked = walk(&workspace, TaskFilter::default(), sort).await;
            let mut want = all.clone();
            want.sort_by(|a, b| {
                let order = match key {
                    SortKey::UpdatedAt => a.updated_at.cmp(&b.updated_at),
                    SortKey::Priority => a.priority.cmp(&b.priority),
                    SortKey::Status => a.status.cmp(&b.status),
                    SortKey::Title => a.title.cmp(&b.title),
                    _ => a.id.cmp(&b.id),
                };
                let order = order.then(a.id.cmp(&b.id));
                if is_descending { order.reverse() } else { order }
            });
            assert_eq!(walked, want, "{sort:?}");
        }
    }
    let filter = TaskFilter {
        status: vec![Status::Todo, Status::Done],
        labels: vec!["even".to_owned()],
        ..TaskFilter::default()
    };
    let even = walk(&workspace, filter, TaskSort::default()).await;
    assert!(even.iter().all(|task| task.labels == ["even"]) && even.len() == 5, "{}", even.len());
    let page = PageRequest { limit: 5, after: Some("nonsense".to_owned()) };
    let error = workspace.list(TaskFilter::default(), TaskSort::default(), page).await;
    assert_eq!(error.expect_err("no cursor").field(), Some("after"));
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_shortened_id_has_to_be_unique() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let [a, b] = [add(&workspace, "a").await, add(&workspace, "b").await];
    assert!(workspace.find("0").await.expect_err("both").is_ambiguous());
    assert_eq!(workspace.find(&a.id.to_string().to_lowercase()).await.expect("whole"), a.id);
    let differs = (1..=26).find(|n| a.id.to_string()[..*n] != b.id.to_string()[..*n]);
    let prefix = &b.id.to_string()[..differs.expect("two ids differ")];
    assert_eq!(workspace.find(prefix).await.expect("unique"), b.id);
    assert!(workspace.find("not an id").await.expect_err("no id").is_not_found());
    workspace.close().await.expect("closes");
}

async fn walk(workspace: &Workstream, filter: TaskFilter, sort: TaskSort) -> Vec<Task> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest { limit: 4, after };
        let page = workspace.list(filter.clone(), sort, page).await.expect("a page");
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

//! Two stores that exchange operations: what arrives in any order makes the same tasks.

use tidemill_workstream::Workstream;
use tidemill_workstream::core::VectorClock;
use tidemill_workstream::model::{
    Field, NewTask, Resolution, Status, Subject, Task, TaskId, TaskPatch,
};

use super::{Hands, add, open_at, titled};

async fn send(from: &Workstream, to: &Workstream) -> usize {
    let known = to.clock().await.expect("a clock");
    let operations = from.operations_after(&known, usize::MAX).await.expect("operations");
    to.apply(operations).await.expect("good operations")
}

async fn pair(hands: &Hands) -> (tempfile::TempDir, Workstream, Workstream) {
    let folder = tempfile::tempdir().expect("a folder");
    let left = open_at(&folder.path().join("left"), hands).await;
    let right = open_at(&folder.path().join("right"), hands).await;
    (folder, left, right)
}

async fn exchange(left: &Workstream, right: &Workstream, id: TaskId) -> Task {
    send(left, right).await;
    send(right, left).await;
    let [on_left, on_right] =
        [left.get(id).await.expect("there"), right.get(id).await.expect("there")];
    assert_eq!(on_left, on_right);
    on_left
}

#[tokio::test]
async fn concurrent_values_become_a_conflict_that_somebody_ends() {
    let hands = Hands::new();
    let (_folder, left, right) = pair(&hands).await;
    let new = NewTask { body: "a\nb\nc\n".to_owned(), ..titled("base") };
    let id = left.create("anna", new).await.expect("good").id;
    send(&left, &right).await;
    let patch = |title: &str, body: &str, label: &str| TaskPatch {
        title: Some(title.to_owned()),
        body: Some(body.to_owned()),
        labels_added: vec![label.to_owned()],
        ..TaskPatch::default()
    };
    left.patch("anna", id, patch("left", "A\nb\nc\n", "l"), None).await.expect("good");
    hands.forward(1);
    right.patch("ben", id, patch("right", "a\nb\nC\n", "r"), None).await.expect("good");
    let task = exchange(&left, &right, id).await;
    assert_eq!((task.title.as_str(), task.body.as_str()), ("right", "A\nb\nC\n"));
    assert_eq!((task.labels.join(" "), task.conflicts), ("l r".to_owned(), 1));
    let subject = Subject::Task(id);
    let conflicts = left.conflicts(&subject).await.expect("there");
    assert_eq!(conflicts, right.conflicts(&subject).await.expect("there"));
    let loser = &conflicts[0].values[1];
    assert_eq!((loser.author.as_str(), &loser.value), ("anna", &"left".into()));
    let take = Resolution::Take(loser.id);
    left.resolve("zoe", &subject, Field::Title, take).await.expect("a conflict");
    let task = exchange(&left, &right, id).await;
    assert_eq!((task.title.as_str(), task.conflicts), ("left", 0));
    let none = left.resolve("zoe", &subject, Field::Title, Resolution::KeepCurrent).await;
    assert!(none.expect_err("ended").is_not_found());
}

#[tokio::test]
async fn a_deletion_against_a_change_brings_the_task_back_and_flags_it() {
    let hands = Hands::new();
    let (_folder, left, right) = pair(&hands).await;
    let id = add(&left, "wanted").await.id;
    send(&left, &right).await;
    left.delete("anna", id, None).await.expect("there");
    right.comment("ben", id, "still needed").await.expect("there");
    let task = exchange(&left, &right, id).await;
    assert!(task.is_revived);
    let subject = Subject::Task(id);
    let conflict = right.conflicts(&subject).await.expect("there").remove(0);
    assert_eq!((conflict.field, conflict.values[0].author.as_str()), (Field::Deleted, "anna"));
    right.resolve("ben", &subject, Field::Deleted, Resolution::KeepCurrent).await.expect("one");
    assert!(!exchange(&left, &right, id).await.is_revived);
}

#[tokio::test]
async fn two_claims_in_a_partition_are_found_when_it_heals() {
    let hands = Hands::new();
    let (_folder, left, right) = pair(&hands).await;
    let id = add(&left, "one").await.id;
    send(&left, &right).await;
    let request = |holder: &str| tidemill_workstream::ClaimRequest {
        holder: holder.to_owned(),
        role: None,
        lease: std::time::Duration::from_secs(60),
    };
    left.claim(request("a")).await.expect("good").expect("ready");
    hands.forward(5);
    right.claim(request("b")).await.expect("good").expect("ready");
    let task = exchange(&left, &right, id).await;
    assert_eq!(task.lease.as_ref().map(|lease| lease.holder.as_str()), Some("b"));
    assert_eq!((task.status, task.conflicts), (Status::Doing, 2), "assignee and lease");
    let lease = std::time::Duration::from_secs(60);
    assert!(left.renew(id, "a", lease).await.expect_err("lost").is_claim_refused());
}

#[tokio::test]
async fn order_and_repetition_of_arrival_do_not_matter() {
    let hands = Hands::new();
    let (_folder, left, right) = pair(&hands).await;
    let id = add(&left, "0").await.id;
    for number in 1..20 {
        let patch = TaskPatch { title: Some(number.to_string()), ..TaskPatch::default() };
        left.patch("anna", id, patch, None).await.expect("good");
    }
    let known = VectorClock::default();
    let mut operations = left.operations_after(&known, usize::MAX).await.expect("operations");
    operations.reverse();
    operations.extend_from_within(..5);
    let (late, early) = operations.split_at(12);
    assert_eq!(right.apply(late.to_vec()).await.expect("good"), 0, "all wait");
    assert_eq!(right.clock().await.expect("a clock"), known, "nothing is known before its turn");
    assert_eq!(right.apply(early.to_vec()).await.expect("good"), 20);
    assert_eq!(right.get(id).await.expect("there"), left.get(id).await.expect("there"));
    let stats = right.stats().await.expect("stats");
    assert_eq!((stats.operations_local, stats.operations_remote), (0, 20));
    let few = left.operations_after(&known, 1).await.expect("operations");
    assert_eq!(few.len(), 1, "at least one, however small the room");
    assert!(right.apply(vec![vec![1, 2, 3]]).await.is_err(), "no operation");
}

#[tokio::test]
async fn what_everybody_has_can_be_forgotten_and_merges_go_on() {
    let hands = Hands::new();
    let (folder, left, right) = pair(&hands).await;
    let new = NewTask { body: "a\nb\nc\n".to_owned(), ..titled("0") };
    let id = left.create("anna", new).await.expect("good").id;
    for number in 1..10 {
        let patch = TaskPatch { title: Some(number.to_string()), ..TaskPatch::default() };
        left.patch("anna", id, patch, None).await.expect("good");
    }
    send(&left, &right).await;
    right.comment("ben", id, "mine").await.expect("good");
    let before = exchange(&left, &right, id).await;
    hands.forward(1_000);
    left.indexed().await.expect("indexed");
    let keep = std::time::Duration::ZERO;
    assert_eq!(left.compact(keep).await.expect("works"), 0, "ben's store acknowledged nothing");

    let actor = right.stats().await.expect("stats").actor;
    left.acknowledge(actor, right.clock().await.expect("a clock")).await.expect("good");
    let long = std::time::Duration::from_secs(60);
    assert_eq!(left.compact(long).await.expect("works"), 0, "not old enough");
    assert_eq!(left.compact(keep).await.expect("works"), 10);
    assert_eq!(left.get(id).await.expect("there"), before);
    let subject = Subject::Task(id);
    let page = tidemill_workstream::model::PageRequest::default();
    assert_eq!(left.history(&subject, page).await.expect("known").items.len(), 1);

    let body = |body: &str| TaskPatch { body: Some(body.to_owned()), ..TaskPatch::default() };
    left.patch("anna", id, body("A\nb\nc\n"), None).await.expect("good");
    right.patch("ben", id, body("a\nb\nC\n"), None).await.expect("good");
    let merged = exchange(&left, &right, id).await;
    assert_eq!((merged.body.as_str(), merged.conflicts), ("A\nb\nC\n", 0));

    let nothing = VectorClock::default();
    assert!(left.operations_after(&nothing, 1).await.expect_err("forgotten").is_behind());
    let third = folder.path().join("third");
    std::fs::create_dir_all(third.join(".tidemill")).expect("made");
    left.snapshot(&third.join(".tidemill/tidemill.db")).await.expect("copied");
    let third = open_at(&third, &hands).await;
    third.comment("zoe", id, "new here").await.expect("good");
    send(&third, &left).await;
    send(&left, &right).await;
    assert_eq!(right.get(id).await.expect("there"), third.get(id).await.expect("there"));
}

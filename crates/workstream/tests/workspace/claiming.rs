//! Claims: order, dependencies, leases.

use std::time::Duration;

use tidemill_workstream::model::{NewTask, Priority, Status, TaskPatch};
use tidemill_workstream::{ClaimRequest, Workstream};

use super::{Hands, add, open, open_at, titled};

fn request(holder: &str, role: Option<&str>) -> ClaimRequest {
    ClaimRequest {
        holder: holder.to_owned(),
        role: role.map(str::to_owned),
        lease: Duration::from_secs(60),
    }
}

async fn claimed(workspace: &Workstream, holder: &str, role: Option<&str>) -> Option<String> {
    let task = workspace.claim(request(holder, role)).await.expect("a good request");
    task.map(|task| task.title)
}

#[tokio::test]
async fn the_most_urgent_ready_task_of_the_role_comes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    let first = add(&workspace, "first").await;
    let of_role = |title: &str, role: &str, priority| NewTask {
        role: Some(role.to_owned()),
        priority,
        ..titled(title)
    };
    for new in [
        of_role("waits", "miller", Priority::Emergency),
        of_role("other", "baker", Priority::Emergency),
        of_role("high", "miller", Priority::High),
        NewTask {
            assignee: Some("zoe".to_owned()),
            ..of_role("hers", "miller", Priority::Critical)
        },
    ] {
        let depends_on = if new.title == "waits" { vec![first.id] } else { Vec::new() };
        workspace.create("anna", NewTask { depends_on, ..new }).await.expect("good");
    }
    assert_eq!(claimed(&workspace, "a", Some("miller")).await.as_deref(), Some("high"));
    assert_eq!(claimed(&workspace, "zoe", Some("miller")).await.as_deref(), Some("hers"));
    assert_eq!(claimed(&workspace, "a", Some("miller")).await.as_deref(), Some("first"));
    assert_eq!(claimed(&workspace, "a", Some("miller")).await, None);
    let done = TaskPatch { status: Some(Status::Done), ..TaskPatch::default() };
    workspace.patch("a", first.id, done, None).await.expect("good");
    assert_eq!(claimed(&workspace, "a", Some("miller")).await.as_deref(), Some("waits"));
    assert_eq!(claimed(&workspace, "b", None).await.as_deref(), Some("other"));
    workspace.close().await.expect("closes");
}

#[tokio::test]
async fn a_lease_ends_unless_it_is_renewed() {
    let folder = tempfile::tempdir().expect("a folder");
    let hands = Hands::new();
    let workspace = open_at(folder.path(), &hands).await;
    let task = add(&workspace, "one").await;
    let held = workspace.claim_task(task.id, request("a", None)).await.expect("free");
    assert_eq!((held.status, held.assignee.as_deref()), (Status::Doing, Some("a")));
    let error = workspace.claim_task(task.id, request("b", None)).await.expect_err("held");
    assert!(error.is_claim_refused() && error.to_string().contains("claimed by a"), "{error}");

    hands.forward(50_000);
    workspace.renew(task.id, "a", Duration::from_secs(60)).await.expect("its own");
    hands.forward(50_000);
    assert_eq!(claimed(&workspace, "b", None).await, None, "renewed");
    hands.forward(10_000);
    assert_eq!(claimed(&workspace, "b", None).await.as_deref(), Some("one"), "over");
    let error = workspace.renew(task.id, "a", Duration::from_secs(60)).await.expect_err("b's");
    assert!(error.is_claim_refused(), "{error}");

    let released = workspace.release(task.id, "b").await.expect("its own");
    assert_eq!((released.status, released.assignee, released.lease), (Status::Todo, None, None));
    workspace.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_each_task_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let workspace = open(folder.path()).await;
    workspace.create_all("anna", vec![titled("work"); 40]).await.expect("good");
    let mut workers = Vec::new();
    for number in 0..8 {
        let workspace = workspace.clone();
        workers.push(tokio::spawn(async move {
            let mut got = Vec::new();
            let holder = format!("agent-{number}");
            while let Some(task) = workspace.claim(request(&holder, None)).await.expect("good") {
                got.push(task.id);
            }
            got
        }));
    }
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await.expect("no panic"));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 40);
    assert!(workspace.stats().await.expect("stats").operations_local == 80);
    workspace.close().await.expect("closes");
}

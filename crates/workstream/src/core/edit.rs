//! From a wish to writes: what an operation has to write so that a task becomes what is asked.
//!
//! A patch against a base is a three-way difference: only what differs from the base is written,
//! sets by their difference, the body merged. Where the task has moved away from the base in the
//! same field, the patch wins and the task's value is kept beside it as a conflict.

use crate::error::{Error, Kind};
use crate::model::{Lease, NewTask, Status, Task, TaskPatch, Timestamp};

use super::merge::merge;
use super::operation::Write;

/// Returns the writes that make a task; fields at their defaults are not written.
pub fn creation(new: &NewTask) -> Vec<Write> {
    let mut writes = vec![Write::Title(new.title.clone())];
    if !new.body.is_empty() {
        writes.push(Write::Body(new.body.clone()));
    }
    if new.status != Status::default() {
        writes.push(Write::Status(new.status));
    }
    if new.priority != Default::default() {
        writes.push(Write::Priority(new.priority));
    }
    if new.role.is_some() {
        writes.push(Write::Role(new.role.clone()));
    }
    if new.assignee.is_some() {
        writes.push(Write::Assignee(new.assignee.clone()));
    }
    if new.parent.is_some() {
        writes.push(Write::Parent(new.parent));
    }
    writes.extend(distinct(&new.labels).into_iter().map(Write::AddLabel));
    writes.extend(distinct(&new.depends_on).into_iter().map(Write::AddDependency));
    writes
}

/// Returns the writes that a patch of the task as it stands comes to; none if nothing changes.
pub fn patch_writes(task: &Task, patch: &TaskPatch) -> Vec<Write> {
    let base = patch.base.as_deref();
    let mut writes = Vec::new();
    let mut field = |current: Write, wanted: Option<Write>, base: Option<Write>| {
        let Some(wanted) = wanted else { return };
        if wanted == current || base.as_ref().is_some_and(|base| *base == wanted) {
            return;
        }
        let moved = base.is_some_and(|base| base != current);
        writes.push(wanted);
        if moved {
            writes.push(Write::Keep(Box::new(current)));
        }
    };
    field(
        Write::Title(task.title.clone()),
        patch.title.clone().map(Write::Title),
        base.map(|base| Write::Title(base.title.clone())),
    );
    field(
        Write::Status(task.status),
        patch.status.map(Write::Status),
        base.map(|base| Write::Status(base.status)),
    );
    field(
        Write::Priority(task.priority),
        patch.priority.map(Write::Priority),
        base.map(|base| Write::Priority(base.priority)),
    );
    field(
        Write::Role(task.role.clone()),
        patch.role.clone().map(Write::Role),
        base.map(|base| Write::Role(base.role.clone())),
    );
    field(
        Write::Assignee(task.assignee.clone()),
        patch.assignee.clone().map(Write::Assignee),
        base.map(|base| Write::Assignee(base.assignee.clone())),
    );
    field(
        Write::Parent(task.parent),
        patch.parent.map(Write::Parent),
        base.map(|base| Write::Parent(base.parent)),
    );
    field(
        Write::Lease(task.lease.clone()),
        patch.lease.clone().map(Write::Lease),
        base.map(|base| Write::Lease(base.lease.clone())),
    );
    if let Some(body) = &patch.body {
        writes.extend(body_writes(&task.body, body, base.map(|base| base.body.as_str())));
    }
    writes.extend(label_writes(task, patch));
    if let Some(wanted) = &patch.depends_on {
        let base = base.map_or(&task.depends_on, |base| &base.depends_on);
        let (added, removed) = difference(base, wanted, &task.depends_on);
        writes.extend(added.into_iter().map(Write::AddDependency));
        writes.extend(removed.into_iter().map(Write::RemoveDependency));
    }
    writes
}

/// Returns the merge of a text that was made from `base` into `current`, and whether `current` has
/// to be kept because lines of it were lost; `None` if nothing changes.
pub fn text_change(current: &str, wanted: &str, base: Option<&str>) -> Option<(String, bool)> {
    let base = base.unwrap_or(current);
    let merged = merge(base, current, wanted);
    (merged.text != current).then_some((merged.text, merged.is_lossy))
}

/// Says whether a holder may claim a task, given whether something it depends on is open. The rule
/// is the one by which the store finds the next ready task.
///
/// # Errors
///
/// Says who has it or why it is not ready.
pub fn check_claim(
    task: &Task,
    holder: &str,
    role: Option<&str>,
    is_waiting: bool,
    now: Timestamp,
) -> Result<(), Error> {
    let refused = |reason| Kind::NotReady { task: format!("task {}", task.id), reason }.into();
    let lease = task.lease.as_ref();
    let is_over = lease.is_some_and(|lease| lease.until <= now);
    if let Some(lease) = lease.filter(|lease| lease.until > now && lease.holder != holder) {
        let (task, until) = (format!("task {}", task.id), lease.until.to_string());
        return Err(Kind::Claimed { task, holder: lease.holder.clone(), until }.into());
    }
    match task.status {
        Status::Todo => {}
        Status::Doing if lease.is_some_and(|lease| is_over || lease.holder == holder) => {}
        Status::Doing => return Err(refused("somebody works on it without a lease")),
        Status::Blocked => return Err(refused("it is blocked")),
        Status::Done | Status::Cancelled => return Err(refused("it is closed")),
    }
    if !is_over && task.assignee.as_deref().is_some_and(|assignee| assignee != holder) {
        return Err(refused("it is assigned to somebody else"));
    }
    if role.is_some() && task.role.is_some() && task.role.as_deref() != role {
        return Err(refused("it is of another role"));
    }
    if is_waiting {
        return Err(refused("something it depends on is still open"));
    }
    Ok(())
}

/// Returns the writes of a claim.
pub fn claim_writes(task: &Task, holder: &str, until: Timestamp) -> Vec<Write> {
    let lease = Lease { holder: holder.to_owned(), until };
    let patch = TaskPatch {
        status: Some(Status::Doing),
        assignee: Some(Some(holder.to_owned())),
        lease: Some(Some(lease)),
        ..TaskPatch::default()
    };
    patch_writes(task, &patch)
}

/// Returns the writes that prolong a claim; never shortens one.
pub fn renewal(task: &Task, holder: &str, until: Timestamp) -> Vec<Write> {
    let until = task.lease.as_ref().map_or(until, |lease| lease.until.max(until));
    vec![Write::Lease(Some(Lease { holder: holder.to_owned(), until }))]
}

/// Returns the writes that give a claim back.
pub fn release_writes(task: &Task) -> Vec<Write> {
    let is_doing = task.status == Status::Doing;
    let patch = TaskPatch {
        status: is_doing.then_some(Status::Todo),
        assignee: is_doing.then_some(None),
        lease: Some(None),
        ..TaskPatch::default()
    };
    patch_writes(task, &patch)
}

fn body_writes(current: &str, wanted: &str, base: Option<&str>) -> Vec<Write> {
    let Some((text, is_lossy)) = text_change(current, wanted, base) else { return Vec::new() };
    let mut writes = vec![Write::Body(text)];
    if is_lossy {
        writes.push(Write::Keep(Box::new(Write::Body(current.to_owned()))));
    }
    writes
}

fn label_writes(task: &Task, patch: &TaskPatch) -> Vec<Write> {
    let (mut added, mut removed) = match &patch.labels {
        Some(wanted) => {
            let base = patch.base.as_ref().map_or(&task.labels, |base| &base.labels);
            difference(base, wanted, &task.labels)
        }
        None => (Vec::new(), Vec::new()),
    };
    for label in distinct(&patch.labels_added) {
        if !task.labels.contains(&label) && !added.contains(&label) {
            added.push(label);
        }
    }
    for label in distinct(&patch.labels_removed) {
        added.retain(|added| *added != label);
        if task.labels.contains(&label) && !removed.contains(&label) {
            removed.push(label);
        }
    }
    let added = added.into_iter().map(Write::AddLabel);
    added.chain(removed.into_iter().map(Write::RemoveLabel)).collect()
}

/// What `wanted` adds to and takes from `base`, as far as that is still to be done in `current`.
fn difference<T: Ord + Clone>(base: &[T], wanted: &[T], current: &[T]) -> (Vec<T>, Vec<T>) {
    let added = distinct(wanted)
        .into_iter()
        .filter(|element| !base.contains(element) && !current.contains(element))
        .collect();
    let removed = distinct(base)
        .into_iter()
        .filter(|element| !wanted.contains(element) && current.contains(element))
        .collect();
    (added, removed)
}

fn distinct<T: Ord + Clone>(elements: &[T]) -> Vec<T> {
    let mut distinct = elements.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

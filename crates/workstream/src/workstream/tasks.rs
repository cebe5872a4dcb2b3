//! Tasks: make, read, list, change, delete, comment.

use crate::core::{self, Write};
use crate::error::{Error, Kind};
use crate::model::limits::{self, SEARCH_HITS_MAX};
use crate::model::{
    Comment, HitKind, NewTask, Page, PageRequest, SearchQuery, Subject, Task, TaskFilter, TaskId,
    TaskPatch, TaskSort,
};
use crate::store::{self, Batch, Edge};

use super::Workstream;

impl Workstream {
    /// Makes a task.
    ///
    /// # Errors
    ///
    /// When a field is not acceptable, the identity exists already, or the store fails.
    pub async fn create(&self, author: &str, new: NewTask) -> Result<Task, Error> {
        let mut made = self.create_all(author, vec![new]).await?;
        Ok(made.pop().expect("one task is made of one"))
    }

    /// Makes many tasks in one transaction: all or none. They may depend on one another.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create); more than 1,000 tasks are refused.
    pub async fn create_all(&self, author: &str, new: Vec<NewTask>) -> Result<Vec<Task>, Error> {
        limits::check_author(author)?;
        if new.len() > CREATED_MAX {
            return limits::invalid("tasks", "are more than 1,000 in one request");
        }
        new.iter().try_for_each(limits::check_new)?;
        let author = author.to_owned();
        self.inner
            .store
            .write(move |batch| new.iter().map(|new| create(batch, &author, new)).collect())
            .await
    }

    /// Reads a task.
    ///
    /// # Errors
    ///
    /// When it does not exist or is deleted ([`Error::is_not_found`]).
    pub async fn get(&self, id: TaskId) -> Result<Task, Error> {
        self.inner.store.read(move |connection| existing(connection, id)).await
    }

    /// Finds the one task whose identity begins with `prefix`.
    ///
    /// # Errors
    ///
    /// When there is none ([`Error::is_not_found`]) or more than one ([`Error::is_ambiguous`]).
    pub async fn find(&self, prefix: &str) -> Result<TaskId, Error> {
        let prefix = prefix.to_owned();
        self.inner.store.read(move |connection| store::find(connection, &prefix)).await
    }

    /// Lists tasks, page by page. A page costs its own length, wherever it lies.
    ///
    /// # Errors
    ///
    /// When the cursor is not of this list.
    pub async fn list(
        &self,
        filter: TaskFilter,
        sort: TaskSort,
        page: PageRequest,
    ) -> Result<Page<Task>, Error> {
        let matches = match &filter.text {
            None => None,
            Some(text) => {
                let mut query = SearchQuery::new(text.as_str());
                query.kind = Some(HitKind::Task);
                query.limit = SEARCH_HITS_MAX;
                query.is_last_word_open = true;
                Some(self.inner.index.matching_tasks(query).await?)
            }
        };
        self.inner
            .store
            .read(move |connection| {
                store::task_page(connection, &filter, matches.as_deref(), sort, &page)
            })
            .await
    }

    /// Changes a task. With `expected`, only if that is the version that stands. A patch that
    /// changes nothing stores nothing.
    ///
    /// # Errors
    ///
    /// When the task does not exist, has another version ([`Error::is_stale`]), a field is not
    /// acceptable, or dependencies or parents would form a circle.
    pub async fn patch(
        &self,
        author: &str,
        id: TaskId,
        patch: TaskPatch,
        expected: Option<u64>,
    ) -> Result<Task, Error> {
        limits::check_author(author)?;
        limits::check_patch(&patch)?;
        let author = author.to_owned();
        self.inner
            .store
            .write(move |batch| {
                let task = current(batch, id, expected)?;
                let writes = core::patch_writes(&task, &patch);
                if writes.is_empty() {
                    return Ok(task);
                }
                check_after(&task, &writes)?;
                check_circles(batch, id, &writes)?;
                batch.write_task(&author, id, writes)
            })
            .await
    }

    /// Deletes a task. Its history stays; an actor who changes it at the same time brings it back.
    ///
    /// # Errors
    ///
    /// As [`patch`](Self::patch).
    pub async fn delete(
        &self,
        author: &str,
        id: TaskId,
        expected: Option<u64>,
    ) -> Result<(), Error> {
        limits::check_author(author)?;
        let author = author.to_owned();
        self.inner
            .store
            .write(move |batch| {
                current(batch, id, expected)?;
                batch.delete_task(&author, id)
            })
            .await
    }

    /// Brings a deleted task back as it was.
    ///
    /// # Errors
    ///
    /// When there never was such a task.
    pub async fn restore(&self, author: &str, id: TaskId) -> Result<Task, Error> {
        limits::check_author(author)?;
        let author = author.to_owned();
        self.inner
            .store
            .write(move |batch| {
                if let Some(task) = store::task(batch.connection(), id)? {
                    return Ok(task);
                }
                if !store::was_task(batch.connection(), id)? {
                    return Err(store::not_found(&Subject::Task(id)));
                }
                batch.write_task(&author, id, vec![Write::Restore])
            })
            .await
    }

    /// Adds a comment.
    ///
    /// # Errors
    ///
    /// When the task does not exist or the comment is empty or too long.
    pub async fn comment(&self, author: &str, id: TaskId, text: &str) -> Result<Comment, Error> {
        limits::check_author(author)?;
        limits::check_comment(text)?;
        let (author, text) = (author.to_owned(), text.to_owned());
        self.inner
            .store
            .write(move |batch| {
                existing(batch.connection(), id)?;
                let (operation, at) = batch.write_comment(&author, id, text.clone())?;
                Ok(Comment { id: operation, author, at, text })
            })
            .await
    }

    /// Lists the comments of a task, oldest first.
    ///
    /// # Errors
    ///
    /// When the task does not exist.
    pub async fn comments(&self, id: TaskId, page: PageRequest) -> Result<Page<Comment>, Error> {
        self.inner.store.read(move |connection| store::comments(connection, id, &page)).await
    }
}

/// Reads a task that has to be there.
pub(super) fn existing(connection: &rusqlite::Connection, id: TaskId) -> Result<Task, Error> {
    store::task(connection, id)?.ok_or_else(|| store::not_found(&Subject::Task(id)))
}

/// Reads a task that has to be there in the expected version.
fn current(batch: &Batch<'_>, id: TaskId, expected: Option<u64>) -> Result<Task, Error> {
    let task = existing(batch.connection(), id)?;
    if expected.is_some_and(|expected| expected != task.version) {
        return Err(Kind::Stale { subject: format!("task {id}"), version: task.version }.into());
    }
    Ok(task)
}

fn create(batch: &mut Batch<'_>, author: &str, new: &NewTask) -> Result<Task, Error> {
    let id = match new.id {
        None => batch.new_task_id()?,
        Some(id) if store::was_task(batch.connection(), id)? => {
            return Err(Kind::Exists(format!("task {id}")).into());
        }
        Some(id) => id,
    };
    let writes = core::creation(new);
    check_circles(batch, id, &writes)?;
    batch.write_task(author, id, writes)
}

/// Checks the bounds that only the sum of what is there and what is added can break.
pub(crate) fn check_after(task: &Task, writes: &[Write]) -> Result<(), Error> {
    let count = |wanted: fn(&Write) -> bool| writes.iter().filter(|write| wanted(write)).count();
    let added = count(|write| matches!(write, Write::AddLabel(_)));
    let removed = count(|write| matches!(write, Write::RemoveLabel(_)));
    if added > 0 && task.labels.len() + added > limits::LABELS_MAX + removed {
        return limits::invalid("labels", "are more than 64");
    }
    let added = count(|write| matches!(write, Write::AddDependency(_)));
    let removed = count(|write| matches!(write, Write::RemoveDependency(_)));
    if added > 0 && task.depends_on.len() + added > limits::DEPENDENCIES_MAX + removed {
        return limits::invalid("depends_on", "are more than 256");
    }
    Ok(())
}

/// Refuses dependencies and parents that lead back to the task.
pub(crate) fn check_circles(batch: &Batch<'_>, id: TaskId, writes: &[Write]) -> Result<(), Error> {
    let mut depends_on = Vec::new();
    let mut parents = Vec::new();
    for write in writes {
        match write {
            Write::AddDependency(other) => depends_on.push(*other),
            Write::Parent(Some(parent)) => parents.push(*parent),
            _ => {}
        }
    }
    if store::would_circle(batch.connection(), id, &depends_on, Edge::Dependency)? {
        return limits::invalid("depends_on", "would make the task wait for itself");
    }
    if store::would_circle(batch.connection(), id, &parents, Edge::Parent)? {
        return limits::invalid("parent", "would make the task a part of itself");
    }
    Ok(())
}

/// Tasks of one request.
const CREATED_MAX: usize = 1_000;

//! Claims: who works on what, and until when.
//!
//! A claim is an operation like any other, so it is as durable and as local: this store never gives
//! a task to two holders. Stores that do not see each other can. When they meet, the later claim in
//! hybrid time stands, the other is listed as a conflict on `lease`, and its holder's next renewal
//! is refused. Nothing of the work is lost; somebody decides.

use std::time::Duration;

use crate::core;
use crate::error::{Error, Kind};
use crate::model::{Task, TaskId, Timestamp, limits};
use crate::store;

use super::tasks::existing;
use super::{ClaimRequest, Workstream};

impl Workstream {
    /// Claims the next ready task: of the role or of none, open, not held by a valid lease, with
    /// every dependency done, cancelled or deleted; most urgent first, then oldest. It becomes
    /// `doing`, assigned to the holder, with a lease. `None` when nothing is ready.
    ///
    /// One node never gives a task to two holders. Nodes that do not see each other can: the
    /// greater hybrid time wins when they meet, and the other holder sees it by a failing
    /// [`renew`](Self::renew), a change, and a conflict on `lease`.
    ///
    /// # Errors
    ///
    /// When the request is not acceptable or the store fails.
    pub async fn claim(&self, request: ClaimRequest) -> Result<Option<Task>, Error> {
        let lease_ms = lease_ms(&request.holder, request.lease)?;
        let ClaimRequest { holder, role, .. } = request;
        self.inner
            .store
            .write(move |batch| {
                let now = batch.now();
                let next = store::next_ready(batch.connection(), &holder, role.as_deref(), now)?;
                let Some(id) = next else { return Ok(None) };
                let task = existing(batch.connection(), id)?;
                let writes = core::claim_writes(&task, &holder, end(now, lease_ms));
                batch.write_task(&holder, id, writes).map(Some)
            })
            .await
    }

    /// Claims this task, by the same rules.
    ///
    /// # Errors
    ///
    /// When it is held by another or not ready ([`Error::is_claim_refused`]).
    pub async fn claim_task(&self, id: TaskId, request: ClaimRequest) -> Result<Task, Error> {
        let lease_ms = lease_ms(&request.holder, request.lease)?;
        let ClaimRequest { holder, role, .. } = request;
        self.inner
            .store
            .write(move |batch| {
                let now = batch.now();
                let task = existing(batch.connection(), id)?;
                let is_waiting = store::is_waiting(batch.connection(), &task)?;
                core::check_claim(&task, &holder, role.as_deref(), is_waiting, now)?;
                let writes = core::claim_writes(&task, &holder, end(now, lease_ms));
                batch.write_task(&holder, id, writes)
            })
            .await
    }

    /// Prolongs a claim: it holds for `lease` from now. An expired claim that nobody took over can
    /// be renewed.
    ///
    /// # Errors
    ///
    /// When it is not the holder's ([`Error::is_claim_refused`]).
    pub async fn renew(&self, id: TaskId, holder: &str, lease: Duration) -> Result<Task, Error> {
        let lease_ms = lease_ms(holder, lease)?;
        let holder = holder.to_owned();
        self.inner
            .store
            .write(move |batch| {
                let task = existing(batch.connection(), id)?;
                check_holder(&task, &holder)?;
                let writes = core::renewal(&task, &holder, end(batch.now(), lease_ms));
                batch.write_task(&holder, id, writes)
            })
            .await
    }

    /// Gives a claim back: a task that is `doing` becomes `todo`, of nobody.
    ///
    /// # Errors
    ///
    /// When it is not the holder's ([`Error::is_claim_refused`]).
    pub async fn release(&self, id: TaskId, holder: &str) -> Result<Task, Error> {
        limits::check_author(holder)?;
        let holder = holder.to_owned();
        self.inner
            .store
            .write(move |batch| {
                let task = existing(batch.connection(), id)?;
                check_holder(&task, &holder)?;
                batch.write_task(&holder, id, core::release_writes(&task))
            })
            .await
    }
}

fn check_holder(task: &Task, holder: &str) -> Result<(), Error> {
    match &task.lease {
        Some(lease) if lease.holder == holder => Ok(()),
        _ => {
            let task = format!("task {}", task.id);
            Err(Kind::NotHolder { task, holder: holder.to_owned() }.into())
        }
    }
}

fn lease_ms(holder: &str, lease: Duration) -> Result<u64, Error> {
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    limits::check_lease(holder, lease_ms)?;
    Ok(lease_ms)
}

fn end(now: Timestamp, lease_ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_add(lease_ms))
}

//! Claims: the next ready task, or this one, for a holder and a time.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tidemill_workstream::ClaimRequest;
use tidemill_workstream::model::{TaskId, TaskPatch, limits};

use super::tasks::{Tagged, tagged};
use super::{Shared, refusal};
use crate::http::extract::{Body, Segments, whole};
use crate::http::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimBody {
    holder: String,
    role: Option<String>,
    #[serde(default = "lease_default", deserialize_with = "whole")]
    lease_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseBody {
    holder: String,
}

/// Gives the next ready task away; 204 when there is none.
pub(super) async fn claim(
    State(workstream): State<Shared>,
    Body(body): Body<ClaimBody>,
) -> Result<Response, Problem> {
    body.check()?;
    match workstream.claim(body.into()).await {
        Ok(Some(task)) => Ok(tagged(task).into_response()),
        Ok(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Err(refusal(&error)),
    }
}

/// Gives this task to the holder, or prolongs the claim that the holder has.
pub(super) async fn claim_task(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Body(body): Body<ClaimBody>,
) -> Result<Tagged, Problem> {
    body.check()?;
    let task = workstream.get(id).await.map_err(|error| refusal(&error))?;
    let is_held = task.lease.is_some_and(|lease| lease.holder == body.holder);
    let claimed = if is_held && !task.status.is_closed() {
        let lease = Duration::from_secs(body.lease_seconds.into());
        workstream.renew(id, &body.holder, lease).await
    } else {
        workstream.claim_task(id, body.into()).await
    };
    claimed.map(tagged).map_err(|error| refusal(&error))
}

/// Gives a claim back.
pub(super) async fn release(
    State(workstream): State<Shared>,
    Segments(id): Segments<TaskId>,
    Body(body): Body<ReleaseBody>,
) -> Result<Tagged, Problem> {
    workstream.release(id, &body.holder).await.map(tagged).map_err(|error| refusal(&error))
}

impl ClaimBody {
    /// Holds the role against what a role may be.
    fn check(&self) -> Result<(), Problem> {
        let patch = TaskPatch { role: Some(self.role.clone()), ..TaskPatch::default() };
        limits::check_patch(&patch).map_err(|error| refusal(&error))
    }
}

impl From<ClaimBody> for ClaimRequest {
    fn from(body: ClaimBody) -> Self {
        let lease = Duration::from_secs(body.lease_seconds.into());
        Self { holder: body.holder, role: body.role, lease }
    }
}

fn lease_default() -> u32 {
    1_800
}

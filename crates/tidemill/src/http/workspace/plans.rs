//! `/api/v1/plans` and `/api/v1/files`: trees of tasks at once, and what becomes of vanished files.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidemill_workstream::files::FilesStatus;
use tidemill_workstream::model::{Page, TaskId};
use tidemill_workstream::plan::{Plan, PlanError, READY, ReadyPlan, Step};

use super::{Shared, refusal};
use crate::http::extract::{Author, Body};
use crate::http::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyBody {
    /// The plan's text.
    plan: String,
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    dry_run: bool,
}

/// What came of a plan: its tasks, or its mistakes and nothing else.
#[derive(Debug, Default, Serialize)]
pub(super) struct Applied {
    tasks: Vec<PlannedTask>,
    mistakes: Vec<PlanError>,
}

#[derive(Debug, Serialize)]
struct PlannedTask {
    /// Absent in a dry run.
    id: Option<TaskId>,
    name: String,
    title: String,
    role: String,
    priority: &'static str,
    after: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilesBody {
    vanished: Vanished,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vanished {
    Delete,
    Restore,
}

/// Lists the plans that come with the program.
pub(super) async fn list() -> Json<Page<ReadyPlan>> {
    Json(Page { items: READY.to_vec(), next: None })
}

/// Makes a plan's tasks, all or none, or says what they would be.
pub(super) async fn apply(
    State(workstream): State<Shared>,
    Author(author): Author,
    Body(body): Body<ApplyBody>,
) -> Result<Json<Applied>, Problem> {
    let plan = match Plan::read(&body.plan, &body.set) {
        Ok(plan) => plan,
        Err(mistakes) => return Ok(Json(Applied { mistakes, ..Applied::default() })),
    };
    let made = if body.dry_run {
        Vec::new()
    } else {
        workstream.apply_plan(&author, &plan).await.map_err(|error| refusal(&error))?
    };
    let steps = plan.steps();
    let tasks = steps.iter().enumerate().map(|(place, step)| PlannedTask {
        id: made.get(place).map(|task| task.id),
        name: step.task.name.clone(),
        title: step.task.title.clone(),
        role: step.task.role.clone(),
        priority: step.task.priority.word(),
        after: names(&steps, &step.after),
    });
    Ok(Json(Applied { tasks: tasks.collect(), mistakes: Vec::new() }))
}

/// Says how files and store stand to each other.
pub(super) async fn files(State(workstream): State<Shared>) -> Json<FilesStatus> {
    Json(workstream.files().unwrap_or_default())
}

/// Decides about files that vanished at once.
pub(super) async fn settle(
    State(workstream): State<Shared>,
    Body(body): Body<FilesBody>,
) -> Result<Json<FilesStatus>, Problem> {
    let settled = match body.vanished {
        Vanished::Delete => workstream.confirm_deletions().await,
        Vanished::Restore => workstream.restore_files().await,
    };
    settled.map_err(|error| refusal(&error))?;
    Ok(Json(workstream.files().unwrap_or_default()))
}

fn names(steps: &[Step], places: &[usize]) -> Vec<String> {
    places.iter().map(|place| steps[*place].task.name.clone()).collect()
}

//! Plans: a file that says who works together how becomes a tree of tasks.
//!
//! ```text
//! text ─▶ read (TOML with places, variables filled in) ─▶ Plan ─▶ layout (topology, strategy,
//!         workers_max become dependencies) ─▶ one batch: a root, its parts, their dependencies
//! ```
//!
//! Whoever works only claims the next ready task of a role; everything that a plan says about order
//! and number is in the dependencies, so it holds without a coordinator that runs all the time, and
//! with the peers that are cut off. What each word comes to stands in `docs/guide/plans.md`.
//!
//! At most 200 tasks, 1 MiB of text. Never reads a file.

mod layout;
mod read;

use std::collections::BTreeMap;

use serde::Serialize;

pub use read::PlanError;

use crate::core;
use crate::error::Error;
use crate::model::limits;
use crate::model::{NewTask, Priority, Task};
use crate::workstream::Workstream;

/// A plan whose variables are filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// A word; the label `plan:NAME` of every task.
    pub name: String,
    /// The title of the root task.
    pub title: String,
    /// What it is for, Markdown.
    pub description: String,
    /// How those who work are joined.
    pub topology: Topology,
    /// The role that begins and ends it.
    pub coordinator: String,
    /// What comes first.
    pub strategy: Strategy,
    /// At most so many tasks are ready at once.
    pub workers_max: usize,
    /// Roles and what they do.
    pub roles: BTreeMap<String, String>,
    /// The tasks as written.
    pub tasks: Vec<PlanTask>,
}

/// How those who work are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "complete by the design")]
pub enum Topology {
    /// The coordinator hands out before anything begins.
    Hierarchical,
    /// Everybody begins with what depends on nothing.
    Mesh,
    /// One task after another.
    Ring,
    /// Everything goes through the coordinator: between a task and those that wait for it stands a
    /// task of the coordinator's.
    Star,
}

/// What comes first among tasks that could begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "complete by the design")]
pub enum Strategy {
    /// Priorities as written.
    Balanced,
    /// What the longest chain of tasks waits for is at least `high`.
    CriticalPath,
    /// One task after another, in an order that the dependencies allow.
    Sequential,
}

/// A task of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanTask {
    /// Its name within the plan.
    pub name: String,
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Who may claim it.
    pub role: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Labels.
    pub labels: Vec<String>,
    /// The name of the task that it is a part of; the root if none.
    pub parent: Option<String>,
    /// The names of the tasks that come first.
    pub depends_on: Vec<String>,
}

/// A task that a plan comes to; numbers are places in the list, 0 is the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is.
    #[serde(flatten)]
    pub task: PlanTask,
    /// The step it is a part of.
    pub parent_step: Option<usize>,
    /// The steps that come first.
    pub after: Vec<usize>,
}

/// A plan that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadyPlan {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The plans that come with the program.
pub const READY: [ReadyPlan; 3] = [
    ReadyPlan { name: "kernel-component", text: include_str!("../../plans/kernel-component.toml") },
    ReadyPlan { name: "memory-pool", text: include_str!("../../plans/memory-pool.toml") },
    ReadyPlan { name: "tcp-service", text: include_str!("../../plans/tcp-service.toml") },
];

impl Plan {
    /// Reads a plan and fills its variables in.
    ///
    /// # Errors
    ///
    /// Every mistake, each with line and column.
    pub fn read(text: &str, set: &BTreeMap<String, String>) -> Result<Self, Vec<PlanError>> {
        read::read(text, set)
    }

    /// Returns the tasks that the plan comes to, each after those it waits for but for the root.
    pub fn steps(&self) -> Vec<Step> {
        layout::steps(self)
    }
}

impl Workstream {
    /// Makes the tasks of a plan in one transaction: all or none. The first is the root.
    ///
    /// # Errors
    ///
    /// As [`create_all`](Self::create_all).
    pub async fn apply_plan(&self, author: &str, plan: &Plan) -> Result<Vec<Task>, Error> {
        limits::check_author(author)?;
        let steps = plan.steps();
        let label = format!("plan:{}", plan.name);
        let author = author.to_owned();
        self.write(move |batch| {
            let ids: Vec<_> =
                steps.iter().map(|_| batch.new_task_id()).collect::<Result<_, _>>()?;
            let mut made = Vec::with_capacity(steps.len());
            for (step, id) in steps.iter().zip(&ids) {
                let task = &step.task;
                let mut labels = task.labels.clone();
                labels.push(label.clone());
                let new = NewTask {
                    id: Some(*id),
                    title: task.title.clone(),
                    body: task.body.clone(),
                    priority: task.priority,
                    role: Some(task.role.clone()),
                    labels,
                    parent: step.parent_step.map(|place| ids[place]),
                    depends_on: step.after.iter().map(|place| ids[*place]).collect(),
                    ..NewTask::default()
                };
                limits::check_new(&new)?;
                made.push(batch.write_task(&author, *id, core::creation(&new))?);
            }
            Ok(made)
        })
        .await
    }
}

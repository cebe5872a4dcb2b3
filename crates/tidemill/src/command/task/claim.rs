//! `tidemill task claim`: the next task for a worker.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::tell;
use crate::client::Ask;
use crate::command::{Failure, Output};
use crate::config::parse_duration;
use crate::desk::Desk;
use crate::node::person;

/// Take the next task that is ready
///
/// Ready is a task in todo whose dependencies are done and that nobody holds; the highest priority
/// comes first, then the oldest. The task is set to doing and is yours until the lease ends; claim
/// it again by its id to renew the lease. Exits 1 when nothing is ready.
///
/// Two nodes that do not hear each other can both give the same task away; when they meet, the
/// earlier claim holds, and the other is shown as a conflict.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidemill task claim --role performance --lease 30m\n  \
                  tidemill task claim 01JD4K --lease 30m   renews, or takes this one")]
pub(super) struct Arguments {
    /// This task rather than the next: id, or a unique prefix of it
    id: Option<String>,
    /// Only tasks for this role, or for none
    #[arg(long)]
    role: Option<String>,
    /// How long it is yours
    #[arg(long, default_value = "30m", value_parser = lease)]
    lease: Duration,
    /// Who takes it [default: TIDEMILL_AGENT, else the user's name]
    #[arg(long = "as", value_name = "NAME")]
    holder: Option<String>,
}

pub(super) async fn run(
    desk: &Desk,
    arguments: &Arguments,
    output: &Output,
) -> Result<(), Failure> {
    let holder = match &arguments.holder {
        Some(holder) => holder.clone(),
        None => {
            person().ok_or_else(|| Failure::input("who takes it? name yourself with --as NAME"))?
        }
    };
    let mut body = json!({ "holder": holder, "lease_seconds": arguments.lease.as_secs() });
    if let Some(role) = &arguments.role {
        body["role"] = role.as_str().into();
    }
    let path = match &arguments.id {
        Some(id) => format!("/api/v1/tasks/{}/claim", desk.task_id(id).await?),
        None => "/api/v1/claim".to_owned(),
    };
    let task: Value = desk.ask(&Ask::post(path, body)).await?;
    if task.is_null() {
        let role = arguments.role.as_ref().map(|role| format!(" for the role {role}"));
        return Err(Failure::answer(format!("nothing is ready{}", role.unwrap_or_default())));
    }
    tell(&task, "yours", output)
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = parse_duration(text)?;
    if (Duration::from_secs(1)..=LEASE_MAX).contains(&lease) {
        Ok(lease)
    } else {
        Err("a lease is from 1s to 24h".to_owned())
    }
}

const LEASE_MAX: Duration = Duration::from_secs(24 * 3_600);

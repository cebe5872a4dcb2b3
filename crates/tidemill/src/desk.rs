//! Where task and memory commands are carried out: at the running node, or here.
//!
//! ```text
//! command, MCP tool --> Ask --> Desk --> node that serves this workspace, over HTTP
//!                                   \--> the same routes over the store, opened under its lock
//! ```
//!
//! Both ways answer alike, because the routes are the same. A desk is for one command: the store is
//! open no longer than that, and a command waits up to [`LOCK_WAIT_MAX`] for another to be done.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use http_body_util::{BodyExt, Limited};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use tidemill_workstream::{Options, Workstream};
use tokio::time::{Instant, sleep};

use crate::client::{Answer, Ask, Client, segment};
use crate::command::{Common, Failure};
use crate::http;
use crate::node::{file_options, resolve_folder};

/// The workspace of one command.
#[derive(Debug)]
pub(crate) struct Desk {
    place: Place,
}

#[derive(Debug)]
enum Place {
    Node(Client),
    Here { routes: TowerToHyperService<Router>, workstream: Workstream },
}

/// What a workspace is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It has to be there.
    Read,
    /// It has to be there, and its index up to date.
    Search,
    /// It is made where it is missing.
    Write,
}

impl Desk {
    /// Finds the workspace that the configuration names, and who serves it.
    ///
    /// # Errors
    ///
    /// When there is none, or another process holds it and is no node of this configuration.
    pub(crate) async fn open(common: &Common, purpose: Purpose) -> Result<Self, Failure> {
        let source = common.source();
        let path = resolve_folder("workstream.path", &source.workspace()?, source.folder())?;
        if let Ok(path) = std::fs::canonicalize(&path) {
            if let Some(client) = Client::serving(common, &path)? {
                return Ok(Self { place: Place::Node(client) });
            }
        } else if purpose != Purpose::Write {
            return Err(Failure::input(format!(
                "there is no workspace {}; `tidemill task add` or `tidemill up` makes it",
                path.display()
            )));
        }
        let workstream = open_alone(&path, purpose).await?;
        let routes = TowerToHyperService::new(http::alone(workstream.clone()));
        Ok(Self { place: Place::Here { routes, workstream } })
    }

    /// Sends a request and returns the answer, good or not.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, Failure> {
        let (routes, ask) = match &self.place {
            Place::Node(client) => return client.send(ask).await,
            Place::Here { routes, .. } => (routes, ask),
        };
        let broken = |error: &dyn std::fmt::Display| {
            Failure::outside(format!("the request broke off: {error}"))
        };
        let request = ask.request("localhost", "").map_err(|error| broken(&error))?;
        let response = match routes.call(request.map(axum::body::Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| broken(&error))?.to_bytes();
        Ok(Answer { status: head.status, body })
    }

    /// Sends a request and reads the good answer.
    ///
    /// # Errors
    ///
    /// When there is none, or with what the API has against the request.
    pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        ask: &Ask,
    ) -> Result<T, Failure> {
        self.send(ask).await?.read()
    }

    /// Returns the id of the one task whose id begins with `prefix`.
    ///
    /// # Errors
    ///
    /// When there is none or more than one.
    pub(crate) async fn task_id(&self, prefix: &str) -> Result<String, Failure> {
        let prefix = prefix.trim().to_ascii_uppercase();
        if prefix.len() == ID_CHARS {
            return Ok(segment(&prefix));
        }
        let path = format!("/api/v1/tasks?{}&limit=4", query(&[("id", prefix.clone())]));
        let found: Found = self.ask(&Ask::get(path)).await?;
        match found.items.as_slice() {
            [] => Err(Failure::input(format!(
                "no task has an id that begins with {prefix}; `tidemill task list --all` shows them"
            ))),
            [only] => Ok(only.id.clone()),
            several => {
                let shown: Vec<_> =
                    several.iter().map(|task| format!("{} {}", task.id, task.title)).collect();
                Err(Failure::input(format!(
                    "{prefix} begins the id of several tasks; write more of it:\n  {}",
                    shown.join("\n  ")
                )))
            }
        }
    }

    /// Returns the node's metrics as Prometheus text.
    ///
    /// # Errors
    ///
    /// When no node serves this workspace.
    pub(crate) async fn metrics(&self) -> Result<String, Failure> {
        let Place::Node(client) = &self.place else {
            return Err(Failure::outside(
                "no node serves this workspace, so nothing is measured; start one with `tidemill up`",
            ));
        };
        let answer = client.send(&Ask::get("/metrics")).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Lets go of the store.
    pub(crate) async fn close(self) {
        if let Place::Here { workstream, .. } = self.place
            && let Err(error) = workstream.close().await
        {
            tracing::warn!("the workspace was not closed well: {error}");
        }
    }
}

/// The part of a list of tasks that tells them apart.
#[derive(Debug, Deserialize)]
struct Found {
    items: Vec<FoundTask>,
}

#[derive(Debug, Deserialize)]
struct FoundTask {
    id: String,
    title: String,
}

/// Returns names and values as a query.
pub(crate) fn query(pairs: &[(&str, String)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", segment(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Opens the store, waiting for another command to be done with it.
async fn open_alone(path: &Path, purpose: Purpose) -> Result<Workstream, Failure> {
    // Reading the index costs more than most commands do.
    let options = Options {
        is_index_idle: purpose != Purpose::Search,
        files: Some(file_options(false)),
        ..Options::default()
    };
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match Workstream::open(path, options.clone()).await {
            Err(error) if error.is_locked() && Instant::now() < deadline => {
                sleep(LOCK_WAIT_STEP).await;
            }
            Err(error) => return Err(Failure::outside(error.to_string())),
            Ok(workstream) => {
                if purpose == Purpose::Search {
                    let found = workstream.indexed().await;
                    found.map_err(|error| Failure::outside(error.to_string()))?;
                }
                return Ok(workstream);
            }
        }
    }
}

/// Characters of a ULID.
const ID_CHARS: usize = 26;

const LOCK_WAIT_MAX: Duration = Duration::from_secs(3);

const LOCK_WAIT_STEP: Duration = Duration::from_millis(20);

const ANSWER_BYTES_MAX: usize = 64 << 20;

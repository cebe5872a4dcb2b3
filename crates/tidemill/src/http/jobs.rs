//! `/api/v1/jobs`: submit, list, look at and cancel durable jobs, and read what they printed.
//!
//! A job's entity tag is its version. `PATCH` with `If-Match` changes the version that was read or
//! answers 412.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use tidemill_scheduler::core::{Priority, State as JobState};
use tidemill_scheduler::durable::{
    Cancelled, Command, Error, Filter, Job, JobId, JobSpec, JobStore, LIMITS, Work,
};

use super::Api;
use super::problem::Problem;
use super::proxies::List;

/// What is asked for one job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobRequest {
    command: Vec<String>,
    folder: Option<PathBuf>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    priority: Option<String>,
    timeout_ms: Option<u64>,
    #[serde(default)]
    retries: u32,
    key: Option<String>,
}

/// What is asked of a job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobChange {
    state: Wanted,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Cancelled,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    state: Option<String>,
    priority: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LogQuery {
    #[serde(default)]
    from: u64,
}

/// A piece of what a job printed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LogText {
    /// The number of the first byte.
    pub(crate) begin: u64,
    /// Where the next piece begins.
    pub(crate) next: u64,
    /// How many bytes it has printed.
    pub(crate) end: u64,
    /// The bytes as text; what is not UTF-8 is replaced.
    pub(crate) text: String,
    /// The job has ended: nothing follows after `end`.
    pub(crate) is_final: bool,
}

type Answer = Result<([(HeaderName, String); 1], Json<Job>), Problem>;

/// Lets a request hold the largest work, written as JSON.
pub(super) fn body_limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(BODY_BYTES_MAX)
}

pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    request: Result<Json<JobRequest>, JsonRejection>,
) -> Result<(StatusCode, [(HeaderName, String); 2], Json<Job>), Problem> {
    let Json(request) = request.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a job is submitted in at most {BODY_BYTES_MAX} bytes; pass a file's name"),
        ),
        status => Problem::new(status, error.body_text()),
    })?;
    let store = store(&api)?;
    let submitted = store.submit(vec![request.spec()?]).await.map_err(problem)?;
    let Some(submitted) = submitted.first() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the store gave no answer"));
    };
    let job = find(&*store, submitted.id).await?;
    let status = if submitted.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = (LOCATION, format!("/api/v1/jobs/{}", job.id));
    Ok((status, [location, (ETAG, tag(&job))], Json(job)))
}

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<List<Job>>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = query.limit.unwrap_or(LIST_DEFAULT);
    if !(1..=LIST_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` is 1 to {LIST_MAX}")));
    }
    let state = query.state.map(|state| state.parse::<JobState>()).transpose();
    let priority = query.priority.map(|priority| priority.parse::<Priority>()).transpose();
    let filter = Filter {
        state: state.map_err(|error| Problem::bad_request(error.to_string()))?,
        priority: priority.map_err(|error| Problem::bad_request(error.to_string()))?,
        limit,
        after: query.after,
    };
    let page = store(&api)?.list(filter).await.map_err(|error| match error {
        // A text that is no cursor names no page, as with tasks.
        Error::Invalid(what) => Problem::not_found(what),
        error => problem(error),
    })?;
    Ok(List::page(page.jobs, page.next))
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    answer(find(&*store(&api)?, id(path)?).await?)
}

/// Cancels a job; one that runs ends within a third of its lease.
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    change: Result<Json<JobChange>, JsonRejection>,
) -> Answer {
    let id = id(path)?;
    let Json(JobChange { state: Wanted::Cancelled }) =
        change.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let store = store(&api)?;
    let version = expected(&headers)?;
    match store.cancel(id, version).await.map_err(problem)? {
        // What was cancelled before is as it was asked to be.
        Cancelled::Late(state) if state != JobState::Cancelled => {
            let late = format!("job {id} had ended: {state}");
            return Err(Problem::new(StatusCode::CONFLICT, late));
        }
        _ => tracing::info!("job {id} was cancelled over the API"),
    }
    answer(find(&*store, id).await?)
}

pub(super) async fn log(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<Json<LogText>, Problem> {
    let id = id(path)?;
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    // Looked at before its output, so that nothing follows what is final.
    let job = find(&*store(&api)?, id).await?;
    let Some(logs) = api.jobs.logs().cloned() else {
        return Err(Problem::not_found("this node keeps no output of jobs"));
    };
    let read = tokio::task::spawn_blocking(move || logs.read(id, query.from, LOG_BYTES_MAX)).await;
    let part = read.map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the log was not read: {error}"))
    })?;
    Ok(Json(LogText::new(part.map_err(problem)?, job.progress.state.is_final())))
}

impl JobRequest {
    fn spec(self) -> Result<JobSpec, Problem> {
        let unfit = |what: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, what);
        let priority = self.priority.map(|priority| priority.parse()).transpose();
        let Self { command: arguments, folder, environment, .. } = self;
        Ok(JobSpec {
            work: Work::Command(Command { arguments, folder, environment }),
            priority: priority
                .map_err(|error: tidemill_scheduler::core::ParsePriorityError| {
                    unfit(error.to_string())
                })?
                .unwrap_or_default(),
            timeout: self.timeout_ms.map(Duration::from_millis),
            retries: self.retries,
            key: self.key,
        })
    }
}

impl LogText {
    /// Cuts a piece at a character, as far as more may follow.
    pub(crate) fn new(part: tidemill_scheduler::durable::LogPart, is_final: bool) -> Self {
        let mut bytes = part.bytes;
        let is_last = part.begin + bytes.len() as u64 >= part.end;
        if let Err(error) = std::str::from_utf8(&bytes)
            && error.error_len().is_none()
            && error.valid_up_to() > 0
            && !(is_last && is_final)
        {
            bytes.truncate(error.valid_up_to());
        }
        Self {
            begin: part.begin,
            next: part.begin + bytes.len() as u64,
            end: part.end,
            text: String::from_utf8_lossy(&bytes).into_owned(),
            is_final,
        }
    }
}

fn store(api: &Api) -> Result<Arc<dyn JobStore>, Problem> {
    api.jobs.store().map_err(|why| Problem::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

async fn find(store: &dyn JobStore, id: JobId) -> Result<Job, Problem> {
    store.find(id).await.map_err(problem)?.ok_or_else(|| problem(Error::Unknown(id)))
}

fn id(path: Result<Path<String>, PathRejection>) -> Result<JobId, Problem> {
    let Path(text) = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    // A text that cannot be an id names nothing.
    text.parse().map_err(|_| Problem::not_found(format!("no job has the id {text}")))
}

/// Returns the version that `If-Match` asks for.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    // A tag that we never gave matches nothing.
    let version = quoted.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    Ok(Some(version))
}

fn tag(job: &Job) -> String {
    format!("\"{}\"", job.progress.version)
}

fn answer(job: Job) -> Answer {
    Ok(([(ETAG, tag(&job))], Json(job)))
}

fn problem(error: Error) -> Problem {
    let status = match &error {
        Error::Unknown(_) => StatusCode::NOT_FOUND,
        Error::Changed { .. } => StatusCode::PRECONDITION_FAILED,
        Error::KeyTaken { .. } => StatusCode::CONFLICT,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        error if error.is_invalid() => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Problem::new(status, error.to_string())
}

const BODY_BYTES_MAX: usize = 2 * LIMITS.work_bytes;

const LIST_DEFAULT: usize = 100;

const LIST_MAX: usize = 1_000;

const LOG_BYTES_MAX: usize = 64 << 10;

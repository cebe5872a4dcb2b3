//! `/api/v1/history`: what one series was, from the rings in memory.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::Api;
use super::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    /// As `/metrics` has it: `name{label="value"}`.
    series: String,
    /// Milliseconds since 1970; all that is kept without it.
    from: Option<u64>,
    /// Milliseconds since 1970; up to now without it.
    to: Option<u64>,
}

/// A series over time.
#[derive(Debug, Serialize)]
pub(super) struct SeriesHistory {
    series: String,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    /// Milliseconds since 1970.
    at: u64,
    /// `None` where it was no finite number.
    value: Option<f64>,
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<SeriesHistory>, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let HistoryQuery { series, from, to } = query;
    let (from, to) = (time(from.unwrap_or(0))?, time(to.unwrap_or(MILLIS_MAX))?);
    // A flush may hold the history while it syncs a file.
    let remembered = api.remembered.clone();
    let read = move || {
        let history = remembered.lock();
        let is_known = history.names().any(|name| name == series);
        is_known.then(|| (history.range(&series, from, to), series))
    };
    let found = tokio::task::spawn_blocking(read).await;
    let Some((points, series)) = found.unwrap_or_default() else {
        return Err(Problem::not_found(
            "no series of this name has a history; write it as /metrics does, with its labels",
        ));
    };
    let points = points.into_iter().map(|(at, value)| {
        let at = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        Point { at, value: value.is_finite().then_some(value) }
    });
    Ok(Json(SeriesHistory { series, points: points.collect() }))
}

fn time(millis: u64) -> Result<SystemTime, Problem> {
    let too_late = || Problem::bad_request("`from` and `to` are milliseconds since 1970");
    if millis > MILLIS_MAX {
        return Err(too_late());
    }
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).ok_or_else(too_late)
}

/// The year 9999.
const MILLIS_MAX: u64 = 253_402_300_799_000;

//! `/api/v1/proxies`: what runs, where a connection would go, and control of backends.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tidemill_proxy::BackendCommand;
use tidemill_proxy::status::{BackendStatus, Explanation, ProxyStatus};

use super::Api;
use super::extract::whole_given;
use super::problem::Problem;

/// A list as every endpoint answers it; the ones of this file are short and have no next page.
#[derive(Debug, Serialize)]
pub(super) struct List<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T> List<T> {
    fn whole(items: Vec<T>) -> Json<Self> {
        Json(Self { items, next: None })
    }

    /// Returns one page of a list that may be long.
    pub(super) fn page(items: Vec<T>, next: Option<String>) -> Json<Self> {
        Json(Self { items, next })
    }
}

/// What is asked of a backend: at least one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackendChange {
    #[serde(default, deserialize_with = "given")]
    state: Option<BackendState>,
    #[serde(default, deserialize_with = "whole_given")]
    weight: Option<u16>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BackendState {
    Enabled,
    Draining,
    Disabled,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExplainQuery {
    from: String,
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<List<ProxyStatus>> {
    List::whole(api.engine.status())
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ProxyStatus>, Problem> {
    let Path(name) = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    find(&api, &name).map(Json)
}

pub(super) async fn explain(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<Explanation>, Problem> {
    let Path(name) = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let without_port = || query.from.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    let from = query.from.parse().or_else(|_| without_port()).map_err(|_| {
        Problem::bad_request("`from` is no IP address, such as 192.0.2.7 or 192.0.2.7:5000")
    })?;
    api.engine.explain(&name, from).map(Json).map_err(engine_problem)
}

/// Applies a change to every backend of that name or address in one proxy.
pub(super) async fn change_backend(
    State(api): State<Arc<Api>>,
    path: Result<Path<(String, String)>, PathRejection>,
    change: Result<Json<BackendChange>, JsonRejection>,
) -> Result<Json<List<BackendStatus>>, Problem> {
    let Path((proxy, backend)) = path.map_err(|error| Problem::bad_request(error.body_text()))?;
    let Json(change) = change.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let state = change.state.map(|state| match state {
        BackendState::Enabled => BackendCommand::Enable,
        BackendState::Draining => BackendCommand::Drain,
        BackendState::Disabled => BackendCommand::Disable,
    });
    let commands = [change.weight.map(BackendCommand::Weight), state];
    if commands.iter().all(Option::is_none) {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "nothing is asked for: send `state`, `weight` or both",
        ));
    }
    for command in commands.into_iter().flatten() {
        api.engine.control(Some(&proxy), &backend, command).await.map_err(engine_problem)?;
    }
    let mut backends = find(&api, &proxy)?.backends;
    backends.retain(|status| status.name == backend || status.address.to_string() == backend);
    tracing::info!("proxy {proxy}: backend {backend} was changed over the API");
    Ok(List::whole(backends))
}

/// Reads a key that may be absent but not `null`.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

fn find(api: &Api, name: &str) -> Result<ProxyStatus, Problem> {
    let mut proxies = api.engine.status().into_iter();
    proxies
        .find(|proxy| proxy.name == name)
        .ok_or_else(|| Problem::not_found(format!("no proxy is called {name}")))
}

fn engine_problem(error: tidemill_proxy::Error) -> Problem {
    let status = if error.is_unknown_name() {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Problem::new(status, error.to_string())
}

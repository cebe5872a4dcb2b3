//! What a request brings, with every misfit told as a problem.
//!
//! | extractor | misfit |
//! | --- | --- |
//! | [`Segments`], [`Parameters`] | 400 |
//! | [`Body`] | 400 no JSON, 413 too long, 415 no JSON by its content type, 422 JSON that does not fit |
//! | [`Author`], [`Expected`] | 400 |

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tidemill_workstream::model::limits;

use super::problem::Problem;

/// The parts of the path.
#[derive(Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Path::from_request_parts(parts, state).await;
        found
            .map(|Path(segments)| Self(segments))
            .map_err(|error| Problem::bad_request(error.body_text()))
    }
}

/// The query.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Query::from_request_parts(parts, state).await;
        found
            .map(|Query(parameters)| Self(parameters))
            .map_err(|error| Problem::bad_request(error.body_text()))
    }
}

/// The body, JSON.
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let found = Json::from_request(request, state).await;
        found
            .map(|Json(body)| Self(body))
            .map_err(|error| Problem::new(error.status(), error.body_text()))
    }
}

/// Who asks for a change: the header `Tidemill-Author`, or `api`.
#[derive(Debug)]
pub(super) struct Author(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Author {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(AUTHOR) else {
            return Ok(Self("api".to_owned()));
        };
        let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
        match limits::check_author(text) {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(error) => Err(Problem::bad_request(format!("the header {AUTHOR}: {error}"))),
        }
    }
}

/// The version that `If-Match` names; `None` where any will do.
#[derive(Debug)]
pub(super) struct Expected(pub(super) Option<u64>);

impl<S: Send + Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(IF_MATCH).iter();
        let (first, more) = (values.next(), values.next());
        let Some(value) = first else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" && more.is_none() {
            return Ok(Self(None));
        }
        let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let version = tag.filter(|tag| tag.bytes().all(|byte| byte.is_ascii_digit()));
        match version.and_then(|version| version.parse().ok()) {
            Some(version) if more.is_none() => Ok(Self(Some(version))),
            _ if text.starts_with("W/") || tag.is_some() => {
                let detail = "If-Match names no version that ever was; read it again";
                Err(Problem::new(StatusCode::PRECONDITION_FAILED, detail))
            }
            _ => Err(Problem::bad_request("If-Match is one entity tag, such as \"3\", or *")),
        }
    }
}

/// Returns the entity tag of a version.
pub(super) fn entity_tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// The header that names who asks for a change.
pub(crate) const AUTHOR: &str = "tidemill-author";

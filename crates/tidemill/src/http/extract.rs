//! What a request brings, with every misfit told as a problem.
//!
//! | extractor | misfit |
//! | --- | --- |
//! | [`Segments`], [`Parameters`] | 400 |
//! | [`Body`] | 400 no JSON, 413 too long, 415 another content type, 422 JSON that does not fit |
//! | [`Author`], [`Expected`] | 400; a tag of no version is one that never was |

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
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
            // No version that ever was; told once everything else was found good.
            _ if text.is_empty() || text.starts_with("W/") || tag.is_some() => {
                Ok(Self(Some(VERSION_NEVER)))
            }
            _ => Err(Problem::bad_request("If-Match is one entity tag, such as \"3\", or *")),
        }
    }
}

/// Reads a whole number as JSON writes it: `7` and `7.0` are the same.
pub(super) fn whole<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let number = f64::deserialize(deserializer)?;
    let is_whole = number.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&number);
    let whole = is_whole.then(|| T::try_from(number as u64).ok()).flatten();
    whole.ok_or_else(|| D::Error::custom(format!("{number} is no whole number of this range")))
}

/// Reads a [`whole`] number that may be absent but not `null`.
pub(super) fn whole_given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    whole(deserializer).map(Some)
}

/// Returns the entity tag of a version.
pub(super) fn entity_tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// Operations on one thing, which nothing lives long enough for.
const VERSION_NEVER: u64 = u64::MAX;

/// Up to here every whole number is exact as a floating-point number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The header that names who asks for a change.
pub(crate) const AUTHOR: &str = "tidemill-author";

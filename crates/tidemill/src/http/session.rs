//! Sign-in of browsers: `tidemill open` asks for a one-time code, the code becomes the cookie.
//!
//! ```text
//! POST /api/v1/sign-in (token) -> code -> GET /sign-in?code=… (browser) -> cookie, code is void
//! ```
//!
//! The token itself never stands in an address. A code is good for [`CODE_MAX`] and once; at most
//! [`CODES_MAX`] are open, a further one voids the oldest. The cookie holds a secret of its own,
//! kept over restarts, is not readable by scripts and is not sent by pages of other sites; its name
//! holds the port, because browsers share cookies among the ports of a host.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::guard::Token;
use super::problem::Problem;
use super::{Api, pages};
use crate::node::random_hex;

/// Who is signed in, and the codes that may still be used.
#[derive(Debug)]
pub(crate) struct Sessions {
    cookie: String,
    secret: Token,
    /// Oldest first.
    codes: Mutex<VecDeque<(Token, Instant)>>,
}

/// What `tidemill open` gets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SignIn {
    /// Where the browser has to go, once.
    pub(crate) path: String,
    /// How long the path is good.
    pub(crate) expires_in_seconds: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct CodeQuery {
    code: String,
}

impl Sessions {
    /// Makes the sessions of the node at a port, with the secret that its cookies hold.
    pub(crate) fn new(secret: String, port: u16) -> Self {
        let cookie = format!("tidemill_{port}");
        Self { cookie, secret: Token::new(secret), codes: Mutex::default() }
    }

    /// Returns true for a request with the cookie that only this server's own page can send.
    ///
    /// `SameSite` lets other ports of this machine pass; `Origin`, checked for every request, and
    /// `Sec-Fetch-Site` do not. What changes something must come with an `Origin`.
    pub(super) fn lets_in(&self, headers: &HeaderMap, is_change: bool) -> bool {
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let is_own = matches!(site, None | Some(b"same-origin" | b"none"));
        let is_seen = !is_change || headers.contains_key("origin");
        is_own && is_seen && self.has_cookie(headers)
    }

    /// Returns true for a request with the cookie, wherever its link stood.
    pub(super) fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        });
        pairs.any(|value| self.secret.matches(value))
    }

    fn new_code(&self, code: String, now: Instant) {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.len() == CODES_MAX {
            codes.pop_front();
        }
        codes.push_back((Token::new(code), now + CODE_MAX));
    }

    /// Returns true for a code that is open, and voids it.
    fn redeem(&self, code: &str, now: Instant) -> bool {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, expires)| *expires > now);
        let found = codes.iter().position(|(open, _)| open.matches(code));
        found.is_some_and(|at| codes.remove(at).is_some())
    }
}

/// Makes a one-time code.
pub(super) async fn offer(
    State(api): State<Arc<Api>>,
) -> Result<(StatusCode, Json<SignIn>), Problem> {
    let Some(sessions) = &api.sessions else {
        let detail = "this node keeps nothing on disk and so has no sign-in; use the token";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    let code = random_hex().map_err(|failure| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, failure.message().to_owned())
    })?;
    let path = format!("/sign-in?code={code}");
    sessions.new_code(code, Instant::now());
    let sign_in = SignIn { path, expires_in_seconds: CODE_MAX.as_secs() };
    Ok((StatusCode::CREATED, Json(sign_in)))
}

/// Turns a code into the cookie and leads to the page.
pub(super) async fn redeem(
    State(api): State<Arc<Api>>,
    query: Result<Query<CodeQuery>, QueryRejection>,
) -> Response {
    let redeemed = match (&api.sessions, query) {
        (Some(sessions), Ok(Query(CodeQuery { code })))
            if sessions.redeem(&code, Instant::now()) =>
        {
            Some(sessions)
        }
        _ => None,
    };
    let Some(sessions) = redeemed else {
        return pages::sign_in(StatusCode::FORBIDDEN, "This sign-in was used or is too old.");
    };
    let seconds = COOKIE_MAX.as_secs();
    let cookie = format!(
        "{}={}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict",
        sessions.cookie,
        sessions.secret.reveal()
    );
    let Ok(cookie) = HeaderValue::from_str(&cookie) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (StatusCode::SEE_OTHER, [(LOCATION, HeaderValue::from_static("/")), (SET_COOKIE, cookie)])
        .into_response()
}

const CODE_MAX: Duration = Duration::from_secs(300);

const CODES_MAX: usize = 16;

const COOKIE_MAX: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_for_a_while() {
        let sessions = Sessions::new("secret".to_owned(), 7070);
        let now = Instant::now();
        sessions.new_code("a".to_owned(), now);
        assert!(!sessions.redeem("b", now));
        assert!(sessions.redeem("a", now));
        assert!(!sessions.redeem("a", now), "a used code is void");
        sessions.new_code("late".to_owned(), now);
        assert!(!sessions.redeem("late", now + CODE_MAX));
        for code in 0..=CODES_MAX {
            sessions.new_code(format!("code-{code}"), now);
        }
        assert!(!sessions.redeem("code-0", now), "the oldest makes room");
        assert!(sessions.redeem("code-1", now));
    }

    #[test]
    fn the_cookie_counts_only_from_the_page_itself() {
        let sessions = Sessions::new("secret".to_owned(), 7070);
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (axum::http::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            pairs.collect::<HeaderMap>()
        };
        let cookie = ("cookie", "a=b; tidemill_7070=secret");
        assert!(sessions.lets_in(&headers(&[cookie]), false));
        assert!(sessions.lets_in(&headers(&[cookie, ("sec-fetch-site", "same-origin")]), false));
        assert!(!sessions.lets_in(&headers(&[cookie, ("sec-fetch-site", "same-site")]), false));
        assert!(!sessions.lets_in(&headers(&[cookie]), true), "a change needs an Origin");
        assert!(sessions.lets_in(&headers(&[cookie, ("origin", "http://localhost:7070")]), true));
        for wrong in ["tidemill_7071=secret", "tidemill_7070=secre", "xtidemill_7070=secret"] {
            assert!(!sessions.lets_in(&headers(&[("cookie", wrong)]), false), "{wrong}");
        }
    }
}

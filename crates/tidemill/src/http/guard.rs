//! Who may ask: the token, and the pages that may send a browser here.
//!
//! A server on loopback is within reach of every web page that the user opens. A page elsewhere can
//! make the browser send requests (seen by `Origin`), or let its own name resolve to this machine
//! (DNS rebinding, seen by `Host`). Both headers must name this server; the token, or the cookie of
//! a signed-in page, is asked besides.
//!
//! `Host` may be a loopback name or address, the address listened on, and, on a listener for every
//! interface, any IP address: rebinding needs a name. A listener beyond loopback answers the open
//! paths under any name, because a page gains nothing there that it could not ask for directly.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::session::Sessions;
use super::{Api, pages};

/// The secret that opens the API.
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new(secret: String) -> Self {
        Self(secret)
    }

    /// Returns the secret, to be handed to whom it is for.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in a time that depends on the lengths only.
    pub(super) fn matches(&self, given: &str) -> bool {
        let (ours, given) = (self.0.as_bytes(), given.as_bytes());
        let difference = ours.iter().zip(given).fold(0, |sum, (a, b)| sum | (a ^ b));
        // The compiler must not learn that one difference settles it.
        ours.len() == given.len() && std::hint::black_box(difference) == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Lets a request with the token pass.
pub(super) async fn token(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Some(token) = &api.token else {
        let detail = "this node was started without a token; start it with TIDEMILL_TOKEN set";
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    };
    let headers = request.headers();
    let is_change = !request.method().is_safe();
    let is_page = |sessions: &Sessions| sessions.lets_in(headers, is_change);
    if bearer(headers).is_some_and(|given| token.matches(given))
        || api.sessions.as_ref().is_some_and(is_page)
    {
        return next.run(request).await;
    }
    let detail = "send `Authorization: Bearer` with the token in the file `token` of node.data_dir";
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Lets a request of a signed-in browser to a page pass; shows others how to sign in.
pub(super) async fn page(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let is_change = !request.method().is_safe();
    let is_in = |sessions: &Sessions| {
        // A link from elsewhere may lead here; what changes something comes from the page.
        if is_change { sessions.lets_in(headers, true) } else { sessions.has_cookie(headers) }
    };
    if api.sessions.as_ref().is_some_and(is_in) {
        return next.run(request).await;
    }
    let mut response = pages::sign_in(StatusCode::UNAUTHORIZED, "This page needs a sign-in.");
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Lets a request pass that was meant for this server.
pub(super) async fn origin(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let path = request.uri().path();
    let is_open = matches!(path, "/healthz" | "/readyz" | "/metrics");
    let any_host = is_open && !api.address.ip().is_loopback();
    // An absolute request target takes precedence over `Host` (RFC 9112, section 3.2.2).
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.clone()),
        None => header(headers, &HOST).and_then(|host| host.parse().ok()),
    };
    if !any_host && !host.as_ref().is_some_and(|host| is_ours(host, api.address)) {
        let address = api.address;
        let detail =
            format!("the Host header does not name this server; ask for http://{address}/");
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let origin = origin.to_str().ok().and_then(|text| text.strip_prefix("http://"));
        let origin: Option<Authority> = origin.and_then(|text| text.parse().ok());
        let is_same = origin.is_some() && origin == host;
        let is_listener = |origin: &Authority| {
            is_ours(origin, api.address) && origin.port_u16() == Some(api.address.port())
        };
        if !is_same && !origin.as_ref().is_some_and(is_listener) {
            let detail = "requests from pages of another origin are refused";
            return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
        }
    }
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Returns a header's only value; several are as good as none.
fn header<'h>(headers: &'h HeaderMap, name: &axum::http::HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Returns true when an authority names the server that listens on `address`.
fn is_ours(authority: &Authority, address: SocketAddr) -> bool {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == address.ip() || address.ip().is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn host(listen: &str, host: &str, want: bool) {
        let listen = listen.parse().expect("an address");
        let authority: Authority = host.parse().expect("an authority");
        assert_eq!(is_ours(&authority, listen), want, "Host: {host} at {listen}");
    }

    #[test]
    fn only_names_of_this_server_are_its_host() {
        for loopback in ["127.0.0.1:7070", "localhost:7070", "LOCALHOST", "[::1]:7070", "127.0.0.2"]
        {
            host("127.0.0.1:7070", loopback, true);
        }
        for other in
            ["evil.example:7070", "localhost.evil.example", "10.0.0.1:7070", "127.0.0.1.nip.io"]
        {
            host("127.0.0.1:7070", other, false);
        }
        host("10.0.0.1:7070", "10.0.0.1:7070", true);
        host("10.0.0.1:7070", "10.0.0.2:7070", false);
        host("0.0.0.0:7070", "10.0.0.2:7070", true);
        host("0.0.0.0:7070", "evil.example:7070", false);
    }

    #[test]
    fn a_token_matches_itself_only() {
        let token = Token::new("0123456789abcdef".to_owned());
        assert!(token.matches("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF", "x"] {
            assert!(!token.matches(wrong), "{wrong}");
        }
    }
}

//! The page: board, list and task, drawn here as HTML; htmx and a small script move it.
//!
//! | path | what | needs the cookie |
//! | --- | --- | --- |
//! | `/` | the board, or the proxies and how to sign in | for the board |
//! | `/board`, `/list`, `/tasks/{id}` | board, list, task | yes |
//! | `/proxies` | the proxies, drawn from `/metrics` | no |
//! | `/sign-in` | a one-time code becomes the cookie | no |
//!
//! Everything is escaped by maud; no script or style stands in a page, so the policy forbids both.
//! What a form changes is done by the same calls as the API's, under the user's own name.

mod assets;
mod board;
mod list;
mod task;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use maud::{DOCTYPE, Markup, html};
use tidemill_workstream::Error;
use tidemill_workstream::model::{Priority, Status, Timestamp};

use super::{Api, Route};

/// Returns every path of the page that is open to all.
pub(super) fn open_routes() -> Vec<Route<Arc<Api>>> {
    let mut routes = assets::routes();
    routes.push(("/", get(root)));
    routes.push(("/proxies", get(proxies)));
    routes
}

/// Returns every path of the page that needs the cookie.
pub(super) fn routes() -> Vec<Route<Arc<Api>>> {
    vec![
        ("/board", get(board::fragment)),
        ("/list", get(list::page)),
        ("/tasks", post(board::add)),
        ("/tasks/{id}", get(task::page).post(task::save)),
        ("/tasks/{id}/move", post(board::change_status)),
        ("/tasks/{id}/comments", post(task::comment)),
        ("/tasks/{id}/resolve", post(task::resolve)),
        ("/tasks/{id}/remove", post(task::remove)),
    ]
}

/// The board for who is signed in; for others the proxies, which need no sign-in.
async fn root(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let is_in = api.sessions.as_ref().is_some_and(|sessions| sessions.has_cookie(&headers));
    if is_in && api.workstream.is_some() {
        return board::page(State(api)).await;
    }
    proxies(State(api), headers).await
}

async fn proxies(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let is_in = api.sessions.as_ref().is_some_and(|sessions| sessions.has_cookie(&headers));
    let hint = if is_in || api.sessions.is_none() { "" } else { SIGN_IN_HINT };
    let page = assets::PROXIES.replace("<!-- sign-in -->", hint);
    Html(page).into_response()
}

/// Returns a page that says how to sign in.
pub(super) fn sign_in(status: StatusCode, why: &str) -> Response {
    let main = html! {
        section.panel {
            h2 { "Sign in" }
            p { (why) " Run this where the node runs, and open the address that it prints:" }
            pre { "tidemill open" }
        }
    };
    (status, Html(shell("Sign in", Tab::None, &main).into_string())).into_response()
}

/// Adds what every answer carries.
pub(super) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let every = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in every {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Where a page stands among the tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Board,
    List,
    None,
}

/// Returns a whole page around its main part.
fn shell(title: &str, tab: Tab, main: &Markup) -> Markup {
    let current = |of: Tab| (tab == of).then_some("page");
    let is_live = tab != Tab::None || title != "Sign in";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(HTMX_CONFIG);
                title { (title) " · Tidemill" }
                link rel="icon" href=(assets::ICON);
                link rel="stylesheet" href="/page.css";
                link rel="stylesheet" href="/tasks.css";
                script src="/htmx.js" defer {}
                script src="/tasks.js" defer {}
            }
            body.tasks {
                header {
                    h1 { "Tidemill" }
                    nav aria-label="Pages" {
                        a href="/" aria-current=[current(Tab::Board)] { "Board" }
                        a href="/list" aria-current=[current(Tab::List)] { "List" }
                        a href="/proxies" { "Proxies" }
                    }
                    @if is_live { p #state role="status" { "Connecting…" } }
                    p #build { (super::VERSION) }
                }
                main { (main) }
                p #said .unseen role="status" aria-live="polite" {}
            }
        }
    }
}

/// Returns a page that says what went wrong.
fn failure(status: StatusCode, why: &str) -> Response {
    let main = html! {
        section.panel { h2 { "This did not work" } p.text { (why) } p { a href="/" { "Board" } } }
    };
    (status, Html(shell("Not found", Tab::None, &main).into_string())).into_response()
}

/// Says what the workspace has against a request.
fn refusal(error: &Error) -> Response {
    let problem = super::workspace::refusal(error);
    failure(problem.status(), problem.detail())
}

/// Says that there is nothing to show.
fn unserved() -> Response {
    failure(StatusCode::NOT_FOUND, "this node serves no workspace")
}

/// Draws a choice of statuses.
fn status_options(chosen: Option<Status>) -> Markup {
    html! {
        @for status in Status::ALL {
            option value=(status) selected[chosen == Some(status)] { (status) }
        }
    }
}

/// Draws a choice of priorities, the most urgent last.
fn priority_options(chosen: Option<Priority>) -> Markup {
    html! {
        @for priority in Priority::ALL {
            option value=(priority) selected[chosen == Some(priority)] { (priority) }
        }
    }
}

/// Draws a point in time.
fn time(at: Timestamp) -> Markup {
    let text = at.to_string();
    let shown: String = text.chars().take(16).collect();
    html! { time datetime=(text) { (shown.replace('T', " ")) " UTC" } }
}

/// Returns true when htmx asks, which wants a part of the page.
fn is_htmx(request: &Request) -> bool {
    request.headers().contains_key("hx-request")
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Nothing is evaluated, no style is written into the page, nothing is asked of elsewhere.
const HTMX_CONFIG: &str = "{\"allowEval\":false,\"includeIndicatorStyles\":false,\
                           \"selfRequestsOnly\":true,\"historyCacheSize\":0,\
                           \"refreshOnHistoryMiss\":true,\"scrollIntoViewOnBoost\":false}";

const SIGN_IN_HINT: &str = "<p class=\"note\" id=\"sign-in\">Tasks need a sign-in: run \
                            <code>tidemill open</code> and open the address that it prints.</p>";

//! The files of the page, embedded: styles, scripts, the page of the proxies.

use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::get;

use crate::http::{Api, Route};

type File = ([(HeaderName, &'static str); 1], &'static str);

/// The page of the proxies; `<!-- sign-in -->` is a place to fill in.
pub(super) const PROXIES: &str = include_str!("../../../../../web/page.html");

/// Two waves.
pub(super) const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
    viewBox='0 0 16 16'%3E%3Cpath d='M1 6q3.500-4 7 0t7 0M1 11q3.500-4 7 0t7 0' fill='none' \
    stroke='%230b7285' stroke-width='2'/%3E%3C/svg%3E";

/// Returns the path of each file.
pub(super) fn routes() -> Vec<Route<Arc<Api>>> {
    vec![
        ("/page.css", get(async || style(include_str!("../../../../../web/page.css")))),
        ("/tasks.css", get(async || style(include_str!("../../../../../web/tasks.css")))),
        ("/page.js", get(async || script(include_str!("../../../../../web/page.js")))),
        ("/tasks.js", get(async || script(include_str!("../../../../../web/tasks.js")))),
        ("/htmx.js", get(async || script(HTMX))),
    ]
}

fn style(text: &'static str) -> File {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], text)
}

fn script(text: &'static str) -> File {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], text)
}

/// htmx as its authors publish it (Zero-Clause BSD).
const HTMX: &str = include_str!("../../../../../web/vendor/htmx-2.0.11.min.js");

//! What a node serves to people and machines: the page, the API and `/metrics`.
//!
//! ```text
//! connection (bounded, timed) -> Host and Origin -> token -> body limit, deadline -> handler
//! ```
//!
//! `/`, its two assets, `/healthz`, `/readyz` and `/metrics` are open; everything else takes the
//! token. Errors are `application/problem+json` (RFC 9457). Handlers only read counters or hand one
//! command to the engine; none of them waits for a peer.

mod events;
mod guard;
mod history;
pub(crate) mod jobs;
mod open;
mod openapi;
mod page;
mod problem;
mod proxies;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, patch};
use tidemill_metrics::Registry;
use tidemill_proxy::Engine;
use tokio::sync::{Semaphore, watch};

use crate::command::Failure;
use crate::jobs::Jobs;
use crate::node::Remembered;
pub(crate) use guard::Token;
use problem::Problem;
pub(crate) use serve::Server;

/// What the handlers know of the node.
#[derive(Debug)]
pub(crate) struct Api {
    engine: Engine,
    jobs: Arc<Jobs>,
    registry: Registry,
    remembered: Remembered,
    /// Without one, nobody can use what takes a token.
    token: Option<Token>,
    /// Where the server listens.
    address: SocketAddr,
    is_ready: AtomicBool,
    /// Turns true when the server stops; what goes on for long has to look.
    stop: watch::Sender<bool>,
    /// Places for streams of events.
    streams: Arc<Semaphore>,
}

impl Api {
    /// Makes the API of a node that listens on `address`.
    ///
    /// # Errors
    ///
    /// When its metrics cannot be registered.
    pub(crate) fn new(
        engine: Engine,
        jobs: Arc<Jobs>,
        registry: Registry,
        remembered: Remembered,
        token: Option<Token>,
        address: SocketAddr,
    ) -> Result<Self, Failure> {
        let labels = [("version", VERSION), ("commit", COMMIT)];
        registry
            .gauge("tidemill_build_info", "The running build; always 1.", &labels)
            .map_err(|error| Failure::outside(format!("cannot register metrics: {error}")))?
            .set(1);
        Ok(Self {
            engine,
            jobs,
            registry,
            remembered,
            token,
            address,
            is_ready: AtomicBool::new(false),
            stop: watch::Sender::new(false),
            streams: Arc::new(Semaphore::new(events::STREAMS_MAX)),
        })
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }
}

/// A path with what answers it.
type Route = (&'static str, MethodRouter<Arc<Api>>);

/// Returns every path that is open to all.
fn open_routes() -> Vec<Route> {
    vec![
        ("/", get(page::page)),
        ("/page.css", get(page::style)),
        ("/page.js", get(page::script)),
        ("/healthz", get(open::healthz)),
        ("/readyz", get(open::readyz)),
        ("/metrics", get(open::metrics)),
    ]
}

/// Returns every path that takes the token.
fn token_routes() -> Vec<Route> {
    vec![
        ("/api/v1/openapi.json", get(openapi::document)),
        ("/api/v1/events", get(events::events)),
        ("/api/v1/history", get(history::show)),
        ("/api/v1/jobs", get(jobs::list).post(jobs::submit).layer(jobs::body_limit())),
        ("/api/v1/jobs/{job}", get(jobs::show).patch(jobs::change)),
        ("/api/v1/jobs/{job}/log", get(jobs::log)),
        ("/api/v1/proxies", get(proxies::list)),
        ("/api/v1/proxies/{proxy}", get(proxies::show)),
        ("/api/v1/proxies/{proxy}/explain", get(proxies::explain)),
        ("/api/v1/proxies/{proxy}/backends/{backend}", patch(proxies::change_backend)),
    ]
}

fn router(api: Arc<Api>) -> Router {
    let add = |router: Router<Arc<Api>>, (path, handler): Route| router.route(path, handler);
    let guarded = token_routes()
        .into_iter()
        .fold(Router::new(), add)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::token));
    open_routes()
        .into_iter()
        .fold(Router::new(), add)
        .merge(guarded)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(deadline))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::origin))
        .layer(middleware::map_response(page::harden))
        .with_state(api)
}

async fn method_not_allowed(request: Request) -> Problem {
    let method = request.method();
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path does not take {method}"))
}

/// Ends a request that takes too long, a body that trickles included.
async fn deadline(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response()
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that was built, where the build names it in `TIDEMILL_COMMIT`.
const COMMIT: &str = match option_env!("TIDEMILL_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

const BODY_BYTES_MAX: usize = 64 << 10;

const REQUEST_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whether each takes exactly the methods described is asked of a running server.
    #[test]
    fn the_description_names_exactly_the_paths_of_the_api() {
        let document = openapi::value();
        let described = document["paths"].as_object().expect("there are paths").keys().cloned();
        let of_the_page = ["/", "/page.css", "/page.js"];
        let served = open_routes().into_iter().chain(token_routes()).map(|(path, _)| path);
        let served = served.filter(|path| !of_the_page.contains(path)).map(str::to_owned);
        assert_eq!(described.collect::<BTreeSet<_>>(), served.collect());
    }
}

//! `/api/v1/events`: what happens, as server-sent events (WHATWG HTML, 9.2).
//!
//! A stream carries the kinds of events that were asked for; each kind has a name in [`KINDS`] and
//! a source here. Today that is `samples`: what changed in the metrics, once a second.
//!
//! A stream looks at the metrics only when its client has taken the event before, so a slow client
//! gets fewer and larger deltas and never a queue. At most [`STREAMS_MAX`] at a time; each ends
//! when the node stops, and a client that connects again begins with a whole picture.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use tidemill_metrics::{Deltas, Registry};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Api;
use super::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    /// Kinds, separated by commas; all without it.
    kinds: Option<String>,
    /// The stream ends after so many events.
    limit: Option<u64>,
}

pub(super) async fn events(
    State(api): State<Arc<Api>>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let kinds = query.kinds.as_deref().unwrap_or("samples").split(',');
    if let Some(unknown) = kinds.into_iter().find(|kind| !KINDS.contains(kind)) {
        let known = KINDS.join(", ");
        let detail = format!("there are no events `{unknown}`; the kinds are: {known}");
        return Err(Problem::bad_request(detail));
    }
    let place = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS_MAX} streams are open, the most there may be");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    let stopped = api.stop.subscribe();
    let limit = query.limit.unwrap_or(u64::MAX);
    tokio::spawn(send(sender, api.registry.clone(), limit, stopped, place));
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response())
}

/// Sends events until the client has gone, the limit is reached or the node stops.
async fn send(
    mut sender: Sender<Bytes, Infallible>,
    registry: Registry,
    limit: u64,
    mut stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let work = async {
        let mut deltas = Deltas::new(&registry);
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sender.send_data(Bytes::from_static(HELLO)).await.ok()?;
        let mut quiet_since = Instant::now();
        let mut left = limit;
        while left > 0 {
            let now = ticks.tick().await;
            let delta = deltas.next()?;
            let text = if !delta.is_empty() {
                left -= 1;
                format!("event: samples\ndata: {}\n\n", delta.to_json())
            } else if now.duration_since(quiet_since) >= QUIET_MAX {
                ": quiet\n\n".to_owned()
            } else {
                continue;
            };
            quiet_since = now;
            sender.send_data(Bytes::from(text)).await.ok()?;
        }
        Some(())
    };
    tokio::select! {
        _ = work => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// Every kind of event.
const KINDS: [&str; 1] = ["samples"];

/// How many streams there may be; each costs a look at the metrics a second.
pub(super) const STREAMS_MAX: usize = 32;

const PACE: Duration = Duration::from_secs(1);

/// After this time without an event a comment shows that the stream lives.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// When to connect again, in milliseconds.
const HELLO: &[u8] = b"retry: 2000\n\n";

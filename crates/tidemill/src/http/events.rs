//! `/api/v1/events`: what happens, as server-sent events (WHATWG HTML, 9.2).
//!
//! ```text
//! workspace -> hub, which keeps the newest EVENTS_KEPT --+
//!                                                        +-> stream of the kinds asked for
//! metrics, looked at once a second by each stream -------+
//! ```
//!
//! Nothing is written ahead of a client. A slow one gets fewer and larger `samples`, and loses the
//! oldest of the hub's events, which an event `missed` says: it has to read anew. At most
//! [`STREAMS_MAX`] streams; further ones are refused. All end when the node stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_metrics::Deltas;
use tidemill_workstream::model::Subject;
use tidemill_workstream::{Changes, Lagged};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Api;
use super::extract::Parameters;
use super::problem::Problem;

/// Where events come together.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Event>,
    streams: Arc<Semaphore>,
}

/// One thing that happened.
#[derive(Debug, Clone)]
struct Event {
    kind: Kind,
    data: Arc<str>,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The metrics, as they changed; each stream looks for itself, the hub has none.
    Samples,
    /// A task was made, changed or removed.
    Tasks,
    /// A value of shared memory was.
    Memory,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Kinds, separated by commas; all without it.
    kinds: Option<String>,
    /// The stream ends after so many events.
    limit: Option<u64>,
}

impl Events {
    pub(crate) fn new() -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { sender: broadcast::Sender::new(EVENTS_KEPT), streams }
    }

    /// Tells every stream that asked for this kind.
    pub(crate) fn tell(&self, kind: Kind, data: &Value) {
        // Without a stream there is nobody to tell.
        let _ = self.sender.send(Event { kind, data: data.to_string().into() });
    }

    /// Passes on what happens in a workspace until it is closed.
    pub(crate) async fn follow(&self, mut changes: Changes) {
        loop {
            let change = match changes.next().await {
                Ok(Some(change)) => change,
                Ok(None) => return,
                Err(Lagged(missed)) => {
                    let data = json!({ "missed": missed });
                    self.tell(Kind::Tasks, &data);
                    self.tell(Kind::Memory, &data);
                    continue;
                }
            };
            let (kind, id, key) = match &change.subject {
                Subject::Task(id) => (Kind::Tasks, Some(id), None),
                Subject::Memory(key) => (Kind::Memory, None, Some(key)),
                _ => continue,
            };
            self.tell(
                kind,
                &json!({
                    "position": change.position,
                    "what": change.what,
                    "id": id,
                    "key": key.map(ToString::to_string),
                    "fields": change.fields,
                    "author": change.author,
                }),
            );
        }
    }
}

impl Kind {
    /// Every kind.
    const ALL: [Self; 3] = [Self::Samples, Self::Tasks, Self::Memory];

    /// Returns whether the hub tells of it.
    fn is_of_hub(self) -> bool {
        self != Self::Samples
    }

    /// Returns its name as an event.
    const fn word(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Tasks => "tasks",
            Self::Memory => "memory",
        }
    }
}

/// Opens a stream.
pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    Parameters(query): Parameters<Query>,
) -> Result<Response, Problem> {
    let kinds = kinds(query.kinds.as_deref())?;
    let place = Arc::clone(&api.events.streams).try_acquire_owned().map_err(|_| {
        let detail = format!("{STREAMS_MAX} streams are open, the most there may be; close one");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let feed = Feed {
        events: api.events.sender.subscribe(),
        deltas: kinds.contains(&Kind::Samples).then(|| Deltas::new(&api.registry)),
        kinds,
        limit: query.limit.unwrap_or(u64::MAX),
    };
    let (sender, body) = Channel::new(FRAMES_MAX);
    tokio::spawn(run(feed, sender, api.stop.subscribe(), place));
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response())
}

/// Feeds a stream until it is over or the node stops.
async fn run(
    feed: Feed,
    sender: Sender<Bytes, Infallible>,
    mut stopped: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    tokio::select! {
        _ = feed.write(sender) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// What one stream carries.
struct Feed {
    events: broadcast::Receiver<Event>,
    /// Where the stream carries samples.
    deltas: Option<Deltas>,
    kinds: Vec<Kind>,
    limit: u64,
}

impl Feed {
    /// Writes events until the reader has gone (`None`) or the limit is reached.
    async fn write(mut self, mut sender: Sender<Bytes, Infallible>) -> Option<()> {
        sender.send_data(Bytes::from_static(HELLO)).await.ok()?;
        let mut ticks = interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut quiet_since = Instant::now();
        while self.limit > 0 {
            let event = tokio::select! {
                _ = ticks.tick() => self.samples(),
                event = self.events.recv() => self.of_hub(event),
            };
            let text = match event {
                Some(text) => {
                    self.limit -= 1;
                    text
                }
                None if quiet_since.elapsed() >= QUIET_MAX => ": quiet\n\n".to_owned(),
                None => continue,
            };
            quiet_since = Instant::now();
            sender.send_data(Bytes::from(text)).await.ok()?;
        }
        Some(())
    }

    /// Returns what changed in the metrics, if they are asked for.
    fn samples(&mut self) -> Option<String> {
        let delta = self.deltas.as_mut()?.next()?;
        (!delta.is_empty()).then(|| text(Kind::Samples.word(), &delta.to_json()))
    }

    /// Returns what the hub told, if it is asked for.
    fn of_hub(&self, event: Result<Event, RecvError>) -> Option<String> {
        match event {
            Ok(event) if self.kinds.contains(&event.kind) => {
                Some(text(event.kind.word(), &event.data))
            }
            Err(RecvError::Lagged(missed)) if self.kinds.iter().any(|kind| kind.is_of_hub()) => {
                Some(text("missed", &format!("{{\"missed\":{missed}}}")))
            }
            _ => None,
        }
    }
}

fn text(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn kinds(given: Option<&str>) -> Result<Vec<Kind>, Problem> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(Kind::ALL.to_vec());
    };
    let found = given.split(',').map(|word| {
        let known = Kind::ALL.into_iter().find(|kind| kind.word() == word);
        known.ok_or_else(|| {
            let all = Kind::ALL.map(Kind::word).join(", ");
            let detail = format!("there are no events `{word}`; the kinds are: {all}");
            Problem::bad_request(detail)
        })
    });
    found.collect()
}

const EVENTS_KEPT: usize = 1_024;

/// Events written ahead of a reader that does not read.
const FRAMES_MAX: usize = 1;

/// How many streams there may be; each may cost a look at the metrics a second.
const STREAMS_MAX: usize = 32;

const PACE: Duration = Duration::from_secs(1);

/// After this time without an event a comment shows that the stream lives.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// When to connect again, in milliseconds.
const HELLO: &[u8] = b"retry: 2000\n\n";

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn kinds_are_known_by_their_words() {
        assert_eq!(kinds(None).expect("all"), Kind::ALL);
        assert_eq!(kinds(Some("")).expect("all"), Kind::ALL);
        assert_eq!(kinds(Some("memory")).expect("one"), [Kind::Memory]);
        assert!(kinds(Some("tasks,weather")).is_err());
    }

    #[tokio::test]
    async fn a_stream_carries_its_kinds_and_ends_with_the_node() {
        let hub = Events::new();
        let kinds = vec![Kind::Tasks];
        let events = hub.sender.subscribe();
        let feed = Feed { events, deltas: None, kinds, limit: u64::MAX };
        hub.tell(Kind::Memory, &json!({ "key": "a/b" }));
        hub.tell(Kind::Tasks, &json!({ "id": 1 }));
        let (sender, mut body) = Channel::new(FRAMES_MAX);
        let place = Arc::clone(&hub.streams).acquire_owned().await.expect("a place");
        let stop = watch::Sender::new(false);
        let running = tokio::spawn(run(feed, sender, stop.subscribe(), place));
        for want in ["retry: 2000\n\n", "event: tasks\ndata: {\"id\":1}\n\n"] {
            let frame = body.frame().await.expect("the stream goes on").expect("it is whole");
            assert_eq!(frame.into_data().expect("data"), want);
        }
        stop.send_replace(true);
        running.await.expect("it ends");
        assert!(body.frame().await.is_none());
        assert_eq!(hub.streams.available_permits(), STREAMS_MAX);
    }

    #[tokio::test]
    async fn a_reader_that_was_too_slow_is_told_what_it_missed() {
        let hub = Events::new();
        let events = hub.sender.subscribe();
        let feed = Feed { events, deltas: None, kinds: vec![Kind::Tasks], limit: 1 };
        for id in 0..EVENTS_KEPT + 3 {
            hub.tell(Kind::Tasks, &json!({ "id": id }));
        }
        let (sender, body) = Channel::new(FRAMES_MAX);
        let (over, text) = tokio::join!(feed.write(sender), body.collect());
        assert_eq!(over, Some(()));
        let text = text.expect("the stream is whole").to_bytes();
        assert_eq!(text, "retry: 2000\n\nevent: missed\ndata: {\"missed\":3}\n\n");
    }
}

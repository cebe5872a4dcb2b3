//! `/api/v1/events`: what happens, told as it happens (server-sent events).
//!
//! One hub takes events of every kind; each stream gets those of the kinds it asked for. A slow
//! stream loses the oldest of [`EVENTS_KEPT`] and is told so by an event `missed`: its reader has
//! to read anew. At most [`STREAMS_MAX`] streams; further ones are refused. A line of comment every
//! [`PULSE`] finds out about readers that went away. When the node stops, the hub closes and every
//! stream ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use serde_json::{Value, json};
use tidemill_workstream::model::Subject;
use tidemill_workstream::{Changes, Lagged};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

use super::Api;
use super::extract::Parameters;
use super::problem::Problem;

/// Where events come together.
#[derive(Debug)]
pub(crate) struct Events {
    /// `None` once the hub is closed.
    sender: Mutex<Option<broadcast::Sender<Event>>>,
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
    /// A task was made, changed or removed.
    Tasks,
    /// A value of shared memory was.
    Memory,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    kinds: Option<String>,
}

impl Events {
    pub(crate) fn new() -> Self {
        let sender = broadcast::Sender::new(EVENTS_KEPT);
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { sender: Mutex::new(Some(sender)), streams }
    }

    /// Tells every stream that asked for this kind.
    pub(crate) fn tell(&self, kind: Kind, data: &Value) {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = sender.as_ref() {
            // Without a stream there is nobody to tell.
            let _ = sender.send(Event { kind, data: data.to_string().into() });
        }
    }

    /// Ends every stream, those to come included.
    pub(crate) fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
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
            let kind = match &change.subject {
                Subject::Task(_) => Kind::Tasks,
                Subject::Memory(_) => Kind::Memory,
                _ => continue,
            };
            let (id, key) = match &change.subject {
                Subject::Task(id) => (Some(id), None),
                Subject::Memory(key) => (None, Some(key)),
                _ => (None, None),
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

    fn subscribe(&self) -> Option<broadcast::Receiver<Event>> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().map(broadcast::Sender::subscribe)
    }
}

impl Kind {
    /// Every kind.
    const ALL: [Self; 2] = [Self::Tasks, Self::Memory];

    /// Returns its name as an event.
    const fn word(self) -> &'static str {
        match self {
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
    let full = || {
        let detail = format!("{STREAMS_MAX} streams are open already; close one");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    };
    let place = Arc::clone(&api.events.streams).try_acquire_owned().map_err(|_| full())?;
    let Some(receiver) = api.events.subscribe() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"));
    };
    let (sender, body) = Channel::new(FRAMES_MAX);
    tokio::spawn(feed(receiver, sender, kinds, place));
    let headers = [(CONTENT_TYPE, "text/event-stream")];
    Ok((headers, Body::new(body)).into_response())
}

/// Writes events to a stream until its reader, or the hub, is gone.
async fn feed(
    mut receiver: broadcast::Receiver<Event>,
    mut sender: Sender<Bytes>,
    kinds: Vec<Kind>,
    _place: OwnedSemaphorePermit,
) {
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let text = tokio::select! {
            _ = pulse.tick() => ": here\n\n".to_owned(),
            event = receiver.recv() => match event {
                Ok(event) if kinds.contains(&event.kind) => {
                    format!("event: {}\ndata: {}\n\n", event.kind.word(), event.data)
                }
                Ok(_) => continue,
                Err(RecvError::Lagged(missed)) => {
                    format!("event: missed\ndata: {{\"missed\":{missed}}}\n\n")
                }
                Err(RecvError::Closed) => return,
            },
        };
        if sender.send_data(Bytes::from(text)).await.is_err() {
            return;
        }
    }
}

fn kinds(given: Option<&str>) -> Result<Vec<Kind>, Problem> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(Kind::ALL.to_vec());
    };
    let found = given.split(',').map(|word| {
        let known = Kind::ALL.into_iter().find(|kind| kind.word() == word);
        known.ok_or_else(|| {
            let all = Kind::ALL.map(Kind::word).join(", ");
            Problem::bad_request(format!("`{word}` is no kind of event; there are {all}"))
        })
    });
    found.collect()
}

const EVENTS_KEPT: usize = 1_024;

/// Events written ahead of a reader that does not read.
const FRAMES_MAX: usize = 64;

const STREAMS_MAX: usize = 64;

const PULSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_words() {
        assert_eq!(kinds(None).expect("all"), Kind::ALL);
        assert_eq!(kinds(Some("")).expect("all"), Kind::ALL);
        assert_eq!(kinds(Some("memory")).expect("one"), [Kind::Memory]);
        assert!(kinds(Some("tasks,weather")).is_err());
    }

    #[tokio::test]
    async fn a_closed_hub_ends_its_streams() {
        let events = Events::new();
        let mut receiver = events.subscribe().expect("the hub is open");
        events.tell(Kind::Tasks, &json!({ "id": 1 }));
        assert_eq!(&*receiver.recv().await.expect("the event").data, "{\"id\":1}");
        events.close();
        assert!(matches!(receiver.recv().await, Err(RecvError::Closed)));
        assert!(events.subscribe().is_none());
    }
}

//! The connection, the two streams and the consumers; made by whichever node comes first.

use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, context::ContextBuilder};
use tokio::time::sleep;

use super::{NatsOptions, unavailable};
use crate::core::Priority;
use crate::durable::error::Error;
use crate::durable::job::JobId;

pub(super) async fn connect(options: &NatsOptions) -> Result<Context, Error> {
    let mut connect = ConnectOptions::new()
        .name("tidemill jobs")
        .connection_timeout(CONNECT_MAX)
        .request_timeout(Some(REQUEST_MAX))
        .reconnect_delay_callback(|attempts| {
            RECONNECT_MAX.min(Duration::from_millis(20 << attempts.min(7)))
        });
    if options.only_named_servers {
        connect = connect.ignore_discovered_servers();
    }
    let client = connect.connect(&options.servers).await.map_err(|error| {
        let servers = options.servers.join(", ");
        Error::Unavailable(format!(
            "no NATS server lets us in at {servers}: {error}; start one, or correct cluster.nats"
        ))
    })?;
    Ok(ContextBuilder::new().timeout(REQUEST_MAX).ack_timeout(REQUEST_MAX).build(client))
}

/// Returns the queue and the bucket.
pub(super) async fn streams(
    context: &Context,
    options: &NatsOptions,
) -> Result<(Stream, Stream), Error> {
    let queue = Config {
        name: format!("{}_jobs", options.name),
        subjects: vec![format!("{}.jobs.*.*", options.name)],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        num_replicas: options.replicas,
        max_messages: i64::try_from(options.waiting_max).unwrap_or(i64::MAX),
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        duplicate_window: DUPLICATE_WINDOW,
        description: Some("Tidemill: jobs that have not ended".to_owned()),
        ..Config::default()
    };
    // As `nats kv add` makes a bucket, so that `nats kv` reads it.
    let state = Config {
        name: format!("KV_{}_state", options.name),
        subjects: vec![format!("$KV.{}_state.>", options.name)],
        storage: StorageType::File,
        num_replicas: options.replicas,
        max_messages: -1,
        max_messages_per_subject: 1,
        max_age: options.keep_age,
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW.min(options.keep_age),
        allow_rollup: true,
        deny_delete: true,
        description: Some("Tidemill: jobs that have begun".to_owned()),
        ..Config::default()
    };
    Ok((stream(context, queue).await?, stream(context, state).await?))
}

/// Makes one consumer for each priority, in the order of [`Priority::ALL`].
pub(super) async fn consumers(
    queue: &Stream,
    options: &NatsOptions,
) -> Result<Vec<PullConsumer>, Error> {
    let mut consumers = Vec::new();
    for priority in Priority::ALL {
        let config = pull::Config {
            durable_name: Some(consumer_name(priority)),
            filter_subject: format!("{}.jobs.{priority}.*", options.name),
            ack_policy: AckPolicy::Explicit,
            ack_wait: options.lease,
            max_ack_pending: ACK_PENDING_MAX,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let mut tries = 0;
        loop {
            match queue.create_consumer(config.clone()).await {
                Ok(consumer) => break consumers.push(consumer),
                Err(error) if tries == SETUP_TRIES => {
                    return Err(unavailable("make a consumer", &error));
                }
                Err(_) => tries += 1,
            }
            sleep(SETUP_PAUSE).await;
        }
    }
    Ok(consumers)
}

pub(super) fn consumer_name(priority: Priority) -> String {
    format!("runners_{priority}")
}

/// Returns the subject under which a job waits.
pub(super) fn waiting_subject(options: &NatsOptions, priority: Priority, id: JobId) -> String {
    format!("{}.jobs.{priority}.{id}", options.name)
}

/// Returns the subject of all that wait.
pub(super) fn all_waiting(options: &NatsOptions) -> String {
    format!("{}.jobs.*.*", options.name)
}

/// Returns the bucket's subject of a job.
pub(super) fn state_subject(options: &NatsOptions, id: &str) -> String {
    format!("$KV.{}_state.{id}", options.name)
}

/// Returns the subject where submissions are made known; nothing is lost with what is said there.
pub(super) fn news(options: &NatsOptions) -> String {
    format!("{}.news", options.name)
}

/// Finds or makes a stream; a cluster that is electing its leaders gets some time.
async fn stream(context: &Context, config: Config) -> Result<Stream, Error> {
    let mut tries = 0;
    loop {
        let error = match context.get_or_create_stream(config.clone()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        tries += 1;
        let text = error.to_string();
        // What waiting does not help against.
        let is_refused = text.contains("replicas > 1") || text.contains("not enabled");
        if is_refused || tries == SETUP_TRIES {
            return Err(Error::Unavailable(format!(
                "NATS: cannot make the stream {}: {text}; a server needs JetStream on, and \
                 cluster.replicas = {} as many servers that know each other",
                config.name, config.num_replicas
            )));
        }
        sleep(SETUP_PAUSE).await;
    }
}

const CONNECT_MAX: Duration = Duration::from_secs(5);

const REQUEST_MAX: Duration = Duration::from_secs(3);

const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// A submission that is repeated within this time is recognised by its id.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// More than all runners together hold.
const ACK_PENDING_MAX: i64 = 100_000;

const SETUP_TRIES: u32 = 40;

const SETUP_PAUSE: Duration = Duration::from_millis(500);

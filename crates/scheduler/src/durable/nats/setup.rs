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
        let servers = shown(&options.servers);
        // What the client quotes of an address is quoted without its secrets.
        let mut error = error.to_string();
        for server in &options.servers {
            error = error.replace(server.as_str(), &shown(std::slice::from_ref(server)));
        }
        Error::Unavailable(format!(
            "no NATS server lets us in at {servers}: {error}; start one, or correct cluster.nats"
        ))
    })?;
    Ok(ContextBuilder::new().timeout(REQUEST_MAX).ack_timeout(REQUEST_MAX).build(client))
}

/// Returns addresses as they may be shown: without users, passwords and tokens.
pub(super) fn shown(servers: &[String]) -> String {
    let without = |server: &String| match server.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://{host}"),
            None => host.to_owned(),
        },
        None => server.clone(),
    };
    servers.iter().map(without).collect::<Vec<_>>().join(", ")
}

/// Returns the queue and the bucket; only who runs jobs makes them.
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
        // What is forgotten may be submitted again.
        duplicate_window: DUPLICATE_WINDOW.min(options.remembered()),
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
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW,
        allow_rollup: true,
        deny_delete: true,
        description: Some("Tidemill: jobs that have begun".to_owned()),
        ..Config::default()
    };
    if !options.is_runner {
        return Ok((there(context, &queue.name).await?, there(context, &state.name).await?));
    }
    Ok((stream(context, queue).await?, stream(context, state).await?))
}

/// Returns one consumer for each priority, in the order of [`Priority::ALL`]; one that is missing
/// is made, one that is there is left as it is, because every node shares it.
///
/// # Errors
///
/// [`Error::OtherLease`] when the nodes before have another lease.
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
        let consumer = loop {
            match queue.get_or_create_consumer(&consumer_name(priority), config.clone()).await {
                Ok(consumer) => break consumer,
                Err(error) if tries == SETUP_TRIES => {
                    return Err(unavailable("make a consumer", &error));
                }
                Err(_) => tries += 1,
            }
            sleep(SETUP_PAUSE).await;
        };
        let theirs = consumer.cached_info().config.ack_wait;
        if theirs != options.lease {
            return Err(Error::OtherLease { ours: options.lease, theirs });
        }
        consumers.push(consumer);
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

/// Finds a stream that a node has made.
async fn there(context: &Context, name: &str) -> Result<Stream, Error> {
    context.get_stream(name).await.map_err(|error| {
        let error = unavailable(&format!("find the stream {name}"), &error);
        Error::Unavailable(format!("{error}; the first node of the cluster makes it: start one"))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_addresses_are_not_shown() {
        let servers = ["nats://u:p@ss@a:1", "token@b:2", "tls://c:3"].map(str::to_owned);
        assert_eq!(shown(&servers), "nats://a:1, b:2, tls://c:3");
        let options = NatsOptions::new(servers);
        let text = format!("{options:?}");
        assert!(!text.contains("p@ss") && !text.contains("token"), "{text}");
    }
}

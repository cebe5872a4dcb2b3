//! Durable jobs, one case in a process: measures, prints `name value` lines, ends.
//!
//! | case | prints |
//! | --- | --- |
//! | `alone` | jobs a second: accepted in batches, one by one from 64 callers, run to end |
//! | `together N` | the same over N nats-servers with N replicas, and raw JetStream beside it |
//!
//! Each part is measured three times; batches have 1,000 jobs, handlers do nothing. Raw JetStream
//! is the same number of messages of the same size, published and acknowledged in the same
//! batches, in turn with ours.

#![expect(clippy::print_stdout, reason = "figures go to whoever asked for them")]

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use futures_util::future::join_all;
use tempfile::TempDir;
use testkit::Nats;
use tidemill_metrics::Registry;
use tidemill_scheduler::durable::nats::{NatsOptions, NatsStore};
use tidemill_scheduler::durable::sqlite::{SqliteOptions, SqliteStore};
use tidemill_scheduler::durable::{
    Environment, Handlers, JobSpec, JobStore, Logs, ResourceLimits, Runner, RunnerOptions,
};

const BATCH: usize = 1_000;

const ROUNDS: usize = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|given| given != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["alone"] => alone().await,
        ["together", servers] => together(servers.parse().expect("a number of servers")).await,
        _ => println!("name a case: alone, together 1, together 3"),
    }
}

async fn alone() {
    let folder = TempDir::new().expect("a folder");
    let mut options = SqliteOptions::new(folder.path().join("jobs.sqlite"));
    options.waiting_max = 1_000_000;
    let store = Arc::new(SqliteStore::open(options).expect("a store"));
    for _ in 0..ROUNDS {
        print_rate("accepted_in_batches", 50 * BATCH, submit(&*store, 50).await);
        print_rate("accepted_one_by_one", 64 * 100, one_by_one(&store).await);
        print_rate("run_to_end", 50 * BATCH + 64 * 100, drain(store.clone(), &folder).await);
    }
}

async fn together(count: usize) {
    let Some(nats) = Nats::start(count) else { return };
    let folder = TempDir::new().expect("a folder");
    let options = NatsOptions { replicas: count, ..NatsOptions::new(nats.urls()) };
    let store = Arc::new(NatsStore::connect(options).await.expect("the servers let us in"));
    let context = jetstream::new(async_nats::connect(nats.urls()).await.expect("a connection"));
    let config = stream::Config {
        name: "raw".to_owned(),
        subjects: vec!["raw".to_owned()],
        num_replicas: count,
        ..stream::Config::default()
    };
    context.create_stream(config).await.expect("a stream");
    let size = serde_json::to_vec(&JobSpec::handler("nothing", [])).expect("JSON").len() + 250;
    for _ in 0..ROUNDS {
        print_rate("raw_publish_ack", 10 * BATCH, raw(&context, 10, size).await);
        print_rate("accepted_in_batches", 10 * BATCH, submit(&*store, 10).await);
        print_rate("run_to_end", 10 * BATCH, drain(store.clone(), &folder).await);
    }
}

fn print_rate(name: &str, count: usize, time: Duration) {
    println!("{name} {:.0}", count as f64 / time.as_secs_f64());
}

async fn submit(store: &dyn JobStore, batches: usize) -> Duration {
    let begin = now();
    for _ in 0..batches {
        let jobs = vec![JobSpec::handler("nothing", []); BATCH];
        store.submit(jobs).await.expect("there is room");
    }
    begin.elapsed()
}

async fn one_by_one(store: &Arc<SqliteStore>) -> Duration {
    let begin = now();
    let callers = (0..64).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for _ in 0..100 {
                let job = vec![JobSpec::handler("nothing", [])];
                store.submit(job).await.expect("there is room");
            }
        })
    });
    join_all(callers).await;
    begin.elapsed()
}

/// Runs everything that waits.
async fn drain(store: Arc<dyn JobStore>, folder: &TempDir) -> Duration {
    let options = RunnerOptions {
        node: "bench".into(),
        concurrency: 256,
        lease: Duration::from_secs(30),
        grace: Duration::from_secs(1),
        environment: Environment::default(),
        limits: ResourceLimits::default(),
        logs: Logs::new(folder.path(), 1_000),
        logs_age: None,
        folder: folder.path().into(),
        handlers: Handlers::default().with("nothing", |_| async { Ok(()) }),
    };
    let begin = now();
    let runner = Runner::start(Arc::clone(&store), options, &Registry::default()).expect("metrics");
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let counts = store.counts().await.expect("counted");
        if !counts.iter().any(|count| !count.state.is_final() && count.jobs > 0) {
            break;
        }
    }
    let time = begin.elapsed();
    runner.stop(Duration::from_secs(5)).await;
    time
}

async fn raw(context: &jetstream::Context, batches: usize, size: usize) -> Duration {
    let begin = now();
    for _ in 0..batches {
        let mut answers = Vec::with_capacity(BATCH);
        for _ in 0..BATCH {
            let sent = context.publish("raw", vec![b'x'; size].into()).await.expect("sent");
            answers.push(sent.into_future());
        }
        for answer in join_all(answers).await {
            answer.expect("acknowledged");
        }
    }
    begin.elapsed()
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    Instant::now()
}

//! Three servers, four nodes, 10,000 jobs; servers and nodes are killed, hung and cut off in turn.
//! Each job ends once, and none is lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Nats, Signal};
use tidemill_metrics::Registry;
use tidemill_scheduler::core::{Priority, State};
use tidemill_scheduler::durable::nats::{NatsOptions, NatsStore};
use tidemill_scheduler::durable::{
    Environment, Filter, Handlers, Job, JobSpec, JobStore, Logs, ResourceLimits, Runner,
    RunnerOptions,
};
use tokio::time::{Instant, sleep};

use crate::relay::Relay;
use crate::{connect, options};

const JOBS: usize = 10_000;

const NODES: usize = 4;

const WITHIN: Duration = Duration::from_secs(150);

/// How often each job's handler ran, by its number.
type Runs = Arc<Vec<AtomicU32>>;

/// One node: a wire of its own to the servers, a store, a runner.
struct Node {
    relay: Relay,
    runner: Option<Runner>,
    registry: Registry,
    folder: TempDir,
    runs: Runs,
}

impl Node {
    async fn start(nats: &Nats, number: usize, runs: &Runs) -> Self {
        let mut servers = nats.addresses();
        servers.rotate_left(number % 3);
        let folder = TempDir::new().expect("a folder");
        let relay = Relay::start(servers).await;
        let (registry, runs) = (Registry::default(), Arc::clone(runs));
        let mut node = Self { relay, runner: None, registry, folder, runs };
        node.run().await;
        node
    }

    /// Begins to run jobs, unless the servers it knows do not let it in now.
    async fn run(&mut self) {
        let options =
            NatsOptions { only_named_servers: true, ..options([self.relay.url.clone()], 3) };
        let lease = options.lease;
        let Ok(store) = NatsStore::connect(options).await else { return };
        let runs = Arc::clone(&self.runs);
        let handler = move |context: tidemill_scheduler::durable::Context| {
            let runs = Arc::clone(&runs);
            async move {
                let number = u32::from_be_bytes(context.payload.try_into().unwrap_or_default());
                runs[number as usize].fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(5)).await;
                Ok(())
            }
        };
        let options = RunnerOptions {
            node: self.relay.url.as_str().into(),
            concurrency: 64,
            lease,
            grace: Duration::from_secs(1),
            environment: Environment::default(),
            limits: ResourceLimits::default(),
            logs: Logs::new(self.folder.path(), 1_000),
            logs_age: None,
            folder: self.folder.path().into(),
            handlers: Handlers::default().with("count", handler),
        };
        let runner = Runner::start(Arc::new(store), options, &self.registry);
        self.runner = Some(runner.expect("metrics"));
    }

    /// As `kill -9`: nothing is handed back, nothing is said.
    fn kill(&mut self) {
        self.runner = None;
    }

    /// Returns how many ends this node recorded.
    fn ends(&self) -> u64 {
        let rendered = self.registry.render_prometheus();
        let lines = rendered.lines().filter(|line| line.starts_with("tidemill_job_ends_total{"));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    }
}

async fn submit_all(store: &NatsStore) {
    for batch in (0..JOBS).collect::<Vec<_>>().chunks(500) {
        let spec = |number: &usize| {
            JobSpec::handler("count", (*number as u32).to_be_bytes())
                .with_priority(Priority::ALL[number % 5])
                .with_key(format!("job {number}"))
        };
        // After an error the keys make the second attempt safe.
        let mut tries = 0;
        while let Err(error) = store.submit(batch.iter().map(spec).collect()).await {
            tries += 1;
            assert!(tries < 60, "{error}");
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Kills, hangs and cuts off a server or a node, one after the other, until told to stop.
async fn disturb(nats: Arc<Mutex<Nats>>, nodes: Arc<tokio::sync::Mutex<Vec<Node>>>) {
    let pause = Duration::from_millis(1_500);
    for round in 0_usize.. {
        let (server, node) = (round % 3, round % NODES);
        sleep(pause).await;
        let blocking = |act: fn(&mut Nats, usize)| {
            let nats = Arc::clone(&nats);
            tokio::task::spawn_blocking(move || act(&mut nats.lock().expect("servers"), server))
        };
        match round % 4 {
            0 => {
                blocking(|nats, server| nats.stop(server)).await.expect("killed");
                sleep(pause).await;
                blocking(|nats, server| nats.restart(server)).await.expect("started");
            }
            1 => nodes.lock().await[node].kill(),
            2 => {
                blocking(|nats, server| nats.process(server).signal(Signal::STOP))
                    .await
                    .expect("hung");
                sleep(pause * 2).await;
                blocking(|nats, server| nats.process(server).signal(Signal::CONT))
                    .await
                    .expect("on");
            }
            _ => {
                nodes.lock().await[node].relay.cut();
                // Longer than a lease: its jobs go on to others, and then it comes back.
                sleep(Duration::from_secs(5)).await;
                nodes.lock().await[node].relay.mend();
            }
        }
        let mut nodes = nodes.lock().await;
        for node in nodes.iter_mut().filter(|node| node.runner.is_none()) {
            node.run().await;
        }
    }
}

async fn all_jobs(store: &NatsStore, begin: Instant) -> BTreeMap<String, Job> {
    let (mut jobs, mut after) = (BTreeMap::new(), None);
    loop {
        let filter = Filter { limit: 1_000, after: after.clone(), ..Filter::default() };
        let page = match store.list(filter).await {
            Ok(page) => page,
            // It elects its leaders still.
            Err(error) if begin.elapsed() < WITHIN => {
                assert!(error.is_retryable(), "{error}");
                sleep(Duration::from_millis(500)).await;
                continue;
            }
            Err(error) => panic!("the cluster is not whole again: {error}"),
        };
        for job in page.jobs {
            jobs.insert(job.spec.key.clone().unwrap_or_default(), job);
        }
        after = page.next;
        if after.is_none() {
            return jobs;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_jobs_end_once_each_whatever_dies() {
    let Some(nats) = Nats::start(3) else { return };
    let runs: Runs = Arc::new((0..JOBS).map(|_| AtomicU32::new(0)).collect());
    let store = connect(options(nats.urls(), 3)).await;
    let mut nodes = Vec::new();
    for number in 0..NODES {
        nodes.push(Node::start(&nats, number, &runs).await);
    }
    let (nats, nodes) = (Arc::new(Mutex::new(nats)), Arc::new(tokio::sync::Mutex::new(nodes)));
    let begin = Instant::now();
    let trouble = tokio::spawn(disturb(Arc::clone(&nats), Arc::clone(&nodes)));
    submit_all(&store).await;
    let submitted = begin.elapsed();
    let is_over = |ran: usize| ran == JOBS;
    let mut ran = 0;
    while begin.elapsed() < WITHIN && !is_over(ran) {
        sleep(Duration::from_millis(200)).await;
        ran = runs.iter().filter(|runs| runs.load(Ordering::Relaxed) > 0).count();
    }
    trouble.abort();
    // Whatever was hung or cut off at that moment goes on.
    let _ = trouble.await;
    {
        let mut nats = nats.lock().expect("servers");
        for server in 0..3 {
            if nats.is_running(server) {
                nats.process(server).signal(Signal::CONT);
            } else {
                nats.restart(server);
            }
        }
    }
    for node in nodes.lock().await.iter_mut() {
        node.relay.mend();
        while node.runner.is_none() && begin.elapsed() < WITHIN {
            node.run().await;
        }
    }
    let ended = |jobs: &BTreeMap<String, Job>| {
        jobs.values().filter(|job| job.progress.state == State::Completed).count()
    };
    let mut jobs = all_jobs(&store, begin).await;
    while begin.elapsed() < WITHIN && ended(&jobs) < JOBS {
        sleep(Duration::from_secs(1)).await;
        jobs = all_jobs(&store, begin).await;
    }
    let took = begin.elapsed();
    assert_eq!((jobs.len(), ended(&jobs)), (JOBS, JOBS), "one was lost");
    let told: u64 = nodes.lock().await.iter().map(Node::ends).sum();
    assert!(told <= JOBS as u64, "{told} ends of {JOBS} jobs were recorded");
    let again: u32 = runs.iter().map(|runs| runs.load(Ordering::Relaxed) - 1).sum();
    let interrupted: u32 = jobs.values().map(|job| job.progress.interruptions).sum();
    assert!(interrupted > 0, "nothing was disturbed");
    println!(
        "{JOBS} jobs on {NODES} nodes and 3 servers under faults: submitted in {submitted:.1?}, \
         all ended after {took:.1?}; {again} runs repeated, {interrupted} leases handed on"
    );
}

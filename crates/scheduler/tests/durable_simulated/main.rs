//! A cluster in one thread and in simulated time: runners over a store whose answers are late,
//! lost or doubled, on nodes that crash, hang and come back. The same seed is the same history.
//!
//! Checked in each history: every job ends exactly once, none is lost, every effect is made once
//! under its key, and nobody but the holder of the newest lease ends a job.

mod store;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_metrics::Registry;
use tidemill_scheduler::core::{Priority, State};
use tidemill_scheduler::durable::{
    Environment, Handlers, JobSpec, JobStore, Logs, ResourceLimits, Runner, RunnerOptions,
};
use tokio::time::sleep;

use store::{Faults, Memory, Wire};

const NODES: usize = 4;

const JOBS: usize = 60;

/// Three times whole seconds, as renewals come every third of it.
const LEASE: Duration = Duration::from_secs(9);

/// Effects by key, as another system would keep them.
type Effects = Arc<Mutex<BTreeSet<String>>>;

fn options(number: usize, effects: &Effects) -> RunnerOptions {
    let effects = Arc::clone(effects);
    let handler = move |context: tidemill_scheduler::durable::Context| {
        let effects = Arc::clone(&effects);
        async move {
            sleep(Duration::from_millis(fastrand::u64(0..20_000))).await;
            if fastrand::u32(..10) == 0 {
                return Err("it failed by chance".to_owned());
            }
            effects.lock().expect("effects").insert(context.key);
            Ok(())
        }
    };
    RunnerOptions {
        node: format!("node {number}").into(),
        concurrency: 5,
        lease: LEASE,
        grace: Duration::from_secs(1),
        environment: Environment::default(),
        limits: ResourceLimits::default(),
        logs: Logs::new("/nowhere", 1_000),
        logs_age: None,
        folder: format!("/nowhere/{number}").into(),
        handlers: Handlers::default().with("effect", handler),
    }
}

fn start(store: &Arc<Memory>, wire: &Arc<Wire>, number: usize, effects: &Effects) -> Runner {
    let faulty = Arc::new(Faults::new(Arc::clone(store), Arc::clone(wire)));
    Runner::start(faulty, options(number, effects), &Registry::default()).expect("metrics")
}

/// Plays one history and returns what happened, one line for each event of the store.
async fn play(seed: u64) -> Vec<String> {
    fastrand::seed(seed);
    let store = Arc::new(Memory::default());
    let effects = Effects::default();
    let wires: Vec<_> = (0..NODES).map(|_| Arc::new(Wire::default())).collect();
    let mut nodes: Vec<_> =
        (0..NODES).map(|number| Some(start(&store, &wires[number], number, &effects))).collect();
    let client = Faults::new(Arc::clone(&store), Arc::new(Wire::default()));
    for number in 0..JOBS {
        let priority = Priority::ALL[number % 5];
        let spec = JobSpec::handler("effect", []).with_priority(priority).with_retries(20);
        let spec = spec.with_key(format!("job {number}"));
        while client.submit(vec![spec.clone()]).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    }
    let mut rounds = 0;
    while store.ended() < JOBS {
        rounds += 1;
        assert!(rounds < 5_000, "seed {seed}: {} of {JOBS} jobs have ended", store.ended());
        sleep(Duration::from_millis(fastrand::u64(100..5_000))).await;
        let number = fastrand::usize(..NODES);
        match fastrand::u32(..4) {
            // A crash: nothing is handed back.
            0 => drop(nodes[number].take()),
            1 => wires[number].cut(),
            2 => wires[number].mend(),
            _ => {
                let is_there = nodes[number].is_some();
                if !is_there {
                    wires[number].mend();
                    nodes[number] = Some(start(&store, &wires[number], number, &effects));
                }
            }
        }
    }
    // Late ones may still try; nothing may change any more.
    wires.iter().for_each(|wire| wire.mend());
    sleep(LEASE * 3).await;
    for job in store.jobs() {
        assert_eq!(job.progress.state, State::Completed, "seed {seed}: {job:?}");
    }
    assert_eq!(store.jobs().len(), JOBS, "seed {seed}: one was lost or doubled");
    assert_eq!(effects.lock().expect("effects").len(), JOBS, "seed {seed}: an effect is missing");
    store.history()
}

fn run(seed: u64) -> Vec<String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true);
    runtime.build().expect("a runtime").block_on(play(seed))
}

#[test]
fn every_job_ends_once_in_every_history() {
    let (mut events, mut handed_on) = (0, 0);
    for seed in 1..=40 {
        let history = run(seed);
        events += history.len();
        handed_on += history.iter().filter(|line| line.contains("interrupted")).count();
    }
    assert!(handed_on > 40, "{handed_on} leases were handed on: the faults are too gentle");
    println!("40 histories, {events} events, {handed_on} leases handed on");
}

#[test]
fn the_same_seed_is_the_same_history() {
    let (first, second) = (run(7), run(7));
    let differs = first.iter().zip(&second).position(|(a, b)| a != b);
    assert_eq!(
        differs,
        None,
        "{:?} and {:?}",
        differs.map(|i| &first[i]),
        differs.map(|i| &second[i])
    );
    assert_eq!(first.len(), second.len());
    assert_ne!(first, run(8));
}

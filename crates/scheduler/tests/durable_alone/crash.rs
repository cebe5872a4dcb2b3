//! `kill -9` of the process, again and again: nothing is lost, what had an end does not run again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Launch, wait_until};
use tidemill_metrics::Registry;
use tidemill_scheduler::core::State;
use tidemill_scheduler::durable::sqlite::{SqliteOptions, SqliteStore};
use tidemill_scheduler::durable::{
    Environment, Filter, Handlers, JobSpec, JobStore, Logs, ResourceLimits, Runner, RunnerOptions,
};

use crate::SOON;

const JOBS: usize = 400;

const KILLS: usize = 12;

const FOLDER: &str = "TIDEMILL_TEST_FOLDER";

fn add_line(path: &Path, line: &str) -> Result<(), String> {
    let mut file = OpenOptions::new().append(true).create(true).open(path);
    file.as_mut().map_err(|e| e.to_string())?.write_all(line.as_bytes()).map_err(|e| e.to_string())
}

/// The process that is killed: it submits what is not yet there and runs all of it.
#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn child() {
    #[expect(clippy::disallowed_methods, reason = "how the test below tells its child")]
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("the parent says where"));
    let store = SqliteStore::open(SqliteOptions::new(folder.join("jobs.sqlite"))).expect("opens");
    store.take_over().await.expect("it is ours");
    let (begun, effects) = (folder.join("begun"), folder.join("effects"));
    let handler = move |context: tidemill_scheduler::durable::Context| {
        let (begun, effects) = (begun.clone(), effects.join(&context.key));
        async move {
            add_line(&begun, &format!("{} {}\n", context.key, context.attempt))?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            // The effect: once under its key, however often it is tried.
            match OpenOptions::new().write(true).create_new(true).open(effects) {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        }
    };
    let options = RunnerOptions {
        node: "child".into(),
        concurrency: 8,
        lease: Duration::from_secs(600),
        grace: Duration::from_secs(1),
        environment: Environment::default(),
        limits: ResourceLimits::default(),
        logs: Logs::new(folder.join("logs"), 1_000),
        logs_age: None,
        folder: folder.join("work"),
        handlers: Handlers::default().with("effect", handler),
    };
    let _runner = Runner::start(Arc::new(store.clone()), options, &Registry::default());
    for number in 0..JOBS {
        let spec = JobSpec::handler("effect", []).with_key(format!("k{number}"));
        store.submit(vec![spec]).await.expect("it takes jobs");
        // What was acknowledged is written down, as a client would.
        add_line(&folder.join("acknowledged"), &format!("k{number}\n")).expect("a line");
    }
    std::future::pending::<()>().await;
}

#[test]
fn a_process_that_is_killed_again_and_again_loses_nothing() {
    let folder = TempDir::with_prefix("tidemill-crash-").expect("a folder");
    for name in ["logs", "work", "effects"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let path = |name: &str| folder.path().join(name);
    let lines = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(path(name)).unwrap_or_default();
        text.split_inclusive('\n').filter_map(|l| l.strip_suffix('\n')).map(str::to_owned).collect()
    };
    let program = std::env::current_exe().expect("this program");
    let child = Launch::new(program)
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path());
    for kill in 1..=KILLS {
        let process = child.start();
        let before = lines("begun").len();
        // At another point each time, as early as before the first job.
        let more = (kill % 4) * 15;
        wait_until("some progress", SOON, || {
            assert!(!process.has_ended(), "{process}");
            lines("begun").len() >= (before + more).min(JOBS)
        });
        process.kill();
    }
    let _process = child.start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let store = SqliteStore::open(SqliteOptions::new(path("jobs.sqlite"))).expect("opens");
    let filter = |state| Filter { state, limit: 1_000, ..Filter::default() };
    let list = |state| runtime.block_on(store.list(filter(state))).expect("a page").jobs;
    wait_until("every end", SOON, || list(Some(State::Completed)).len() == JOBS);

    let jobs = list(None);
    assert_eq!(jobs.len(), JOBS, "a key that is submitted again is the same job");
    let known: Vec<_> = jobs.iter().filter_map(|job| job.spec.key.clone()).collect();
    assert!(lines("acknowledged").iter().all(|key| known.contains(key)), "one was lost");
    let mut runs: BTreeMap<String, u32> = BTreeMap::new();
    for line in lines("begun") {
        *runs.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for job in &jobs {
        let key = job.spec.key.as_deref().expect("all have keys");
        assert!(path("effects").join(key).exists(), "no effect of {key}");
        let more = job.progress.attempts - runs[key].min(job.progress.attempts);
        assert_eq!(job.progress.attempts, job.progress.interruptions + 1, "{job:?}");
        assert!(more <= job.progress.interruptions, "{job:?} ran {} times", runs[key]);
        assert!(runs[key] <= job.progress.attempts, "{key} ran after its end was recorded");
    }
    let again: u32 = jobs.iter().map(|job| job.progress.interruptions).sum();
    assert!(again as usize <= KILLS * 9, "{again} runs were repeated; 8 are under way at a time");
    println!("{JOBS} jobs, {KILLS} kills, {again} attempts interrupted");
}

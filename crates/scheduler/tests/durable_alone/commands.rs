//! Commands: what they see, what they may take, how they end.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::wait_until;
use tidemill_scheduler::core::{Priority, State};
use tidemill_scheduler::durable::{Cancelled, Command, Handlers, JobSpec, JobStore, Work};

use crate::{Place, SOON, ended, shell};

#[tokio::test]
async fn a_command_runs_in_its_folder_with_a_clean_environment() {
    let place = Place::new();
    let _runner = place.start(place.options());
    let id = place.submit(shell("pwd; env | cut -d= -f1 | sort; echo to stderr >&2")).await;
    ended(&place.end(id).await, State::Completed, "");
    let log = place.log(id);
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].ends_with("/work"), "{log}");
    // PWD is the shell's own.
    let names = ["PATH", "PWD", "TIDEMILL_JOB_ATTEMPT", "TIDEMILL_JOB_ID", "TIDEMILL_JOB_KEY"];
    assert_eq!(lines[1..6], names, "{log}");
    assert_eq!(lines[6..], ["TIDEMILL_JOB_RUNNER", "to stderr"], "{log}");

    let environment = BTreeMap::from([("GREETING".to_owned(), "good day".to_owned())]);
    let arguments = ["sh", "-c", "pwd; echo $GREETING; echo $TIDEMILL_JOB_KEY"];
    let arguments = arguments.map(str::to_owned).to_vec();
    let command = Command { arguments, folder: Some("/".into()), environment };
    let mut spec = JobSpec::command(["true"]).with_key("greet 1");
    spec.work = Work::Command(command);
    let id = place.submit(spec).await;
    place.end(id).await;
    assert_eq!(place.log(id), "/\ngood day\ngreet 1\n");
}

#[tokio::test]
async fn a_failure_is_retried_and_its_reason_kept() {
    let place = Place::new();
    let _runner = place.start(place.options());
    let id = place.submit(shell("echo try $TIDEMILL_JOB_ATTEMPT; exit 3").with_retries(2)).await;
    let job = place.end(id).await;
    ended(&job, State::Failed, "exit status 3");
    assert_eq!((job.progress.attempts, job.progress.failures), (3, 3));
    assert_eq!(place.log(id), "try 1\ntry 2\ntry 3\n");
    let id = place.submit(shell("[ $TIDEMILL_JOB_ATTEMPT = 2 ]").with_retries(2)).await;
    let job = place.end(id).await;
    ended(&job, State::Completed, "");
    assert_eq!(job.progress.attempts, 2);
    let id = place.submit(shell("kill -9 $$")).await;
    ended(&place.end(id).await, State::Failed, "signal 9");
}

/// Counts the processes that have an argument.
fn processes_with(argument: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("procfs");
    let lines = entries
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("cmdline")).ok());
    lines.filter(|line| line.split('\0').any(|given| given == argument)).count()
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group_even_one_that_does_not_listen() {
    let place = Place::new();
    let _runner = place.start(place.options());
    // The children ignore TERM, the last one runs in the background.
    let script = "trap '' TERM; sleep 31.0625 & sleep 31.0625; sleep 31.0625";
    let spec = shell(script).with_timeout(Duration::from_millis(300));
    let id = place.submit(spec).await;
    place.wait(id, |job| job.progress.state == State::Running).await;
    wait_until("the children", SOON, || processes_with("31.0625") == 2);
    let job = place.end(id).await;
    ended(&job, State::TimedOut, "longer than its timeout");
    wait_until("nobody of the group", SOON, || processes_with("31.0625") == 0);
}

#[tokio::test]
async fn what_a_command_leaves_behind_goes_with_it() {
    let place = Place::new();
    let _runner = place.start(place.options());
    let id = place.submit(shell("sleep 32.0625 & echo done")).await;
    ended(&place.end(id).await, State::Completed, "");
    assert_eq!(place.log(id), "done\n");
    wait_until("nobody of the group", SOON, || processes_with("32.0625") == 0);
}

#[tokio::test]
async fn a_running_job_is_cancelled_and_a_waiting_one_never_runs() {
    let place = Place::new();
    let mut options = place.options();
    options.concurrency = 1;
    options.lease = Duration::from_millis(300);
    let _runner = place.start(options);
    let first = place.submit(shell("trap 'echo asked; exit 0' TERM; sleep 60 & wait")).await;
    place.wait(first, |job| job.progress.state == State::Running).await;
    let second = place.submit(shell("echo never")).await;
    assert_eq!(place.store.cancel(second, None).await.expect("known"), Cancelled::Done);
    assert_eq!(place.store.cancel(first, None).await.expect("known"), Cancelled::Asked);
    ended(&place.end(first).await, State::Cancelled, "while it ran");
    ended(&place.end(second).await, State::Cancelled, "before it ran");
    assert_eq!((place.log(first).as_str(), place.log(second).as_str()), ("asked\n", ""));
    let late = place.store.cancel(first, None).await.expect("known");
    assert_eq!(late, Cancelled::Late(State::Cancelled));
}

#[tokio::test]
async fn limits_hold_for_each_process() {
    let place = Place::new();
    let mut options = place.options();
    options.limits.files = 99;
    options.limits.memory_bytes = Some(512 << 20);
    let _runner = place.start(options);
    // The limits come right after the start; what a command begins itself has them in any case.
    let script = "sleep 0.2; sh -c 'ulimit -n; ulimit -c; ulimit -v'";
    let id = place.submit(shell(script)).await;
    place.end(id).await;
    assert_eq!(place.log(id), "99\n0\n524288\n");
}

#[tokio::test]
async fn an_emergency_finds_a_slot_beside_the_full_ones() {
    let place = Place::new();
    let mut options = place.options();
    options.concurrency = 1;
    let _runner = place.start(options);
    let long = place.submit(shell("sleep 60")).await;
    place.wait(long, |job| job.progress.state == State::Running).await;
    let critical = place.submit(shell("true").with_priority(Priority::Critical)).await;
    let emergency = place.submit(shell("true").with_priority(Priority::Emergency)).await;
    ended(&place.end(emergency).await, State::Completed, "");
    assert_eq!(place.find(critical).await.progress.state, State::Pending);
}

#[tokio::test]
async fn a_stop_hands_unfinished_jobs_back() {
    let place = Place::new();
    let runner = place.start(place.options());
    let long = place.submit(shell("sleep 60").with_retries(0)).await;
    let short = place.submit(shell("sleep 0.3")).await;
    for id in [long, short] {
        place.wait(id, |job| job.progress.state == State::Running).await;
    }
    runner.stop(Duration::from_secs(1)).await;
    ended(&place.find(short).await, State::Completed, "");
    let job = place.find(long).await;
    assert_eq!((job.progress.state, job.progress.failures), (State::Pending, 0), "{job:?}");
    let _runner = place.start(place.options());
    place.wait(long, |job| job.progress.attempts == 2).await;
}

#[tokio::test]
async fn handlers_get_their_payload_and_a_panic_is_a_failure() {
    let place = Place::new();
    let mut options = place.options();
    options.handlers = Handlers::default()
        .with("check", |context| async move {
            if context.payload == [0, 255] { Ok(()) } else { Err("another payload".to_owned()) }
        })
        .with("panic", |_| async { panic!("on purpose") })
        .with("stay", |mut context| async move {
            context.cancelled().await;
            Ok(())
        });
    let _runner = place.start(options);
    let id = place.submit(JobSpec::handler("check", [0, 255])).await;
    ended(&place.end(id).await, State::Completed, "");
    let id = place.submit(JobSpec::handler("check", [1])).await;
    ended(&place.end(id).await, State::Failed, "another payload");
    let id = place.submit(JobSpec::handler("panic", [])).await;
    ended(&place.end(id).await, State::Failed, "panicked");
    let stay = JobSpec::handler("stay", []).with_timeout(Duration::from_millis(50));
    let id = place.submit(stay).await;
    ended(&place.end(id).await, State::TimedOut, "timeout");
    let id = place.submit(JobSpec::handler("nobody", [])).await;
    ended(&place.end(id).await, State::Failed, "no handler is called nobody");
}

//! What goes wrong outside: programs, output, payloads, the file, the disk.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use tidemill_scheduler::core::State;
use tidemill_scheduler::durable::sqlite::{SqliteOptions, SqliteStore};
use tidemill_scheduler::durable::{Command, Error, Handlers, JobSpec, JobStore, LIMITS, Work};

use crate::{Place, ended, shell};

#[tokio::test]
async fn a_program_that_does_not_exist_fails_at_once_and_by_name() {
    let place = Place::new();
    let _runner = place.start(place.options());
    let id = place.submit(JobSpec::command(["no-such-program-anywhere"]).with_retries(5)).await;
    let job = place.end(id).await;
    ended(&job, State::Failed, "no program no-such-program-anywhere in PATH");
    assert_eq!(job.progress.attempts, 1, "a retry would not help");
    let id = place.submit(JobSpec::command(["/no/such"])).await;
    ended(&place.end(id).await, State::Failed, "no program /no/such");
    let id = place.submit(JobSpec::command(["/"])).await;
    ended(&place.end(id).await, State::Failed, "Permission denied");
    let command = Command {
        arguments: vec!["true".into()],
        folder: Some("/no/such/folder".into()),
        environment: Default::default(),
    };
    let mut spec = JobSpec::command(["true"]);
    spec.work = Work::Command(command);
    let id = place.submit(spec).await;
    ended(&place.end(id).await, State::Failed, "folder /no/such/folder is not there");
    let id = place.submit(shell("true")).await;
    ended(&place.end(id).await, State::Completed, "");
}

#[tokio::test]
async fn output_without_end_is_bounded_and_does_not_end_the_job() {
    let place = Place::new();
    let _runner = place.start(place.options());
    let script = "yes 0123456789 | head -c 3000000; echo; echo the last words";
    let id = place.submit(shell(script)).await;
    ended(&place.end(id).await, State::Completed, "");
    let part = place.logs().read(id, 0, 1 << 20).expect("a log");
    assert!(part.bytes.len() <= 64 << 10, "{}", part.bytes.len());
    assert_eq!(part.end, 3_000_000 + 1 + 15);
    assert!(part.bytes.ends_with(b"\nthe last words\n"));
    // One that never ends is ended by its timeout, and others run meanwhile.
    let endless = place.submit(shell("yes").with_timeout(Duration::from_secs(1))).await;
    let beside = place.submit(shell("true")).await;
    ended(&place.end(beside).await, State::Completed, "");
    ended(&place.end(endless).await, State::TimedOut, "timeout");
    let printed = place.logs().read(endless, 0, 1).expect("a log").end;
    assert!(printed < 64 << 20, "{printed} bytes were taken in about a second");
}

#[tokio::test]
async fn a_payload_that_is_too_large_is_refused_and_the_largest_is_not() {
    let place = Place::new();
    let largest = vec![7; LIMITS.work_bytes - 1];
    let mut options = place.options();
    options.handlers = Handlers::default().with("h", |context| async move {
        if context.payload.len() == LIMITS.work_bytes - 1 { Ok(()) } else { Err("cut".into()) }
    });
    let _runner = place.start(options);
    let id = place.submit(JobSpec::handler("h", largest)).await;
    ended(&place.end(id).await, State::Completed, "");
    let large = JobSpec::handler("h", vec![7; LIMITS.work_bytes]);
    let error = place.store.submit(vec![large]).await.expect_err("too large");
    assert!(matches!(error, Error::TooLarge { bytes: 262_145, .. }), "{error}");
    assert!(error.is_invalid() && error.to_string().contains("at most 262144"), "{error}");
}

#[test]
fn a_damaged_file_is_named_and_left_alone() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("jobs.sqlite");
    let open = || SqliteStore::open(SqliteOptions::new(&path)).map(|_| ());
    fs::write(&path, b"this is no database, but it is long enough to be looked at").expect("write");
    let error = open().expect_err("no database").to_string();
    assert!(error.contains("is damaged") && error.contains("move it away"), "{error}");
    fs::remove_file(&path).expect("remove");
    open().expect("a new one");
    let mut file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    file.seek(SeekFrom::Start(5_000)).expect("seek");
    file.write_all(&[0xff; 9_000]).expect("write");
    let before = fs::read(&path).expect("read");
    let error = open().expect_err("damaged");
    assert!(matches!(error, Error::Damaged(_)), "{error}");
    assert_eq!(fs::read(&path).expect("read"), before);
    let error = SqliteStore::open(SqliteOptions::new("/no/such/jobs.sqlite")).map(|_| ());
    let error = error.expect_err("no folder");
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
}

#[test]
fn a_file_of_another_program_or_a_newer_one_is_not_touched() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("jobs.sqlite");
    let other = rusqlite::Connection::open(&path).expect("a database");
    other.execute_batch("CREATE TABLE theirs (x)").expect("their table");
    let open = || SqliteStore::open(SqliteOptions::new(&path)).map(|_| ()).expect_err("refused");
    assert!(open().to_string().contains("of another program"), "{}", open());
    let newer = "PRAGMA application_id = 0x544d6a62; PRAGMA user_version = 2";
    other.execute_batch(newer).expect("a newer one");
    assert!(open().to_string().contains("version 2"), "{}", open());
}

/// The bound on the file's size makes SQLite say what a full disk does.
#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_ends_what_is_there() {
    let place = Place::with(|options| options.bytes_max = Some(1 << 20));
    let spec = || JobSpec::handler("h", vec![7; 20_000]);
    let mut taken = Vec::new();
    let error = loop {
        match place.store.submit(vec![spec()]).await {
            Ok(submitted) => taken.push(submitted[0].id),
            Err(error) => break error,
        }
        assert!(taken.len() < 100, "the bound does not hold");
    };
    assert!(error.is_retryable() && error.to_string().contains("no space is left"), "{error}");
    assert!(taken.len() > 5, "{}", taken.len());
    let mut options = place.options();
    options.handlers = Handlers::default().with("h", |_| async { Ok(()) });
    let _runner = place.start(options);
    for id in taken {
        ended(&place.end(id).await, State::Completed, "");
    }
}

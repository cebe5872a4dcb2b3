//! Processes are heard, limited, signalled and gone when dropped; ports belong to one caller.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use testkit::{Launch, Signal, free_port, wait_for};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Launch {
    Launch::new("sh").args(["-c", script])
}

#[test]
fn output_and_status_are_kept() {
    let finished = shell("echo out; echo err >&2; exit 3").run(SOON);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(finished.status.code(), Some(3));
}

#[test]
fn lines_are_waited_for_in_order() {
    let process = shell("echo turn 1; echo else; echo turn 2 >&2; exec sleep 60").start();
    assert_eq!(process.wait_for_line("turn", SOON), "turn 1");
    assert_eq!(process.wait_for_nth_line("turn", 2, SOON), "turn 2");
}

#[test]
fn a_program_that_ends_without_the_line_is_not_waited_for() {
    let process = shell("echo its last words; exit 7").start();
    let hour = Duration::from_secs(3600);
    let panic = catch_unwind(AssertUnwindSafe(|| process.wait_for_line("never", hour)));
    let panic = panic.expect_err("the line does not come");
    let message = panic.downcast_ref::<String>().expect("a formatted message");
    assert!(message.contains("its last words") && message.contains("exit status: 7"), "{message}");
}

#[test]
fn sigterm_ends_it_and_drop_kills_it() {
    let process = shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done");
    let polite = process.start();
    polite.wait_for_line("up", SOON);
    assert_eq!(polite.terminate(SOON).code(), Some(0));
    assert_eq!(polite.stdout(), "up\nbye\n");

    let stubborn = shell("trap '' TERM; echo up; while :; do sleep 0.01; done").start();
    stubborn.wait_for_line("up", SOON);
    stubborn.signal(Signal::TERM);
    let folder = format!("/proc/{}", stubborn.id());
    assert!(Path::new(&folder).exists());
    drop(stubborn);
    assert!(!Path::new(&folder).exists());
}

#[test]
fn files_are_limited_and_the_pid_is_the_programs() {
    let finished = shell("ulimit -n; ulimit -Hn; echo $1").args(["sh", "a b"]);
    assert_eq!(finished.limit_files(64).run(SOON).stdout, "64\n64\na b\n");
    let process = Launch::new("sleep").args(["60"]).limit_files(64).start();
    let name = format!("/proc/{}/comm", process.id());
    wait_for("the shell to become sleep", SOON, || {
        (std::fs::read_to_string(&name).ok()?.trim() == "sleep").then_some(())
    });
}

#[test]
fn files_cpu_and_memory_are_read() {
    let process = shell("exec 8</dev/null 9</dev/null; echo up; while :; do :; done").start();
    process.wait_for_line("up", SOON);
    assert!(process.open_files() >= 5);
    assert!(process.resident_bytes() > 100_000);
    let begin = process.cpu_time();
    wait_for("CPU time", SOON, || (process.cpu_time() > begin).then_some(()));
}

#[test]
fn a_port_is_given_once() {
    let ports: BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
    assert_eq!(ports.len(), 50);
}

#[test]
fn waiting_in_vain_says_for_what() {
    let none = || wait_for("a miracle", Duration::from_millis(3), || None::<()>);
    let message = catch_unwind(none).expect_err("no miracle");
    assert_eq!(
        message.downcast_ref::<String>().expect("a formatted message"),
        "waited 3ms in vain for a miracle"
    );
}

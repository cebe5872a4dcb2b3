//! Counters over this thread, this process and commands.
//!
//! Where the kernel refuses all counters the tests print `skipped:` and check that it says why.

use std::hint::black_box;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tidemill_profile::counters::{Answer, Counters, Event, Reading, Reason, Source, Target};

/// Burns processor time: some 10 ms for each piece of work, however busy the machine is.
fn burn(work: u32) {
    let mut sum = 0_u64;
    for _ in 0..work * 500_000 {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(7));
    }
}

/// Burns processor time and returns what this thread's own counter says of it, in nanoseconds.
fn counted_burn(work: u32) -> Option<u64> {
    let builder = Counters::builder().group([Event::TaskClock]);
    let mut counters = builder.open(Target::ThisThread).expect("this thread is there");
    counters.enable().expect("started");
    burn(work);
    count(&counters.read().expect("readable"), Event::TaskClock)
}

fn count(readings: &[Reading], event: Event) -> Option<u64> {
    let reading = readings.iter().find(|reading| reading.event == event).expect("it was asked for");
    match &reading.answer {
        Answer::Counted(count) => Some(count.value),
        other => {
            // A standard output that is closed has nobody to tell.
            let _ = writeln!(std::io::stdout(), "skipped: {event}: {other:?}");
            None
        }
    }
}

#[test]
fn a_thread_counts_its_own_work_and_not_a_sleep() {
    let software = [Event::TaskClock, Event::PageFaults, Event::ContextSwitches];
    let mut counters =
        Counters::builder().group(software).open(Target::ThisThread).expect("this thread is there");
    burn(10);
    counters.enable().expect("started");
    let other = thread::spawn(|| counted_burn(20));
    burn(1);
    let before = minor_faults();
    let pages = touched_pages();
    let accounted = minor_faults() - before;
    let other = other.join().expect("no panic");
    counters.disable().expect("stopped");
    burn(10);
    let readings = counters.read().expect("readable");
    drop(black_box(pages));
    assert!(accounted > 0, "fresh pages were touched");
    if let (Some(mine), Some(other)) = (count(&readings, Event::TaskClock), other) {
        assert!(mine > 0 && mine < other / 2, "{mine} beside {other}");
    }
    if let Some(faults) = count(&readings, Event::PageFaults) {
        assert!(faults >= accounted, "{faults} counted, {accounted} accounted");
    }
}

/// 64 pages that nobody has touched before: more than 32 MiB are never taken from what was freed.
fn touched_pages() -> Vec<u8> {
    let mut pages = vec![0_u8; 64 << 20];
    pages.iter_mut().step_by(1 << 20).for_each(|byte| *byte = 1);
    pages
}

/// What the kernel has accounted to this thread, whatever it counts for us.
fn minor_faults() -> u64 {
    let line = std::fs::read_to_string("/proc/thread-self/stat").expect("proc is mounted");
    let (_, fields) = line.rsplit_once(')').expect("the name is in parentheses");
    fields.split_whitespace().nth(7).expect("a tenth field").parse().expect("a number")
}

#[test]
fn a_group_counts_again_after_a_stop() {
    let group = [Event::TaskClock, Event::PageFaults];
    let mut counters =
        Counters::builder().group(group).open(Target::ThisThread).expect("this thread is there");
    let mut accounted = 0;
    for _ in 0..2 {
        counters.enable().expect("started");
        let before = minor_faults();
        drop(black_box(touched_pages()));
        accounted += minor_faults() - before;
        counters.disable().expect("stopped");
    }
    let readings = counters.read().expect("readable");
    if let Some(faults) = count(&readings, Event::PageFaults) {
        assert!(faults >= accounted, "{faults} counted, {accounted} accounted");
    }
}

#[test]
fn a_process_counts_its_threads_and_those_to_come() {
    let early = thread::spawn(|| burn(20));
    let target = Target::Process(std::process::id());
    let mut counters =
        Counters::builder().group([Event::TaskClock]).open(target).expect("it is this process");
    counters.enable().expect("started");
    let late = thread::spawn(|| counted_burn(10)).join().expect("no panic");
    early.join().expect("no panic");
    let readings = counters.read().expect("readable");
    if let (Some(all), Some(late)) = (count(&readings, Event::TaskClock), late) {
        assert!(all > late, "{all} of all threads, {late} of one");
    }
}

#[test]
fn a_command_is_counted_with_its_children_and_its_end_handed_on() {
    let mut command = Command::new("sh");
    command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; (exit 3); exit 3"]);
    command.stdout(Stdio::null());
    let events = [Event::TaskClock, Event::ContextSwitches, Event::PageFaults];
    let running = Counters::builder().group(events).spawn(command).expect("sh runs");
    let counts = running.wait().expect("counted");
    assert_eq!(counts.status.code(), Some(3));
    assert!(counts.elapsed > Duration::ZERO && counts.peak_bytes > 0);
    if let Some(nanoseconds) = count(&counts.readings, Event::TaskClock) {
        let accounted = counts.user + counts.system;
        let counted = Duration::from_nanos(nanoseconds);
        assert!(counted > Duration::from_millis(1), "{counted:?}");
        assert!(counted < accounted + Duration::from_millis(50), "{counted:?} of {accounted:?}");
    }
}

#[test]
fn every_event_has_an_answer_and_a_missing_one_a_reason() {
    let mut builder = Counters::builder();
    for event in Event::ALL {
        builder = builder.group([*event]);
    }
    let mut counters = builder.open(Target::ThisThread).expect("answers, not errors");
    counters.enable().expect("started");
    burn(3);
    let readings = counters.read().expect("readable");
    assert_eq!(readings.len(), Event::ALL.len());
    for (reading, event) in readings.iter().zip(Event::ALL) {
        assert_eq!(reading.event, *event);
        match &reading.answer {
            Answer::Unsupported { reason } => assert!(!reason.to_string().is_empty()),
            Answer::Instead { source: Source::TaskClock, count, reason } => {
                assert!(matches!(event, Event::Cycles | Event::RefCycles), "{event}");
                assert!(count.value > 0 && *reason != Reason::Seccomp, "{reading:?}");
            }
            _ => {}
        }
    }
    let json = serde_json::to_value(&readings).expect("serialisable");
    assert!(json[0]["answer"].is_string() && json[0]["event"] == "task-clock", "{json}");
}

#[test]
fn what_is_not_there_is_an_error() {
    let builder = Counters::builder().group([Event::TaskClock]);
    let error = builder.open(Target::Process(u32::MAX / 2)).expect_err("no such process");
    assert!(error.is_gone() && error.is_input(), "{error}");
    let error = builder.spawn(Command::new("/no/such/program")).expect_err("no such program");
    assert!(error.is_input(), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("`/no/such/program`") && message.contains("no such program"),
        "{message}"
    );
}
